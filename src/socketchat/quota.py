"""How many there may be at once, in all and from one network: callers in the greeting, sessions.

A leaf: it counts, and knows neither sockets nor sessions. `server.py` asks it before it does
anything for a caller.
"""

from __future__ import annotations

import ipaddress
from collections import Counter

__all__ = ["Quota", "Seats", "network_of"]

#: The part of an IPv6 address that names a network: whoever has one has all addresses in it.
_IPV6_PREFIX = 64


class Quota:
    """Counts those who are there, and says when there are enough.

    Those without an address come from this very process, or over a socket that only this machine
    has: they do not count.

    Args:
        name: What the bound is called, for errors.
        most: The most in all, and from one network.

    Raises:
        ValueError: A bound is below 1.
    """

    def __init__(self, name: str, most: tuple[int, int]) -> None:
        self._most, self._most_here = most
        if min(most) < 1:
            raise ValueError(f"{name} must be (in all, from one address), both above 0: {most!r}")
        self._counts: Counter[str] = Counter()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def take(self, address: str) -> bool:
        """Count one in, or return False if there are too many."""
        network = network_of(address)
        if not network:
            return True
        if self._total >= self._most or self._counts[network] >= self._most_here:
            return False
        self._counts[network] += 1
        self._total += 1
        return True

    def give_back(self, address: str) -> None:
        """Count out one that was counted in from this address."""
        network = network_of(address)
        if not network:
            return
        assert self._counts[network] > 0
        self._counts[network] -= 1
        self._total -= 1
        if not self._counts[network]:
            del self._counts[network]


class Seats:
    """Counts sessions by lane: one that comes back on its lane is counted once, where it began.

    Args:
        name: See `Quota`.
        most: See `Quota`.
    """

    def __init__(self, name: str, most: tuple[int, int]) -> None:
        self._quota = Quota(name, most)
        self._addresses: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._quota)

    def take(self, lane: bytes, address: str) -> bool:
        """Count a lane's session, unless it is counted; return False if there are too many."""
        if lane not in self._addresses:
            if not self._quota.take(address):
                return False
            self._addresses[lane] = address
        return True

    def leave(self, lane: bytes) -> None:
        """Count a lane's session no more, if it was counted."""
        address = self._addresses.pop(lane, None)
        if address is not None:
            self._quota.give_back(address)


def network_of(address: str) -> str:
    """Return what counts as one address for limits.

    That is an IPv4 address by itself, in whichever notation it came, and the /64 of an IPv6
    address, because a single machine is given at least that much. Whatever is no address stays as
    it is.

    Args:
        address: An address, or `ADDRESS:PORT` with IPv6 in brackets.
    """
    host = address
    if address.startswith("["):
        host = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        host = address.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, _IPV6_PREFIX), strict=False))
