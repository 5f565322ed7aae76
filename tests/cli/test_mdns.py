"""Claims about `socketchat.cli.mdns`: it announces a server, and finds those that are announced."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import ifaddr
import pytest
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf._utils.name import service_type_name
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from socketchat.cli import mdns
from socketchat.cli.lan import MAX_SERVERS, SERVICE, Found, LanError, Network, Service
from socketchat.cli.mdns import announce, find
from tests.cli.loopback import LOOPBACK, needs_multicast, service

PIN = "SHA256:" + "A" * 43


@asynccontextmanager
async def announced(it: Service) -> AsyncIterator[None]:
    """Announce a server, and withdraw it at the end."""
    task = asyncio.create_task(announce(it, LOOPBACK))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def look(fits: Callable[[Found], bool]) -> Found:
    """Find the server for which something holds."""
    seen: asyncio.Future[Found] = asyncio.get_running_loop().create_future()

    def show(found: Found) -> None:
        if fits(found) and not seen.done():
            seen.set_result(found)

    searching = asyncio.create_task(find(60, LOOPBACK, show=show))
    await asyncio.wait((searching, seen), return_when=asyncio.FIRST_COMPLETED)
    searching.cancel()
    with suppress(asyncio.CancelledError):
        await searching
    return seen.result()


def has(it: Service) -> Callable[[Found], bool]:
    return lambda found: found.pin == it.pin


# Over the loopback interface


@needs_multicast
@pytest.mark.both_loops
async def test_a_server_that_is_announced_is_found_with_all_that_it_says() -> None:
    it = service("The. Püb" + "b" * 50, 4711, private=True)
    async with announced(it):
        assert await look(has(it)) == Found(
            name=it.name,
            pin=it.pin,
            addresses=LOOPBACK,
            port=4711,
            private=True,
            version=1,
        )


@needs_multicast
async def test_servers_of_the_same_name_are_both_found() -> None:
    one, two = service("the same"), service("the same")
    async with announced(one):
        await look(has(one))
        async with announced(two):
            assert (await look(has(two))).name == (await look(has(one))).name == "the same"


@needs_multicast
async def test_what_is_withdrawn_is_gone_at_once() -> None:
    it = service()
    gone = asyncio.Event()
    here = asyncio.Event()

    def hear(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if name == f"{it.instance}.{SERVICE}":
            (gone if state_change is ServiceStateChange.Removed else here).set()

    async with (
        AsyncZeroconf(interfaces=list(LOOPBACK)) as zeroconf,
        AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[hear]),
    ):
        async with announced(it):
            await here.wait()
        await gone.wait()


HOSTILE: dict[str, dict[str | bytes, str | bytes | None]] = {
    "nothing": {},
    "no key": {"v": "1"},
    "wrong key": {"v": "1", "key": "SHA256:short"},
    "not text": {b"\xff\xfe": b"\xff", b"v": b"\x00", b"key": b"\xff" * 50},
    "no version": {"key": PIN},
    "\u202e\u2028": {"v": "x" * 200, "key": PIN},
}


class Heard(logging.Handler):
    """Waits for lines of the log."""

    def __init__(self, *lines: str) -> None:
        super().__init__()
        self._missing = set(lines)
        self.all = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self._missing.discard(record.getMessage())
        if not self._missing:
            self.all.set()


@needs_multicast
@pytest.mark.may_block("log lines are written")
async def test_what_is_no_announcement_of_ours_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "socketchat.lan")
    it = service()
    names = {label: f"{label} {it.instance}.{SERVICE}" for label in HOSTILE}
    heard = Heard(*(f"passed over what is announced as {name!r}" for name in names.values()))
    logging.getLogger("socketchat.lan").addHandler(heard)
    try:
        async with AsyncZeroconf(interfaces=list(LOOPBACK)) as zeroconf:
            infos = [
                AsyncServiceInfo(
                    SERVICE,
                    names[label],
                    port=1,
                    properties=properties,
                    server=f"{it.instance.replace(' ', '-')}.local.",
                    parsed_addresses=["127.0.0.1"],
                )
                for label, properties in HOSTILE.items()
            ]
            for info in infos:
                zeroconf.zeroconf.registry.async_add(info)
            shown: list[Found] = []
            searching = asyncio.create_task(find(60, LOOPBACK, show=shown.append))
            async with announced(it):
                await look(has(it))
                await heard.all.wait()
            searching.cancel()
            with suppress(asyncio.CancelledError):
                await searching
    finally:
        logging.getLogger("socketchat.lan").removeHandler(heard)
    assert not [one for one in shown if it.instance in one.name and one.pin != it.pin]


# What is heard


async def never(*_: object) -> bool:
    await asyncio.Event().wait()
    return True


def search(show: Callable[[Found], object] | None = None) -> mdns._Search:
    nothing: Any = None
    return mdns._Search(nothing, [], 1.0, show)


def hear(it: mdns._Search, name: str, change: ServiceStateChange) -> None:
    nothing: Any = None
    it.hear(zeroconf=nothing, service_type=SERVICE, name=name, state_change=change)


def answer(
    monkeypatch: pytest.MonkeyPatch, *, name: str = "", addresses: tuple[str, ...] = ("192.0.2.7",)
) -> None:
    """Have every service answer at once."""

    async def request(info: AsyncServiceInfo, zeroconf: object, timeout: float) -> bool:
        info.port = 1
        return True

    monkeypatch.setattr(AsyncServiceInfo, "async_request", request)
    monkeypatch.setattr(
        AsyncServiceInfo,
        "properties",
        property(lambda _: {b"v": b"1", b"key": PIN.encode(), b"name": name.encode()}),
    )
    monkeypatch.setattr(AsyncServiceInfo, "parsed_scoped_addresses", lambda _: list(addresses))


@pytest.mark.may_block("log lines are written")
async def test_a_flood_of_servers_is_looked_at_only_up_to_the_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(AsyncServiceInfo, "async_request", never)
    caplog.set_level(logging.INFO, "socketchat.lan")
    before = len(asyncio.all_tasks())
    it = search()
    for number in range(10_000):
        hear(it, f"{number}.{SERVICE}", ServiceStateChange.Added)
        hear(it, f"{number}.{SERVICE}", ServiceStateChange.Removed)
        hear(it, f"{number}.{SERVICE}", ServiceStateChange.Updated)
    assert len(asyncio.all_tasks()) - before == MAX_SERVERS
    assert [record.getMessage() for record in caplog.records] == [
        f"more than {MAX_SERVERS} servers are announced: others are left out"
    ]
    await it.end()
    assert len(asyncio.all_tasks()) == before


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "x",
        f".{SERVICE}",
        f"{'x' * 64}.{SERVICE}",
        f"\x00.{SERVICE}",
        "x._http._tcp.local.",
    ],
)
async def test_a_name_that_is_none_does_no_harm(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answer(monkeypatch)
    it = search()
    hear(it, name, ServiceStateChange.Added)
    await asyncio.wait(it._asking.values())
    await it.end()
    assert all(one.pin == PIN for one in it.found.values())


async def test_a_server_is_shown_again_only_if_something_else_is_said_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[Found] = []
    it = search(shown.append)
    for name in ("one", "one", "two", "two"):
        answer(monkeypatch, name=name)
        hear(it, f"x.{SERVICE}", ServiceStateChange.Updated)
        await asyncio.wait(it._asking.values())
    assert [one.name for one in shown] == ["one", "two"]
    assert list(it.found.values()) == shown[1:]
    answer(monkeypatch, addresses=())
    hear(it, f"x.{SERVICE}", ServiceStateChange.Updated)
    await asyncio.wait(it._asking.values())
    assert it.found == {}
    await it.end()


async def test_who_has_gone_makes_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch)
    it = search()
    for number in range(3 * MAX_SERVERS):
        name = f"{number}.{SERVICE}"
        hear(it, name, ServiceStateChange.Added)
        await asyncio.wait((it._asking[name],))
        assert name in it.found
        hear(it, name, ServiceStateChange.Removed)
        assert it.found == {}
    await it.end()


async def test_what_cannot_be_shown_ends_the_search_with_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: Found) -> None:
        raise ZeroDivisionError

    answer(monkeypatch)
    it = search(fail)
    hear(it, f"x.{SERVICE}", ServiceStateChange.Added)
    await asyncio.wait((it.failed,))
    hear(it, f"x.{SERVICE}", ServiceStateChange.Removed)
    with pytest.raises(ZeroDivisionError):
        await it.end()


# What goes wrong


@needs_multicast
@pytest.mark.parametrize("name", ["_sub", "_x", "-", "名" * 64, "a_b", "x" * 64, "☕", ".", "_"])
async def test_a_server_of_any_name_can_be_announced(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    registered: list[str] = []

    async def register(_: AsyncZeroconf, info: AsyncServiceInfo, **settings: object) -> object:
        registered.append(info.name)
        return asyncio.sleep(0)

    monkeypatch.setattr(AsyncZeroconf, "async_register_service", register)
    async with AsyncZeroconf(interfaces=list(LOOPBACK)) as zeroconf:
        await mdns._register(zeroconf, service(name), ["127.0.0.1"])
    (full,) = registered
    assert service_type_name(full) == SERVICE


def refuse(**_: object) -> AsyncZeroconf:
    raise OSError(19, "No such device")


async def test_a_search_that_is_not_possible_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdns, "AsyncZeroconf", refuse)
    with pytest.raises(LanError, match="No such device"):
        await find(1, LOOPBACK)
    with pytest.raises(LanError, match="'nonsense' does not appear"):
        await find(1, ["nonsense"])


async def test_a_machine_without_a_network_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", list)
    with pytest.raises(LanError, match="no address on a network"):
        await find(1)


async def test_a_machine_without_ipv6_does_with_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def open_(**settings: object) -> AsyncZeroconf:
        asked.append(settings)
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(mdns, "AsyncZeroconf", open_)
    with pytest.raises(LanError):
        await find(1, ())
    assert [list(settings) for settings in asked] == [["ip_version"], []]


def networks(*texts: str) -> list[Network]:
    return [ipaddress.ip_interface(text) for text in texts]


class Attempts:
    """Stands for the network: counts how often a server was announced there, and where."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *own: list[Network] | None) -> None:
        self.at: list[list[str]] = []
        self.enough = asyncio.Event()
        self._own = list(own)
        monkeypatch.setattr(mdns, "_own_networks", self._look)
        monkeypatch.setattr(mdns, "_opened", self._open)
        monkeypatch.setattr(mdns, "_register", self._register)
        monkeypatch.setattr(mdns, "PERIOD", 0)

    def _look(self, interfaces: object) -> list[Network]:
        if len(self._own) == 1:
            self.enough.set()
        found = self._own.pop(0) if len(self._own) > 1 else self._own[0]
        if found is None:
            raise LanError("no network")
        return found

    @asynccontextmanager
    async def _open(self, interfaces: object) -> AsyncIterator[None]:
        yield

    async def _register(self, zeroconf: None, it: Service, addresses: list[str]) -> None:
        self.at.append(addresses)


def everywhere() -> Service:
    return Service(name="x", pin=PIN, port=1, bound=("0.0.0.0",), private=False)


async def try_until_enough(attempts: Attempts) -> None:
    task = asyncio.create_task(announce(everywhere()))
    await attempts.enough.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_server_is_announced_anew_when_the_machine_has_other_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = networks("192.0.2.1/24"), networks("192.0.2.9/24")
    attempts = Attempts(monkeypatch, one, one, one, two, two, two, two)
    await try_until_enough(attempts)
    assert attempts.at == [["192.0.2.1"], ["192.0.2.9"]]


@pytest.mark.may_block("log lines are written")
async def test_what_could_not_be_announced_is_tried_again_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "socketchat.lan")
    one = networks("192.0.2.1/24")
    attempts = Attempts(monkeypatch, None, None, None, one, one, one)
    await try_until_enough(attempts)
    assert attempts.at == [["192.0.2.1"]]
    told = [record.getMessage() for record in caplog.records]
    assert told == ["not announced on the network: no network"]
