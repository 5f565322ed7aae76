"""The last line of the console: the room, who is there, how the link is, who is typing.

It is put together from parts, and the least important ones give way where there is no room for all.
What they say is the rooms' to know (`console_room.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from socketchat.cli.render import Row
from socketchat.text import clip, width

__all__ = ["Part", "bar_row"]

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


def bar_row(parts: Sequence[Part], columns: int) -> Row:
    """Put together as many of the parts as fit, in their order."""
    kept = [part for part in parts if part.text]
    while len(kept) > 1 and sum(width(text) for _, text in _row(kept)) > columns:
        kept.remove(min(kept, key=lambda part: part.importance))
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
