"""What one at a terminal asks of the server: `/kick`, `/invite` and the like, one after the other.

Typing never waits: a command is put into a bounded queue, and its answer is shown as a notice when
it comes. `commands.py` reads what was typed; the front ends own the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from socketchat.errors import CommandFailed, SessionClosed

__all__ = ["MAX_WAITING", "Asker", "Asking"]

#: Commands that may wait for the answer to the one before them.
MAX_WAITING = 16


class Asker(Protocol):
    """What is needed of a session in order to ask."""

    async def command(self, name: str, argument: str = "") -> str:
        """Ask the server to do something, and return what it says to that."""


class Asking:
    """Commands on their way to the server.

    Args:
        session: Where they go.
        notice: Shows what the server says.
    """

    def __init__(self, session: Asker, notice: Callable[[str], object]) -> None:
        self._session = session
        self._notice = notice
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MAX_WAITING)

    def add(self, name: str, argument: str) -> None:
        """Have the server asked, unless too many commands wait already."""
        try:
            self._waiting.put_nowait((name, argument))
        except asyncio.QueueFull:
            self._notice(f"/{name} was not sent: the server has not answered those before it yet")

    async def run(self) -> None:
        """Ask one after the other, until cancelled."""
        while True:
            name, argument = await self._waiting.get()
            try:
                self._notice(await self._session.command(name, argument))
            except CommandFailed as exc:
                self._notice(f"/{name}: {exc.reason}")
            except ValueError as exc:
                self._notice(f"/{name}: {exc}")
            except SessionClosed:
                self._notice(f"/{name} was not sent")
