"""Callers that were turned away: counted by kind, and told to the log at a bounded rate.

`Refusals` counts and finds the words; it is given the time and reads no clock. `RefusalLog` writes
them down when they are due. `server.py` says who was turned away.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from socketchat.errors import CloseCode, HandshakeRefused

__all__ = ["INTERVAL", "Refusal", "RefusalLog", "Refusals", "TooManySessions", "kind_of"]

#: Seconds between two lines about callers that were turned away for the same kind of reason.
INTERVAL = 10.0

_log = logging.getLogger("socketchat.refusals")


class Refusal(StrEnum):
    """Why callers are turned away; the value is for people to read.

    Who hangs up by itself, or calls a server that is closing, is not counted.
    """

    #: `max_pending` callers were in the greeting already; it was hung up on before TLS.
    TOO_MANY_PENDING = "too many in the greeting"
    #: `max_sessions` were there already; it was refused with 1013.
    TOO_MANY_SESSIONS = "too many sessions"
    #: What it said was not TLS, or not of a version that is spoken.
    BAD_TLS = "TLS failed"
    #: What it said was not the greeting of this protocol.
    BAD_GREETING = "no greeting"
    #: It was not through TLS in `tls_timeout`, or not through the greeting in `open_timeout`.
    TOO_SLOW = "too slow"
    #: The handler did not let it in.
    NOT_ADMITTED = "not let in"


class TooManySessions(HandshakeRefused):
    """There are `max_sessions` already."""

    def __init__(self) -> None:
        super().__init__(CloseCode.TRY_AGAIN_LATER, "too many sessions, in all or from one address")


def kind_of(exc: Exception, *, wrong: bool) -> Refusal | None:
    """Return as what kind of refusal a failed greeting counts; None if the caller just went.

    Args:
        exc: How it failed.
        wrong: Whether what the caller said was against the protocol.
    """
    match exc:
        case TimeoutError():
            return Refusal.TOO_SLOW
        case ssl.SSLError():
            return Refusal.BAD_TLS
        case TooManySessions():
            return Refusal.TOO_MANY_SESSIONS
        case HandshakeRefused():
            return Refusal.NOT_ADMITTED
        case _:
            return Refusal.BAD_GREETING if wrong else None


@dataclass(slots=True)
class _Silence:
    """The time since the last line about one kind.

    Attributes:
        since: When that line was written.
        count: How many were turned away since.
        address: Where the last of them called from.
    """

    since: float
    count: int = 0
    address: str = ""


class Refusals:
    """Counts callers that were turned away, and says what is to be logged of that, and when.

    The first of a kind is told at once. Those that follow are told in one line for each kind, at
    most every `INTERVAL` seconds.

    Attributes:
        counts: How many were turned away so far, by kind; it changes as they are.
    """

    def __init__(self) -> None:
        self._counts: Counter[Refusal] = Counter()
        self.counts: Mapping[Refusal, int] = MappingProxyType(self._counts)
        self._silences: dict[Refusal, _Silence] = {}

    def add(self, kind: Refusal, address: str, now: float, why: str = "") -> str | None:
        """Count one, and return what to log at once, if anything.

        Args:
            kind: Why it was turned away.
            address: Where it called from.
            now: The time, in seconds.
            why: More about it.
        """
        self._counts[kind] += 1
        silence = self._silences.get(kind)
        if silence is None or (not silence.count and now >= silence.since + INTERVAL):
            self._silences[kind] = _Silence(now)
            return f"turned away a caller from {address}: {kind}" + (f" ({why})" if why else "")
        silence.count += 1
        silence.address = address
        return None

    def next_deadline(self) -> float | None:
        """Return when `due` has something to say, or None if it has not."""
        waiting = [silence.since for silence in self._silences.values() if silence.count]
        return min(waiting) + INTERVAL if waiting else None

    def due(self, now: float) -> list[str]:
        """Return what is to be logged by now of those who were not told of at once."""
        lines: list[str] = []
        for kind, silence in self._silences.items():
            if silence.count and now >= silence.since + INTERVAL:
                lines.append(_summary(kind, silence, now))
                self._silences[kind] = _Silence(now)
        return lines

    def rest(self, now: float) -> list[str]:
        """Return what is still to be logged, at the end."""
        waiting = [(kind, each) for kind, each in self._silences.items() if each.count]
        self._silences.clear()
        return [_summary(kind, silence, now) for kind, silence in waiting]


def _summary(kind: Refusal, silence: _Silence, now: float) -> str:
    callers = "1 caller" if silence.count == 1 else f"{silence.count} callers"
    seconds = round(now - silence.since)
    return f"turned away {callers} in {seconds} s: {kind} (last from {silence.address})"


class RefusalLog:
    """Writes down who was turned away, when `Refusals` says so, until it is closed.

    Attributes:
        counts: As of `Refusals`.
    """

    def __init__(self) -> None:
        self._refusals = Refusals()
        self.counts: Mapping[Refusal, int] = self._refusals.counts
        self._timer: asyncio.TimerHandle | None = None

    def add(self, kind: Refusal, address: str, why: str = "") -> None:
        """Count one that was turned away, and log it now or later."""
        loop = asyncio.get_running_loop()
        line = self._refusals.add(kind, address, loop.time(), why)
        if line is not None:
            _log.warning("%s", line)
        self._arm(loop)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        deadline = self._refusals.next_deadline()
        if self._timer is None and deadline is not None:
            self._timer = loop.call_at(deadline, self._sum_up, loop)

    def _sum_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for line in self._refusals.due(loop.time()):
            _log.warning("%s", line)
        self._arm(loop)

    def close(self) -> None:
        """Log what is not logged yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for line in self._refusals.rest(asyncio.get_running_loop().time()):
            _log.warning("%s", line)
