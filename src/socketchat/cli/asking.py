"""What one at a terminal has asked for and waits for: `/kick`, `/history` and the like, in order.

Typing never waits: what was asked for is put into a bounded queue, and what comes of it is shown as
a notice. `commands.py` reads what was typed; the front ends own the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from socketchat.cli.failures import Failure
from socketchat.errors import CommandFailed, SessionClosed

__all__ = ["MAX_WAITING", "Asking", "Question"]

#: Commands that may wait for the answer to the one before them.
MAX_WAITING = 16

#: Finds something out, or has something done, and returns what is to be said about it.
Question: TypeAlias = Callable[[], Awaitable[str]]


class Asking:
    """Commands whose answers take a while.

    Args:
        notice: Shows what comes of them.
    """

    def __init__(self, notice: Callable[[str], object]) -> None:
        self._notice = notice
        self._waiting: asyncio.Queue[tuple[str, Question]] = asyncio.Queue(MAX_WAITING)

    def add(self, name: str, question: Question) -> None:
        """Have a command carried out, unless too many wait already."""
        try:
            self._waiting.put_nowait((name, question))
        except asyncio.QueueFull:
            self._notice(f"/{name} was not sent: those before it are not answered yet")

    async def run(self) -> None:
        """Carry out one after the other, until cancelled."""
        while True:
            name, question = await self._waiting.get()
            try:
                if said := await question():
                    self._notice(said)
            except CommandFailed as exc:
                self._notice(f"/{name}: {exc.reason}")
            except (ValueError, Failure) as exc:
                self._notice(f"/{name}: {exc}")
            except SessionClosed:
                self._notice(f"/{name} was not sent")
