"""What an embedded log holds, for one who is not its server: the command `socketchat history`.

It only reads, and may do so while a server writes the log. `sqlite_log.py` is the server's side.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import MsgspecError

from socketchat.chat import sqlite_queries as queries
from socketchat.chat.log import Entry
from socketchat.chat.sqlite_schema import DATABASE, connect_reader, os_error

__all__ = ["read_history", "room_names"]


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
        return queries.find(connection, room, words, since, limit)


def room_names(directory: Path) -> list[str]:
    """Return the names of all rooms that were ever written to, sorted.

    Raises:
        OSError: There is no log, or it cannot be read; `strerror` says why.
    """
    with _opened(directory) as connection:
        return queries.room_names(connection)


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
