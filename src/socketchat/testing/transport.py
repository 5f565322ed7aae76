"""How bytes travel between the two ends of a link in memory: the wire, and the transport on it.

Internal to `socketchat.testing`; `streams` is the face of it. The file knows asyncio's protocols
and transports, and no streams but to make them.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

__all__ = ["Mark", "MemoryTransport", "Wire"]

_MAX_CHUNK = 256 * 1024  # what asyncio asks of a socket at a time

_Address = tuple[str, int]


class Mark(Enum):
    """What travels on a wire besides bytes."""

    EOF = "eof"
    RESET = "reset"


class Wire:
    """One direction of a link: what its source has sent and its sink has not yet taken.

    Bytes and marks keep their order, but for a reset, which overtakes and destroys all before it.
    At most one callback is pending; it delivers one chunk or mark and plans the next. Whoever makes
    a wire able to deliver again (a reader resumed, a stall ended) has to call `wake`.

    Attributes:
        source: The transport that sends.
        sink: The transport that receives.
        size: Bytes on the way.
        stalled: Whether nothing may be delivered.
        sizes: Bytes of each chunk in turn; then as much as there is.
    """

    source: MemoryTransport
    sink: MemoryTransport

    def __init__(self, loop: asyncio.AbstractEventLoop, latency: float) -> None:
        self.size: int = 0
        self.stalled = False
        self.sizes: Iterator[int] = iter(())
        self._loop = loop
        self._latency = latency
        self._queue: deque[tuple[float, memoryview | Mark]] = deque()
        self._pending: asyncio.Handle | None = None

    def put(self, item: memoryview | Mark) -> None:
        """Send bytes or a mark."""
        if isinstance(item, memoryview):
            self.size += len(item)
        self._queue.append((self._loop.time() + self._latency, item))
        self.wake()

    def clear(self) -> None:
        """Lose what is on the way."""
        self._queue.clear()
        self.size = 0
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def reset(self) -> None:
        """Lose what is on the way, and send a reset."""
        self.clear()
        self.put(Mark.RESET)

    def wake(self) -> None:
        """Plan the next delivery, if there can be one and none is planned."""
        if self._pending is not None or not self._can_deliver():
            return
        due = self._queue[0][0]
        if due > self._loop.time():
            self._pending = self._loop.call_at(due, self._deliver)
        else:
            self._pending = self._loop.call_soon(self._deliver)

    def _can_deliver(self) -> bool:
        return bool(self._queue) and not self.stalled and self.sink.accepts(self._queue[0][1])

    def _deliver(self) -> None:
        self._pending = None
        if not self._can_deliver():  # stalled or paused since it was planned
            return
        item = self._queue[0][1]
        if isinstance(item, Mark):
            self._queue.popleft()
            self.sink.take_mark(item)
        else:
            self.sink.take_data(self._next_chunk())
            self.source.sent()
        self.wake()

    def _next_chunk(self) -> bytes:
        """Cut off the next chunk; as on a socket, separate writes that have arrived are one."""
        room = next(self.sizes, _MAX_CHUNK)
        if room < 1:
            raise ValueError(f"a chunk of {room} bytes cannot be delivered")
        parts: list[memoryview] = []
        now = self._loop.time()
        while room and self._queue:
            due, item = self._queue[0]
            # The first is due, though a real clock may be a tick short of it.
            if isinstance(item, Mark) or (parts and due > now):
                break
            parts.append(item[:room])
            room -= len(parts[-1])
            if rest := item[len(parts[-1]) :]:
                self._queue[0] = (due, rest)
            else:
                self._queue.popleft()
        chunk = b"".join(parts)
        self.size -= len(chunk)
        return chunk


class MemoryTransport(asyncio.Transport):
    """One end of a link; it follows `asyncio.selector_events._SelectorSocketTransport`.

    An end that is closed is first *closing* (what is buffered still goes out, what comes in is
    dropped), then *lost* (`connection_lost` is planned or has been called, and data that still
    comes in is answered with a reset).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        outgoing: Wire,
        incoming: Wire,
        sockname: _Address,
        peername: _Address,
    ) -> None:
        super().__init__({"sockname": sockname, "peername": peername})
        self._loop = loop
        self._outgoing = outgoing
        self._incoming = incoming
        outgoing.source = incoming.sink = self
        self._protocol: asyncio.Protocol
        self._closing = False
        self._lost = False
        self._eof_written = False
        self._dropped_data = False
        self._reading_paused = False
        self._writing_paused = False
        self._high = self._low = 0

    def open_streams(
        self, *, limit: int, high_water: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Make the streams over this transport; to be called once."""
        reader = asyncio.StreamReader(limit=limit, loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        self._protocol = protocol
        self.set_write_buffer_limits(high=high_water)
        protocol.connection_made(self)
        return reader, asyncio.StreamWriter(self, protocol, reader, self._loop)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Set the protocol that gets what arrives from now on."""
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError(f"a streaming protocol is needed, not {protocol!r}")
        self._protocol = protocol

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; nothing happens when the transport is closing."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be a bytes-like object, not {type(data).__name__}")
        if self._closing or not data:
            return
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        self._outgoing.put(memoryview(bytes(data)))
        self._check_high_water()

    def can_write_eof(self) -> bool:
        """Return True: an end may stop writing and go on reading."""
        return True

    def write_eof(self) -> None:
        """Send an end of file behind what is buffered."""
        if not self._closing and not self._eof_written:
            self._eof_written = True
            self._outgoing.put(Mark.EOF)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes, above and at which the protocol's writing stops and goes on."""
        if high is None:
            high = 65536 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._check_high_water()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low mark and the high one."""
        return (self._low, self._high)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the other end has not yet taken."""
        return self._outgoing.size

    def _check_high_water(self) -> None:
        if self._outgoing.size > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def sent(self) -> None:
        """Note that the other end has taken some of what was written."""
        if self._writing_paused and self._outgoing.size <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()
        if self._closing and not self._outgoing.size:
            self._lose(None)

    # Reading

    def is_reading(self) -> bool:
        """Return whether what arrives is passed on."""
        return not self._reading_paused and not self._closing

    def pause_reading(self) -> None:
        """Leave on the wire what arrives."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Take what arrives again."""
        self._reading_paused = False
        self._incoming.wake()

    def accepts(self, item: memoryview | Mark) -> bool:
        """Return whether this may be delivered now."""
        return item is Mark.RESET or self._closing or not self._reading_paused

    def take_data(self, data: bytes) -> None:
        """Receive bytes."""
        if self._lost:
            self._outgoing.reset()
        elif self._closing:
            self._dropped_data = True
        else:
            with self._fatal_in("data_received"):
                self._protocol.data_received(data)

    def take_mark(self, mark: Mark) -> None:
        """Receive an end of file or a reset."""
        if mark is Mark.RESET:
            self.lose_link(reset=True)
        elif not self._closing:
            with self._fatal_in("eof_received"):
                if not self._protocol.eof_received():
                    self.close()

    @contextmanager
    def _fatal_in(self, call: str) -> Iterator[None]:
        """Report what a protocol raises and abort, as asyncio does."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - here the loop's side of the boundary ends
            self._loop.call_exception_handler(
                {
                    "message": f"Fatal error: protocol.{call}() call failed.",
                    "exception": exc,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._outgoing.reset()
            self._lose(exc)

    # Closing

    def is_closing(self) -> bool:
        """Return whether the transport is closed, or on its way there."""
        return self._closing

    def close(self) -> None:
        """Send what is buffered and an end of file, then be closed."""
        if self._closing:
            return
        self.write_eof()
        self._closing = True
        if not self._outgoing.size:
            self._lose(None)
        self._incoming.wake()

    def abort(self) -> None:
        """Be closed at once: what is buffered is lost, and the other end sees a reset."""
        if not self._lost:
            self._outgoing.reset()
            self._lose(None)

    def lose_link(self, *, reset: bool) -> None:
        """Lose the connection unasked, by a reset or an end of file, and what was sent with it."""
        self._outgoing.clear()
        if reset:
            self._lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        else:
            if not self._closing:
                self._loop.call_soon(self._protocol.eof_received)
            self._lose(None)

    def _lose(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        if self._dropped_data and exc is None:
            self._outgoing.reset()  # TCP: closed with data unread
        self._loop.call_soon(self._protocol.connection_lost, exc)
