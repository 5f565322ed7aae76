"""The terminal under the console: prompt_toolkit's output and input, with three things changed.

- `FrameOutput` shows what belongs together at once: it holds `flush` for a frame, and brackets each
  write in `CSI ?2026h/l` (synchronized output; terminals that do not know it ignore it).
- It never asks for the cursor's position: answers show up as garbage among what is typed, cost a
  round trip for each print, and time out with a warning (prompt-toolkit issues 482 and 1139).
- `QuietInput` keeps the terminal as it is while lines are printed. prompt_toolkit would switch its
  echo back on for each print, and what is typed meanwhile would land in the messages.

It knows nothing of sessions. On Windows prompt_toolkit's own classes are used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TextIO

from prompt_toolkit.input import Input, create_input
from prompt_toolkit.output import ColorDepth, Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output

__all__ = ["FrameOutput", "as_usual", "clear_screen", "frame", "make_input", "make_output"]

_BEGIN = "\x1b[?2026h"
_END = "\x1b[?2026l"


class FrameOutput(Vt100_Output):
    """A terminal on which a frame appears at once."""

    _depth = 0
    _begun = False

    @property
    def responds_to_cpr(self) -> bool:
        """Never: see above."""
        return False

    @contextmanager
    def frame(self) -> Iterator[None]:
        """Show everything that is written within at once, at the end."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self.flush()

    def write_raw(self, data: str) -> None:
        """Write an escape sequence."""
        self._begin()
        super().write_raw(data)

    def write(self, data: str) -> None:
        """Write text."""
        self._begin()
        super().write(data)

    def flush(self) -> None:
        """Show what was written, unless a frame is open."""
        if self._begun and not self._depth:
            super().write_raw(_END)
            self._begun = False
            super().flush()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            super().write_raw(_BEGIN)


def frame(output: Output) -> AbstractContextManager[None]:
    """Open a frame on an output that has frames; on others, do nothing."""
    return output.frame() if isinstance(output, FrameOutput) else nullcontext()


def clear_screen(output: Output) -> None:
    """Scroll everything away, and leave the cursor near the top of an empty screen.

    To be called with the cursor at the left, below all that was printed. Nothing is erased: it all
    goes to where the terminal keeps what it has scrolled. The first row stays empty, since tmux
    keeps a ghost of what is erased there.
    """
    output.write_raw("\r\n" * (output.get_size().rows - 1))
    output.cursor_goto(2, 1)


def as_usual(keyboard: Input) -> AbstractContextManager[None]:
    """Open a context in which the terminal is as programs find it usually, for one of them."""
    if sys.platform != "win32" and isinstance(keyboard, QuietInput):
        return super(QuietInput, keyboard).cooked_mode()
    return keyboard.cooked_mode()


def make_input() -> Input:
    """Make the input that reads this process's terminal."""
    if sys.platform != "win32" and sys.stdin is not None and sys.stdin.isatty():
        return QuietInput(sys.stdin)
    return create_input()


def make_output() -> Output:
    """Make the output that draws on this process's terminal."""
    stdout: TextIO | None = sys.stdout
    if sys.platform != "win32" and stdout is not None and stdout.isatty():
        return FrameOutput.from_pty(
            stdout, term=os.environ.get("TERM"), default_color_depth=ColorDepth.from_env()
        )
    return create_output()


if sys.platform != "win32":
    from prompt_toolkit.input.vt100 import Vt100Input

    class QuietInput(Vt100Input):
        """A keyboard that stays raw while lines are printed."""

        def cooked_mode(self) -> AbstractContextManager[None]:
            """Change nothing."""
            return nullcontext()

        @contextmanager
        def attach(self, input_ready_callback: Callable[[], None]) -> Iterator[None]:
            """Have the callback called when there are keys.

            uvloop makes what it reads non-blocking, and the terminal would stay so for the shell.
            """
            keyboard = self.fileno()
            blocking = os.get_blocking(keyboard)
            try:
                with super().attach(input_ready_callback):
                    yield
            finally:
                with suppress(OSError):  # it may be gone
                    os.set_blocking(keyboard, blocking)
