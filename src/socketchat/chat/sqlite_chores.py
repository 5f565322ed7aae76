"""What the embedded log's writer does between commits: retention, and the index of texts.

Both go in steps of a few milliseconds, so that no append waits long. They belong to the writer's
thread (`sqlite_writer.py`), and work inside its transactions.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import Final

from socketchat.chat.log import LANE_LIFETIME, Entry
from socketchat.chat.records import unpack
from socketchat.chat.sqlite_schema import NUMBER_BITS, as_many_as_fit, insert

__all__ = ["Chores"]

#: Seconds that a step should take, and the entries that it may take up.
_STEP_TIME: Final = 0.004
_MIN_STEP: Final = 16
_MAX_STEP: Final = 4096

#: Bytes of records that a step takes up, unless so few are more.
_STEP_SIZE: Final = 4 * 2**20
_STEPS: Final = (1, 4, 16, 64, 256, 1024, _MAX_STEP)

_FIRST_RECORDS: Final = f"""
  SELECT count(*), CAST(group_concat(record, '') AS BLOB) FROM (
    SELECT at, record FROM entries WHERE id BETWEEN :first AND :last ORDER BY id
    LIMIT min(:limit, {as_many_as_fit(":first", _STEPS)})
  ) WHERE at < :older"""

_FORGET_LANES: Final = """
  DELETE FROM lanes WHERE room = :room AND name IN (
    SELECT name FROM lanes WHERE room = :room AND last < :floor AND at < :before LIMIT :limit
  )"""


class Chores:
    """The chores that are to be done.

    Args:
        connection: The writer's.
        retain: Microseconds for which entries are kept; None is for ever.
        clock: Tells the time, in microseconds since the epoch.
    """

    def __init__(
        self, connection: sqlite3.Connection, retain: int | None, clock: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._retain = retain
        self._clock = clock
        self._step = _MIN_STEP
        #: Rooms with entries that are not indexed. A dict, for its order.
        self._unindexed = dict.fromkeys(self._rooms("WHERE indexed < head"))
        #: Rooms that are still to be looked at for old entries.
        self._unpruned: list[int] = []

    def _rooms(self, where: str = "") -> list[int]:
        return [room for (room,) in self._connection.execute(f"SELECT id FROM rooms {where}")]

    @property
    def is_due(self) -> bool:
        """Whether there is something to do."""
        return bool(self._unpruned or self._unindexed)

    @property
    def is_pruning(self) -> bool:
        """Whether there are rooms to be looked at for old entries."""
        return bool(self._unpruned)

    def add_news(self, rooms: Iterable[int]) -> None:
        """Have the new entries of rooms indexed."""
        self._unindexed.update(dict.fromkeys(rooms))

    def start_pruning(self) -> None:
        """Have all rooms looked at for old entries."""
        if self._retain is not None:
            self._unpruned = self._rooms()

    def step(self) -> int:
        """Do a bit of it, in a transaction of the caller's.

        What is done is found in the database, so that after a failure the next call does it again.

        Returns:
            Bytes of the records that were taken up.

        Raises:
            sqlite3.Error: It could not be done.
        """
        started = time.perf_counter()
        size = self._prune(self._unpruned[-1]) if self._unpruned else self._index()
        took = time.perf_counter() - started
        if took > _STEP_TIME:
            self._step = max(self._step // 2, _MIN_STEP)
        elif took < _STEP_TIME / 4:
            self._step = min(self._step * 2, _MAX_STEP)
        return size

    def _index(self) -> int:
        """Index the next texts of a room."""
        room = next(iter(self._unindexed))
        head, indexed = self._room(room, "head, indexed")
        if indexed == head:
            del self._unindexed[room]
            return 0
        size, entries = self._entries(room, indexed + 1, head)
        last = entries[-1].number if entries else head
        insert(self._connection, "words (rowid, body)", _texts(room, entries))
        self._connection.execute("UPDATE rooms SET indexed = ? WHERE id = ?", (last, room))
        return size

    def _prune(self, room: int) -> int:
        """Let go of the oldest entries of a room, and then of lanes that have none left."""
        assert self._retain is not None
        floor, head, indexed = self._room(room, "floor, head, indexed")
        size, entries = self._entries(room, floor, head, older=self._clock() - self._retain)
        if not entries:
            if not self._forget_lanes(room, floor):
                self._unpruned.remove(room)
            return 0
        last = entries[-1].number
        # The index holds no texts: it must be told what it was told.
        gone = [
            ("delete", *text) for text in _texts(room, entries) if text[0] <= _id(room, indexed)
        ]
        insert(self._connection, "words (words, rowid, body)", gone)
        for statement, values in (
            ("DELETE FROM entries WHERE id BETWEEN ? AND ?", (_id(room, 0), _id(room, last))),
            (
                "UPDATE rooms SET floor = ?, indexed = max(indexed, ?) WHERE id = ?",
                (last + 1, last, room),
            ),
        ):
            self._connection.execute(statement, values)
        return size

    def _forget_lanes(self, room: int, floor: int) -> int:
        """Let go of some lanes that have no entries and were silent for long; say how many."""
        before = self._clock() - int(LANE_LIFETIME * 1_000_000)
        values = {"room": room, "floor": floor, "before": before, "limit": self._step}
        return self._connection.execute(_FORGET_LANES, values).rowcount

    def _room(self, room: int, columns: str) -> tuple[int, ...]:
        query = f"SELECT {columns} FROM rooms WHERE id = ?"
        row: tuple[int, ...] = self._connection.execute(query, (room,)).fetchone()
        return row

    def _entries(
        self, room: int, first: int, last: int, *, older: int = 2**63 - 1
    ) -> tuple[int, list[Entry]]:
        """Return the first entries of a range that are older than a time, and their size."""
        values = {
            "first": _id(room, first),
            "last": _id(room, last),
            "limit": self._step,
            "size": _STEP_SIZE,
            "older": older,
        }
        count, records = self._connection.execute(_FIRST_RECORDS, values).fetchone()
        return (len(records), unpack(count, records)) if count else (0, [])


def _id(room: int, number: int) -> int:
    return room << NUMBER_BITS | number


def _texts(room: int, entries: list[Entry]) -> list[tuple[int, str]]:
    """Return what is indexed of entries: ids and texts."""
    return [(_id(room, each.number), each.body) for each in entries if isinstance(each.body, str)]
