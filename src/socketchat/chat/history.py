"""What an embedded log holds, for one who is not its server: the command `socketchat history`.

It only reads, and may do so while a server writes the log. `sqlite_log.py` is the server's side.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from msgspec import MsgspecError

from socketchat.chat.log import Entry
from socketchat.chat.sqlite_schema import (
    DATABASE,
    MAX_NUMBER,
    NUMBER_BITS,
    as_time,
    connect_reader,
    insert,
    os_error,
    unpack,
)

__all__ = ["read_history", "room_names"]

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


def read_history(
    directory: Path,
    *,
    room: str | None = None,
    words: str = "",
    since: int = 0,
    limit: int | None = 1000,
) -> list[tuple[str, Entry]]:
    """Return entries of a log, with the names of their rooms, in the order of their times.

    Those to one member are among them: the log is its host's own.

    Args:
        directory: The server's data directory.
        room: The room's name; None is all rooms. One that nobody wrote to is empty.
        words: Words that must all stand in a text, in any order; case and accents do not matter.
            None at all matches everything, data too.
        since: The earliest time, in microseconds since the epoch.
        limit: The most entries to return, the newest. None is all.

    Raises:
        OSError: There is no log, or it cannot be read; `strerror` says why.
    """
    with _opened(directory) as connection:
        return _find(connection, room, words, since, limit)


def room_names(directory: Path) -> list[str]:
    """Return the names of all rooms that were ever written to, sorted.

    Raises:
        OSError: There is no log, or it cannot be read; `strerror` says why.
    """
    with _opened(directory) as connection:
        query = "SELECT name FROM rooms ORDER BY name"
        return [name for (name,) in connection.execute(query)]


@contextmanager
def _opened(directory: Path) -> Iterator[sqlite3.Connection]:
    path = directory / DATABASE
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no server has kept a log there", str(directory))
    with closing(connect_reader(path)) as connection:
        try:
            yield connection
        except (sqlite3.Error, MsgspecError) as exc:
            raise os_error(exc, path) from exc


def _find(
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
    values = {**bounds, "words": expression, "since": as_time(since), "limit": limit}
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
