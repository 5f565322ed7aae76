"""What a half typed line looks like when somebody else says something meanwhile.

The usual client of each server runs on a pseudo-terminal, and what it writes goes to a terminal in
memory.
"""

from __future__ import annotations

import asyncio
import os
import pty
from asyncio.subprocess import Process as Child
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pyte

__all__ = ["Screen", "on_a_terminal"]


class Screen:
    """A terminal of 80 columns and 24 rows, and the program on it."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self._news = asyncio.Event()

    @property
    def rows(self) -> list[str]:
        """The rows that are not empty."""
        return [row.rstrip() for row in self._screen.display if row.strip()]

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._terminal, text.encode())

    async def shows(self, text: str) -> None:
        """Wait until it stands somewhere on the screen."""
        async with asyncio.timeout(30):
            while not any(text in row for row in self.rows):
                self._news.clear()
                await self._news.wait()

    def feed(self) -> None:
        """Show what the program has written; for the event loop."""
        with suppress(OSError):
            self._stream.feed(os.read(self._terminal, 2**16))
            self._news.set()


@asynccontextmanager
async def on_a_terminal(command: Sequence[str], home: Path) -> AsyncIterator[Screen]:
    """Run a client on a terminal, and kill it at the end."""
    terminal, end = pty.openpty()
    surroundings = {
        **os.environ,
        "TERM": "xterm",
        "HOME": str(home),
        "LINES": "24",
        "COLUMNS": "80",
    }
    child: Child = await asyncio.create_subprocess_exec(
        *command, stdin=end, stdout=end, stderr=end, env=surroundings, start_new_session=True
    )
    os.close(end)
    screen = Screen(terminal)
    loop = asyncio.get_running_loop()
    loop.add_reader(terminal, screen.feed)
    try:
        yield screen
    finally:
        loop.remove_reader(terminal)
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        os.close(terminal)
