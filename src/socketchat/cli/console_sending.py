"""Our own lines on their way: from Enter to the other side's word that it has them.

Typing never waits. Enter puts a line into a bounded queue; one task hands the lines to the session
in order, which may take as long as the link is lost; another waits for their receipts, in the same
order, and reports what became of each. It knows the session's sending side, nothing of terminals.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from socketchat.errors import MessageRejected, SessionClosed, SocketChatError

__all__ = ["MAX_PENDING", "Line", "Sender", "Sending"]

#: Lines of our own whose fate is not known; Enter takes no more.
MAX_PENDING = 200


class Sender(Protocol):
    """What is needed of a session in order to send."""

    async def send(self, body: str, /) -> Awaitable[object]:
        """Accept a message; the result is awaited until the other side has it."""


@dataclass(slots=True, eq=False)
class Line:
    """One line of our own.

    Attributes:
        text: What was said.
        accepted: Whether the session has taken it over, so that it may have arrived.
        reported: Whether its fate was reported.
    """

    text: str
    accepted: bool = False
    reported: bool = False


class Sending:
    """Our own lines, oldest first, from Enter until they are shown with their fate.

    Args:
        session: Where they go.
        report: Called for each, in order, with None if it was sent, else with why not.
        on_accepted: Called when the session has taken one over.
    """

    def __init__(
        self,
        session: Sender,
        report: Callable[[Line, str | None], object],
        on_accepted: Callable[[], object],
    ) -> None:
        self.pending: deque[Line] = deque()
        self._session = session
        self._report = report
        self._on_accepted = on_accepted
        # Both are bounded by `pending`, which holds every line that is in one of them.
        self._typed: asyncio.Queue[Line] = asyncio.Queue()
        self._sent: asyncio.Queue[tuple[Line, Awaitable[object] | Exception]] = asyncio.Queue()
        self._unreported = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, text: str) -> bool:
        """Take a line; False if too many wait already."""
        if len(self.pending) >= MAX_PENDING:
            return False
        line = Line(text)
        self.pending.append(line)
        self._typed.put_nowait(line)
        self._unreported += 1
        self._idle.clear()
        return True

    def shown(self, line: Line) -> None:
        """Forget a line: it is shown with its fate."""
        self.pending.remove(line)

    def unreported(self) -> list[Line]:
        """List the lines whose fate is not known, oldest first."""
        return [line for line in self.pending if not line.reported]

    async def idle(self) -> None:
        """Wait until every line's fate is reported.

        Cancellation: safe.
        """
        await self._idle.wait()

    async def send_all(self) -> None:
        """Hand over what is typed, until cancelled."""
        while True:
            line = await self._typed.get()
            outcome: Awaitable[object] | Exception
            try:
                outcome = await self._session.send(line.text)
                line.accepted = True
                self._on_accepted()
            except (SocketChatError, ValueError, OSError) as exc:
                outcome = exc
            self._sent.put_nowait((line, outcome))

    async def confirm_all(self) -> None:
        """Report what becomes of what was handed over, until cancelled."""
        while True:
            line, outcome = await self._sent.get()
            error = outcome if isinstance(outcome, Exception) else await _fate(outcome)
            line.reported = True
            self._report(line, None if error is None else _why(line, error))
            self._unreported -= 1
            if not self._unreported:
                self._idle.set()


async def _fate(receipt: Awaitable[object]) -> Exception | None:
    try:
        await receipt
    except SocketChatError as exc:
        return exc
    return None


def _why(line: Line, error: Exception) -> str:
    if isinstance(error, MessageRejected):
        return f"not sent: {error.reason or 'refused'}"
    if isinstance(error, SessionClosed):
        return "not confirmed" if line.accepted else "not sent"
    if isinstance(error, OSError):  # the outbox in a file, which the words name
        return f"not sent: {error.strerror or error}"
    return f"not sent: {error}"
