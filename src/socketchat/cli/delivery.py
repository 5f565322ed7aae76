"""Waiting until what was sent is acknowledged, and how that is counted in words.

How long it takes is the server's to say: a member over its rate is read slowly, and thousands of
lines may take minutes. So not the whole is timed, but each silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from socketchat.cli.labels import call_words
from socketchat.session import Session

__all__ = ["PATIENCE", "acknowledged", "kept_words", "lines_were", "seconds", "waiting_words"]

#: Seconds without a single acknowledgement after which it is given up.
PATIENCE = 30.0
#: Calls that are named, of those for which lines wait.
MOST_PLACES = 3


async def acknowledged(session: Session) -> None:
    """Wait until all that was sent is acknowledged, or rejected, for as long as that goes on.

    Cancellation: safe.

    Raises:
        TimeoutError: Nothing was acknowledged for `PATIENCE` seconds.
        SessionClosed: The session ended first.
    """
    while True:
        waiting = session.unacknowledged
        try:
            async with asyncio.timeout(PATIENCE):
                await session.flush()
        except TimeoutError:
            if session.unacknowledged >= waiting:
                raise
        else:
            return


def seconds() -> str:
    """Return for how long `acknowledged` waits in vain, in words."""
    return f"{PATIENCE:g} s"


def lines_were(count: int) -> str:
    """Count lines: `1 line was`, `3 lines were`."""
    return "1 line was" if count == 1 else f"{count:,} lines were"


def kept_words(count: int, label: str) -> str:
    """Say that lines stay in outboxes of this label, in words."""
    kept = "1 line is kept, and goes" if count == 1 else f"{count:,} lines are kept, and go"
    return f"{kept} out when {call_words(label)} again"


def waiting_words(counts: Mapping[str, int]) -> str:
    """Say that lines wait in outboxes of these labels, in words."""
    shown = sorted(counts)[:MOST_PLACES]
    parts = [f"{_lines_wait(counts[label])} until {call_words(label)}" for label in shown]
    if more := sum(counts.values()) - sum(counts[label] for label in shown):
        parts.append(f"{_lines_wait(more)} for other calls")
    return "; ".join(parts)


def _lines_wait(count: int) -> str:
    return "1 line waits" if count == 1 else f"{count:,} lines wait"
