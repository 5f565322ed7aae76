"""The last line of the console: the room, who is there, how the link is, who is typing.

It is put together from parts, and the least important ones give way where there is no room for all.
What they say is the rooms' to know (`console_room.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from socketchat.cli.render import Row
from socketchat.text import clip, width

__all__ = ["Part", "RoomState", "bar_row", "room_parts"]

_BETWEEN = " · "


class Part(NamedTuple):
    """One part of the bar.

    Attributes:
        text: What it says, cleaned.
        importance: Parts of less give way first.
        style: How it looks.
        is_joined: Whether only a blank parts it from the one before it.
    """

    text: str
    importance: int
    style: str = "class:toolbar"
    is_joined: bool = False


#: Stands for rooms that are left out.
_MORE = Part("…", 9, is_joined=True)


class RoomState(Protocol):
    """What the bar tells of a room that nobody looks at, too."""

    @property
    def name(self) -> str:
        """The room's name, cleaned."""

    @property
    def unread(self) -> int:
        """Messages that nobody has looked at."""

    @property
    def is_called(self) -> bool:
        """Whether one of them speaks to us."""


def room_parts(rooms: Sequence[RoomState], active: RoomState) -> list[Part]:
    """Return a part for each room: its number, its name, and what is unread there."""
    parts: list[Part] = []
    for number, room in enumerate(rooms, 1):
        text = f"{number}:{room.name}"
        if room is active:
            parts.append(Part(f"[{text}]", 6, "class:toolbar.room", is_joined=True))
            continue
        unread = f" {room.unread:,}{'!' if room.is_called else ''}" if room.unread else ""
        style = "class:toolbar.called" if room.is_called else "class:toolbar"
        parts.append(Part(text + unread, 3 if room.unread else 0, style, is_joined=True))
    return parts


def bar_row(parts: Sequence[Part], columns: int) -> Row:
    """Put together as many of the parts as fit, in their order."""
    kept = [part for part in parts if part.text]
    while len(kept) > 1 and sum(width(text) for _, text in _row(kept)) > columns:
        least = min((part for part in kept if part is not _MORE), key=lambda it: it.importance)
        if least.is_joined and _MORE not in kept:
            kept[kept.index(least)] = _MORE
        elif len(kept) == 2 and _MORE in kept:
            kept.remove(_MORE)
        else:
            kept.remove(least)
    row = _row(kept)
    if sum(width(text) for _, text in row) > columns:
        style, text = row[0]
        row = [(style, clip(text, max(columns - 1, 0)) + "…")]
    return row


def _row(parts: Sequence[Part]) -> Row:
    row: Row = []
    for part in parts:
        if row:
            row.append(("class:toolbar", " " if part.is_joined else _BETWEEN))
        row.append((part.style, part.text))
    return row
