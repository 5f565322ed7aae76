"""Claims about `serve` and `connect` over real sockets: ports, addresses, TLS, and both loops."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from socketchat import Identity, Server, Session, Side, connect, listening, serve
from socketchat.handlers import Handler
from tests.sessions import Wire, echo, receive, say_nothing, send_all, until

IDENTITY = Identity.generate()

needs_ipv6 = pytest.mark.skipif(not listening._has_ipv6(), reason="there is no IPv6 here")
both_ways = pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])


def calling(server: Server, host: str = "127.0.0.1", **arguments: Any) -> Any:
    """Call a server that was made in this test."""
    if server.fingerprint:
        arguments.setdefault("trust", server.fingerprint)
    else:
        arguments.setdefault("tls", False)
    return connect(host, server.port, **arguments)


@pytest.mark.both_loops
@both_ways
async def test_a_client_and_a_server_talk(tls: bool) -> None:
    async with (
        serve(echo, "127.0.0.1", 0, name="the server", tls=tls, identity=IDENTITY) as server,
        calling(server, nick="ada", room="lobby") as client,
    ):
        assert (client.nick, client.room, client.peer.nick) == ("ada", "lobby", "the server")
        assert client.peer.address == f"127.0.0.1:{server.port}"
        bodies: list[str | bytes] = [f"{number}" for number in range(1000)] + [b"\0" * 2**19]
        receiving = asyncio.create_task(receive(client, 1001))
        for receipt in await send_all(client, bodies):
            await receipt
        assert await receiving == bodies
        # uvloop's clock has milliseconds; less than one is none.
        assert 0 <= await client.ping() < 10


@pytest.mark.both_loops
@both_ways
async def test_a_burst_that_fills_every_buffer_arrives_whole(tls: bool) -> None:
    async def burst(session: Session) -> None:
        await send_all(session, [f"{n:010000}" for n in range(1000)])

    async with serve(burst, "127.0.0.1", 0, tls=tls, identity=IDENTITY) as server:
        async with calling(server, max_queue=(8, 2)) as client:
            texts = [message.text async for message in client]
        assert texts == [f"{n:010000}" for n in range(1000)]


@pytest.mark.both_loops
async def test_many_clients_come_and_go() -> None:
    async def one(server: Server, number: int) -> None:
        async with calling(server) as client:
            await client.send(f"{number}")
            assert await receive(client, 1) == [f"{number}"]

    async with serve(echo, "127.0.0.1", 0, tls=False, max_pending=(256, 256)) as server:
        await asyncio.gather(*[one(server, number) for number in range(50)])
        await until(lambda: not server.sessions)


async def test_both_doors_may_be_awaited() -> None:
    server = await serve(echo, "127.0.0.1", 0, tls=False)
    client = await connect("127.0.0.1", server.port, tls=False)
    await client.send("hello")
    assert await receive(client, 1) == ["hello"]
    await client.close()
    await server.close()


async def test_a_server_tells_its_port_and_its_sockets_while_it_is_open() -> None:
    async with serve(say_nothing, "127.0.0.1", 0, tls=False) as server:
        (listener,) = server.sockets
        assert listener.getsockname() == ("127.0.0.1", server.port)
        port = server.port
        await server.close()
        assert (server.sockets, server.port) == ((), 0)
        with pytest.raises(ConnectionRefusedError):
            await connect("127.0.0.1", port, tls=False)


async def test_a_server_without_tls_has_no_fingerprint() -> None:
    async with serve(say_nothing, "127.0.0.1", 0, tls=False) as server:
        assert server.fingerprint == ""


async def test_a_server_has_the_key_it_is_given_or_makes_one() -> None:
    async with (
        serve(echo, "127.0.0.1", 0, identity=IDENTITY) as given,
        serve(echo, "127.0.0.1", 0) as made,
        serve(echo, "127.0.0.1", 0) as also_made,
    ):
        assert given.fingerprint == IDENTITY.fingerprint
        assert len({given.fingerprint, made.fingerprint, also_made.fingerprint}) == 3
        for server in (given, made, also_made):
            async with calling(server) as client:
                await client.send("hello")
                assert await receive(client, 1) == ["hello"]


@needs_ipv6
@pytest.mark.parametrize("host", [["127.0.0.1", "::1"], None], ids=["both", "all"])
async def test_a_server_listens_on_both_address_families_at_one_port(
    host: list[str] | None,
) -> None:
    async with serve(say_nothing, host, 0, tls=False) as server:
        assert len(server.sockets) == 2
        for address, shown in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
            async with calling(server, address) as client:
                assert client.peer.address == f"{shown}:{server.port}"
                (session,) = (each for each in server.sessions if each.id == client.id)
                assert session.peer.address.startswith(f"{shown}:")


async def test_sessions_without_an_address_do_not_count_as_too_many() -> None:
    async with (
        serve(say_nothing, "127.0.0.1", 0, tls=False, max_sessions=(1, 1)) as server,
        calling(server),
    ):
        for _ in range(2):
            near, far = [await asyncio.open_connection(sock=s) for s in socket.socketpair()]
            serving = asyncio.create_task(server.accept(*far))
            async with await Session.from_streams(*near, side=Side.CLIENT):
                assert len(server.sessions) == 2
            await serving


async def test_a_port_in_use_is_an_error_that_names_it() -> None:
    async with serve(say_nothing, "127.0.0.1", 0, tls=False) as server:
        with pytest.raises(OSError, match="already in use") as caught:
            await serve(say_nothing, "127.0.0.1", server.port, tls=False)
        assert caught.value.errno == errno.EADDRINUSE
        assert f"127.0.0.1 port {server.port}" in str(caught.value.strerror)


async def test_opening_a_server_that_is_cancelled_at_any_moment_leaves_nothing_behind() -> None:
    moment, opened = 0, False
    while not opened:
        moment += 1
        opening = asyncio.create_task(open_server())
        for _ in range(moment):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await opening.result().close()
            opened = True
    assert moment > 2


async def open_server(handler: Handler = say_nothing) -> Server:
    """Open a server, in a task."""
    return await serve(handler, "127.0.0.1", 0, identity=IDENTITY)


class Opened:
    """A handler that is opened and closed with its server.

    Attributes:
        calls: What it was called for, in order.
        failure: What opening it fails with.
    """

    def __init__(self, failure: OSError | None = None) -> None:
        self.calls: list[str] = []
        self.failure = failure

    async def open(self) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.calls.append("open")

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.calls.append("close")

    async def __call__(self, session: Session) -> None:
        self.calls.append("caller")
        await session.wait_closed()
        await asyncio.sleep(0)
        self.calls.append("caller has left")


@pytest.mark.both_loops
async def test_a_handler_is_opened_before_the_first_caller_and_closed_after_the_last() -> None:
    handler = Opened()
    async with serve(handler, "127.0.0.1", 0, tls=False) as server:
        assert handler.calls == ["open"]
        client = await calling(server)
        await server.close()
        await server.close()
        await client.wait_closed()
    assert handler.calls == ["open", "caller", "caller has left", "close"]


async def test_a_server_whose_handler_cannot_be_opened_does_not_listen() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    handler = Opened(OSError(errno.EACCES, "the log cannot be opened"))
    with pytest.raises(OSError, match="the log cannot be opened"):
        await serve(handler, "127.0.0.1", port, tls=False)
    assert handler.calls == []
    with pytest.raises(ConnectionRefusedError):
        await connect("127.0.0.1", port, tls=False)


async def test_a_handler_is_closed_if_its_server_cannot_listen() -> None:
    handler = Opened()
    async with serve(say_nothing, "127.0.0.1", 0, tls=False) as server:
        with pytest.raises(OSError, match="already in use"):
            await serve(handler, "127.0.0.1", server.port, tls=False)
    assert handler.calls == ["open", "close"]


async def test_a_handler_that_was_opened_is_closed_at_whatever_moment_serving_is_cancelled() -> (
    None
):
    moment, opened = 0, False
    while not opened:
        moment += 1
        handler = Opened()
        opening = asyncio.create_task(open_server(handler))
        for _ in range(moment):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await opening.result().close()
            opened = True
        assert handler.calls in ([], ["open", "close"])
    assert moment > 2


async def test_closing_with_callers_in_every_state_leaves_nothing_behind() -> None:
    async with serve(say_nothing, "127.0.0.1", 0, identity=IDENTITY) as server:
        client = await calling(server, reconnect=False)
        silent = await Wire.call(server.port)
        late = asyncio.create_task(open_client(server))
        accepted = socket.socket()
        accepted.setblocking(False)
        await asyncio.get_running_loop().sock_connect(accepted, ("127.0.0.1", server.port))
        await server.close(1001, "so long")
        await client.wait_closed()
        assert client.close_reason == "so long"
        await silent.read_end()
        await silent.close()
        accepted.close()
        await asyncio.wait([late])
        if late.exception() is None:
            await late.result().close()


async def open_client(server: Server) -> Session:
    """Call a server, in a task."""
    client: Session = await calling(server, reconnect=False)
    return client
