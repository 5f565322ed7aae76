"""What a server knows about people, in one SQLite database beside its log. See `facts.py`."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from socketchat.chat.sqlite_schema import log_error, os_error
from socketchat.errors import LogUnavailable

__all__ = ["FileFacts"]

#: The file's name in the server's directory.
DATABASE: Final = "people.db"

#: The version of what is in the file.
_VERSION: Final = 1
_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS facts (
      kind TEXT NOT NULL, subject TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, subject)
    ) STRICT, WITHOUT ROWID
"""

_T = TypeVar("_T")


class FileFacts:
    """Facts in a file of the server's directory; all of them are in memory as well. See `Facts`.

    The directory must be the server's alone: the log's lock keeps others out.

    Args:
        directory: The server's data directory; it is made if it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / DATABASE
        self._facts: dict[str, dict[str, str]] = {}
        self._connection: sqlite3.Connection | None = None
        # One thread, so that what is written is written in order.
        self._thread = ThreadPoolExecutor(1, "socketchat-facts")
        # What is known in memory is what was written: nothing is looked at in between.
        self._order = asyncio.Lock()

    async def open(self) -> None:
        """See `Facts.open`."""
        try:
            self._connection, self._facts = await self._do(self._load)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    def _load(self) -> tuple[sqlite3.Connection, dict[str, dict[str, str]]]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                return connection, self._read(connection)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as exc:
            raise os_error(exc, self._path) from exc

    def _read(self, connection: sqlite3.Connection) -> dict[str, dict[str, str]]:
        """Prepare the database, and return all that is in it."""
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            text = "it was written by a newer version of socketchat: update this one"
            raise OSError(errno.ENOTSUP, text, str(self._path))
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        facts: dict[str, dict[str, str]] = {}
        for kind, subject, value in connection.execute("SELECT * FROM facts"):
            facts.setdefault(kind, {})[subject] = value
        return facts

    async def close(self) -> None:
        """See `Facts.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._do(connection.close)
            self._thread.shutdown(wait=False)

    async def get(self, kind: str, subject: str) -> str | None:
        """See `Facts.get`."""
        return self._facts.get(kind, {}).get(subject)

    async def all(self, kind: str) -> Mapping[str, str]:
        """See `Facts.all`."""
        return MappingProxyType(self._facts.get(kind, {}))

    async def count(self, kind: str) -> int:
        """See `Facts.count`."""
        return len(self._facts.get(kind, {}))

    async def add(self, kind: str, subject: str, value: str) -> str:
        """See `Facts.add`."""
        async with self._order:
            known = await self.get(kind, subject)
            if known is None:
                await self._write("INSERT INTO facts VALUES (?, ?, ?)", kind, subject, value)
                return value
        return known

    async def put(self, kind: str, subject: str, value: str) -> None:
        """See `Facts.put`."""
        async with self._order:
            await self._write("REPLACE INTO facts VALUES (?, ?, ?)", kind, subject, value)

    async def remove(self, kind: str, subject: str) -> bool:
        """See `Facts.remove`."""
        async with self._order:
            if await self.get(kind, subject) is None:
                return False
            await self._write("DELETE FROM facts WHERE kind = ? AND subject = ?", kind, subject)
        return True

    async def _write(self, sql: str, kind: str, subject: str, value: str | None = None) -> None:
        """Carry out one statement for good, and know it; a fact without a value is forgotten.

        Raises:
            LogError: It could not be done.
        """
        connection = self._connection
        if connection is None:
            raise LogUnavailable("what is known about people is closed")

        def write() -> None:
            # Both here, so that a caller who is cancelled in between leaves them as one.
            facts = self._facts.setdefault(kind, {})
            if value is None:
                connection.execute(sql, (kind, subject))
                del facts[subject]
            else:
                connection.execute(sql, (kind, subject, value))
                facts[subject] = value

        try:
            await self._do(write)
        except sqlite3.Error as exc:
            raise log_error(exc) from exc

    async def _do(self, work: Callable[[], _T]) -> _T:
        # Not cancelled half-way: what was written must be known.
        doing = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            raise
