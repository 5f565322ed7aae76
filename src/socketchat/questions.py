"""What one end of a session has asked the other and is not answered yet: pings and commands.

`session.py` and `logged.py` ask; `lifecycle.py` brings the answers, and forgets what a lost
link will not bring. It does not know when something may be asked.
"""

from __future__ import annotations

import asyncio
from collections import deque

from socketchat import messages as wire
from socketchat.errors import CloseCode, CommandFailed
from socketchat.link import Link

__all__ = ["Questions"]


class Questions:
    """The open questions of one session, all of them over the link that it has just now."""

    __slots__ = ("_commands", "_loop", "_number", "_pings")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # In the order of their numbers, which begin again with each link.
        self._pings: deque[tuple[int, asyncio.Future[float | None]]] = deque()
        self._commands: dict[int, asyncio.Future[wire.Answer]] = {}
        # The last command's; they go on from one link to the next.
        self._number = 0

    def ping(self, link: Link) -> asyncio.Future[float | None]:
        """Send a ping; return its seconds, there and back, or None if the link is lost before.

        Raises:
            LocalProtocolError: See `Protocol.ping`.
        """
        pong: asyncio.Future[float | None] = self._loop.create_future()
        self._pings.append((link.protocol.ping(self._loop.time()), pong))
        link.flush_soon()
        return pong

    async def ask(self, link: Link, name: str, argument: str) -> wire.Answer:
        """Send a command, and wait for the answer to it.

        Cancellation: the answer is passed over when it comes.

        Raises:
            CommandFailed: It was not sent, or the link was lost before it was answered.
        """
        asked = self._number = self._number + 1
        answer: asyncio.Future[wire.Answer] = self._loop.create_future()
        self._commands[asked] = answer
        try:
            if not link.protocol.send_event(wire.Command(asked, name, argument)):
                raise CommandFailed(CloseCode.TRY_AGAIN_LATER, "too much waits to be sent")
            link.flush_soon()
            return await answer
        finally:
            self._commands.pop(asked, None)

    def ponged(self, number: int, seconds: float) -> None:
        """Take the answer to every ping up to `number`."""
        while self._pings and self._pings[0][0] <= number:
            _settle(self._pings.popleft()[1], seconds)

    def answered(self, answer: wire.Answer) -> None:
        """Take the answer to a command; one to none of ours is passed over."""
        asked = self._commands.pop(answer.id, None)
        if asked is not None and not asked.done():
            asked.set_result(answer)

    def forget(self) -> None:
        """Let nobody wait for what will not come over another link."""
        for _, pong in self._pings:
            _settle(pong, None)
        self._pings.clear()
        for answer in self._commands.values():
            if not answer.done():
                reason = "the link was lost before it was answered, so it may have been done"
                answer.set_exception(CommandFailed(CloseCode.ABNORMAL, reason))
        self._commands.clear()


def _settle(pong: asyncio.Future[float | None], seconds: float | None) -> None:
    if not pong.done():
        pong.set_result(seconds)
