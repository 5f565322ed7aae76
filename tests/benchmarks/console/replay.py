"""What stood on the screen when: a recording, played to a terminal in memory, frame by frame.

The console brackets each frame in `CSI ?2026h/l`, and terminals show it at its end. It counts as
shown when the bytes of that end have been read.
"""

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyte

from tests.benchmarks.console import workload
from tests.benchmarks.console.recording import Key, Recording

FRAME_END = b"\x1b[?2026l"

_TIME = re.compile(r"\d\d:\d\d ")
# What the console itself has to say meanwhile: notices, rules, what is typed, and the bar.
_OWN = re.compile(r"-- |── |>>|lobby · |$")


class Screen(pyte.Screen):
    """A terminal in memory that keeps as text what scrolls away."""

    def __init__(self, columns: int, rows: int) -> None:
        """Begin empty."""
        self.scrolled: list[str] = []
        super().__init__(columns, rows)

    def index(self) -> None:
        """Go a row down, and scroll at the bottom."""
        if self.cursor.y == self.lines - 1:
            self.scrolled.append(self.row(0))
        super().index()

    def row(self, number: int) -> str:
        """Return the text of a row."""
        cells = self.buffer[number]
        return "".join(cells[column].data for column in range(self.columns)).rstrip()

    @property
    def everything(self) -> list[str]:
        """All rows, the scrolled ones first."""
        return [*self.scrolled, *map(self.row, range(self.lines))]

    @property
    def typed(self) -> str | None:
        """What stands behind the prompt, if the cursor stands behind that; else None."""
        row = self.row(self.cursor.y)
        typed = row.removeprefix(workload.PROMPT) if row.startswith(workload.PROMPT) else ""
        at_end = self.cursor.x == len(workload.PROMPT) + len(typed)
        return typed if row.startswith(workload.PROMPT.rstrip()) and at_end else None


@dataclass(frozen=True, slots=True)
class Findings:
    """What a recording shows.

    Attributes:
        echoes: For each key, the seconds until all that was typed by then stood on the screen.
        seconds: From the start until the last line was on the screen.
        faults: What is wrong with what stands there in the end.
    """

    echoes: list[float]
    seconds: float
    faults: list[str]


def replay(recording: Recording, start: float, lines: int) -> Findings:
    """Find out what stood on the screen when.

    Args:
        recording: All that the console has written.
        start: When it began, on the recording's clock.
        lines: How many lines there have to be in the end.
    """
    data = bytes(recording.data)
    screen = Screen(workload.COLUMNS, workload.ROWS)
    stream = pyte.ByteStream(screen)
    last = data.find(workload.mark(lines).encode())
    seconds, echoes, shown = 0.0, list[float](), 0
    while (found := data.find(FRAME_END, shown)) >= 0:
        end = found + len(FRAME_END)
        at = recording.times[bisect.bisect_left(recording.ends, end)]
        stream.feed(data[shown:end])
        if shown <= last < end:
            seconds = at - start
        pending = recording.keys[len(echoes) :]
        echoes += [at - key.at for key in _echoed(pending, screen.typed, at)]
        shown = end
    missing = len(recording.keys) - len(echoes)
    faults = [f"{missing} keys have no echo"] if missing else []
    return Findings(echoes, seconds, faults + wrong_rows(screen.everything, lines))


def _echoed(pending: Sequence[Key], typed: str | None, at: float) -> Sequence[Key]:
    """Return those of the keys that have their echo, if this stands behind the prompt."""
    for count, key in enumerate(pending, 1):
        if key.at > at:
            break
        if key.typed == typed:
            return pending[:count]
    return []


def wrong_rows(rows: Sequence[str], lines: int) -> list[str]:
    """Say how rows differ from so many lines, each once, in order, and nothing in any of them."""
    first = next((place for place, row in enumerate(rows) if _TIME.match(row)), len(rows))
    said = [row[6:] for row in rows[first:] if _TIME.match(row)]
    expected = [f"{workload.SENDER}: {workload.line(number)}" for number in range(1, lines + 1)]
    faults = []
    if len(said) != lines:
        faults.append(f"{len(said):,} lines are there of {lines:,}")
    wrong = [got for got, wanted in zip(said, expected, strict=False) if got != wanted]
    faults += [f"not what was said, from here on: {wrong[0]}"] if wrong else []
    strange = [row for row in rows[first:] if not _TIME.match(row) and not _OWN.match(row)]
    return faults + [f"a row that belongs nowhere: {row}" for row in strange]
