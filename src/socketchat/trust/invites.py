"""Invites: a URL with the server's pin and a token that lets its bearer in once.

`Invite` is the URL. Its token is made with the server's private key (`make_token`) and judged with
its certificate (`check_token`), which believes nothing of it before the signature holds; the layout
is that of `docs/protocol.md`, "Invites". Signatures are made and checked in `signatures.py`;
`masking.py` takes tokens out of text that is to be shown.

It does no I/O and reads no clock. Whether a token was used before it does not know: who lets people
in keeps the ids of those that were.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import urllib.parse
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

from socketchat.errors import InvalidInvite
from socketchat.fingerprint import is_pin
from socketchat.messages import MAX_INVITE, MAX_NAME
from socketchat.options import DEFAULT_PORT
from socketchat.text import clean
from socketchat.trust.known_hosts import host_and_port

__all__ = [
    "MAX_URL",
    "SCHEME",
    "TOKEN_ID_SIZE",
    "Further",
    "Grant",
    "Invite",
    "check_token",
    "check_validity",
    "make_token",
]

#: How an invite begins.
SCHEME: Final = "socketchat://"
#: The longest invite, in characters.
MAX_URL: Final = 2048
#: Random bytes that tell one token from another.
TOKEN_ID_SIZE: Final = 16

#: What is signed begins with it, so that it can be taken for nothing else.
_CONTEXT: Final = b"socketchat invite 1\0"
_VERSION: Final = 1
#: Of a token's payload, what stands before the room: version, id and expiry.
_HEAD_SIZE: Final = 1 + TOKEN_ID_SIZE + 8
#: The last second of the year 9999: none later can be told to people.
_LAST_SECOND: Final = 253_402_300_799

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>[^:,\[\]]+))(?::(?P<port>[0-9]+))?")
#: What RFC 3986 allows in one segment of a path.
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


# ---- the URL ----


class Further(NamedTuple):
    """Another server of the same rooms: where it is, and the pin of its key."""

    host: str
    port: int
    pin: str


@dataclass(frozen=True, slots=True)
class Invite:
    """A place at a server, or at several, and a token that lets its bearer in.

    Attributes:
        host: The server's name, in lower case, or its address.
        port: The TCP port.
        room: The room's name; empty is every room, the first of them to begin with.
        pin: The pin of the server's key, `SHA256:...`.
        token: What lets its bearer in, once; never shown. The key with this pin has made it.
        others: Servers at which the room is too, to be called when that one is not there.
    """

    host: str
    port: int
    room: str
    pin: str
    token: str = field(repr=False)
    others: tuple[Further, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no URL can say.

        Raises:
            ValueError: A part of it is not as it must be; nothing of it is quoted.
        """
        for server in self.servers:
            _check_server(server)
        if len({server[:2] for server in self.servers}) <= len(self.others):
            raise ValueError("an invite names each server once")
        _check_room(self.room)
        if len(self.token) > MAX_INVITE or _unbase64(self.token) is None:
            raise ValueError("the invite's token is incomplete, or was altered")
        if len(self.url) > MAX_URL:
            raise ValueError(f"an invite has at most {MAX_URL} characters")

    @property
    def servers(self) -> tuple[Further, ...]:
        """All servers, in the order in which they are called."""
        return Further(self.host, self.port, self.pin), *self.others

    @property
    def url(self) -> str:
        """The invite as it is handed on, token included."""
        room = urllib.parse.quote(self.room, safe="")
        addresses = ",".join(host_and_port(host, port) for host, port, _ in self.servers)
        pins = [_pin_in_url(server.pin) for server in self.servers]
        # A key that all of them have is named once.
        pin = pins[0] if len(set(pins)) == 1 else ",".join(pins)
        return f"{SCHEME}{addresses}/{room}#{pin}.{self.token}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the invite that a URL is.

        Raises:
            ValueError: It is none; the message says why in one line and quotes nothing of it.
        """
        if len(url) > MAX_URL:
            raise ValueError(f"an invite has at most {MAX_URL} characters")
        if url[: len(SCHEME)].lower() != SCHEME:
            raise ValueError(f"an invite begins with {SCHEME}")
        if not url.isascii():
            raise ValueError("an invite has ASCII characters alone: copy it as it was given")
        place, *fragments = url[len(SCHEME) :].split("#")
        if len(fragments) != 1:
            raise ValueError("an invite has one #, and behind it the server's pin and a token")
        if "?" in place:
            raise ValueError("an invite has no ? in it")
        names, _, path = place.partition("/")
        addresses = [_address_of(name) for name in names.split(",")]
        pin, _, token = fragments[0].partition(".")
        pins = [_pin_of(one) for one in pin.split(",")]
        if len(pins) == 1:
            pins *= len(addresses)
        if len(pins) != len(addresses):
            raise ValueError("an invite has one pin for all its servers, or one for each")
        first, *others = (Further(*at, pin) for at, pin in zip(addresses, pins, strict=True))
        return cls(first.host, first.port, _room_of(path), first.pin, token, tuple(others))


def _address_of(text: str) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        raise ValueError("an invite's host is HOST or HOST:PORT; IPv6 in brackets")
    if found["ipv6"] is not None and ":" not in found["ipv6"]:
        raise ValueError("an invite has an IPv6 address alone in brackets")
    digits = found["port"] or str(DEFAULT_PORT)
    # An int of a thousand digits is not made.
    return found["ipv6"] or found["host"], int(digits) if len(digits) <= 5 else 0


def _room_of(path: str) -> str:
    if not _SEGMENT.fullmatch(path):
        raise ValueError("an invite names one room, percent-encoded")
    try:
        return urllib.parse.unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the room's name in the invite is not UTF-8") from None


def _pin_of(text: str) -> str:
    return "SHA256:" + text.translate(str.maketrans("-_+/", "+/  "))


def _pin_in_url(pin: str) -> str:
    return pin.removeprefix("SHA256:").translate(str.maketrans("+/", "-_"))


def _check_server(server: Further) -> None:
    _check_host(server.host)
    if not 1 <= server.port <= 65535:
        raise ValueError("an invite's port is 1 to 65535")
    if not is_pin(server.pin) or _unbase64(_pin_in_url(server.pin)) is None:
        raise ValueError("an invite needs the pin of the server's key")


def _check_host(host: str) -> None:
    if ":" in host:
        try:
            # A zone means something on one machine alone.
            good = "%" not in host and host == host.lower() and bool(ipaddress.IPv6Address(host))
        except ValueError:
            good = False
        if not good:
            raise ValueError("the invite's host is no IPv6 address")
    elif not _HOST.fullmatch(host):
        raise ValueError("an invite's host is a name in lower case and ASCII (xn--...)")


def _check_room(room: str) -> None:
    if len(room) > MAX_NAME:
        raise ValueError(f"a room's name has at most {MAX_NAME} characters")
    # What is read must be what is meant; no server has a room of another name either.
    if " ".join(clean(room, multiline=False).split()) != room:
        raise ValueError("the room's name in the invite has characters that cannot be shown")


# ---- the token ----


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token gives its bearer.

    Attributes:
        token_id: Which token it is, 16 bytes; each is good for one use.
        room: The room that it is for; empty is every room, the first of them to begin with.
        expires: When it ends, in seconds since the epoch.
    """

    token_id: bytes
    room: str
    expires: int


def make_token(key_pem: bytes, *, room: str, expires: int, token_id: bytes) -> str:
    """Make a token that lets its bearer in.

    Args:
        key_pem: The server's private key, in PEM, as in `Identity.key`.
        room: The room that it is for; empty is every room, the first of them to begin with.
        expires: From when on it is worth nothing, in seconds since the epoch.
        token_id: 16 random bytes.

    Raises:
        ValueError: An argument is not as it must be, or the key is of no kind that is known.
    """
    if len(token_id) != TOKEN_ID_SIZE:
        raise ValueError(f"a token's id has {TOKEN_ID_SIZE} bytes")
    if not 0 <= expires <= _LAST_SECOND:
        raise ValueError("an invite expires between the years 1970 and 9999")
    _check_room(room)
    from socketchat.trust.signatures import sign

    payload = bytes((_VERSION,)) + token_id + expires.to_bytes(8, "big") + room.encode()
    token = _base64(payload + sign(key_pem, _CONTEXT + payload))
    if len(token) > MAX_INVITE:
        raise ValueError("the room's name and the server's key are too long for an invite")
    return token


def check_token(certificate: bytes, token: str, now: int) -> Grant:
    """Return what a token gives, if this server made it and it has not expired.

    Args:
        certificate: The server's certificate, or chain, in PEM, as in `Identity.certificate`.
        token: What the caller shows.
        now: The time, in seconds since the epoch.

    Raises:
        InvalidInvite: It gives nothing.
    """
    from socketchat.trust.signatures import is_signed, public_key_of, signature_size

    key = public_key_of(certificate)
    raw = _unbase64(token) if len(token) <= MAX_INVITE else None
    if raw is None or key is None or len(raw) < _HEAD_SIZE + signature_size(key):
        raise InvalidInvite("this is no invite")
    payload, signature = raw[: -signature_size(key)], raw[-signature_size(key) :]
    if not is_signed(key, signature, _CONTEXT + payload):
        raise InvalidInvite("this invite was not made by this server, or was altered")
    expires = int.from_bytes(payload[1 + TOKEN_ID_SIZE : _HEAD_SIZE], "big")
    try:
        room = payload[_HEAD_SIZE:].decode()
    except UnicodeDecodeError:
        raise InvalidInvite("this is no invite") from None
    if payload[0] != _VERSION or expires > _LAST_SECOND:
        raise InvalidInvite("this invite is of a later version")
    grant = Grant(payload[1 : 1 + TOKEN_ID_SIZE], room, expires)
    check_validity(grant, now)
    return grant


def check_validity(grant: Grant, now: int) -> None:
    """Check that what a token gives has not expired.

    Raises:
        InvalidInvite: It has.
    """
    if now >= grant.expires:
        when = datetime.fromtimestamp(grant.expires, UTC)
        raise InvalidInvite(f"this invite has expired (on {when:%Y-%m-%d at %H:%M} UTC)")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unbase64(text: str) -> bytes | None:
    """Return the bytes that unpadded base64url spells, or None if it is none, or spells it oddly.

    There is one spelling of each bytes: bits that would be left over must be 0.
    """
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return None
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return data if _base64(data) == text else None
