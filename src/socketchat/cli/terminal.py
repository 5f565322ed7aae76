"""What this process's terminal is good for, and how its end is asked for.

Every error on the command line is shown by it: it loads asyncio, and what lays out messages, only
where they are needed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from socketchat.cli.wrapping import wrap

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "can_be_asked",
    "forget_what_was_typed",
    "is_interactive",
    "logs_shown_by",
    "notice",
    "on_signals",
    "said_by",
    "say",
    "wants_color",
]

_INDENT = "   "


def is_interactive(*, plain: bool) -> bool:
    """Tell whether the console can be used: a terminal on both sides that can move its cursor."""
    if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return os.name == "nt" or os.environ.get("TERM", "") not in ("", "dumb")


def can_be_asked() -> bool:
    """Tell whether somebody is there to read a question on stderr and to answer it on stdin."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def forget_what_was_typed() -> None:
    """Drop what was typed at the terminal and not read: it is no answer to what comes now."""
    try:
        import termios
    except ImportError:  # Windows: what is typed ahead there stays
        return
    with suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def wants_color(*, no_color: bool) -> bool:
    """Tell whether colours may be used; https://no-color.org has the variable."""
    return not no_color and not os.environ.get("NO_COLOR")


#: What shows status lines while the console has the terminal.
_instead_of_stderr: list[Callable[[str], object]] = []


@contextmanager
def said_by(show: Callable[[str], object]) -> Iterator[None]:
    """Have status lines shown by `show` instead of stderr, where they would tear the console."""
    _instead_of_stderr.append(show)
    try:
        yield
    finally:
        _instead_of_stderr.remove(show)


def say(text: str) -> None:
    """Print a status line: to stderr, because stdout carries data.

    At a terminal it is broken at blanks, where the terminal would break within words; but a line
    with a command in it is not, so that it can be copied in one piece.
    """
    if _instead_of_stderr:
        _instead_of_stderr[-1](text)
        return
    if columns := _columns_of_stderr():
        text = "\n".join(_fitted(line, columns) for line in text.split("\n"))
    with suppress(OSError):  # nobody reads it: no reason to stop
        print(text, file=sys.stderr, flush=True)


def notice(text: str) -> None:
    """Say something that is no message: `-- text`."""
    from socketchat.cli.render import plain_notice

    say(text if _instead_of_stderr else plain_notice(text))


def _columns_of_stderr() -> int:
    """Return how wide the terminal is; 0 if it is none, or does not know."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return 0


def _fitted(line: str, columns: int) -> str:
    if "socketchat " in line.removeprefix("socketchat: "):
        return line
    return f"\n{_INDENT}".join(wrap(line, columns, max(columns - len(_INDENT), 1)))


class _LogLines(logging.Handler):
    """Gives each log line to a function, in the event loop's thread."""

    def __init__(self, show: Callable[[str], object], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._show = show
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line."""
        self._loop.call_soon_threadsafe(self._show, self.format(record))


@contextmanager
def logs_shown_by(show: Callable[[str], object]) -> Iterator[None]:
    """Have log lines shown by `show` instead of stderr, which would tear the console."""
    import asyncio

    root = logging.getLogger()
    handlers = root.handlers[:]
    instead = _LogLines(show, asyncio.get_running_loop())
    instead.setFormatter(handlers[0].formatter if handlers else None)
    root.handlers[:] = [instead]
    try:
        yield
    finally:
        root.handlers[:] = handlers


@contextmanager
def on_signals(callback: Callable[[signal.Signals], object], *names: str) -> Iterator[None]:
    """Have `callback` called in the running loop for each of these signals, where there are any."""
    import asyncio

    loop = asyncio.get_running_loop()
    previous = {}

    def handle(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback, signal.Signals(number))

    # signal.signal serves every loop and every system; add_signal_handler is POSIX alone.
    for name in names:
        number = getattr(signal, name, None)
        if number is not None:
            previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
