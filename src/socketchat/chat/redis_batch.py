"""What one pipeline of the writer does: appends and looks, put together, and what became of them.

Appends to one room are one call of the script: that costs Redis and this process less than half of
what a call for each would, and those who watch the room are told once. Pure data: `redis_writer.py`
sends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from socketchat.chat.log import Draft, LaneTaken, Span
from socketchat.chat.redis_link import Command
from socketchat.chat.redis_scripts import MISSING, TAKEN
from socketchat.errors import LogUnavailable

__all__ = ["Append", "Batch", "Call", "Committed", "Look", "Made", "committed_of", "span_of"]

#: What an append takes beside its records, in bytes, about.
_OVERHEAD: Final = 1024
#: Drafts with which a call takes no further append: nobody else is served meanwhile.
_MAX_CALL: Final = 512


@dataclass(slots=True, eq=False)
class Append:
    """Append drafts, whose records are packed; the arguments of `Log.append`."""

    room: str
    lane: bytes
    drafts: Sequence[Draft]
    records: Sequence[bytes]
    after: int
    done: asyncio.Future[int]
    size: int = 0
    deadline: float = 0.0
    is_given_up: bool = False

    def __post_init__(self) -> None:
        self.size = _OVERHEAD + sum(map(len, self.records))


@dataclass(slots=True, eq=False)
class Look:
    """Look how far a room reaches, after all that was asked before; perhaps publish all of it.

    `then` is called with it before anything that was asked later is told.
    """

    room: str
    publishes: bool
    done: asyncio.Future[Span]
    then: Callable[[Span], object] = lambda _: None
    size: int = _OVERHEAD
    deadline: float = 0.0
    is_given_up: bool = False


class Made(NamedTuple):
    """What became of an append.

    Attributes:
        append: What was asked.
        mark: The lane's mark.
        last: The number of the lane's last entry.
        first: The number of the first new entry, 0 if there is none.
    """

    append: Append
    mark: int
    last: int
    first: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of appends to one room that were made at once.

    Attributes:
        room: The room's name.
        made: In the order in which they were asked for. Their new entries follow one another.
        refused: Those that were not made, and why.
        at: The time of the new entries.
        before: The time of the entry before them.
        held: The number of the last entry that could be seen.
    """

    room: str
    made: list[Made]
    refused: list[tuple[Append, LogUnavailable]]
    at: int
    before: int
    held: int

    @property
    def first(self) -> int:
        """The number of the first new entry, 0 if there is none."""
        return next((one.first for one in self.made if one.first), 0)


@dataclass(slots=True)
class Call:
    """Appends to one room that are made at once."""

    room: str
    appends: list[Append] = field(default_factory=list)
    drafts: int = 0


@dataclass(slots=True)
class Batch:
    """What one pipeline does.

    Attributes:
        items: What was asked, in that order.
        parts: The same, in the order in which it is done: that of each room is kept.
        commands: What is sent: the last ones do the parts.
        may_publish: Whether anything may come to be seen by it.
        unseen: By room, up to where it is still to be published.
    """

    items: list[Append | Look] = field(default_factory=list)
    parts: list[Call | Look] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    may_publish: bool = False
    unseen: dict[str, int] = field(default_factory=dict)
    _open: dict[str, Call] = field(default_factory=dict)

    def add(self, item: Append | Look) -> None:
        """Add something, behind all of its room that was added before."""
        self.items.append(item)
        if isinstance(item, Look):
            self.may_publish |= item.publishes
            self.parts.append(item)
            self._open.pop(item.room, None)
            return
        self.may_publish = True
        call = self._open.get(item.room)
        if call is None or call.drafts >= _MAX_CALL:
            call = self._open[item.room] = Call(item.room)
            self.parts.append(call)
        call.appends.append(item)
        call.drafts += len(item.drafts)

    def replied(self, replies: Sequence[object]) -> Iterator[tuple[Call | Look, object]]:
        """Return the parts, each with the reply to it."""
        first = len(self.commands) - len(self.parts)
        return zip(self.parts, replies[first : len(self.commands)], strict=True)

    def note(self, room: str, last: int) -> None:
        """Note up to where a room is to be published."""
        self.unseen[room] = max(last, self.unseen.get(room, 0))


def span_of(reply: bytes) -> tuple[Span, int]:
    """Return what `SPAN` tells: the span that may be seen, and the last number."""
    floor, held, at, head = map(int, reply.split())
    return Span(floor, held, at), head


def committed_of(call: Call, reply: bytes) -> Committed:
    """Return what the script tells of a call."""
    at, before, held, *told = reply.split()
    made: list[Made] = []
    refused: list[tuple[Append, LogUnavailable]] = []
    places = iter(told)
    for append, mark, last, first in zip(call.appends, places, places, places, strict=True):
        if mark == TAKEN:
            refused.append((append, LaneTaken("the author has gone on at another server")))
        elif mark == MISSING:
            refused.append((append, LogUnavailable(f"message {append.after} is not in the log")))
        else:
            made.append(Made(append, int(mark), int(last), int(first)))
    return Committed(call.room, made, refused, int(at), int(before), int(held))
