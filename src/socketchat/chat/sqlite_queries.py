"""What a server reads from the embedded log's database, over a connection that can only read.

Every question is one statement that brings one value or a few, however many entries it looks at:
it sees one state of the database, and it gives the interpreter's lock back once. A thread that
fetched rows one by one would wait for a busy event loop at each of them. `sqlite_search.py` does
so, where it is the memory that counts.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from socketchat.chat.log import Entry, Span
from socketchat.chat.records import unpack
from socketchat.chat.sqlite_schema import (
    MAX_NUMBER,
    NUMBER_BITS,
    as_many_as_fit,
    as_time,
)

__all__ = ["at", "before", "mark", "owner", "read", "room_names", "span"]

#: What a record has around its body, in bytes, about: names, a lane, keys.
OVERHEAD: Final = 128
#: How many entries one statement may fetch for a page: the most that have room in it.
_FETCHES: Final = (1, 4, 16, 64, 256, 1024)

_AT: Final = f"""
  SELECT entries.at FROM rooms CROSS JOIN entries ON entries.id = (rooms.id << {NUMBER_BITS} | ?)
  WHERE rooms.name = ?"""

# Times never go back within a room: halve the range of its numbers until none is left. A number
# whose entry is not held lies below the floor.
_IS_OLDER: Final = f"""
  coalesce((
    SELECT at < :at FROM entries WHERE id = (room << {NUMBER_BITS} | (low + high) / 2)
  ), TRUE)"""
_BEFORE: Final = f"""
  WITH RECURSIVE range(room, low, high) AS (
    SELECT id, floor, head + 1 FROM rooms WHERE name = :room
    UNION ALL
    SELECT room,
      iif({_IS_OLDER}, (low + high) / 2 + 1, low), iif({_IS_OLDER}, high, (low + high) / 2)
    FROM range WHERE low < high
  )
  SELECT low - 1 FROM range WHERE low >= high"""

# Numbers have no gaps: a page is a range of them.
_READ: Final = f"""
  WITH place(first, last, head) AS MATERIALIZED (
    SELECT id << {NUMBER_BITS} | max(:after + 1, floor), id << {NUMBER_BITS} | head, head
    FROM rooms WHERE name = :room
  )
  SELECT (SELECT head FROM place), count(*), CAST(group_concat(record, '') AS BLOB) FROM (
    SELECT record FROM entries
    WHERE id BETWEEN (SELECT first FROM place) AND (
      SELECT min(last, first - 1 + min(:limit, {as_many_as_fit("first", _FETCHES)})) FROM place
    )
    ORDER BY id
  )"""


def mark(connection: sqlite3.Connection, room: str, lane: bytes) -> int:
    """See `Log.mark`."""
    row = connection.execute(
        "SELECT mark FROM rooms CROSS JOIN lanes ON lanes.room = rooms.id"
        " WHERE rooms.name = ? AND lanes.name = ?",
        (room, lane),
    ).fetchone()
    return row[0] if row else 0


def owner(connection: sqlite3.Connection, room: str, lane: bytes) -> bytes:
    """See `Log.owner`."""
    row = connection.execute(
        "SELECT owner FROM rooms CROSS JOIN lanes ON lanes.room = rooms.id"
        " WHERE rooms.name = ? AND lanes.name = ?",
        (room, lane),
    ).fetchone()
    return row[0] if row else b""


def span(connection: sqlite3.Connection, room: str) -> Span:
    """See `Log.span`."""
    row = connection.execute("SELECT floor, head, at FROM rooms WHERE name = ?", (room,)).fetchone()
    return Span(*row) if row else Span()


def at(connection: sqlite3.Connection, room: str, number: int) -> int | None:
    """See `Log.at`."""
    if not 0 < number <= MAX_NUMBER:
        return None
    row = connection.execute(_AT, (number, room)).fetchone()
    return row[0] if row else None


def before(connection: sqlite3.Connection, room: str, at: int) -> int:
    """See `Log.before`."""
    row = connection.execute(_BEFORE, {"room": room, "at": as_time(at)}).fetchone()
    return row[0] if row else 0


def read(
    connection: sqlite3.Connection, room: str, after: int, limit: int, size: int
) -> list[Entry]:
    """See `Log.read`."""
    found: list[Entry] = []
    after = min(max(after, 0), MAX_NUMBER - 1)
    while size > 0 and len(found) < limit:
        wanted = limit - len(found)
        space = size + OVERHEAD * min(wanted, _FETCHES[-1])
        values = {"room": room, "after": after, "limit": wanted, "size": space}
        head, count, records = connection.execute(_READ, values).fetchone()
        for entry in unpack(count, records or b""):
            if size <= 0 or (found and entry.number != found[-1].number + 1):
                return found  # full; or the floor has passed us by between two statements
            found.append(entry)
            size -= len(entry.body)
        if not count or found[-1].number >= head:
            break
        after = found[-1].number
    return found


def room_names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all rooms that were ever written to, sorted."""
    return [name for (name,) in connection.execute("SELECT name FROM rooms ORDER BY name")]
