"""What this process's terminal is good for, and how its end is asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["is_interactive", "on_signals", "say", "wants_color"]


def is_interactive(*, plain: bool) -> bool:
    """Tell whether the console can be used: a terminal on both sides that can move its cursor."""
    if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return os.name == "nt" or os.environ.get("TERM", "") not in ("", "dumb")


def wants_color(*, no_color: bool) -> bool:
    """Tell whether colours may be used; https://no-color.org has the variable."""
    return not no_color and not os.environ.get("NO_COLOR")


def say(text: str) -> None:
    """Print a status line: to stderr, because stdout carries data."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def on_signals(callback: Callable[[signal.Signals], object], *names: str) -> Iterator[None]:
    """Have `callback` called in the running loop for each of these signals, where there are any."""
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
