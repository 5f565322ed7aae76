"""stdin and stdout without blocking the event loop, whatever they are.

Pipes, files and terminals are read and written by threads: asyncio's pipe transports take no files,
and a terminal set to non-blocking stays so for the shell that comes after.
"""

from __future__ import annotations

import asyncio
import os
import queue
import select
import stat
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from socketchat.errors import CloseCode

__all__ = ["InputError", "LineInput", "LineOutput", "OutputError", "Unfit"]

#: The longest line taken, in bytes: no server takes more by default.
MAX_LINE = 2**20
#: Bytes that may wait to be written before `ready` waits.
MAX_WAITING = 2**18
_READ_SIZE = 2**16

T = TypeVar("T")


class InputError(ValueError):
    """The input cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """A line that cannot be sent.

    Attributes:
        code: As a server would have refused it.
        reason: Why not, for people to read.
    """

    code: CloseCode
    reason: str


_TOO_LONG = Unfit(CloseCode.TOO_BIG, f"it is longer than {MAX_LINE} bytes")
_NOT_UTF8 = Unfit(CloseCode.INVALID_DATA, "it is not UTF-8: convert it, with iconv for example")


class LineInput:
    """Lines of UTF-8 from a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # What is wanted: one chunk at a time, or no more.
        self._wanted: queue.SimpleQueue[asyncio.Future[bytes] | None] = queue.SimpleQueue()
        self._rest = b""
        self._skipping = False

    async def lines(self) -> AsyncGenerator[str | Unfit, None]:
        """Yield each line, without its end, until the input ends; or why it cannot be sent.

        Cancellation: one read may go on in its thread until there is input.

        Raises:
            InputError: The input cannot be read.
        """
        loop = asyncio.get_running_loop()
        # A daemon: nothing else ends a read from a terminal.
        threading.Thread(target=self._read, args=(loop,), daemon=True, name="stdin").start()
        try:
            while True:
                wanted: asyncio.Future[bytes] = loop.create_future()
                self._wanted.put(wanted)
                chunk = await wanted
                for line in self._lines_of(chunk):
                    yield line
                if not chunk:
                    return
        except OSError as exc:
            raise InputError(f"cannot read the input: {exc.strerror}") from exc
        finally:
            self._wanted.put(None)

    def _lines_of(self, chunk: bytes) -> Iterator[str | Unfit]:
        """Cut what was read into lines; nothing is the end. One too long is told of at once."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if not chunk and self._rest:
            lines.append(self._rest)
        for line in lines:
            if not self._skipping:
                yield _decode(line)
            self._skipping = False
        if self._skipping:
            self._rest = b""
        elif len(self._rest) > MAX_LINE:
            self._skipping, self._rest = True, b""
            yield _TOO_LONG

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while (wanted := self._wanted.get()) is not None:
            chunk: bytes | OSError
            try:
                chunk = os.read(self._descriptor, _READ_SIZE)
            except OSError as exc:
                chunk = exc
            if not _tell(loop, wanted, chunk):
                return


def _decode(line: bytes) -> str | Unfit:
    if len(line) > MAX_LINE:
        return _TOO_LONG
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        return _NOT_UTF8


class OutputError(Exception):
    """The output cannot be written; the message says why."""


class LineOutput:
    """Bytes to a file descriptor, in order, by one task.

    Args:
        descriptor: What is written to.
        watched: Whether it is over as soon as the reader of a pipe has gone, and not only when
            there is something to write for it.
    """

    def __init__(self, descriptor: int, *, watched: bool = False) -> None:
        self._descriptor = descriptor
        self._watched = watched
        self._reader_gone = False
        self._waiting: list[bytes] = []
        self._size = 0
        self._finished = False
        self._unread = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        # One chunk at a time: the next one is handed over when the last one is written.
        self._chunks: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]] | None]
        self._chunks = queue.SimpleQueue()

    def put(self, data: bytes) -> None:
        """Queue `data`; a caller that has much of it waits for `ready` in between."""
        if self._unread:
            return
        self._waiting.append(data)
        self._size += len(data)
        if self._size > MAX_WAITING:
            self._room.clear()
        self._news.set()

    async def ready(self) -> None:
        """Wait while too much waits to be written."""
        await self._room.wait()

    def finish(self) -> None:
        """Let `run` return once everything is written."""
        self._finished = True
        self._news.set()

    async def run(self) -> None:
        """Write what is put, until `finish`, or until nobody reads any more.

        Cancellation: one write may go on in its thread until somebody reads.

        Raises:
            OutputError: It cannot be written.
        """
        loop = asyncio.get_running_loop()
        # A daemon, as for the input: nothing else ends a write that nobody reads.
        threading.Thread(target=self._write, args=(loop,), daemon=True, name="stdout").start()
        watching = self._watched and self._watch(loop)
        try:
            while not (self._finished and not self._waiting):
                await self._news.wait()
                self._news.clear()
                if self._reader_gone:
                    raise BrokenPipeError  # noqa: TRY301 - what a write would say
                data = b"".join(self._waiting)
                self._waiting.clear()
                self._size = 0
                self._room.set()
                written: asyncio.Future[None] = loop.create_future()
                self._chunks.put((data, written))
                await written
        except BrokenPipeError:
            # As after `| head`: the reader has what it wanted.
            self._unread = True
            self._waiting.clear()
            self._room.set()
        except OSError as exc:
            raise OutputError(f"cannot write the output: {exc.strerror}") from exc
        finally:
            if watching:
                loop.remove_reader(self._descriptor)
            self._chunks.put(None)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Have the loop look whether the reader of a pipe has gone; tell whether it does.

        A pipe that nobody reads any more counts as readable at its writing end, and else never; it
        is what asyncio's own transports look for.
        """
        try:
            if not stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
                return False
            loop.add_reader(self._descriptor, self._look_for_reader)
        except (OSError, NotImplementedError):  # Windows
            return False
        return True

    def _look_for_reader(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        poll = select.poll()
        poll.register(self._descriptor, 0)  # only whether anything is wrong with it
        if poll.poll(0):
            self._reader_gone = True
            self._news.set()
        # Else it is open both ways, and there is something in it to read.

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        while (chunk := self._chunks.get()) is not None:
            data, written = chunk
            outcome: OSError | None = None
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError as exc:
                outcome = exc
            if not _tell(loop, written, outcome):
                return


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], outcome: T | OSError) -> bool:
    """Settle a future from a thread; False if the loop is closed, and nobody waits any more."""
    try:
        loop.call_soon_threadsafe(_settle, future, outcome)
    except RuntimeError:
        return False
    return True


def _settle(future: asyncio.Future[T], outcome: T | OSError) -> None:
    if future.done():
        return  # given up
    if isinstance(outcome, OSError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
