"""What is to be said while the server cannot be reached: it goes into the outbox in a file.

It is numbered and encoded as a session would have done it, and a later process sends it
(`leftovers.py`). It knows nothing of links.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from socketchat.cli.failures import file_failure
from socketchat.cli.stdio import InputError, LineInput, Unfit
from socketchat.cli.terminal import notice
from socketchat.errors import CloseCode, MessageTooBig
from socketchat.lanes import Lanes
from socketchat.options import Options

if TYPE_CHECKING:
    from socketchat.file_outbox import FileOutbox  # loads sqlite3: not for --help

__all__ = ["Said", "keep", "piped_input"]

#: What is to be said, line by line.
Said = AsyncGenerator[str | Unfit, None]

#: Seconds without a line after which no more is waited for: who pipes in from a program that goes
#: on must learn that the server is not there.
INPUT_PATIENCE = 1.0


def piped_input() -> Said | None:
    """Return the lines of stdin; None if somebody types them, who is asked for none in vain."""
    return None if sys.stdin.isatty() else LineInput(sys.stdin.fileno()).lines()


async def keep(said: Said, outbox: FileOutbox, to: str = "") -> None:
    """Keep lines for a later process, as far as they are there and the outbox takes them.

    Cancellation: what was taken by then is kept.

    Args:
        said: The lines; it is closed.
        outbox: An outbox without a session.
        to: The name of the one whom it is for; empty is everyone.
    """
    try:
        async with aclosing(said):
            if not await _keep_all(said, outbox, to):
                notice("the rest of the input is not kept")
    finally:
        outbox.clear()  # the file has them: they count as undelivered


async def _keep_all(said: Said, outbox: FileOutbox, to: str) -> bool:
    """Keep lines; tell whether these were all."""
    lanes = Lanes(outbox.lane, outbox)
    number = 0
    while not outbox.full:
        number += 1
        try:
            async with asyncio.timeout(INPUT_PATIENCE):
                line = await anext(said)
        except StopAsyncIteration:
            return True
        except TimeoutError:
            return False
        except InputError as exc:
            notice(str(exc))
            return False
        try:
            if not isinstance(line, Unfit):
                lanes.post(line, time.time_ns() // 1000, to=to, max_size=Options().max_size)
        except MessageTooBig as exc:
            line = Unfit(CloseCode.TOO_BIG, str(exc))
        except OSError as exc:
            notice(f"not kept: {file_failure(exc)}")
            return False
        if isinstance(line, Unfit):
            notice(f"line {number} is not kept: {line.reason}")
    return False
