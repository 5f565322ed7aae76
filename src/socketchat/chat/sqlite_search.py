"""What is looked for in the embedded log's database: entries, row by row, in the order of time.

However many there are, only one of each room is in memory. In return each row takes the
interpreter's lock: what a busy event loop waits for is asked in `sqlite_queries.py`.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from socketchat.chat.log import Entry
from socketchat.chat.records import unpack
from socketchat.chat.sqlite_queries import before
from socketchat.chat.sqlite_schema import MAX_NUMBER, NUMBER_BITS, insert

__all__ = ["Hits", "newest_seen", "search"]

_PLAIN: Final = "SELECT {columns} FROM entries WHERE id BETWEEN ? AND ? ORDER BY id {order}"
# The index gives ids in their order by itself.
_MATCHING: Final = """
  SELECT {columns} FROM {index} CROSS JOIN entries ON entries.id = {index}.rowid
  WHERE {index} MATCH ? AND {index}.rowid BETWEEN ? AND ? ORDER BY {index}.rowid {order}"""
#: Texts that are indexed for one search at a time.
_PIECE: Final = 256


class Hits(NamedTuple):
    """What was found.

    Attributes:
        more: Whether there are older ones than the limit lets through.
        entries: The entries with the names of their rooms, in the order of their times; to be read
            to the end, or closed.
    """

    more: bool
    entries: Iterator[tuple[str, Entry]]


class _Range(NamedTuple):
    """The entries of one room that may be among what is found, by their ids."""

    name: str
    first: int
    last: int


def search(
    connection: sqlite3.Connection, room: str | None, words: str, since: int, limit: int | None
) -> Hits:
    """Look for entries.

    Args:
        connection: It must be given to nobody else until all is read.
        room: The room's name; None is all rooms.
        words: Words that must all stand in the text, in any order; none is any text or data.
        since: The earliest time, in microseconds since the epoch.
        limit: The most entries to return: the newest. None is all.
    """
    expression = _quoted(words)
    # All statements of a search must see the same state.
    connection.execute("BEGIN")
    try:
        ranges = _ranges(connection, room, since)
        if expression:
            _index_fresh(connection, ranges)
        more = False
        if limit is not None:
            more, ranges = _newest(connection, ranges, expression, max(limit, 0))
    except BaseException:
        _end(connection)
        raise
    return Hits(more, _entries(connection, ranges, expression))


def newest_seen(
    connection: sqlite3.Connection,
    room: str,
    words: str,
    sees: Callable[[Entry], bool],
    limit: int,
) -> list[Entry]:
    """Return the newest texts of a room with these words that may be seen, oldest first.

    Args:
        connection: It is given to nobody else meanwhile.
        room: The room's name.
        words: As for `search`.
        sees: Tells whether an entry may be found.
        limit: The most entries to return.
    """
    expression = _quoted(words)
    connection.execute("BEGIN")
    try:
        ranges = _ranges(connection, room, 0)
        if expression:
            _index_fresh(connection, ranges)
        entries = (
            entry
            for one in ranges
            for (record,) in _rows(connection, one, expression, "record", "DESC")
            for entry in unpack(1, record)
            if isinstance(entry.body, str) and sees(entry)
        )
        return list(islice(entries, limit))[::-1]
    finally:
        _end(connection)


def _ranges(connection: sqlite3.Connection, room: str | None, since: int) -> list[_Range]:
    where, values = ("", []) if room is None else (" WHERE name = ?", [_encodable(room)])
    rooms = connection.execute(f"SELECT id, name FROM rooms{where} ORDER BY name", values)
    return [
        # Times never go back within a room.
        _Range(
            name,
            (number << NUMBER_BITS) + before(connection, name, since) + 1,
            number << NUMBER_BITS | MAX_NUMBER,
        )
        for number, name in rooms.fetchall()
    ]


def _newest(
    connection: sqlite3.Connection, ranges: list[_Range], expression: str, limit: int
) -> tuple[bool, list[_Range]]:
    """Cut the ranges to the newest hits; tell whether there are more."""

    def backwards(one: _Range) -> Iterator[tuple[int, str, int, _Range]]:
        for id_, at in _rows(connection, one, expression, "id, at", "DESC"):
            yield at, one.name, id_, one

    newest = heapq.merge(*map(backwards, ranges), reverse=True)
    firsts: dict[str, _Range] = {}
    for _, name, id_, one in islice(newest, limit):
        firsts[name] = one._replace(first=id_)
    return next(newest, None) is not None, list(firsts.values())


def _entries(
    connection: sqlite3.Connection, ranges: list[_Range], expression: str
) -> Iterator[tuple[str, Entry]]:
    def forwards(one: _Range) -> Iterator[tuple[int, str, int, Entry]]:
        for (record,) in _rows(connection, one, expression, "record", "ASC"):
            (entry,) = unpack(1, record)
            yield entry.at, one.name, entry.number, entry

    try:
        for _, name, _, entry in heapq.merge(*map(forwards, ranges)):
            yield name, entry
    finally:
        _end(connection)


def _rows(
    connection: sqlite3.Connection, one: _Range, expression: str, columns: str, order: str
) -> Iterator[Any]:
    """Return these columns of a room's hits, in the order of their ids or the other way round."""
    bounds = (one.first, one.last)
    if not expression:
        return connection.execute(_PLAIN.format(columns=columns, order=order), bounds)
    # What is not indexed yet is newer than what is.
    indexes = ("words", "fresh_words") if order == "ASC" else ("fresh_words", "words")
    return chain.from_iterable(
        connection.execute(
            _MATCHING.format(columns=columns, order=order, index=index), (expression, *bounds)
        )
        for index in indexes
    )


def _index_fresh(connection: sqlite3.Connection, ranges: list[_Range]) -> None:
    """Index, for this transaction, the texts that the writer has not got round to."""
    connection.execute(
        "CREATE VIRTUAL TABLE temp.fresh_words USING fts5 (body, content = '', columnsize = 0)"
    )
    for one in ranges:
        (indexed,) = connection.execute(
            "SELECT indexed FROM rooms WHERE name = ?", (one.name,)
        ).fetchone()
        first = max(one.first, (one.last - MAX_NUMBER) + indexed + 1)
        fresh = connection.execute(
            "SELECT id, record FROM entries WHERE id BETWEEN ? AND ? ORDER BY id", (first, one.last)
        )
        while rows := fresh.fetchmany(_PIECE):
            pairs = [(id_, unpack(1, record)[0].body) for id_, record in rows]
            texts = [(id_, body) for id_, body in pairs if isinstance(body, str)]
            insert(connection, "temp.fresh_words (rowid, body)", texts)


def _end(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # an error may have ended it
        connection.execute("ROLLBACK")


def _quoted(words: str) -> str:
    """Return words for MATCH: as strings, in which nothing is an operator."""
    # A NUL would end the expression in the middle of a string.
    plain = _encodable(words).replace("\0", " ").replace('"', '""')
    return " ".join(f'"{word}"' for word in plain.split())


def _encodable(text: str) -> str:
    """Return a text without what is no character: what a command line cannot decode."""
    return text.encode(errors="replace").decode()
