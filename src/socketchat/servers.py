"""The servers that a session may be at: how they are named, and in which turn they are called.

A client that knows several servers of the same rooms calls them in turn, at first and whenever its
link is lost. Here it is kept whose turn it is, and which of several errors is the one to raise. How
a server is called, `client.py` knows.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from socketchat.errors import CloseCode, HandshakeRefused, UnsupportedVersion, UntrustedPeer
from socketchat.fingerprint import is_pin
from socketchat.trust.known_hosts import host_and_port

__all__ = ["Host", "Place", "Rota", "Trust", "is_passing", "places_of"]

#: How one of several servers is named.
Host: TypeAlias = str | tuple[str, int]
#: Whom to trust: `strict`, `accept-new`, a pin, or a context for public certificates.
Trust: TypeAlias = str | ssl.SSLContext

_HOST = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")

_log = logging.getLogger("socketchat.servers")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, and whom to trust there.

    Attributes:
        host: A name or an address.
        port: The TCP port.
        trust: See `connect`.
    """

    host: str
    port: int
    trust: Trust

    @property
    def name(self) -> str:
        """The name by which the server is known, as `host:port`."""
        return host_and_port(self.host, self.port)


def places_of(
    host: str | Sequence[Host], port: int, trust: Trust | Sequence[Trust]
) -> tuple[Place, ...]:
    """Return where the servers are that `connect` is given.

    Raises:
        ValueError: There is none, a name is none, or `trust` is not what it must be.
    """
    # One name alone is taken as it is: brackets and ports are for lists.
    named = [(host, port)] if isinstance(host, str) else [_host_of(one, port) for one in host]
    if not named:
        raise ValueError("host must name a server, or several")
    whom = [trust] * len(named) if isinstance(trust, str | ssl.SSLContext) else list(trust)
    if len(whom) != len(named):
        raise ValueError(f"trust has {len(whom)} items for {len(named)} servers")
    for one in whom:
        _check_trust(one)
    return tuple(Place(*where, who) for where, who in zip(named, whom, strict=True))


def _check_trust(trust: Trust) -> None:
    if isinstance(trust, str) and trust not in ("strict", "accept-new") and not is_pin(trust):
        raise ValueError(f'trust must be "strict", "accept-new" or "SHA256:...": {trust!r}')


def _host_of(item: Host, default: int) -> tuple[str, int]:
    """Return host and port of one of several servers."""
    if isinstance(item, str):
        host, port = _split(item, default)
    else:
        host, port = item
    if ":" not in host:
        host.encode("idna")  # what would be found out too late: a UnicodeError is a ValueError
    if not host or not 1 <= port <= 65535:
        raise ValueError(f"{item!r} is no host, host:port or [IPv6]:port")
    return host, port


def _split(text: str, default: int) -> tuple[str, int]:
    try:
        return str(ipaddress.IPv6Address(text)), default  # without brackets, and so without a port
    except ValueError:
        found = _HOST.fullmatch(text)
    if found is None:
        return "", default
    return found["bracketed"] or found["host"], int(found["port"] or default)


class Rota:
    """Whose turn it is among the servers of one session.

    A round calls each of them once. It begins behind the one that the session was at, so that a
    server that has died costs no attempt when its clients go elsewhere.

    Args:
        places: Where they are, at least one.

    Attributes:
        current: The server that the session is at, or was at last.
    """

    def __init__(self, places: tuple[Place, ...]) -> None:
        self.current: Place = places[0]
        self._places = places
        self._next = 0
        # What was told last of each: who refuses in ever other words must not fill the memory.
        self._told: dict[Place, str] = {}
        self._errors: list[tuple[Place, Exception]] = []

    def __str__(self) -> str:
        return ", ".join(place.name for place in self._places)

    def round(self) -> Iterator[Place]:
        """Iterate over the servers once, from the one whose turn it is."""
        self._errors.clear()
        yield from self._places[self._next :] + self._places[: self._next]

    def may_see_invite(self, place: Place) -> bool:
        """Tell whether a server is one of those that the invite is for.

        It is if its key is named, as an invite does, or if it is trusted as the first one is.
        """
        is_pinned = isinstance(place.trust, str) and is_pin(place.trust)
        return is_pinned or place.trust == self._places[0].trust

    def settle(self, place: Place) -> None:
        """Take notice that the session is at this server."""
        self.current = place
        self._next = (self._places.index(place) + 1) % len(self._places)

    def pass_over(self, place: Place, exc: Exception) -> None:
        """Take notice of why a server has not let us in; what does not pass, users must know."""
        self._errors.append((place, exc))
        if len(self._places) == 1:
            return  # it is raised, or said when the session ends
        if is_passing(exc):
            _log.info("could not come to %s: %s", place.name, exc)
        elif self._told.get(place) != str(exc):
            self._told[place] = str(exc)
            _log.warning("%s is passed over: %s", place.name, exc)

    @property
    def is_over(self) -> bool:
        """Whether nobody who has not let us in at this round will do so at a later one."""
        return not any(is_passing(exc) for _, exc in self._errors)

    def worst(self) -> Exception:
        """Return the error to raise for a round in which no server has let us in.

        It is the most serious one, of several like that the first. What each of them has said is in
        its notes.
        """
        _, worst = max(self._errors, key=lambda one: _gravity(one[1]))  # the first of the highest
        if len(self._errors) > 1:
            for place, exc in self._errors:
                worst.add_note(f"{place.name}: {exc}")
        return worst


def is_passing(exc: Exception) -> bool:
    """Tell whether it may go better at the next attempt."""
    match exc:
        case HandshakeRefused():
            return CloseCode.is_temporary(exc.code)
        case UntrustedPeer() | UnsupportedVersion() | ssl.SSLCertVerificationError():
            return False
        case OSError(filename=str()):
            return False  # the file of known hosts
        case _:
            # Another program at the port, for a moment, or the network away.
            return True


def _gravity(exc: Exception) -> int:
    """Tell how serious an error is beside others."""
    match exc:
        case UntrustedPeer() | ssl.SSLCertVerificationError():
            return 3  # somebody may be posing as a server
        case _ if not is_passing(exc):
            return 2
        case HandshakeRefused():
            return 1  # it is there, at least
        case _:
            return 0
