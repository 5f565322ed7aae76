"""stdin and stdout without blocking the event loop, whatever they are.

Pipes, files and terminals are read and written by threads: asyncio's pipe transports take no files,
and a terminal set to non-blocking stays so for the shell that comes after.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator

__all__ = ["InputError", "LineInput", "LineOutput"]

#: The longest line taken, in bytes: no server takes more by default.
MAX_LINE = 2**20
#: Bytes that may wait to be written before `ready` waits.
MAX_WAITING = 2**18
_READ_SIZE = 2**16


class InputError(ValueError):
    """The input cannot be sent as it is; the message says which line, and what to do."""


class LineInput:
    """Lines of UTF-8 from a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # One chunk at a time: the reader waits until the last one was taken.
        self._chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue(1)

    async def lines(self) -> AsyncIterator[str]:
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
        while True:
            chunk = await self._chunks.get()
            if isinstance(chunk, OSError):
                raise InputError(f"cannot read the input: {chunk.strerror}")
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

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        chunk: bytes | OSError = b""
        while True:
            try:
                chunk = os.read(self._descriptor, _READ_SIZE)
            except OSError as exc:
                chunk = exc
            put = self._chunks.put(chunk)
            try:
                asyncio.run_coroutine_threadsafe(put, loop).result()
            except BaseException:  # noqa: BLE001 - the loop is gone, nobody reads any more
                put.close()
                return
            if not chunk or isinstance(chunk, OSError):
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


class LineOutput:
    """Bytes to a file descriptor, in order, by one task."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self._size = 0
        self._finished = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, data: bytes) -> None:
        """Queue `data`; a caller that has much of it waits for `ready` in between."""
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
        """Write what is put, until `finish`, or until nobody reads any more."""
        while not (self._finished and not self._waiting):
            await self._news.wait()
            self._news.clear()
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._room.set()
            try:
                await asyncio.to_thread(_write, self._descriptor, data)
            except BrokenPipeError:
                return  # as after `| head`: the reader has what it wanted


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
