"""Our own lines on their way: from Enter until each is shown where it belongs.

Typing never waits. Enter puts a line into a bounded queue; one task hands the lines to the session
in order, which may take as long as the link is lost; another waits for their receipts, in the same
order. Where a log keeps the room, a line that was acknowledged is shown when it comes back, in the
room's order; elsewhere at once. It knows the session's sending side, nothing of terminals.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from socketchat.errors import MessageRejected, SessionClosed, SocketChatError

__all__ = ["MAX_PENDING", "Acceptance", "Line", "Sender", "Sending"]

#: Lines of our own that have no place in the room yet; Enter takes no more.
MAX_PENDING = 200


class Acceptance(Protocol):
    """What a session gives for a message that it has taken over; await it until that is held."""

    @property
    def number(self) -> int:
        """The message's number in our lane."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait until the other side holds the message."""


class Sender(Protocol):
    """What is needed of a session in order to send."""

    @property
    def has_log(self) -> bool:
        """Whether what we say comes back in the room's order."""

    async def send(self, body: str, /, *, to: str = "") -> Acceptance:
        """Accept a message."""


@dataclass(slots=True, eq=False)
class Line:
    """One line of our own.

    Attributes:
        text: What was said.
        to: The name of the one whom it is for; empty is everyone.
        number: Its number in our lane, once the session has taken it over; it may have arrived
            since then.
        held: Whether the other side has it for good.
        reported: Whether its fate was reported.
    """

    text: str
    to: str = ""
    number: int = 0
    held: bool = False
    reported: bool = False


#: Called with a line, why it was not sent or None, and the time that the room's log gave it or 0.
Report = Callable[[Line, str | None, int], object]


class Sending:
    """Our own lines, oldest first, from Enter until they are shown with their fate.

    Args:
        session: Where they go.
        report: Called for each with its fate, in the order in which they are to be shown.
        on_change: Called when one of them has got further.
    """

    def __init__(self, session: Sender, report: Report, on_change: Callable[[], object]) -> None:
        self.pending: deque[Line] = deque()
        self._session = session
        self._report = report
        self._on_change = on_change
        # Both are bounded by `pending`, which holds every line that is in one of them.
        self._typed: asyncio.Queue[Line] = asyncio.Queue()
        self._sent: asyncio.Queue[tuple[Line, Acceptance | Exception]] = asyncio.Queue()
        # Lines that were shown before they came back, which they may do yet.
        self._shown_early: set[int] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, text: str, to: str = "") -> bool:
        """Take a line; False if too many wait already."""
        if len(self.pending) >= MAX_PENDING:
            return False
        line = Line(text, to)
        self.pending.append(line)
        self._typed.put_nowait(line)
        self._idle.clear()
        return True

    def shown(self, line: Line) -> None:
        """Forget a line: it is shown with its fate."""
        self.pending.remove(line)

    def unsettled(self) -> list[Line]:
        """List the lines of which it is not known whether they will arrive, oldest first."""
        return [line for line in self.pending if not (line.reported or line.held)]

    async def idle(self) -> None:
        """Wait until it is known of every line whether it will arrive.

        Cancellation: safe.
        """
        await self._idle.wait()

    async def send_all(self) -> None:
        """Hand over what is typed, until cancelled."""
        while True:
            line = await self._typed.get()
            outcome: Acceptance | Exception
            try:
                outcome = await self._session.send(line.text, to=line.to)
                line.number = outcome.number
                self._on_change()
            except (SocketChatError, ValueError, OSError) as exc:
                outcome = exc
            self._sent.put_nowait((line, outcome))

    async def confirm_all(self) -> None:
        """Find out what becomes of what was handed over, until cancelled."""
        while True:
            line, outcome = await self._sent.get()
            error = outcome if isinstance(outcome, Exception) else await _fate(outcome)
            if error is not None:
                self._settle(line, _why(line, error))
            elif not line.reported:
                line.held = True
                self._on_change()
                if not self._session.has_log:
                    self._settle(line)
            self._look_if_idle()

    def came_back(self, number: int, at: int) -> bool:
        """Take notice that a line of ours has its place in the room: it is to be shown there.

        Args:
            number: Its number in our lane.
            at: The time that the room's log gave it.

        Returns:
            Whether it is one of these lines, and is shown.
        """
        if number in self._shown_early:
            self._shown_early.discard(number)
            return True
        is_ours = False
        for line in [one for one in self.pending if not one.reported]:
            if line.number == number:
                is_ours = True
                self._settle(line, at=at)
            elif line.held and line.number < number:
                self._settle(line)  # its place is lost: the log no longer holds it
        self._look_if_idle()
        return is_ours

    def show_held(self) -> None:
        """Show what is held, and may not come back in the room's order."""
        for line in [one for one in self.pending if one.held and not one.reported]:
            self._shown_early.add(line.number)
            self._settle(line)

    def _settle(self, line: Line, failure: str | None = None, at: int = 0) -> None:
        if not line.reported:
            line.reported = True
            self._report(line, failure, at)

    def _look_if_idle(self) -> None:
        if not self.unsettled():
            self._idle.set()


async def _fate(acceptance: Acceptance) -> Exception | None:
    try:
        await acceptance
    except SocketChatError as exc:
        return exc
    return None


def _why(line: Line, error: Exception) -> str:
    if isinstance(error, MessageRejected):
        return f"not sent: {error.reason or 'refused'}"
    if isinstance(error, SessionClosed):
        return "not confirmed" if line.number else "not sent"
    if isinstance(error, OSError):  # the outbox in a file, which the words name
        return f"not sent: {error.strerror or error}"
    return f"not sent: {error}"
