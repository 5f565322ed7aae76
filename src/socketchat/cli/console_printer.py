"""What the console prints above its input: one queue, and the one task that prints it.

There must be only one such task. `in_terminal` chains its callers, and one that is cancelled while
it waits leaves all later ones waiting, and the application's exit too; so the printer is never
cancelled but told to end, and first prints what it has.

Rows are printed in batches, each in one frame: erase the input, print, draw the input again. It
knows rows and the terminal, nothing of sessions.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prompt_toolkit.application import Application, in_terminal
from prompt_toolkit.formatted_text import FormattedText

from socketchat.cli.console_terminal import clear_screen, frame
from socketchat.cli.render import Row

__all__ = ["BATCH", "MAX_BACKLOG", "PAUSE", "Backlog", "Printer"]

#: Rows in one frame.
BATCH = 200
#: Seconds from one batch to the next: with none, keys would wait for the whole of a flood.
PAUSE = 0.010
#: Rows that wait to be printed, before those who bring more have to wait, or, of what nobody looks
#: at, the oldest are folded.
MAX_BACKLOG = 2_000

# Not a row but a request; known by its identity.
_CLEAR: Row = []


@dataclass(slots=True)
class _Entry:
    rows: deque[Row]
    then: Callable[[], object] | None
    may_fold: bool


class Backlog:
    """What waits to be printed.

    Args:
        fold: Keep to `MAX_BACKLOG` by folding the oldest rows that may be folded into one that
            counts them. For rooms that keep a log, where one can read them; elsewhere they would
            be lost.
    """

    def __init__(self, *, fold: bool) -> None:
        self.rows: int = 0
        self._fold = fold
        self._folded = 0
        self._entries: deque[_Entry] = deque()

    def put(
        self, rows: Iterable[Row], *, then: Callable[[], object] | None = None, may_fold: bool
    ) -> None:
        """Add what belongs together: its rows, and what to do in the frame that shows the last."""
        entry = _Entry(deque(rows), then, may_fold)
        self._entries.append(entry)
        self.rows += len(entry.rows)
        if self._fold and self.rows > MAX_BACKLOG:
            self._fold_oldest()

    def _fold_oldest(self) -> None:
        kept: list[_Entry] = []
        while self.rows > MAX_BACKLOG // 2 and self._entries:
            entry = self._entries.popleft()
            if entry.may_fold:
                self.rows -= len(entry.rows)
                self._folded += len(entry.rows)
            else:
                kept.append(entry)
                if len(kept) > MAX_BACKLOG // 2:
                    break
        self._entries.extendleft(reversed(kept))

    def take(self, most: int) -> tuple[list[Row], list[Callable[[], object]]]:
        """Take the oldest rows, at most `most`, and what to do once they are shown."""
        rows: list[Row] = []
        then: list[Callable[[], object]] = []
        if self._folded:
            rows.append([("class:notice", f"… {self._folded:,} more, /history")])
            self._folded = 0
        while self._entries and len(rows) < most:
            entry = self._entries[0]
            while entry.rows and len(rows) < most:
                rows.append(entry.rows.popleft())
                self.rows -= 1
            if not entry.rows:
                self._entries.popleft()
                if entry.then is not None:
                    then.append(entry.then)
        return rows, then


class Printer:
    """Prints above the input of an application, in the order of the calls.

    `run` belongs in a task that is never cancelled; `close` ends it.

    Args:
        app: The application that owns the terminal.
    """

    def __init__(self, app: Application[Any]) -> None:
        self._app = app
        # What one looks at is printed in full: whoever brings more waits.
        self._backlog = Backlog(fold=False)
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    def put(
        self,
        rows: Iterable[Row],
        *,
        then: Callable[[], object] | None = None,
    ) -> None:
        """Have rows printed.

        Args:
            rows: What to print.
            then: Called in the frame that shows the last of them.
        """
        self._backlog.put(rows, then=then, may_fold=False)
        self._work.set()

    def clear(self) -> None:
        """Have the screen cleared, after all that waits."""
        self.put([_CLEAR])

    async def ready(self) -> None:
        """Wait while too much waits to be printed.

        Cancellation: safe.
        """
        while self._backlog.rows >= MAX_BACKLOG:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Let `run` return once it has printed what waits by now."""
        self.put([], then=self._end)

    def _end(self) -> None:
        self._ended = True

    async def run(self) -> None:
        """Print what comes until `close` is called.

        Raises:
            OSError: The terminal is gone.
        """
        while not self._ended:
            await self._work.wait()
            rows, then = self._backlog.take(BATCH)
            if rows or then:
                with frame(self._app.output):
                    async with in_terminal():
                        self._print(rows)
                        for done in then:
                            done()
            else:
                self._work.clear()
            self._room.set()
            await asyncio.sleep(PAUSE)

    def print_rest(self) -> None:
        """Print what came between the end of `run` and that of the application."""
        rows, then = self._backlog.take(sys.maxsize)
        if rows:
            self.print_now(rows)
        for done in then:
            done()

    def print_now(self, rows: Iterable[Row]) -> None:
        """Print while the application does not run."""
        with frame(self._app.output):
            self._print(rows)
        self._app.output.flush()

    def _print(self, rows: Iterable[Row]) -> None:
        text: Row = []
        for row in rows:
            if row is _CLEAR:
                self._app.print_text(FormattedText(text))
                clear_screen(self._app.output)
                text = []
            else:
                text += row
                text.append(("", "\n"))
        self._app.print_text(FormattedText(text))
