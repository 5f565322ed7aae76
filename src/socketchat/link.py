"""One connection: a protocol core, driven over a StreamReader and a StreamWriter.

This is the only place that writes bytes. It knows nothing of resuming or of applications: that is
`lifecycle.py`, which is given the events of one link after the other. `protocol.py` decides what is
said, `streams.py` has the reader that needs no task.

Writing never waits. The first post of a turn of the event loop is written at once, so that a reply
costs no delay; what follows in the same turn goes out in one write at its end. While the transport
is over its high-water mark nothing is written at all: the core keeps the posts, which the outbox
bounds, and folds its answers into one, so that a peer that does not read costs no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, assert_never
from typing import Protocol as TypingProtocol

from socketchat.core_events import (
    Acknowledged,
    CoreEvent,
    Failed,
    Greeted,
    HelloReceived,
    Passed,
    Ponged,
    Received,
    RefusedByPeer,
    Rejection,
    SaidBye,
    Unresponsive,
    Welcomed,
)
from socketchat.errors import HandshakeError, HandshakeRefused, UnsupportedVersion
from socketchat.messages import VERSION, Hello
from socketchat.protocol import Protocol, State
from socketchat.streams import DirectReader
from socketchat.turns import AT_ONCE, Backlog

__all__ = ["Link", "StreamReaderLike", "StreamWriterLike"]

#: Bytes asked of the reader at once: more than a StreamReader ever holds, so that all is read.
READ_SIZE = 2**20
#: Bytes in the transport's buffer above which nothing more is written to it.
HIGH_WATER = 2**16
#: Bytes of posts that are gathered within one turn of the loop before they are written.
GATHER_SIZE = 2**16


class StreamReaderLike(TypingProtocol):
    """What a link needs of a reader: asyncio's, or one shaped like it."""

    async def read(self, n: int = -1, /) -> bytes:
        """Return up to `n` bytes, or nothing at the end of the stream."""


class StreamWriterLike(TypingProtocol):
    """What a link needs of a writer: asyncio's, or one shaped like it."""

    def write(self, data: bytes, /) -> None:
        """Buffer `data`."""

    async def drain(self) -> None:
        """Wait until more may be written."""

    def close(self) -> None:
        """Close the stream, after what was written."""

    async def wait_closed(self) -> None:
        """Wait until the stream is closed."""

    def get_extra_info(self, name: str, default: Any = None, /) -> Any:
        """Return what the transport knows."""


class TransportLike(TypingProtocol):
    """What a link needs of the transport of a writer; reading is paused on asyncio's alone."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Have the writer's `drain` wait above `high` bytes."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait to be written."""

    def pause_reading(self) -> None:
        """Read nothing more."""

    def resume_reading(self) -> None:
        """Read on."""

    def is_closing(self) -> bool:
        """Return whether it is closed, or about to be."""

    def abort(self) -> None:
        """Close it at once, without what was not written."""


class Link:
    """One connection, from the first byte to the last.

    Attributes:
        protocol: The core that it drives.
        address: Where the other side is, for people to read.
        on_drained: Called when everything is written, after a time in which the transport took
            nothing more.
    """

    def __init__(
        self, reader: StreamReaderLike, writer: StreamWriterLike, protocol: Protocol
    ) -> None:
        self.protocol = protocol
        self.on_drained: Callable[[], object] | None = None
        self.address: str = _describe(writer.get_extra_info("peername"))
        self._reader = reader
        self._writer = writer
        # asyncio's writers have a transport; those of SSH libraries call it a channel.
        has_transport = hasattr(writer, "transport")
        self._transport: TransportLike = getattr(
            writer, "transport" if has_transport else "channel"
        )
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._loop = asyncio.get_running_loop()
        self._sink: Callable[[list[CoreEvent]], object] | None = None
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._pump: asyncio.Task[None] | None = None
        self._paused = False
        self._backlog = Backlog(self._take_data, self._take_backlog_end)
        self._end_behind: str | None = None
        # While neither the application nor the backlog has enough.
        self._reads = asyncio.Event()
        self._reads.set()
        self._timer: asyncio.TimerHandle | None = None
        self._drainer: asyncio.Task[None] | None = None
        self._in_turn = False
        self._closed = False
        self._cut_reason = ""
        self.flush()

    # ---- the greeting ----

    async def greet_server(self) -> tuple[Greeted, Welcomed, list[CoreEvent]]:
        """Go through the greeting as a client.

        Returns:
            The server's greeting and welcome, and what came right behind them.

        Raises:
            HandshakeRefused: The server said no.
            HandshakeError: The other side is no server of this protocol, or of another version.
        """
        greeted: Greeted | None = None
        while True:
            events = await self._read_greeting("not a socketchat server, or it closed at once")
            for index, event in enumerate(events):
                match event:
                    case Greeted():
                        greeted = event
                    case Welcomed():
                        assert greeted is not None
                        return greeted, event, events[index + 1 :]
                    case RefusedByPeer(code, reason):
                        raise HandshakeRefused(code, reason)
                    case SaidBye(close):
                        raise HandshakeRefused(*close)
                    case Failed(close, version):
                        if version is not None:
                            raise UnsupportedVersion(version, VERSION)
                        raise HandshakeError(f"not a socketchat server: {close.reason}")
                    case HelloReceived() | Unresponsive():
                        raise AssertionError(event)  # what a server hears, and what time brings
                    case Received() | Acknowledged() | Rejection() | Passed() | Ponged():
                        raise AssertionError(event)  # comes behind Welcomed
                    case _:
                        assert_never(event)

    async def greet_client(self) -> Hello:
        """Go through the greeting as a server, up to the client's question to be let in.

        Raises:
            HandshakeError: The other side is no client of this protocol, or went away.
        """
        hello: Hello | None = None
        while hello is None:
            # All of a chunk is looked at: what comes right behind a Hello is an error.
            for event in await self._read_greeting("the caller hung up"):
                match event:
                    case HelloReceived():
                        hello = event.hello
                    case SaidBye(close):
                        raise HandshakeError(f"the caller hung up: {close}")
                    case Failed(close):
                        raise HandshakeError(f"not a socketchat client: {close}")
                    case Greeted() | Welcomed() | RefusedByPeer() | Unresponsive():
                        raise AssertionError(event)  # what a client hears, and what time brings
                    case Received() | Acknowledged() | Rejection() | Passed() | Ponged():
                        raise AssertionError(event)  # comes behind our Welcome
                    case _:
                        assert_never(event)
        return hello

    async def _read_greeting(self, what_an_end_means: str) -> list[CoreEvent]:
        """Wait for bytes and return what they mean."""
        try:
            data = await self._reader.read(READ_SIZE)
        except OSError as exc:
            raise HandshakeError(f"{what_an_end_means} ({_why(exc)})") from exc
        if not data:
            raise HandshakeError(f"{what_an_end_means} ({_why(None)})")
        events = self.protocol.receive_data(data, self._loop.time())
        self.flush()
        return events

    # ---- reading ----

    def start(self, sink: Callable[[list[CoreEvent]], object], events: list[CoreEvent]) -> None:
        """From now on give `sink` what arrives, the moment it does; `events` come first.

        It is called from the event loop, never after `cut` or `close`; `wait_ended` tells the end.
        """
        self._sink = sink
        self._take(events)
        if isinstance(self._reader, DirectReader):
            self._reader.direct(self)
        else:
            self._pump = self._loop.create_task(self._read_on(self._reader))

    async def wait_ended(self) -> str:
        """Wait until nothing more will arrive and return why, empty if both sides said goodbye.

        Cancellation: safe.

        Raises:
            Exception: What the sink raised, which ended the link.
        """
        return await asyncio.shield(self._ended)

    def feed_data(self, data: bytes) -> None:
        """Take bytes that arrived: a few at once, many in turns with others' (`turns.py`)."""
        if self._closed:
            return
        if len(data) <= AT_ONCE and not self._backlog:
            self._take_data(data)
        else:
            self._backlog.put(data)
            self._set_reading()

    def feed_end(self, exc: BaseException | None) -> None:
        """Take the end of the stream, behind what has come before it."""
        if self._backlog:
            self._end_behind = _why(exc)
        else:
            self._end(_why(exc))

    def _take_data(self, data: bytes) -> None:
        was_asked = self.protocol.asks_for_life
        self._take(self.protocol.receive_data(data, self._loop.time()))
        if was_asked:
            self.arm()  # the timer is set to when the other side would have been given up

    def _take_backlog_end(self) -> None:
        self._set_reading()
        if self._end_behind is not None:
            self._end(self._end_behind)

    def _take(self, events: list[CoreEvent]) -> None:
        assert self._sink is not None
        try:
            if events:
                self._sink(events)
        except Exception as exc:  # noqa: BLE001 - whoever waits for the end gets it
            if not self._ended.done():
                self._ended.set_exception(exc)
        self.check_finished()
        if not self._in_turn:
            self.flush_soon()
        if self._timer is None:
            self.arm()

    def check_finished(self) -> None:
        """End the link if both sides have said goodbye, and nothing is waited for any more."""
        if self.protocol.state is not State.OPEN and self.protocol.finished:
            self._end("")

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(self._cut_reason or reason)

    async def _read_on(self, reader: StreamReaderLike) -> None:
        """Read a stream that cannot hand its bytes on by itself."""
        try:
            while True:
                await self._reads.wait()
                data = await reader.read(READ_SIZE)
                if not data:
                    break
                self.feed_data(data)
        except Exception as exc:  # noqa: BLE001 - SSH libraries have errors of their own
            self.feed_end(exc)
        else:
            self.feed_end(None)

    def pause(self) -> None:
        """Stop reading, because the application does not keep up."""
        if not self._paused:
            self._paused = True
            self.protocol.pause()
            self._set_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.protocol.resume(self._loop.time())
            self.arm()
            self._set_reading()

    def _set_reading(self) -> None:
        """Read from the connection, or do not."""
        reads = not self._paused and not self._backlog
        if reads is self._reads.is_set():
            return
        if reads:
            self._reads.set()
        else:
            self._reads.clear()
        if isinstance(self._reader, DirectReader) and not self._transport.is_closing():
            if reads:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # ---- writing ----

    def send_post(self, frame: bytes) -> None:
        """Send a post's frame: at once if it is the first of this turn, else at the turn's end."""
        self.protocol.send_post(frame)
        if not self._in_turn:
            self.flush()
            self.flush_soon()
        elif self.protocol.queued_size >= GATHER_SIZE:
            self.flush()

    def flush_soon(self) -> None:
        """Write what is due at the end of this turn of the loop."""
        if not self._in_turn:
            self._in_turn = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._in_turn = False
        self.flush()

    def flush(self) -> None:
        """Write what is due now, unless the transport has enough to do."""
        if self._drainer is not None or self._closed or not self.protocol.wants_to_send:
            return
        if self._transport.is_closing():
            return  # whoever reads will see the end
        self._writer.write(self.protocol.data_to_send())
        if self._transport.get_write_buffer_size() > HIGH_WATER:
            self._drainer = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        """Wait until the transport takes more, and write what has gathered, until it keeps up."""
        try:
            while True:
                await self._writer.drain()
                if not self.protocol.wants_to_send:
                    break
                self._writer.write(self.protocol.data_to_send())
        except Exception:  # noqa: BLE001 - as in _read_on
            return  # whoever reads sees the same, and keeps the flag up: nothing more goes out
        self._drainer = None
        if self.on_drained is not None and not self._closed:
            self.on_drained()

    @property
    def clogged(self) -> bool:
        """Whether the transport takes nothing more for now."""
        return self._drainer is not None

    # ---- time ----

    def arm(self) -> None:
        """Set the timer to the core's next deadline, if that is sooner than what it is set to."""
        deadline = self.protocol.next_deadline()
        if deadline is None or self._closed:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for event in self.protocol.handle_deadline(self._loop.time()):
            if isinstance(event, Unresponsive):
                self.cut(event.reason)
        self.flush()
        self.arm()

    # ---- the end ----

    def say_bye(self, code: int, reason: str) -> None:
        """Say goodbye; the link ends by itself once the other side has answered."""
        self.protocol.close(code, reason, self._loop.time())
        self.flush()
        self.arm()

    def refuse(self, code: int, reason: str) -> None:
        """Do not let the client in."""
        self.protocol.refuse(code, reason)
        self.flush()

    def cut(self, reason: str) -> None:
        """Drop the connection at once; `wait_ended` returns this reason."""
        self._cut_reason = self._cut_reason or reason
        self._end(reason)
        self._stop()
        self._transport.abort()

    async def close(self, timeout: float | None) -> None:
        """Write what is due and close the stream; cut it after `timeout` seconds.

        Cancellation: cuts the connection at once.
        """
        if not self._closed and not self._transport.is_closing():
            # Even if the transport has enough to do: nobody will come back to it.
            self._writer.write(self.protocol.data_to_send())
        self._stop()
        self._writer.close()
        # A time limit on wait_closed() itself would cancel a future that others share.
        tasks = [self._loop.create_task(_wait_closed(self._writer))]
        tasks += [task for task in (self._drainer, self._pump) if task is not None]
        try:
            _, pending = await asyncio.wait(tasks, timeout=timeout)
            if pending:
                self._transport.abort()
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            self._transport.abort()
            tasks[0].cancel()
            raise

    def _stop(self) -> None:
        """Write nothing more, and let the helpers go."""
        self._closed = True
        self._backlog.clear()
        # A link lies in a cycle, and may wait for long to be collected; not so a long half of a
        # frame with it.
        self.protocol.forget_input()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in (self._drainer, self._pump):
            if task is not None:
                task.cancel()


async def _wait_closed(writer: StreamWriterLike) -> None:
    # A connection that broke reports it here once more.
    with contextlib.suppress(Exception):
        await writer.wait_closed()


def _describe(peername: object) -> str:
    """Return an address as people write it."""
    match peername:
        case (str(host), int(port), *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case str() | None:
            return peername or ""
        case _:
            return str(peername)


def _why(exc: BaseException | None) -> str:
    """Return why a stream ended, for people to read."""
    if exc is None:
        return "the link broke without a goodbye"
    strerror: str | None = getattr(exc, "strerror", None)
    return strerror or str(exc) or type(exc).__name__
