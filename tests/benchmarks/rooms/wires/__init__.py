"""The protocols that the servers speak, as far as a member of a room needs them.

One module each, with what differs between them and nothing else: how one gets into the room, how
something is said there, and what a member must answer. All the rest is in `crowd`, and is the same
for all. Written by hand, so that no client library is measured along with a server.
"""

import importlib
import socket
from collections.abc import Callable
from typing import Protocol

#: Where each protocol is found: a module here, and the name of the `Wire` in it.
WIRES = {
    "socketchat": ("socketchat", "WIRE"),
    "websocket": ("websocket", "WIRE"),
    "irc": ("irc", "WIRE"),
    "mqtt-qos0": ("mqtt", "QOS_0"),
    "mqtt-qos1": ("mqtt", "QOS_1"),
    "nats": ("nats", "WIRE"),
}

Answer = Callable[[bytearray, int, int], bytes]
"""Told of a chunk: the buffer, how many bytes of it count, the marks in them. Returns an answer."""


class Wire(Protocol):
    """One protocol.

    Attributes:
        ALIVE: What a member sends every few seconds of its own accord, so that no server has to
            ask whether it is there; empty if none asks.
        AT_ONCE: How many may be on their way into the room at the same time.
    """

    ALIVE: bytes
    AT_ONCE: int

    def join(self, connection: socket.socket, name: str) -> None:
        """Get a connection, which blocks, into the room under a name, to the last answer.

        Raises:
            ConnectionError: The server does not want it.
        """

    def say(self, number: int, text: bytes) -> bytes:
        """Return what a sender sends for its message `number`, counted from 1."""

    def answer(self) -> Answer | None:
        """Return what a new member answers to what it hears; None if nothing."""


def load(name: str) -> Wire:
    """Import one protocol."""
    module, attribute = WIRES[name]
    wire: Wire = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return wire


def read_until(connection: socket.socket, *ends: bytes) -> bytes:
    """Read until one of `ends` has come, and return all that came.

    Raises:
        ConnectionError: The server closed the connection before.
    """
    heard = b""
    while not any(end in heard for end in ends):
        if not (chunk := connection.recv(2**16)):
            raise ConnectionError(f"closed by the server, after {heard[-200:]!r}")
        heard += chunk
    return heard


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Read `size` bytes.

    Raises:
        ConnectionError: The server closed the connection before.
    """
    heard = b""
    while len(heard) < size:
        if not (chunk := connection.recv(size - len(heard))):
            raise ConnectionError(f"closed by the server, after {heard!r}")
        heard += chunk
    return heard
