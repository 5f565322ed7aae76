"""What is typed at the console, until it is taken: buffer, history, long messages, editor.

It does not know what becomes of what is taken; `console_keys.py` says which keys do what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input

from socketchat.cli.console_editor import Editor
from socketchat.cli.console_terminal import as_usual
from socketchat.cli.input_history import InputHistory

__all__ = ["MAX_UNASKED", "ConsoleInput", "InputHost"]

#: Lines of one message above which it is asked whether it is meant to be sent.
MAX_UNASKED = 20


class InputHost(Protocol):
    """What the input needs of the console around it."""

    def notice(self, text: str) -> None:
        """Print a line that is no message."""

    def take(self, text: str) -> bool:
        """Take what was typed; False if it stays in the input."""

    def is_kept(self, text: str) -> bool:
        """Tell whether what was typed may be kept for the next time."""

    def typing(self) -> None:
        """Take notice that a message is being typed."""


class ConsoleInput:
    """The input.

    Args:
        host: The console.
        keyboard: What is typed on.
        completer: Completes what is typed.
        directory: Where it is kept what was typed; None keeps nothing.

    Attributes:
        buffer: What is typed.
    """

    def __init__(
        self, host: InputHost, keyboard: Input, completer: Completer, directory: Path | None
    ) -> None:
        self._host = host
        self._keyboard = keyboard
        self._history = None if directory is None else InputHistory(directory / "input_history")
        #: A long message that one was asked about, and may send now.
        self._asked_about = ""
        #: Whether what changes in the buffer is not typed.
        self._is_putting = False
        self._editing: asyncio.Task[None] | None = None
        self._editor = Editor()
        self.buffer: Buffer = Buffer(
            multiline=True,
            history=InMemoryHistory() if self._history is None else self._history,
            enable_history_search=True,
            completer=completer,
            on_text_changed=lambda _: self._changed(),
        )

    @property
    def text(self) -> str:
        """What is typed."""
        return self.buffer.text

    @property
    def question(self) -> str:
        """What is asked about what is typed, for the last line; empty if nothing is."""
        if not self.text:
            self._asked_about = ""  # it was dropped
        if not self._asked_about:
            return ""
        lines = self._asked_about.count("\n") + 1
        return f"{lines} lines in one message: Enter again sends them, Ctrl-C drops them"

    def put(self, text: str) -> None:
        """Have something else stand there."""
        self._is_putting = True
        self.buffer.set_document(Document(text, len(text)), bypass_readonly=True)
        self._is_putting = False

    async def read_history(self) -> None:
        """Read what was typed before."""
        if self._history is not None:
            await asyncio.to_thread(self._history.read)

    def enter(self) -> None:
        """Have what is typed taken."""
        text = self.text.strip("\n")
        if text.strip():
            lines = text.count("\n") + 1
            if lines > MAX_UNASKED and self._asked_about != text:
                self._asked_about = text
                return
            if not self._host.take(text):
                return
        self.buffer.reset(append_to_history=self._host.is_kept(text))

    def _changed(self) -> None:
        self._asked_about = ""
        if self.text and not (self.text.startswith("/") or self._is_putting):
            self._host.typing()

    # ---- the editor ----

    @property
    def is_editing(self) -> bool:
        """Whether an editor is open, and has the terminal."""
        return self._editing is not None

    def edit(self, put: Callable[[str], object]) -> None:
        """Open what is typed in an editor, and give `put` what it is then."""
        if self._editing is None:
            self._editing = asyncio.create_task(self._edit(put))

    async def edited(self) -> None:
        """Wait until no editor is open: what is written in it is not thrown away."""
        if self._editing is not None:
            await asyncio.wait([self._editing])

    def end_editor(self) -> None:
        """End the editor, if one is open."""
        self._editor.kill()

    async def _edit(self, put: Callable[[str], object]) -> None:
        try:
            put(await self._editor.edit(self.text, lambda: as_usual(self._keyboard)))
        except LookupError as exc:
            self._host.notice(str(exc.args[0]))
        except (OSError, ValueError) as exc:
            self._host.notice(f"the editor cannot be used: {exc}")
        finally:
            self._editing = None
