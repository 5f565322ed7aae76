"""Claims about `socketchat.listening`: every address of a host, all on one port."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from socketchat import listening
from socketchat.listening import Acceptor, listen
from tests.sessions import turns

needs_ipv6 = pytest.mark.skipif(not listening._has_ipv6(), reason="there is no IPv6 here")


@contextmanager
def closing(sockets: list[socket.socket]) -> Iterator[list[socket.socket]]:
    """Close sockets at the end."""
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def addresses(sockets: list[socket.socket]) -> list[str]:
    """Return what sockets are bound to."""
    return sorted(each.getsockname()[0] for each in sockets)


def ports(sockets: list[socket.socket]) -> set[int]:
    """Return the ports that sockets are bound to."""
    return {each.getsockname()[1] for each in sockets}


async def test_an_address_is_listened_on_at_a_free_port() -> None:
    with closing(await listen("127.0.0.1", 0)) as sockets:
        assert addresses(sockets) == ["127.0.0.1"]
        (port,) = ports(sockets)
        assert port > 0
        assert not sockets[0].getblocking()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()


@needs_ipv6
@pytest.mark.parametrize("host", [["127.0.0.1", "::1"], ["::1", "127.0.0.1"]])
async def test_two_address_families_share_one_free_port(host: list[str]) -> None:
    with closing(await listen(host, 0)) as sockets:
        assert addresses(sockets) == ["127.0.0.1", "::1"]
        assert len(ports(sockets)) == 1


async def test_no_host_is_every_address() -> None:
    with closing(await listen(None, 0)) as sockets:
        expected = ["0.0.0.0", "::"] if listening._has_ipv6() else ["0.0.0.0"]
        assert addresses(sockets) == expected
        assert len(ports(sockets)) == 1


async def test_on_a_machine_without_ipv6_no_host_is_every_address_that_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    with closing(await listen(None, 0)) as sockets:
        assert addresses(sockets) == ["0.0.0.0"]


async def test_an_address_that_is_named_twice_is_bound_once() -> None:
    with closing(await listen(["127.0.0.1", "127.0.0.1"], 0)) as sockets:
        assert len(sockets) == 1


async def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with closing(await listen("127.0.0.1", 0)) as sockets:
        (port,) = ports(sockets)
        with pytest.raises(OSError, match="in use") as caught:
            await listen("127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
        assert caught.value.strerror == (
            f"cannot listen on 127.0.0.1 port {port}: Address already in use"
        )


@needs_ipv6
async def test_when_one_address_cannot_be_bound_the_others_are_given_back() -> None:
    with closing(await listen("::1", 0)) as sockets:
        (port,) = ports(sockets)
        with pytest.raises(OSError, match=f"cannot listen on ::1 port {port}: "):
            await listen(["127.0.0.1", "::1"], port)
        with closing(await listen("127.0.0.1", port)):
            pass


def bind_instead(
    monkeypatch: pytest.MonkeyPatch, failures: int, family: int
) -> list[socket.socket]:
    """Let binding in one address family fail so often; return what is bound."""
    bind = listening._bind
    bound: list[socket.socket] = []
    left = failures

    def bind_or_fail(family_: int, address: str, port: int) -> socket.socket:
        nonlocal left
        if family_ == family and left:
            left -= 1
            raise OSError(errno.EADDRINUSE, "Address already in use")
        bound.append(bind(family_, address, port))
        return bound[-1]

    monkeypatch.setattr(listening, "_bind", bind_or_fail)
    return bound


@needs_ipv6
async def test_a_free_port_that_the_other_family_lacks_is_given_back_and_another_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bound = bind_instead(monkeypatch, 3, socket.AF_INET6)
    with closing(await listen(["127.0.0.1", "::1"], 0)) as sockets:
        assert len(ports(sockets)) == 1
        assert [each.fileno() < 0 for each in bound] == [True] * 3 + [False] * 2


@needs_ipv6
async def test_when_no_port_is_free_everywhere_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = bind_instead(monkeypatch, 1000, socket.AF_INET6)
    with pytest.raises(OSError, match="already in use"):
        await listen(["127.0.0.1", "::1"], 0)
    assert all(each.fileno() < 0 for each in bound)


async def test_a_host_that_cannot_be_resolved_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match="not known") as caught:
        await listen("nowhere.invalid", 0)
    assert caught.value.strerror == "cannot listen on nowhere.invalid: Name or service not known"


async def test_an_address_that_is_not_this_machines_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1 port ") as caught:
        await listen("192.0.2.1", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


# Taking callers


class Exhausted(socket.socket):
    """A listening socket whose process is out of file descriptors at first."""

    errors: ClassVar[list[OSError]] = []

    def accept(self) -> tuple[socket.socket, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return super().accept()


@pytest.mark.may_block(reason="what is logged here, pytest writes to a file")
async def test_an_acceptor_out_of_file_descriptors_goes_on_when_there_are_some(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.listening._EXHAUSTED_DELAY", 0.001)
    listener = Exhausted(socket.AF_INET, socket.SOCK_STREAM)
    listener.errors[:] = [
        OSError(errno.EMFILE, "Too many open files"),
        ConnectionAbortedError(errno.ECONNABORTED, "Software caused connection abort"),
        OSError(errno.ENFILE, "Too many open files in system"),
    ]
    listener.settimeout(0)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    came: asyncio.Queue[socket.socket] = asyncio.Queue()
    acceptor = Acceptor(listener, lambda connection, _: came.put_nowait(connection))
    _, writer = await asyncio.open_connection(*listener.getsockname())
    (await came.get()).close()
    assert not listener.errors
    # Said once, and not every time that it is tried again.
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    await acceptor.stop()
    assert listener.fileno() == -1
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("moment", range(4))
async def test_a_caller_who_comes_while_the_acceptor_stops_is_taken_or_hung_up_on(
    moment: int,
) -> None:
    # A connection that was accepted and then forgotten would warn when it is collected.
    (listener,) = await listen("127.0.0.1", 0)
    taken: list[socket.socket] = []
    acceptor = Acceptor(listener, lambda connection, _: taken.append(connection))
    loop = asyncio.get_running_loop()
    with socket.socket() as caller:
        caller.settimeout(0)
        connecting = loop.create_task(loop.sock_connect(caller, listener.getsockname()))
        await turns(moment)
        await acceptor.stop()
        with contextlib.suppress(ConnectionError):
            await connecting
            for connection in taken:
                connection.close()
            assert await loop.sock_recv(caller, 1) == b""


async def test_an_acceptor_works_on_a_loop_that_watches_no_sockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def add_reader(*_: object) -> None:
        raise NotImplementedError

    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patch:
        (listener,) = await listen("127.0.0.1", 0)
        came: asyncio.Queue[socket.socket] = asyncio.Queue()
        patch.setattr(loop, "add_reader", add_reader)
        acceptor = Acceptor(listener, lambda connection, _: came.put_nowait(connection))
    _, writer = await asyncio.open_connection(*listener.getsockname())
    (await came.get()).close()
    await acceptor.stop()
    writer.close()
    await writer.wait_closed()
