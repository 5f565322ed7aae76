"""Whether the other side of a link still lives: silence, pings and their answers, signs of life.

A part of the core, like `protocol.py`, which says what is decided here: no I/O, and the time is an
argument. It is about an open link; goodbyes have a deadline of their own.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from socketchat.options import Options

__all__ = ["MAX_PINGS", "SIGN_OF_LIFE", "Due", "Keepalive"]

#: Pings that may be unanswered.
MAX_PINGS: Final = 1024
#: Seconds after which a side that does not read says that it lives, because it cannot answer pings:
#: what the other side expects is not known here, and its default is twice that.
SIGN_OF_LIFE: Final = 20.0


class Due(Enum):
    """What is to be done when a deadline has come."""

    SIGN_OF_LIFE = "a sign of life"
    PING = "a ping"
    #: The other side is asked for a sign of life by the pings of the application, which are many.
    NOTHING = "nothing"
    GIVING_UP = "giving up the other side"


class Keepalive:
    """What is known of the other side's life.

    Attributes:
        heard: When something arrived last.
        asked: When the other side was last asked for a sign of life; None once something arrived.
        paused: Whether we do not read: then its silence is not its fault, and it hears nothing
            from us but signs of life.
        pings: How many pings were sent on this link; the number of the last one.
    """

    __slots__ = ("_interval", "_sent", "_timeout", "asked", "heard", "paused", "pings")

    def __init__(self, options: Options, now: float) -> None:
        self._interval = options.ping_interval
        self._timeout = options.ping_timeout
        # The pings that are not answered yet, and when they were sent.
        self._sent: deque[tuple[int, float]] = deque()
        self.heard: float = now
        self.asked: float | None = None
        self.paused: bool = False
        self.pings: int = 0

    @property
    def unanswered(self) -> int:
        """How many pings are not answered yet."""
        return len(self._sent)

    def ping(self, now: float) -> int:
        """Number a ping that is sent now."""
        self.pings += 1
        self._sent.append((self.pings, now))
        return self.pings

    def answer(self, number: int, now: float) -> tuple[int, float] | None:
        """Take the answer to every ping up to `number`.

        Returns:
            The number of the last of them and the seconds that it took; None if none was due.
        """
        sent = None
        while self._sent and self._sent[0][0] <= number:
            sent = self._sent.popleft()
        return None if sent is None else (sent[0], now - sent[1])

    def resume(self, now: float) -> None:
        """Read on: the silence counts from now."""
        self.paused = False
        self.heard = now
        self.asked = None

    def deadline(self) -> float | None:
        """Return when a ping or a sign of life is due, or the other side is given up; or None."""
        if self.paused:
            return self.heard + min(self._interval or SIGN_OF_LIFE, SIGN_OF_LIFE)
        if self._interval is None:
            return None
        if self.asked is not None:
            return None if self._timeout is None else self.asked + self._timeout
        return self.heard + self._interval

    def due(self, now: float) -> Due:
        """Take notice that the deadline has come, and return what is to be done."""
        if self.paused:
            self.heard = now
            return Due.SIGN_OF_LIFE
        if self.asked is not None:
            return Due.GIVING_UP
        self.asked = now
        return Due.PING if self.unanswered < MAX_PINGS else Due.NOTHING
