"""Being called: whether a message speaks to us, the bell, and the terminal's title.

The bell rings at most once in `BELL_INTERVAL` seconds. The title counts what has called since the
last key, `(2) lobby - socketchat`; the one that stood there before is put back at the end, by
terminals that keep one (xterm's `CSI 22 t` and `CSI 23 t`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from prompt_toolkit.output import Output

__all__ = ["BELL_INTERVAL", "Attention", "mentions"]

#: Seconds between two rings of the bell.
BELL_INTERVAL = 10.0

_KEEP_TITLE = "\x1b[22;2t"
_RESTORE_TITLE = "\x1b[23;2t"


def mentions(text: str, nick: str) -> bool:
    """Tell whether a text has somebody's name in it, as a word of its own."""
    return bool(nick) and _mention(nick).search(text) is not None


@lru_cache(maxsize=64)
def _mention(nick: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(nick)}(?!\w)", re.IGNORECASE)


class Attention:
    """The bell and the title of one terminal.

    Args:
        output: The terminal.
        now: Tells the time, in seconds.
    """

    def __init__(self, output: Output, now: Callable[[], float]) -> None:
        self._output = output
        self._now = now
        self._rang_at = -BELL_INTERVAL
        self._calls = 0
        self._where = ""
        self._shown = ""

    def start(self) -> None:
        """Have the terminal keep the title that it has."""
        self._output.write_raw(_KEEP_TITLE)

    def stop(self) -> None:
        """Put the title back that was there before."""
        self._output.clear_title()
        self._output.write_raw(_RESTORE_TITLE)
        self._output.flush()

    def look_at(self, room: str) -> None:
        """Have the title name a room, whose name is cleaned."""
        self._where = room
        self._show()

    def call(self) -> None:
        """Ring, unless it rang a moment ago, and count one more in the title."""
        self._calls += 1
        if self._now() >= self._rang_at + BELL_INTERVAL:
            self._rang_at = self._now()
            self._output.bell()
        self._show()

    def answer(self) -> None:
        """Take notice that somebody is at the keyboard, and has seen what called."""
        if self._calls:
            self._calls = 0
            self._show()

    def _show(self) -> None:
        count = f"({self._calls}) " if self._calls else ""
        where = f"{self._where} - " if self._where else ""
        title = f"{count}{where}socketchat"
        if title != self._shown:
            self._shown = title
            self._output.set_title(title)
            self._output.flush()
