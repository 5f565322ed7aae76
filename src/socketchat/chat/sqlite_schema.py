"""The embedded log's database: its tables, its connections, and what its errors mean.

Every entry is one record, its fields in msgpack, so that SQLite can join a whole page of them into
one value (`sqlite_queries.py`). What SQLite itself must look at has a column of its own. To read it
without a program of one's own there is `socketchat history`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from socketchat.errors import LogError, LogFailed, LogUnavailable

__all__ = [
    "DATABASE",
    "MAX_NUMBER",
    "NUMBER_BITS",
    "as_many_as_fit",
    "as_time",
    "checkpoint",
    "connect_reader",
    "connect_writer",
    "insert",
    "log_error",
    "os_error",
]

#: The database's name in its directory.
DATABASE: Final = "log.db"
#: An entry's id is its room's id, shifted by so much, and its number: a room is one range of ids.
NUMBER_BITS: Final = 40
MAX_NUMBER: Final = 2**NUMBER_BITS - 1
#: Rows to a statement of `insert`: few sizes, so that the statements stay prepared.
_INSERT_SIZES: Final = (256, 64, 16, 4, 1)
#: Seconds for which a connection waits for another program's lock.
BUSY_TIMEOUT: Final = 5.0

#: What makes version 1 of an empty database, 2 of 1, and so on. A step that was released is never
#: changed: add another one.
_MIGRATIONS: Final = (
    """
    -- head and at: number and time of the last entry ever; floor: the first number that is held;
    -- indexed: up to where `words` knows the entries.
    CREATE TABLE rooms (
      id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, floor INTEGER NOT NULL,
      head INTEGER NOT NULL, at INTEGER NOT NULL, indexed INTEGER NOT NULL
    ) STRICT;
    -- last and at: number and time of the lane's last entry in the room; owner: the key of its
    -- first one.
    CREATE TABLE lanes (
      room INTEGER NOT NULL, name BLOB NOT NULL, mark INTEGER NOT NULL, last INTEGER NOT NULL,
      at INTEGER NOT NULL, owner BLOB NOT NULL, PRIMARY KEY (room, name)
    ) STRICT, WITHOUT ROWID;
    -- id: room << 40 | number.
    CREATE TABLE entries (
      id INTEGER PRIMARY KEY, at INTEGER NOT NULL, record BLOB NOT NULL
    ) STRICT;
    -- The texts of entries, by id; it keeps no copy of them.
    CREATE VIRTUAL TABLE words USING fts5 (body, content = '', columnsize = 0);
    """,
)

#: Errors after which the database is as it was before.
_TEMPORARY: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_INTERRUPT,
)


def as_time(at: int) -> int:
    """Return a time as one that SQLite can hold."""
    return min(max(at, 0), 2**63 - 1)


def insert(
    connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]], then: str = ""
) -> None:
    """Insert rows of one width, many with one statement.

    `executemany` gives the interpreter's lock back at each row; beside a busy event loop that makes
    it ten times slower.

    Args:
        connection: In a transaction.
        into: The table, and its columns in brackets.
        rows: What to insert.
        then: What stands behind the values: ON CONFLICT ...
    """
    start = 0
    for size in _INSERT_SIZES:
        while len(rows) - start >= size:
            part = rows[start : start + size]
            values = ",".join([f"({','.join('?' * len(part[0]))})"] * size)
            sql = f"INSERT INTO {into} VALUES {values} {then}"
            connection.execute(sql, list(chain.from_iterable(part)))
            start += size


def as_many_as_fit(first: str, counts: Sequence[int]) -> str:
    """Return an expression: how many entries from a first one on take at most `:size` bytes.

    It is one of some counts, and the least of them whatever that takes. To sum the lengths of
    records costs little: nothing of them is read.

    Args:
        first: An expression for the id of the first one.
        counts: Ascending.
    """

    def fits(count: int) -> str:
        which = f"id BETWEEN {first} AND {first} + {count - 1}"
        return f"(SELECT sum(length(record)) FROM entries WHERE {which}) <= :size"

    # Most are short. What is not should not be summed farther than need be.
    *fewer, most = counts
    expression = str(fewer[-1])
    for count, more in reversed(list(pairwise(fewer))):
        expression = f"iif({fits(more)}, {expression}, {count})"
    return f"iif({fits(most)}, {most}, {expression})"


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes, in a database that is made or brought up to date.

    Raises:
        OSError: It cannot be opened.
    """
    # SQLite gives the files beside it the mode that this one has.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return _connect(path, "rw", _prepare_writer)


def _prepare_writer(connection: sqlite3.Connection, path: Path) -> None:
    _check_version(connection, path)
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise OSError(errno.ENOTSUP, "its filesystem cannot hold a log", str(path))
    connection.execute("PRAGMA synchronous = FULL")
    # macOS' fsync alone does not reach the disk.
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    # By the writer itself: an automatic checkpoint hides that its fsync failed.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    _migrate(connection)


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can only read.

    Raises:
        OSError: It cannot be opened.
    """
    return _connect(path, "ro", _prepare_reader)


def _prepare_reader(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA temp_store = MEMORY")
    _check_version(connection, path)
    if _version(connection) < len(_MIGRATIONS):
        text = "it is empty, or older than this version of socketchat: serve it once"
        raise OSError(errno.ENOTSUP, text, str(path))


def _connect(
    path: Path, mode: str, prepare: Callable[[sqlite3.Connection, Path], None]
) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,  # transactions are begun by us
            check_same_thread=False,  # one thread at a time, but not always the same
            cached_statements=256,
        )
        try:
            prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as exc:
        raise os_error(exc, path) from exc
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) > len(_MIGRATIONS):
        text = "it was written by a newer version of socketchat: update this one"
        raise OSError(errno.ENOTSUP, text, str(path))


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date, one version a transaction."""
    for version in range(_version(connection), len(_MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {_MIGRATIONS[version]} PRAGMA user_version = {version + 1}; COMMIT;"
        )


def checkpoint(connection: sqlite3.Connection) -> None:
    """Bring what is committed from the write-ahead log into the database, as far as readers let."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def log_error(exc: sqlite3.Error | msgspec.MsgspecError) -> LogError:
    """Return what an error means to those who use the log: of SQLite, or of a record.

    Only if the disk is full, or another program holds the database, was nothing done for sure.
    After a failed fsync nobody knows what is on the disk.
    """
    if _code(exc) == sqlite3.SQLITE_FULL:
        return LogUnavailable("the disk of the log is full")
    if _code(exc) in _TEMPORARY:
        return LogUnavailable(f"the log is held by another program: {exc}")
    return LogFailed(str(exc))


def os_error(exc: sqlite3.Error | msgspec.MsgspecError, path: Path) -> OSError:
    """Return an error of the database as what a file that cannot be read or written raises."""
    number = errno.ENOSPC if _code(exc) == sqlite3.SQLITE_FULL else errno.EIO
    return OSError(number, f"it cannot be used: {exc}", str(path))


def _code(exc: Exception) -> int:
    """Return the primary code; errors of the module itself have none."""
    return getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
