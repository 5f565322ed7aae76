"""What servers say of themselves on the network around, and what is made of it.

A server is announced by multicast DNS as a service of the type `_socketchat._tcp` (RFC 6763); its
TXT record says which version of the protocol it speaks, its key's pin, its name, and whether it is
private. Anybody on the network can announce anything: what is found is a hint and no more. Whoever
calls there is asked about the key as at any first call, and the address is always shown too.

Pure functions and values, which know neither zeroconf nor sockets. `mdns.py` announces and finds,
`announcing.py` has a server announced, `discover.py` and `host_question.py` show what was found.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from socketchat.cli.render_json import JSONObject
from socketchat.cli.target import Target, is_everywhere
from socketchat.fingerprint import is_pin
from socketchat.messages import MAX_NAME, VERSION
from socketchat.text import clean, clean_name

__all__ = [
    "MAX_ADDRESSES",
    "MAX_SERVERS",
    "SERVICE",
    "Found",
    "LanError",
    "Network",
    "Service",
    "addresses_of",
    "chosen_interfaces",
    "found_json",
    "found_line",
    "found_server",
]

Network: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

SERVICE = "_socketchat._tcp.local."
#: Servers that one search looks at: those announced after them are left out.
MAX_SERVERS = 32
#: Addresses of one server that are announced, or looked at.
MAX_ADDRESSES = 16
#: Bytes of an instance's name: 63 are allowed, and who comes second gets a number behind it.
_MAX_INSTANCE = 56
#: Bytes of the name in the TXT record, of whose strings none may be longer than 255.
_MAX_TXT_NAME = 200
#: Addresses of interfaces, separated by commas, on which alone is announced and looked: for tests,
#: which keep to the loopback interface. On that nothing is announced otherwise.
_INTERFACES = "SOCKETCHAT_LAN_INTERFACES"


class LanError(Exception):
    """The network around cannot be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server, as it is announced.

    Attributes:
        name: Its name, cleaned.
        pin: The pin of its key.
        port: Its TCP port.
        bound: The addresses that it listens on; `0.0.0.0` and `::` are all of their kind.
        private: Whether it lets in nobody but those who were invited.
    """

    name: str
    pin: str
    port: int
    bound: tuple[str, ...]
    private: bool

    @property
    def instance(self) -> str:
        """The label by which it is told from others on the network."""
        # A dot would begin another label, and an underscore begins those of types. Clean text has
        # no control characters.
        return _cut(self.name.replace(".", "-").lstrip("_"), _MAX_INSTANCE) or "socketchat"

    @property
    def properties(self) -> dict[str, str]:
        """What its TXT record says."""
        said = {"v": str(VERSION), "key": self.pin, "name": _cut(self.name, _MAX_TXT_NAME)}
        return {**said, "private": "1"} if self.private else said


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A server, as somebody on the network has announced it: nothing of it is proved.

    Attributes:
        name: Its name, exactly as it was said.
        pin: The pin of its key, as it was said.
        addresses: Its addresses, the likeliest to be reached first; there is at least one.
        port: Its TCP port.
        private: Whether it lets in nobody but those who were invited.
        version: Which version of the protocol it speaks.
    """

    name: str
    pin: str
    addresses: tuple[str, ...]
    port: int
    private: bool
    version: int

    @property
    def target(self) -> Target:
        """Where to call it: without the pin, since nobody vouches for it."""
        return Target(self.addresses[0], self.port)

    @property
    def label(self) -> str:
        """Its name and what is special about it, safe to show."""
        notes = ["private"] * self.private
        if self.version != VERSION:
            notes.append(f"speaks version {self.version} of the protocol")
        return clean_name(self.name) + (f" ({', '.join(notes)})" if notes else "")


def chosen_interfaces() -> tuple[str, ...]:
    """Return the interfaces on which alone is to be spoken; none if they are all right."""
    return tuple(filter(None, re.split(r"[,\s]+", os.environ.get(_INTERFACES, ""))))


# Announcing


def addresses_of(bound: Iterable[str], own: Sequence[Network]) -> list[str]:
    """Return the addresses at which others find a server.

    Args:
        bound: The addresses that it listens on.
        own: Those that this machine has on the network; loopback is not among them.
    """
    found: list[_Address] = []
    for text in bound:
        address = ipaddress.ip_address(text.partition("%")[0])
        everywhere = is_everywhere(str(address))
        for interface in own:
            same = interface.version == address.version if everywhere else interface.ip == address
            if same and interface.ip not in found:
                found.append(interface.ip)
    # An address of the link alone is of use with its interface's name, which differs by machine.
    found = [one for one in found if not one.is_link_local] or found
    found.sort(key=lambda one: one.version)
    return [str(one) for one in found[:MAX_ADDRESSES]]


def _cut(text: str, size: int) -> str:
    """Return as much of a text as its UTF-8 has room for in `size` bytes."""
    return text.encode(errors="replace")[:size].decode(errors="ignore").strip()


# What was found


def found_server(
    label: str,
    properties: Mapping[bytes, bytes | None],
    addresses: Iterable[str],
    port: int | None,
    own: Sequence[Network],
) -> Found | None:
    """Return the server that was announced, or None if that is no announcement of ours.

    Args:
        label: The instance's label.
        properties: What its TXT record says.
        addresses: Its addresses, IPv6 ones of a link with their scope.
        port: Its TCP port.
        own: The addresses of this machine, with their networks.
    """
    said = {key.lower(): value or b"" for key, value in properties.items()}
    pin = said.get(b"key", b"").decode(errors="replace")
    version = said.get(b"v", b"")
    if not is_pin(pin) or not re.fullmatch(rb"[0-9]{1,4}", version):
        return None
    usable = [one for one in islice(addresses, MAX_ADDRESSES) if _can_be_called(one, own)]
    if not usable or port is None or not 1 <= port <= 65535:
        return None
    name = said.get(b"name", b"").decode(errors="replace") or label
    return Found(
        name=name[:MAX_NAME],
        pin=pin,
        addresses=tuple(_nearest_first(usable, own)),
        port=port,
        private=said.get(b"private") == b"1",
        version=int(version),
    )


def _can_be_called(text: str, own: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback:  # this machine, whoever says it
        return any(interface.ip == address for interface in own)
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local:
        return (address.scope_id or "").isalnum()
    return not (address.is_unspecified or address.is_multicast)


def _nearest_first(addresses: Iterable[str], own: Sequence[Network]) -> list[str]:
    """Order a server's addresses by how likely they lead to it from here."""
    # dict: nobody needs to see one twice
    parsed = {ipaddress.ip_address(text.partition("%")[0]): text for text in addresses}
    ours = {interface.ip for interface in own}
    # Bridges of virtual machines have the same address on many a machine: that of ours is not it,
    # but for a server which has no others.
    at_home = parsed.keys() <= ours

    def rank(address: _Address) -> tuple[int, bool, int]:
        if address in ours:
            far = 0 if at_home else 2
        else:
            far = 0 if any(address in interface.network for interface in own) else 1
        return far, address.is_link_local, address.version

    return [parsed[address] for address in sorted(parsed, key=rank)]


def found_line(found: Found) -> str:
    """Lay out a server that was found, on one line: where, its key, its name."""
    return f"{clean(str(found.target), multiline=False)} {found.pin} {found.label}"


def found_json(found: Found) -> JSONObject:
    """Make a server that was found the object that `--json` prints; text is exactly as it came."""
    return {
        "type": "server",
        "name": found.name,
        "target": str(found.target),
        "addresses": list(found.addresses),
        "port": found.port,
        "key": found.pin,
        "private": found.private,
        "version": found.version,
    }
