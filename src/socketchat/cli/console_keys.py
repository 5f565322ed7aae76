"""Which keys do what at the console, beyond what prompt_toolkit's editing keys do by themselves.

Those are Emacs's, as in shells: words and lines, undo, search in the history with Ctrl-R.
"""

from __future__ import annotations

from typing import Protocol

from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.key_binding import (
    KeyBindings,
    KeyBindingsBase,
    KeyPressEvent,
    merge_key_bindings,
)

__all__ = ["MOST_ROOMS", "KeyHost", "make_bindings"]

#: Rooms that have a key of their own.
MOST_ROOMS = 9


class KeyHost(Protocol):
    """What keys have the console do."""

    @property
    def is_editing(self) -> bool:
        """Whether an editor has the terminal."""

    def enter(self) -> None:
        """Send what is typed, or carry it out."""

    def edit(self) -> None:
        """Open what is typed in an editor."""

    def look_at_number(self, number: int) -> None:
        """Look at the room of a number, from 1."""

    def leave(self) -> None:
        """Leave."""

    def clear(self) -> None:
        """Clear the screen."""


def make_bindings(host: KeyHost, buffer: Buffer) -> KeyBindingsBase:
    """Bind the keys.

    Args:
        host: The console.
        buffer: What is typed.
    """
    return merge_key_bindings([_editing(host, buffer), _leaving(host, buffer)])


def _editing(host: KeyHost, buffer: Buffer) -> KeyBindings:
    bindings = KeyBindings()
    typing = has_focus(buffer)

    @bindings.add("enter", filter=typing)
    def _(_event: KeyPressEvent) -> None:
        host.enter()

    @bindings.add("escape", "enter", filter=typing)
    def _(_event: KeyPressEvent) -> None:
        buffer.newline(copy_margin=False)

    @bindings.add("tab", filter=typing)
    def _(_event: KeyPressEvent) -> None:
        if buffer.complete_state:
            buffer.complete_next()
        else:
            _complete(buffer)

    @bindings.add("s-tab", filter=typing)
    def _(_event: KeyPressEvent) -> None:
        if buffer.complete_state:
            buffer.complete_previous()

    @bindings.add("c-x", "c-e", filter=typing)
    def _(_event: KeyPressEvent) -> None:
        host.edit()

    for number in range(1, MOST_ROOMS + 1):

        @bindings.add("escape", str(number), filter=typing)
        def _(_event: KeyPressEvent, number: int = number) -> None:
            host.look_at_number(number)

    return bindings


def _complete(buffer: Buffer) -> None:
    """Put in the first candidate; at once, so that what is typed next stands behind it."""
    event = CompleteEvent(completion_requested=True)
    candidates = list(buffer.completer.get_completions(buffer.document, event))
    if candidates:
        buffer.complete_state = CompletionState(buffer.document, candidates)
        buffer.go_to_completion(0)


def _leaving(host: KeyHost, buffer: Buffer) -> KeyBindings:
    bindings = KeyBindings()
    # A signal while an editor has the terminal is for the editor.
    typing = has_focus(buffer) & Condition(lambda: not host.is_editing)
    empty = Condition(lambda: not buffer.text)

    @bindings.add("c-c", filter=typing & ~empty)
    @bindings.add("<sigint>", filter=typing & ~empty)
    def _(_event: KeyPressEvent) -> None:
        buffer.reset()

    @bindings.add("c-c", filter=typing & empty)
    @bindings.add("<sigint>", filter=typing & empty)
    @bindings.add("c-d", filter=typing & empty)
    def _(_event: KeyPressEvent) -> None:
        host.leave()

    @bindings.add("c-l")
    def _(_event: KeyPressEvent) -> None:
        host.clear()

    @bindings.add("c-z")
    def _(_event: KeyPressEvent) -> None:
        """Do nothing; by default it would be typed."""

    return bindings
