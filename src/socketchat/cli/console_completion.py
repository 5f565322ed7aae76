"""What Tab completes at the console: commands and what stands behind them, and names.

Commands behind a slash at the beginning; names behind an `@`, and at the beginning with the colon
that calls somebody. It knows the table of commands, and asks who and which rooms there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from socketchat.cli.commands import COMMANDS, Argument

__all__ = ["ChatCompleter"]


class ChatCompleter(Completer):
    """Completes what is typed.

    Args:
        people: Returns the names of those in the room, cleaned.
        rooms: Returns the names of rooms, cleaned.
        ignored: Returns the names of those whom one does not hear.
    """

    def __init__(
        self,
        people: Callable[[], Iterable[str]],
        rooms: Callable[[], Iterable[str]],
        ignored: Callable[[], Iterable[str]],
    ) -> None:
        self._people = people
        self._rooms = rooms
        self._ignored = ignored

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        """Yield what may stand in place of what is before the cursor."""
        del complete_event
        text = document.text_before_cursor
        if text.startswith("/") and not text.startswith("//") and "\n" not in text:
            yield from self._behind_slash(text[1:])
            return
        *_, word = text.replace("\n", " ").split(" ")
        if word.startswith("@"):
            yield from _matching(word[1:], self._people(), "@", " ")
        elif word == text:  # at the beginning
            yield from _matching(word, self._people(), "", ": ")

    def _behind_slash(self, typed: str) -> Iterator[Completion]:
        name, blank, argument = typed.partition(" ")
        if not blank:
            yield from _matching(name, COMMANDS, "", " ")
            return
        command = COMMANDS.get(name.lower())
        match command.argument if command is not None else Argument.NONE:
            case Argument.NAME:
                yield from _matching(argument, self._people(), "", " ")
            case Argument.IGNORED:
                yield from _matching(argument, self._ignored(), "", "")
            case Argument.ROOM:
                yield from _matching(argument, self._rooms(), "", "")
            case Argument.COMMAND:
                yield from _matching(argument, COMMANDS, "", "")
            case Argument.NONE:
                return


def _matching(typed: str, known: Iterable[str], before: str, behind: str) -> Iterator[Completion]:
    """Yield those that begin with what is typed, in place of it and of what stands before it."""
    for name in sorted(known, key=str.casefold):
        if name.casefold().startswith(typed.casefold()):
            yield Completion(
                before + name + behind, start_position=-len(before + typed), display=name
            )
