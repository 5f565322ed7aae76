"""What earlier processes could not deliver: it is sent before anything new is said.

Each of them had an outbox in a file, and a lane of its own, which nobody else may extend
(`file_outbox.py`). So what is left of it goes out over a session of its own, under the old lane's
name: whatever of it the server has already, it drops.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from socketchat.cli.delivery import acknowledged, kept_words, seconds, waiting_words
from socketchat.cli.failures import Failure, file_failure
from socketchat.cli.render import closing_words
from socketchat.cli.terminal import notice
from socketchat.errors import MessageRejected, MessageTooBig, SessionClosed
from socketchat.file_outbox import FileOutbox
from socketchat.receipt import Receipt
from socketchat.session import Session

if TYPE_CHECKING:
    from socketchat.cli.calling import Call

__all__ = ["send_leftovers"]

#: Lines that take a server's usual rate some seconds: one would wonder what is going on.
MANY = 50


async def send_leftovers(call: Call) -> None:
    """Send what earlier processes have left for the same room under the same name, and say so.

    What they have left for others stays where it is, and is mentioned.

    Cancellation: what is not delivered by then stays where it is.

    Raises:
        Failure: The server cannot be called, or the files not be read.
    """
    try:
        if others := await asyncio.to_thread(FileOutbox.waiting, call.outboxes, but=call.label):
            notice(waiting_words(others))
        with _warnings_shown():
            found = await asyncio.to_thread(
                functools.partial(FileOutbox.leftovers, call.outboxes, call.label, new_post=Receipt)
            )
    except OSError as exc:
        raise file_failure(exc) from exc
    receipts = [post for outbox in found for post in outbox if isinstance(post, Receipt)]
    if len(receipts) > MANY:
        notice(f"{_lines_were(len(receipts))} not sent: they go out first")
    why_not = ""
    try:
        for outbox in found:
            why_not = await _send(call, outbox)
            if why_not:
                break
    except Failure:
        call.kept = len(receipts)
        raise
    finally:
        for outbox in found:
            await asyncio.to_thread(outbox.close)
    _report(receipts, why_not, call.label)


async def _send(call: Call, outbox: FileOutbox) -> str:
    """Send what is left in one outbox; return why not, if some of it could not be sent."""
    session = await call.open(outbox=outbox)
    try:
        async with session, _discarding(session):
            try:
                await acknowledged(session)
            finally:
                # What is not acknowledged is in the file: nothing need be waited for. And the link
                # is lost instead of ended, so that the room keeps the seat for the session that
                # comes next, and is not told that somebody has left and come back.
                session.abort()
    except TimeoutError:
        return f"no sign of it in {seconds()}"
    except SessionClosed as exc:
        return closing_words(exc.code, exc.reason)
    return ""


def _report(receipts: Sequence[Receipt], why_not: str, label: str) -> None:
    """Say what became of them."""
    kept = sum(not it.done or isinstance(it.error, SessionClosed) for it in receipts)
    sent = sum(it.done and it.error is None for it in receipts)
    refusals = [it.error for it in receipts if isinstance(it.error, MessageRejected)]
    too_big = [it.error for it in receipts if isinstance(it.error, MessageTooBig)]
    if sent:
        notice(f"{_lines_were(sent)} sent")
    if refusals:
        notice(f"{_lines_were(len(refusals))} refused: {refusals[-1].reason}")
    if too_big:
        notice(f"{_lines_were(len(too_big))} refused: {too_big[-1]}")
    if kept:
        notice(f"{_lines_were(kept)} not sent: {why_not}; {kept_words(kept, label)}")


def _lines_were(count: int) -> str:
    return "1 line from last time was" if count == 1 else f"{count:,} lines from last time were"


@asynccontextmanager
async def _discarding(session: Session) -> AsyncIterator[None]:
    """Read what is said meanwhile, and drop it: unread, it would hold up what is acknowledged."""
    reading = asyncio.create_task(_discard(session))
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def _discard(session: Session) -> None:
    with suppress(SessionClosed):
        async for _ in session:
            pass


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Let the user know of files that are damaged, though nobody has asked to be told more."""
    log = logging.getLogger("socketchat")
    level = log.level
    if not log.isEnabledFor(logging.WARNING):
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
