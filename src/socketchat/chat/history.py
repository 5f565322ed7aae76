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
from socketchat.chat.sqlite_schema import DATABASE, connect_reader, os_error
from socketchat.chat.sqlite_search import Hits, search

__all__ = ["History", "open_history"]


class History:
    """What a log holds; from `open_history`.

    Attributes:
        rooms: The names of all rooms that were ever written to, sorted.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.rooms: list[str] = queries.room_names(connection)

    def find(
        self,
        *,
        room: str | None = None,
        words: str = "",
        since: int = 0,
        limit: int | None = 1000,
    ) -> Hits:
        """Find entries, in the order of their times; read them before something else is looked for.

        They are read from the disk as they are asked for. Those to one member are among them: the
        log is its host's own.

        Args:
            room: The room's name; None is all rooms. One that nobody wrote to is empty.
            words: Words that must all stand in a text, in any order; case and accents do not
                matter. None at all matches everything, data too.
            since: The earliest time, in microseconds since the epoch.
            limit: The most entries to return, the newest. None is all.
        """
        return search(self._connection, room, words, since, limit)


@contextmanager
def open_history(directory: Path) -> Iterator[History]:
    """Open the log in a server's data directory, to read in it.

    Raises:
        OSError: There is no log, or it cannot be read, now or later on; `strerror` says why.
    """
    path = directory / DATABASE
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no server has kept a log there", str(directory))
    with closing(connect_reader(path)) as connection:
        try:
            yield History(connection)
        except (sqlite3.Error, MsgspecError) as exc:
            raise os_error(exc, path) from exc
