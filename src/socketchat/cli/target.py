"""Where to call: `HOST`, `HOST:PORT`, `HOST/ROOM`, `HOST:PORT/ROOM` (IPv6 in brackets), an invite.

Several hosts, separated by commas, are servers of the same rooms: `HOST,HOST:PORT/ROOM`. What an
invite is, and when it is whole, `trust/invites.py` knows.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from socketchat.messages import MAX_NAME
from socketchat.options import DEFAULT_PORT
from socketchat.trust.invites import SCHEME, Invite
from socketchat.trust.known_hosts import host_and_port
from socketchat.trust.masking import mask

__all__ = [
    "BAD_ROOM",
    "At",
    "Target",
    "can_be_named",
    "is_everywhere",
    "is_loopback",
    "parse_target",
]

#: Why a room cannot be called.
BAD_ROOM = "a room's name has neither blanks nor slashes"

_SERVER = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[^\[\]/,\s]+)?)\]|(?P<host>[^\s:/,\[\]]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


class At(NamedTuple):
    """A server: where it is, and its pin if that was told."""

    host: str
    port: int
    pin: str = ""

    @property
    def name(self) -> str:
        """The name by which it is known, `host:port`."""
        return host_and_port(self.host, self.port)

    def __str__(self) -> str:
        """Return the server, as it can be typed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host + (f":{self.port}" if self.port != DEFAULT_PORT else "")


@dataclass(frozen=True, slots=True)
class Target:
    """A room at a server, or at one of several that share it.

    Attributes:
        host: A name or an address.
        port: The TCP port.
        room: The room's name; empty is the server's first.
        pin: The pin that the server's key must have, `SHA256:...`; empty if it was not told.
        token: What lets its bearer in; empty if there is none; never shown.
        others: Servers at which the room is too, to be called when the first one is not there.
    """

    host: str
    port: int = DEFAULT_PORT
    room: str = ""
    pin: str = ""
    token: str = field(default="", repr=False)
    others: tuple[At, ...] = ()

    @property
    def servers(self) -> tuple[At, ...]:
        """All servers, in the order in which they are called."""
        return At(self.host, self.port, self.pin), *self.others

    @property
    def place(self) -> str:
        """Its servers by their names, in whichever order they were given."""
        return ",".join(sorted(server.name for server in self.servers))

    def __str__(self) -> str:
        """Return the place, as it can be typed."""
        return ",".join(map(str, self.servers)) + (f"/{self.room}" if self.room else "")


def parse_target(text: str) -> Target:
    """Return the target that `text` names.

    Raises:
        ValueError: It names none; the message says what would, and quotes no token.
    """
    text = text.strip()
    if text.lower().startswith(SCHEME):
        invite = Invite.parse(text)
        others = tuple(At(*server) for server in invite.others)
        return Target(invite.host, invite.port, invite.room, invite.pin, invite.token, others)
    if mask(text) != text:
        raise ValueError(f"this is a part of an invite: copy all of it, from {SCHEME} on")
    names, slash, room = text.partition("/")
    found = [_SERVER.fullmatch(name) for name in names.split(",")]
    if not (all(found) and can_be_named(room) and text.isprintable()):
        if slash and all(found) and not can_be_named(room):
            raise ValueError(f"{text!r} names no room: {BAD_ROOM}")
        hint = "; put an IPv6 address in brackets" if _has_bare_ipv6(names) else ""
        raise ValueError(f"{text!r} is no HOST, HOST:PORT, HOST/ROOM or HOST:PORT/ROOM{hint}")
    if len(room) > MAX_NAME:
        raise ValueError(f"a room's name has at most {MAX_NAME} characters")
    servers: dict[str, At] = {}
    for server in map(_at, filter(None, found)):
        servers.setdefault(server.name, server)
    first, *rest = servers.values()
    return Target(first.host, first.port, room, others=tuple(rest))


def _at(found: re.Match[str]) -> At:
    port = int(found["port"] or DEFAULT_PORT)
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is no port: use 1 to 65535")
    return At(found["ipv6"] or found["host"], port)


def _has_bare_ipv6(names: str) -> bool:
    return any(name.count(":") > 1 for name in names.split(","))


def can_be_named(room: str) -> bool:
    """Tell whether a target can name a room."""
    return re.fullmatch(r"[^/\s]*", room) is not None and room.isprintable()


def is_loopback(host: str) -> bool:
    """Tell whether `host` can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_everywhere(host: str) -> bool:
    """Tell whether `host` is every address of a machine: to listen on, not to call."""
    return host in ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
