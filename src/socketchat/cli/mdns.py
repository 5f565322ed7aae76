"""Multicast DNS: announces a server on the network around, and finds those that are announced.

The only file that knows zeroconf, and ifaddr, which comes with it. Who imports it loads them, and
must be ready for an `ImportError`: they are an extra. What is said, and what is made of what others
say, is in `lan.py`. Nothing that comes from the network gets further than `found_server` there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import ifaddr
from zeroconf import Error, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from socketchat.cli.lan import (
    MAX_SERVERS,
    SERVICE,
    Found,
    LanError,
    Network,
    Service,
    addresses_of,
    found_server,
)

__all__ = ["announce", "find"]

#: Seconds between two looks at which addresses this machine has, and two attempts to announce.
PERIOD = 30.0

_log = logging.getLogger("socketchat.lan")

if not _log.isEnabledFor(logging.DEBUG):
    # It logs with tracebacks what is no fault: an interface that is down, what strangers send.
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)


async def announce(service: Service, interfaces: Sequence[str] = ()) -> None:
    """Announce a server, until cancelled.

    It is announced anew when this machine has got other addresses, and when it could not be done.

    Cancellation: the announcement is withdrawn, which takes a third of a second.

    Args:
        service: What is announced.
        interfaces: Addresses of the interfaces to speak on; none is all of them.
    """
    told = ""
    while True:
        try:
            own = _own_networks(interfaces)
            async with _opened(interfaces) as zeroconf:
                await _register(zeroconf, service, addresses_of(service.bound, own))
                told = ""
                while _own_networks(interfaces) == own:  # noqa: ASYNC110 - no event tells of it
                    await asyncio.sleep(PERIOD)
        except LanError as exc:
            if str(exc) != told:
                told = str(exc)
                _log.info("not announced on the network: %s", told)
            await asyncio.sleep(PERIOD)


async def _register(zeroconf: AsyncZeroconf, service: Service, addresses: list[str]) -> None:
    """Announce a server, and say so in the log.

    Raises:
        LanError: That cannot be done.
    """
    if not addresses:
        raise LanError("the server listens on no address of this machine's")
    with _wrapped():
        info = AsyncServiceInfo(
            SERVICE,
            f"{service.instance}.{SERVICE}",
            port=service.port,
            properties=service.properties,
            # Not the machine's own name: for that the system speaks itself, and may know more of
            # its addresses.
            server=f"socketchat-{secrets.token_hex(8)}.local.",
            parsed_addresses=addresses,
        )
        # The second one ends when it was said often enough.
        await (await zeroconf.async_register_service(info, allow_name_change=True))
    where = ", ".join(addresses)
    _log.info("announced on the network as %s, at %s", info.name.removesuffix(f".{SERVICE}"), where)


async def find(
    seconds: float,
    interfaces: Sequence[str] = (),
    *,
    show: Callable[[Found], object] | None = None,
) -> list[Found]:
    """Find the servers that are announced.

    Cancellation: ends the search.

    Args:
        seconds: How long to wait for answers.
        interfaces: Addresses of the interfaces to speak on; none is all of them.
        show: Is told of each server at once, and again when something else is said of it.

    Returns:
        Those that are still there at the end, by their names; `MAX_SERVERS` at most.

    Raises:
        LanError: The network cannot be asked.
    """
    own = _own_networks(interfaces)
    async with _opened(interfaces) as opened:
        search = _Search(opened.zeroconf, own, seconds, show)
        try:
            async with AsyncServiceBrowser(opened.zeroconf, SERVICE, handlers=[search.hear]):
                await asyncio.wait((search.failed,), timeout=seconds)
        finally:
            await search.end()
    return sorted(search.found.values(), key=lambda one: (one.label.casefold(), str(one.target)))


class _Search:
    """One search: asks for the details of each server that is named.

    Attributes:
        found: The servers, by the names of their instances.
        failed: Is done if one could not be shown.
    """

    def __init__(
        self,
        zeroconf: Zeroconf,
        own: Sequence[Network],
        seconds: float,
        show: Callable[[Found], object] | None,
    ) -> None:
        self.found: dict[str, Found] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._zeroconf = zeroconf
        self._own = own
        self._seconds = seconds
        self._show = show
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._told = False

    def hear(
        self,
        zeroconf: Zeroconf,  # noqa: ARG002 - zeroconf gives these by their names
        service_type: str,  # noqa: ARG002
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        """Take up that a service has come or gone, or has something else to say."""
        asking = self._asking.get(name)
        idle = asking is None or asking.done()
        if state_change is ServiceStateChange.Removed:
            self.found.pop(name, None)
            if idle:
                self._asking.pop(name, None)  # there is room for another one
        elif asking is None and len(self._asking) == MAX_SERVERS:
            if not self._told:
                _log.info("more than %d servers are announced: others are left out", MAX_SERVERS)
            self._told = True
        elif idle:
            self._asking[name] = asyncio.create_task(self._ask(name))
            self._asking[name].add_done_callback(self._note)

    def _note(self, asked: asyncio.Task[None]) -> None:
        if not asked.cancelled() and (exc := asked.exception()) and not self.failed.done():
            self.failed.set_exception(exc)

    async def _ask(self, name: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE, name)
            if not await info.async_request(self._zeroconf, 1000 * self._seconds):
                return
            found = found_server(
                name.removesuffix(f".{SERVICE}"),
                info.properties,
                info.parsed_scoped_addresses(),
                info.port,
                self._own,
            )
        except (Error, ValueError) as exc:  # a name that is none
            _log.debug("passed over what is announced as %r: %s", name, exc)
            return
        if found is None:
            _log.debug("passed over what is announced as %r", name)
            self.found.pop(name, None)
        elif self.found.get(name) != found:
            self.found[name] = found
            if self._show is not None:
                self._show(found)

    async def end(self) -> None:
        """Ask no more.

        Raises:
            Exception: What `show` has raised, or a bug.
        """
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        if self.failed.done():
            self.failed.result()


@asynccontextmanager
async def _opened(interfaces: Sequence[str]) -> AsyncIterator[AsyncZeroconf]:
    """Speak on these interfaces, and take back at the end what was announced.

    Raises:
        LanError: That cannot be done.
    """
    with _wrapped():
        zeroconf = _on(interfaces)
    try:
        with _wrapped():
            await zeroconf.zeroconf.async_wait_for_start()
        yield zeroconf
    finally:
        with _wrapped():
            await zeroconf.async_close()


def _on(interfaces: Sequence[str]) -> AsyncZeroconf:
    if interfaces:
        return AsyncZeroconf(interfaces=list(interfaces))
    try:
        return AsyncZeroconf(ip_version=IPVersion.All)
    except (OSError, RuntimeError):  # a machine without IPv6
        return AsyncZeroconf()


@contextlib.contextmanager
def _wrapped() -> Iterator[None]:
    try:
        yield
    except (Error, OSError, RuntimeError, ValueError) as exc:
        raise LanError(str(exc) or type(exc).__name__) from exc


def _own_networks(interfaces: Sequence[str]) -> list[Network]:
    """Return the addresses of this machine but loopback, or those that were chosen.

    Raises:
        LanError: There are none, or what was chosen is none.
    """
    with _wrapped():
        if interfaces:
            return [ipaddress.ip_interface(text) for text in interfaces]
        addresses = [
            ipaddress.ip_interface(
                f"{one.ip if isinstance(one.ip, str) else one.ip[0]}/{one.network_prefix}"
            )
            for adapter in ifaddr.get_adapters()
            for one in adapter.ips
        ]
    own = [one for one in addresses if not one.is_loopback]
    if not own:
        raise LanError("this machine has no address on a network")
    return own
