"""What one at a terminal has asked for and waits for: `/kick`, `/history` and the like, in order.

Typing never waits: what was asked for is put into a bounded queue, and what comes of it is shown as
a notice. `commands.py` reads what was typed; the front ends own the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from socketchat.cli.failures import Failure
from socketchat.errors import CommandFailed, HandshakeError, SessionClosed
from socketchat.events import Message

__all__ = ["MAX_WAITING", "Asking", "Question", "Teller"]

#: Commands that may wait for the answer to the one before them.
MAX_WAITING = 16


class Teller(Protocol):
    """Where answers are shown: where the question was asked, whatever one looks at by then."""

    def notice(self, text: str) -> None:
        """Show a line that is no message."""

    def show_earlier(self, message: Message) -> None:
        """Show a message that was said before."""


#: Finds something out, or has something done, and returns what is to be said about it.
Question: TypeAlias = Callable[[Teller], Awaitable[str]]


class Asking:
    """Commands whose answers take a while.

    Args:
        teller: Shows what comes of them.
    """

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._waiting: asyncio.Queue[tuple[str, Question]] = asyncio.Queue(MAX_WAITING)

    def add(self, name: str, question: Question) -> None:
        """Have a command carried out, unless too many wait already."""
        try:
            self._waiting.put_nowait((name, question))
        except asyncio.QueueFull:
            self._teller.notice(f"/{name} was not sent: those before it are not answered yet")

    async def run(self) -> None:
        """Carry out one after the other, until cancelled."""
        while True:
            name, question = await self._waiting.get()
            try:
                said = await question(self._teller)
            except CommandFailed as exc:
                said = f"/{name}: {exc.reason}"
            except (ValueError, OSError, HandshakeError, Failure) as exc:
                said = f"/{name}: {exc}"
            except SessionClosed:
                said = f"/{name} was not sent"
            if said:
                self._teller.notice(said)
