"""What a client writes down about itself, and what the texts look like that it sends.

A client has one file for each of its incarnations, and appends a line to it for each thing that
happens. What was written before a SIGKILL is there after it. The format is known here alone: the
clients write through `Journal`, and read, as the harness does, through `History`.
"""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

__all__ = ["GARBLED", "History", "Incarnation", "Journal", "Shown", "Tag", "parse_text"]

#: Every so many texts is a long one, of so many characters.
_LONG_EVERY = 40
_LONG = 6000
_SHORT = 200


class Tag(NamedTuple):
    """What tells a text from all others: who sent it, in which life, and its number."""

    client: int
    incarnation: int
    sequence: int

    def __str__(self) -> str:
        return ".".join(map(str, self))

    @classmethod
    def parse(cls, tag: str) -> Self:
        return cls(*map(int, tag.split(".")))

    @property
    def text(self) -> str:
        """The text itself, whose length depends on the tag."""
        chance = zlib.crc32(str(self).encode())
        size = _LONG if chance % _LONG_EVERY == 0 else chance % _SHORT
        return f"{self} {'x' * size}"


#: What stands for a text that no client has sent.
GARBLED = Tag(-1, -1, -1)


def parse_text(text: str) -> Tag:
    """Return a text's tag, or `GARBLED` if it is not whole."""
    found = re.match(r"\d+\.\d+\.\d+(?= )", text)
    if found is None:
        return GARBLED
    tag = Tag.parse(found[0])
    return tag if tag.text == text else GARBLED


class Shown(NamedTuple):
    """An entry that a client was shown: its number and its time in the log, and its text."""

    number: int
    at: int
    tag: Tag


@dataclass
class Incarnation:
    """One life of a client, from its start to its end or its SIGKILL.

    Attributes:
        tried: The sequence numbers that it was about to send; they may have been sent or not.
        accepted: Those that the session took over, and that must arrive.
        acked: Those whose receipt is settled, with the number in the log, or 0 if it was not told.
        refused: Those whose receipt has failed.
        shown: What it was shown, in order.
        untrue: What it was told and must not be in this test: gaps, and a server without memory.
        told: How much it had been shown, each time that it was told of such a server: what it is
            shown from then on begins anew.
        leftovers: Messages of earlier lives that it found in its outbox.
        links: How many links it lost.
        is_away: Whether it has noticed that it has none.
        ready: Whether the leftovers are delivered, and it is in its room.
    """

    tried: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    acked: dict[int, int] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    leftovers: int = 0
    links: int = 0
    is_away: bool = False
    ready: bool = False

    def read(self, line: str) -> None:
        """Take in a line of the journal."""
        match line.split():
            case ["trying", sequence]:
                self.tried.append(int(sequence))
            case ["accepted", sequence]:
                self.accepted.append(int(sequence))
            case ["acked", sequence, entry]:
                self.acked[int(sequence)] = int(entry)
            case ["refused", sequence, *_]:
                self.refused.append(int(sequence))
            case ["shown", number, at, tag]:
                self.shown.append(Shown(int(number), int(at), Tag.parse(tag)))
            case ["leftovers", count]:
                self.leftovers += int(count)
            case ["ready"]:
                self.ready = True
            case ["lost"]:
                self.links += 1
                self.is_away = True
            case ["back"]:
                self.is_away = False
            case ["gap" | "restarted" as kind, *_]:
                self.untrue.append(line)
                if kind == "restarted":
                    self.told.append(len(self.shown))
            case _:
                raise ValueError(f"no line of a journal: {line!r}")


def _path(directory: Path, client: int, incarnation: int) -> Path:
    return directory / f"{client}.{incarnation}"


class Journal:
    """The file of one incarnation, for writing."""

    def __init__(self, directory: Path, client: int, incarnation: int) -> None:
        for earlier in range(1, incarnation):  # which may have been killed before it got here
            _path(directory, client, earlier).touch()
        path = _path(directory, client, incarnation)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, *words: object) -> None:
        """Append a line; the system has it when this returns."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def close(self) -> None:
        os.close(self._file)


class History:
    """All incarnations of a client, read as far as they are written.

    Attributes:
        client: The client's number.
        room: The room that it is in.
        incarnations: Its lives, oldest first.
        accepted: How many messages were accepted in all of them.
        tried: The highest sequence number that was tried.
        last: What it was shown last; None if there was nothing.
    """

    def __init__(self, directory: Path, client: int, room: str) -> None:
        self.client = client
        self.room = room
        self.incarnations: list[Incarnation] = []
        self._directory = directory
        self._offset = 0

    def read(self) -> None:
        """Take in what was written since the last time."""
        while True:
            self._read_on()
            path = _path(self._directory, self.client, len(self.incarnations) + 1)
            if not path.exists():
                return
            self._read_on()  # the end of the older one, which is written no more
            self.incarnations.append(Incarnation())
            self._offset = 0

    def _read_on(self) -> None:
        if not self.incarnations:
            return
        path = _path(self._directory, self.client, len(self.incarnations))
        with path.open("rb") as file:
            file.seek(self._offset)
            # Not a line that is only half there yet.
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._offset += len(whole) + 1
            for line in whole.decode().split("\n"):
                self.incarnations[-1].read(line)

    @property
    def accepted(self) -> int:
        return sum(len(each.accepted) for each in self.incarnations)

    @property
    def tried(self) -> int:
        return max((each.tried[-1] for each in self.incarnations if each.tried), default=0)

    @property
    def last(self) -> Shown | None:
        return next((each.shown[-1] for each in reversed(self.incarnations) if each.shown), None)
