"""What is read from the embedded log's database, over a connection that can only read.

Every question is one statement that brings one value or a few, however many entries it looks at:
it sees one state of the database, and it gives the interpreter's lock back once. A thread that
fetched rows one by one would wait for a busy event loop at each of them.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from socketchat.chat.log import Entry, Span
from socketchat.chat.sqlite_schema import (
    MAX_NUMBER,
    NUMBER_BITS,
    as_many_as_fit,
    insert,
    unpack,
)

__all__ = ["at", "before", "find", "mark", "owner", "read", "room_names", "span"]

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

_BEHIND: Final = f"""
  SELECT record FROM rooms CROSS JOIN entries
    ON entries.id > (rooms.id << {NUMBER_BITS} | :after)
    AND entries.id < rooms.id + 1 << {NUMBER_BITS}
  WHERE rooms.name = :room ORDER BY entries.id"""
# To sum the lengths of records costs little: it looks at no body.
_READ: Final = f"""
  SELECT
    (SELECT head FROM rooms WHERE name = :room),
    count(*),
    CAST(group_concat(record, '') AS BLOB)
  FROM ({_BEHIND} LIMIT min(:limit, {as_many_as_fit(_BEHIND, _FETCHES)}))"""

# The newest of what was found, room by room.
_FIND: Final = f"""
  SELECT name, count(*), CAST(group_concat(record, '') AS BLOB) FROM (
    SELECT id, record FROM entries
    WHERE id BETWEEN :first AND :last AND at >= :since {{matching}}
    ORDER BY {{newest_first}} LIMIT :limit
  ) AS newest CROSS JOIN rooms ON rooms.id = newest.id >> {NUMBER_BITS}
  GROUP BY name"""

_MATCHING: Final = """
  AND id IN (
    SELECT rowid FROM words WHERE words MATCH :words AND rowid BETWEEN :first AND :last
    UNION ALL SELECT rowid FROM temp.fresh_words WHERE fresh_words MATCH :words
  )"""

_FRESH: Final = f"""
  SELECT count(*), CAST(group_concat(record, '') AS BLOB), group_concat(entries.id)
  FROM rooms CROSS JOIN entries
    ON entries.id > (rooms.id << {NUMBER_BITS} | rooms.indexed)
    AND entries.id < rooms.id + 1 << {NUMBER_BITS}
  WHERE rooms.id BETWEEN :first >> {NUMBER_BITS} AND :last >> {NUMBER_BITS} AND head > indexed"""


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
    row = connection.execute(_BEFORE, {"room": room, "at": _as_time(at)}).fetchone()
    return row[0] if row else 0


def read(
    connection: sqlite3.Connection, room: str, after: int, limit: int, size: int
) -> list[Entry]:
    """See `Log.read`."""
    found: list[Entry] = []
    after = min(max(after, 0), MAX_NUMBER)
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


def find(
    connection: sqlite3.Connection, room: str | None, words: str, since: int, limit: int | None
) -> list[tuple[str, Entry]]:
    """Return entries with the names of their rooms, in the order of their times.

    Args:
        connection: It must be given to nobody else meanwhile.
        room: The room's name; None is all rooms.
        words: Words that must all stand in the text, in any order; none is any text or data.
        since: The earliest time, in microseconds since the epoch.
        limit: The most entries to return: the newest. None is all.
    """
    first, last = 0, 2**63 - 1
    if room is not None:
        name = (_encodable(room),)
        row = connection.execute("SELECT id FROM rooms WHERE name = ?", name).fetchone()
        if row is None:
            return []
        first = row[0] << NUMBER_BITS
        last = first | MAX_NUMBER
    expression = _quoted(words)
    query = _FIND.format(
        matching=_MATCHING if expression else "",
        newest_first="at DESC, id DESC" if room is None else "id DESC",
    )
    limit = -1 if limit is None else max(limit, 0)
    bounds = {"first": first, "last": last}
    values = {**bounds, "words": expression, "since": _as_time(since), "limit": limit}
    # Both statements of a search must see the same state.
    connection.execute("BEGIN")
    try:
        if expression:
            _index_fresh(connection, bounds)
        rows = connection.execute(query, values).fetchall()
    finally:
        if connection.in_transaction:  # an error may have ended it
            connection.execute("ROLLBACK")
    found = [(name, entry) for name, *packed in rows for entry in unpack(*packed)]
    return sorted(found, key=lambda item: (item[1].at, item[0], item[1].number))


def _index_fresh(connection: sqlite3.Connection, bounds: dict[str, int]) -> None:
    """Index, for this transaction, the texts that the writer has not got round to."""
    connection.execute(
        "CREATE VIRTUAL TABLE temp.fresh_words USING fts5 (body, content = '', columnsize = 0)"
    )
    count, records, ids = connection.execute(_FRESH, bounds).fetchone()
    if count:
        pairs = zip(map(int, ids.split(",")), unpack(count, records), strict=True)
        insert(
            connection,
            "temp.fresh_words (rowid, body)",
            [(rowid, entry.body) for rowid, entry in pairs if isinstance(entry.body, str)],
        )


def _quoted(words: str) -> str:
    """Return words for MATCH: as strings, in which nothing is an operator."""
    # A NUL would end the expression in the middle of a string.
    plain = _encodable(words).replace("\0", " ").replace('"', '""')
    return " ".join(f'"{word}"' for word in plain.split())


def _encodable(text: str) -> str:
    """Return a text without what is no character: what a command line cannot decode."""
    return text.encode(errors="replace").decode()


def _as_time(at: int) -> int:
    """Return a time as one that SQLite can hold."""
    return min(max(at, 0), 2**63 - 1)
