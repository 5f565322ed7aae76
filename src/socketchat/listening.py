"""Listening sockets: every address of a host, all on the same port; and taking callers there."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence

__all__ = ["Acceptor", "listen"]

_BACKLOG = 1024
#: Callers taken from one socket in one turn of the loop: each costs a millisecond, for TLS, soon
#: after, and those who talk already shall not wait for many of them. The others wait in the system.
_CALLERS_PER_TURN = 4
#: Seconds to wait when the process has run out of file descriptors or memory.
_EXHAUSTED_DELAY = 0.5
#: Seconds between two log lines that say so.
_EXHAUSTED_INTERVAL = 10.0
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
#: Attempts to find one free port that every address has.
_ATTEMPTS = 16


_log = logging.getLogger("socketchat.listening")


class Acceptor:
    """Takes callers from one listening socket, until it is stopped.

    Not a task around `loop.sock_accept`: one that is cancelled in the turn in which a caller came
    loses the connection, and leaves it open.

    Args:
        listener: A listening socket that does not block.
        take: Called with each connection and its address.
    """

    def __init__(
        self, listener: socket.socket, take: Callable[[socket.socket, str], object]
    ) -> None:
        self._listener = listener
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._next_complaint = 0.0
        self._start()

    def _start(self) -> None:
        try:
            self._loop.add_reader(self._listener, self._accept)
        except NotImplementedError:  # Windows' own loop
            self._task = self._loop.create_task(self._accept_in_turn())

    def _accept(self) -> None:
        for _ in range(_CALLERS_PER_TURN):
            try:
                connection, peername = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    self._complain(exc)
                    self._loop.remove_reader(self._listener)
                    self._retry = self._loop.call_later(_EXHAUSTED_DELAY, self._start)
                    return
                continue  # the caller hung up before it was accepted
            self._take(connection, str(peername[0]))

    async def _accept_in_turn(self) -> None:
        while True:
            try:
                connection, peername = await self._loop.sock_accept(self._listener)
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    self._complain(exc)
                await asyncio.sleep(_EXHAUSTED_DELAY)
                continue
            self._take(connection, str(peername[0]))

    def _complain(self, exc: OSError) -> None:
        """Log that there are no file descriptors left, now and then: it may be so for long."""
        now = self._loop.time()
        if now >= self._next_complaint:
            self._next_complaint = now + _EXHAUSTED_INTERVAL
            _log.error("cannot accept callers: %s", exc.strerror)

    async def stop(self) -> None:
        """Take no more callers, and close the socket."""
        if self._retry is not None:
            self._retry.cancel()
        if self._task is None:
            self._loop.remove_reader(self._listener)
        else:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._listener.close()


async def listen(host: str | Sequence[str] | None, port: int) -> list[socket.socket]:
    """Bind and listen on every address of `host`; None is every address there is.

    With port 0, one free port is taken for all of them.

    Raises:
        OSError: An address cannot be resolved or bound; `strerror` names it.
    """
    loop = asyncio.get_running_loop()
    hosts = [host] if host is None or isinstance(host, str) else host
    addresses: dict[tuple[int, str], None] = {}
    for name in hosts:
        try:
            found = await loop.getaddrinfo(
                name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except socket.gaierror as exc:
            text = f"cannot listen on {name}: {exc.strerror}"
            raise socket.gaierror(exc.errno, text) from exc
        addresses.update({(family, str(address[0])): None for family, _, _, _, address in found})
    if host is None:
        # A machine without IPv6 still resolves "::".
        addresses = {key: None for key in addresses if key[0] != socket.AF_INET6 or _has_ipv6()}
    for attempt in range(_ATTEMPTS):
        try:
            return _bind_all(list(addresses), port)
        except OSError as exc:
            if port or exc.errno != errno.EADDRINUSE or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _bind_all(addresses: list[tuple[int, str]], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            sockets.append(_bind(family, address, port))
            port = sockets[0].getsockname()[1]
    except BaseException:
        for bound in sockets:
            bound.close()
        raise
    return sockets


def _bind(family: int, address: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # On Windows this option would let two servers have one port.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.settimeout(0)
        bound.bind((address, port))
        bound.listen(_BACKLOG)
    except OSError as exc:
        bound.close()
        raise OSError(exc.errno, f"cannot listen on {address} port {port}: {exc.strerror}") from exc
    return bound


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
