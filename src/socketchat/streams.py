"""TCP and TLS streams whose bytes are handed on the moment they come.

asyncio's `StreamReader` wakes a task for every chunk; the task that waits for the message is woken
by that one, a turn of the loop later. `DirectReader` is a `StreamReader` that can call a function
instead. `link.py` uses it where it finds it, and reads any other stream in a task of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Protocol

__all__ = ["DirectReader", "Sink", "accept_streams", "open_streams"]


class Sink(Protocol):
    """What takes the bytes of a `DirectReader`."""

    def feed_data(self, data: bytes) -> None:
        """Take the next bytes."""

    def feed_end(self, exc: BaseException | None) -> None:
        """Take notice that no more will come, because of `exc` or in good order."""


class DirectReader(asyncio.StreamReader):
    """A stream reader that can hand its bytes on without waking a task."""

    _sink: Sink | None = None

    def direct(self, sink: Sink) -> None:
        """Hand everything to `sink` from now on; what has come so far must have been read."""
        self._sink = sink
        # In the way of the method of this name: a chunk costs one call less.
        vars(self)["feed_data"] = sink.feed_data
        if self.exception() is not None or self.at_eof():
            sink.feed_end(self.exception())

    def feed_eof(self) -> None:
        """Take the end of the stream from the transport."""
        super().feed_eof()
        if self._sink is not None:
            self._sink.feed_end(None)

    def set_exception(self, exc: Exception) -> None:
        """Take the loss of the connection from the transport."""
        super().set_exception(exc)
        if self._sink is not None:
            self._sink.feed_end(exc)


async def open_streams(
    host: str, port: int, context: ssl.SSLContext | None, server_hostname: str | None
) -> tuple[DirectReader, asyncio.StreamWriter]:
    """Connect to a server.

    Raises:
        OSError: It cannot be reached, or TLS failed.
    """
    loop = asyncio.get_running_loop()
    reader, protocol = _make_reader(loop)
    transport, _ = await loop.create_connection(
        lambda: protocol, host, port, ssl=context, server_hostname=server_hostname
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def accept_streams(
    connection: socket.socket, context: ssl.SSLContext | None, tls_timeout: float
) -> tuple[DirectReader, asyncio.StreamWriter]:
    """Take over a connection that was accepted; it is closed if that fails.

    Raises:
        TimeoutError: TLS took longer than `tls_timeout` seconds.
        OSError: TLS failed.
    """
    loop = asyncio.get_running_loop()
    reader, protocol = _make_reader(loop)
    try:
        connection.settimeout(0)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=context,
            ssl_handshake_timeout=tls_timeout if context else None,
        )
    except BaseException as exc:
        connection.close()
        if isinstance(exc, ConnectionAbortedError):  # what both loops raise for it
            raise TimeoutError("TLS took too long") from exc
        raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _make_reader(
    loop: asyncio.AbstractEventLoop,
) -> tuple[DirectReader, asyncio.StreamReaderProtocol]:
    reader = DirectReader(loop=loop)
    return reader, asyncio.StreamReaderProtocol(reader, loop=loop)


def _keep_large_blocks() -> None:
    """Have the C library serve blocks of 256 KiB from its heap.

    uvloop makes room for 256 KiB at every read from a TLS connection. glibc maps and unmaps pages
    for blocks that large, which is a third of a round trip, until it has seen one of that size
    freed (mallopt(3), M_MMAP_THRESHOLD). So one is.
    """
    bytearray(2**20)


_keep_large_blocks()
