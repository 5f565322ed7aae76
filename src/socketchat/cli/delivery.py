"""Waiting until what was sent is acknowledged, and how that is counted in words.

How long it takes is the server's to say: a member over its rate is read slowly, and thousands of
lines may take minutes. So not the whole is timed, but each silence.
"""

from __future__ import annotations

import asyncio

from socketchat.session import Session

__all__ = ["PATIENCE", "acknowledged", "kept_words", "lines_were", "seconds"]

#: Seconds without a single acknowledgement after which it is given up.
PATIENCE = 30.0


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


def kept_words(count: int) -> str:
    """Say that lines stay in an outbox, in words."""
    if count == 1:
        return "1 line is kept, and goes out at the next start"
    return f"{count:,} lines are kept, and go out at the next start"
