"""Whether a chat server does what it should: what whoever watches over it asks every few seconds.

It asks the log for something small, and looks at what became of the last appends; it says nothing
in a room. (With replicas to wait for, a log in Redis may find by it what a server that has died had
appended, and let it be seen.) `metrics.py` has the figures.
"""

from __future__ import annotations

import asyncio
from typing import Final

from socketchat.chat.server import ChatServer
from socketchat.errors import LogError
from socketchat.server import Server

__all__ = ["Health"]

#: Seconds in which the log must answer a question.
PATIENCE: Final = 2.0
#: Seconds without an answer after which the log is taken to hang, while it has appends to make.
STUCK: Final = 10.0
#: Seconds for which an append that failed is remembered, if none has succeeded since: nobody may
#: say anything at a server that is said not to be well, so that it would never be well again.
REMEMBERED: Final = 30.0
#: Seconds for which an answer of the log counts, however often it is asked for.
FRESH: Final = 1.0

_UNWRITABLE = "the log cannot be written just now"


class Health:
    """Says what is wrong.

    Args:
        server: The server.
        chat: Its handler.
    """

    def __init__(self, server: Server, chat: ChatServer) -> None:
        self._server = server
        self._chat = chat
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._answer = ""

    async def trouble(self) -> str:
        """Return in one line what is wrong; empty if nothing is.

        Cancellation: safe.
        """
        return self.known_trouble() or await self._trouble_of_reading() or self.known_trouble()

    def known_trouble(self) -> str:
        """Return what is wrong as far as that is known without asking the log."""
        if self._server.is_closing:
            return "the server is stopping"
        if self._chat.failure is not None:
            return "the log has failed"
        tally = self._chat.tally
        now = asyncio.get_running_loop().time()
        if tally.failed_at is not None and now < tally.failed_at + REMEMBERED:
            return _UNWRITABLE
        if tally.under_way and now >= tally.moved_at + STUCK:
            return f"the log has committed nothing for {int(now - tally.moved_at)} s"
        return ""

    async def _trouble_of_reading(self) -> str:
        """Ask the log something, for all who want to know at about the same time."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() >= self._asked_at + FRESH:
                self._answer = await self._ask()
                self._asked_at = loop.time()
            return self._answer

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._chat.log.span(self._chat.default_room)
        except TimeoutError:
            return f"the log has not answered in {PATIENCE:.0f} s"
        except LogError:
            return "the log cannot be read just now"
        return ""
