"""What a batch of appends becomes in the embedded log: numbers, times, marks, rows.

It belongs to the writer's thread (`sqlite_writer.py`), and works inside its transactions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import astuple

from socketchat.chat.log import Draft, Entry
from socketchat.chat.records import encode
from socketchat.chat.sqlite_schema import NUMBER_BITS, insert
from socketchat.errors import LogUnavailable

__all__ = ["Append", "Batch", "Heads"]

#: Marks and rooms that are remembered; beyond, all are forgotten and looked up again.
_MAX_REMEMBERED: Final = 65_536


@dataclass(frozen=True, slots=True)
class Append:
    """Append drafts; the arguments of `Log.append`."""

    room: str
    lane: bytes
    drafts: Sequence[Draft]
    after: int = 0


@dataclass(slots=True)
class _Head:
    """The end of a room's log."""

    id: int
    number: int
    at: int


@dataclass(slots=True)
class Batch:
    """What is added in one transaction.

    Attributes:
        results: For each append the lane's mark, or why it was refused.
        news: The new entries of each room.
        size: Bytes of its records.
    """

    results: list[int | LogUnavailable] = field(default_factory=list)
    news: dict[str, list[Entry]] = field(default_factory=dict)
    size: int = 0
    rows: list[tuple[int, int, bytes]] = field(default_factory=list)
    heads: dict[str, _Head] = field(default_factory=dict)
    #: Mark, number and time of the last entry, and owner of each lane, by room and name.
    lanes: dict[tuple[int, bytes], tuple[int, int, int, bytes]] = field(default_factory=dict)


class Heads:
    """The ends of rooms and the marks of lanes: remembered, else looked up.

    Args:
        connection: The writer's.
        clock: Tells the time, in microseconds since the epoch.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._clock = clock
        self._rooms: dict[str, _Head] = {}
        self._marks: dict[tuple[int, bytes], int] = {}

    def forget(self) -> None:
        """Remember nothing: what is remembered may not be what was committed."""
        self._rooms.clear()
        self._marks.clear()

    def write(self, appends: Sequence[Append]) -> Batch:
        """Write appends, in a transaction of the caller's; if that fails, `forget` must be called.

        Raises:
            sqlite3.Error: It could not be written.
        """
        if len(self._rooms) + len(self._marks) > _MAX_REMEMBERED:
            self.forget()
        batch = Batch()
        for append in appends:
            batch.results.append(self._add(batch, append))
        if batch.rows:
            self._insert(batch)
        return batch

    def _add(self, batch: Batch, append: Append) -> int | LogUnavailable:
        head = self._rooms.get(append.room) or self._look_up_room(append.room)
        key = head.id, append.lane
        mark = self._marks.get(key)
        if mark is None:
            mark = self._look_up_mark(key)
        if mark < append.after:
            return LogUnavailable(f"message {append.after} is not in the log")
        added: list[Entry] = []
        for draft in append.drafts:
            if draft.number > mark:
                mark = draft.number
                added.append(_place(head, self._clock(), append.lane, draft))
        if added:
            self._marks[key] = mark
            batch.heads[append.room] = head
            batch.lanes[key] = mark, head.number, head.at, added[0].key
            batch.news.setdefault(append.room, []).extend(added)
            base = head.id << NUMBER_BITS
            for entry in added:
                record = encode(astuple(entry))
                batch.size += len(record)
                batch.rows.append((base | entry.number, entry.at, record))
        return mark

    def _look_up_room(self, name: str) -> _Head:
        query = "SELECT id, head, at FROM rooms WHERE name = ?"
        row = self._connection.execute(query, (name,)).fetchone()
        if row is None:
            query = (
                "INSERT INTO rooms (name, floor, head, at, indexed) VALUES (?, 1, 0, 0, 0)"
                " RETURNING id, head, at"
            )
            row = self._connection.execute(query, (name,)).fetchone()
        head = self._rooms[name] = _Head(*row)
        return head

    def _look_up_mark(self, key: tuple[int, bytes]) -> int:
        query = "SELECT mark FROM lanes WHERE room = ? AND name = ?"
        row = self._connection.execute(query, key).fetchone()
        mark = self._marks[key] = row[0] if row else 0
        return mark

    def _insert(self, batch: Batch) -> None:
        insert(self._connection, "entries (id, at, record)", batch.rows)
        insert(
            self._connection,
            "lanes (room, name, mark, last, at, owner)",
            [(*key, *lane) for key, lane in batch.lanes.items()],
            # It stays its first owner's.
            "ON CONFLICT DO UPDATE"
            " SET mark = excluded.mark, last = excluded.last, at = excluded.at",
        )
        insert(
            self._connection,
            # The rooms are there: floor and indexed stay as they are.
            "rooms (id, name, floor, head, at, indexed)",
            [(head.id, name, 1, head.number, head.at, 0) for name, head in batch.heads.items()],
            "ON CONFLICT DO UPDATE SET head = excluded.head, at = excluded.at",
        )


def _place(head: _Head, now: int, lane: bytes, draft: Draft) -> Entry:
    """Give a draft the next place of its room."""
    head.number += 1
    head.at = max(head.at, now)
    return draft.entry(head.number, head.at, lane)
