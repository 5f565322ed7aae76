"""Claims about `socketchat.cli.announcing`: a server's announcement keeps to its own thread."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

import socketchat.cli
from socketchat.cli import announcing, mdns
from socketchat.cli.announcing import Announcing
from socketchat.cli.lan import Service
from tests.cli.loopback import service

pytestmark = pytest.mark.may_block("log lines are written")

Announce = Callable[[Service, Sequence[str]], Awaitable[None]]

SERVICE = replace(service(), bound=("192.0.2.1", "127.0.0.1"))


def thread() -> threading.Thread | None:
    """Return the thread that announces, if there is one."""
    return next((one for one in threading.enumerate() if one.name == "announcing"), None)


def ended() -> None:
    if (one := thread()) is not None:
        one.join(60)
        assert not one.is_alive()


class Announced:
    """Stands for `mdns.announce`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.withdrawn = threading.Event()
        self.asked: list[tuple[Service, tuple[str, ...]]] = []
        monkeypatch.setattr(mdns, "announce", self.announce)

    async def announce(self, it: Service, interfaces: Sequence[str]) -> None:
        self.asked.append((it, tuple(interfaces)))
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.withdrawn.set()


@pytest.mark.both_loops
async def test_a_server_is_announced_until_that_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announced = Announced(monkeypatch)
    it = Announcing()
    it.start(SERVICE)
    await asyncio.to_thread(announced.begun.wait, 60)
    assert announced.asked == [(SERVICE, ())]
    assert not announced.withdrawn.is_set()
    it.withdraw()
    await it.gone()
    assert announced.withdrawn.is_set()
    ended()
    it.withdraw()
    await it.gone()


async def test_it_can_be_withdrawn_before_it_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    announced = Announced(monkeypatch)
    it = Announcing()
    it.start(SERVICE)
    it.withdraw()
    await it.gone()
    ended()
    assert announced.begun.is_set() is announced.withdrawn.is_set()


async def test_what_never_began_need_not_be_withdrawn() -> None:
    it = Announcing()
    it.withdraw()
    await it.gone()


@pytest.mark.parametrize("bound", [("127.0.0.1",), ("::1",), ("127.0.0.1", "::1", "127.0.0.2")])
async def test_a_server_of_this_machine_alone_is_not_announced(
    monkeypatch: pytest.MonkeyPatch, bound: tuple[str, ...]
) -> None:
    announced = Announced(monkeypatch)
    it = Announcing()
    it.start(replace(SERVICE, bound=bound))
    assert thread() is None
    await it.gone()
    assert announced.asked == []


async def test_one_of_loopback_is_where_tests_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    announced = Announced(monkeypatch)
    monkeypatch.setenv("SOCKETCHAT_LAN_INTERFACES", "127.0.0.1")
    it = Announcing()
    it.start(replace(SERVICE, bound=("127.0.0.1",)))
    await asyncio.to_thread(announced.begun.wait, 60)
    it.withdraw()
    await it.gone()
    assert [interfaces for _, interfaces in announced.asked] == [("127.0.0.1",)]


async def test_without_zeroconf_the_log_says_so_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO, "socketchat.lan")
    monkeypatch.delattr(socketchat.cli, "mdns")
    monkeypatch.delitem(sys.modules, "socketchat.cli.mdns")
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    it = Announcing()
    it.start(SERVICE)
    await it.gone()
    ended()
    assert [record.getMessage() for record in caplog.records] == [
        "not announced on the network: zeroconf is not installed; pip install 'socketchat[lan]'"
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [OSError(19, "No such device"), ZeroDivisionError("bug")])
async def test_whatever_goes_wrong_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    async def announce(it: Service, interfaces: Sequence[str]) -> None:
        raise error

    caplog.set_level(logging.INFO, "socketchat.lan")
    monkeypatch.setattr(mdns, "announce", announce)
    it = Announcing()
    it.start(SERVICE)
    await it.gone()
    ended()
    it.withdraw()
    (record,) = caplog.records
    assert record.getMessage() == f"not announced on the network any more: {error!r}"
    assert record.exc_info is None
    assert capfd.readouterr() == ("", "")


async def test_one_that_hangs_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    async def announce(it: Service, interfaces: Sequence[str]) -> None:
        go_on.wait(60)

    monkeypatch.setattr(mdns, "announce", announce)
    monkeypatch.setattr(announcing, "GOODBYE", 0.01)
    it = Announcing()
    it.start(SERVICE)
    hanging = thread()
    assert hanging is not None
    assert hanging.daemon
    it.withdraw()
    await it.gone()
    assert hanging.is_alive()
    go_on.set()
    ended()
