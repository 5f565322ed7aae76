"""Multicast DNS that stays on this machine, for the tests of what is announced and found.

Several tests may announce at once, as may other programs: a test looks for its own server, by a
name or a key that no other has, and never claims that there is none.
"""

from __future__ import annotations

import secrets
import socket

import pytest

from socketchat.cli.lan import Found, Service
from socketchat.fingerprint import pin_of_digest

__all__ = ["ENVIRONMENT", "LOOPBACK", "found", "needs_multicast", "service"]

LOOPBACK = ("127.0.0.1",)
#: For processes that announce and look.
ENVIRONMENT = {"SOCKETCHAT_NO_LAN": "0", "SOCKETCHAT_LAN_INTERFACES": "127.0.0.1"}

_GROUP = "224.0.0.251"


def service(name: str = "", port: int = 4000, *, private: bool = False) -> Service:
    """Return a server that can be announced, with a key of its own, and a name if none is given."""
    return Service(
        name=name or f"pub {secrets.token_hex(4)}",
        pin=pin_of_digest(secrets.token_bytes(32)),
        port=port,
        bound=LOOPBACK,
        private=private,
    )


def found(name: str = "The Pub", *addresses: str, private: bool = False) -> Found:
    """Return a server as if it had been found."""
    return Found(
        name=name,
        pin="SHA256:" + "A" * 43,
        addresses=addresses or ("192.0.2.7",),
        port=7625,
        private=private,
        version=1,
    )


def _multicasts() -> bool:
    """Tell whether what is multicast on the loopback interface comes back."""
    kind = socket.AF_INET, socket.SOCK_DGRAM
    with socket.socket(*kind) as receiver, socket.socket(*kind) as sender:
        own = socket.inet_aton(LOOPBACK[0])
        try:
            receiver.bind(("", 0))
            membership = socket.inet_aton(_GROUP) + own
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            sender.sendto(b"hello", (_GROUP, receiver.getsockname()[1]))
            receiver.settimeout(5)
            return receiver.recv(16) == b"hello"
        except OSError:
            return False


needs_multicast = pytest.mark.skipif(not _multicasts(), reason="no multicast on 127.0.0.1 here")
