"""stdin and stdout without blocking the event loop, whatever they are.

Pipes, files and terminals are read and written by threads: asyncio's pipe transports take no files,
and a terminal set to non-blocking stays so for the shell that comes after.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncGenerator
from typing import TypeVar

__all__ = ["InputError", "LineInput", "LineOutput", "OutputError"]

#: The longest line taken, in bytes: no server takes more by default.
MAX_LINE = 2**20
#: Bytes that may wait to be written before `ready` waits.
MAX_WAITING = 2**18
_READ_SIZE = 2**16

T = TypeVar("T")


class InputError(ValueError):
    """The input cannot be sent as it is; the message says which line, and what to do."""


class LineInput:
    """Lines of UTF-8 from a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # What is wanted: one chunk at a time, or no more.
        self._wanted: queue.SimpleQueue[asyncio.Future[bytes] | None] = queue.SimpleQueue()

    async def lines(self) -> AsyncGenerator[str, None]:
        """Yield each line, without its end, until the input ends.

        Cancellation: one read may go on in its thread until there is input.

        Raises:
            InputError: A line is too long, or not UTF-8, or the input cannot be read.
        """
        loop = asyncio.get_running_loop()
        # A daemon: nothing else ends a read from a terminal.
        threading.Thread(target=self._read, args=(loop,), daemon=True, name="stdin").start()
        number = 0
        rest = b""
        try:
            while True:
                wanted: asyncio.Future[bytes] = loop.create_future()
                self._wanted.put(wanted)
                chunk = await wanted
                *lines, rest = (rest + chunk).split(b"\n")
                if not chunk and rest:
                    lines.append(rest)
                for line in lines:
                    number += 1
                    yield _decode(line, number)
                if not chunk:
                    return
                if len(rest) > MAX_LINE:
                    raise InputError(_too_long(number + 1))
        except OSError as exc:
            raise InputError(f"cannot read the input: {exc.strerror}") from exc
        finally:
            self._wanted.put(None)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while (wanted := self._wanted.get()) is not None:
            chunk: bytes | OSError
            try:
                chunk = os.read(self._descriptor, _READ_SIZE)
            except OSError as exc:
                chunk = exc
            if not _tell(loop, wanted, chunk):
                return


def _decode(line: bytes, number: int) -> str:
    if len(line) > MAX_LINE:
        raise InputError(_too_long(number))
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise InputError(
            f"line {number} of the input is not UTF-8: convert it, with iconv for example"
        ) from None


def _too_long(number: int) -> str:
    return f"line {number} of the input is longer than {MAX_LINE} bytes: split it"


class OutputError(Exception):
    """The output cannot be written; the message says why."""


class LineOutput:
    """Bytes to a file descriptor, in order, by one task."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
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
        try:
            while not (self._finished and not self._waiting):
                await self._news.wait()
                self._news.clear()
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
            self._chunks.put(None)

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
