"""Who is at the two ends of a session: what is known of the other side, and who proves ours."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

__all__ = ["Peer", "Prover"]


class Peer(Struct, frozen=True):
    """Who is at the other end.

    Attributes:
        nick: A server's own name, or the one that a client goes by.
        key: The fingerprint of its key, or empty.
        address: Where it is, as `host:port`, or empty.
        host: Of a server that was called: by which name, as `host:port`; else empty. Of several
            servers that a session may be at, it is the one at which it is.
    """

    nick: str = ""
    key: str = ""
    address: str = ""
    host: str = ""


class Prover(Protocol):
    """Who proves that it holds a key: a device (`trust/device.py`)."""

    @property
    def public(self) -> bytes:
        """The public key."""

    def prove(self, pin: str, nonce: bytes, lane: bytes) -> bytes:
        """Return a proof for the server of this pin."""
