"""Listening sockets: every address of a host, all on the same port."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence

__all__ = ["listen"]

_BACKLOG = 1024
#: Attempts to find one free port that every address has.
_ATTEMPTS = 16


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
