"""Where servers keep what is said, as the harness knows it: what it reads there, and holds up.

`SQLiteStore` is the directory of one server; that of several is in `redis_store.py`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol

from socketchat.chat.history import open_history
from socketchat.chat.sqlite_schema import DATABASE
from tests.chaos.held_log import held
from tests.chaos.journal import Shown, parse_text

__all__ = ["SQLiteStore", "Store"]


class Store(Protocol):
    """Where the servers keep what is said."""

    @property
    def options(self) -> Sequence[str]:
        """What a server is told about it on its command line."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """Let nobody commit anything in this block, which waits for others like it."""

    def heads(self) -> dict[str, int]:
        """Return the number of the last entry of each room."""

    def logs(self) -> dict[str, list[Shown]]:
        """Return the entries of each room, in the order of their numbers."""

    def integrity(self) -> str:
        """Return `ok` if all is as it should be, beside what the entries say; else what is not."""


class SQLiteStore:
    """The log in a server's data directory.

    Args:
        data: The directory.
    """

    options: Sequence[str] = ()

    def __init__(self, data: Path) -> None:
        self._data = data
        self._order = asyncio.Lock()  # two holds of one process would not keep each other out

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """See `Store.held`."""
        async with self._order, held(self._data / DATABASE):
            yield

    def heads(self) -> dict[str, int]:
        """See `Store.heads`."""
        return dict(self._select("SELECT name, head FROM rooms"))

    def logs(self) -> dict[str, list[Shown]]:
        """See `Store.logs`."""
        with open_history(self._data) as history:
            return {
                room: [
                    Shown(entry.number, entry.at, parse_text(str(entry.body)))
                    for _, entry in history.find(room=room, limit=None).entries
                ]
                for room in history.rooms
            }

    def integrity(self) -> str:
        """See `Store.integrity`: what SQLite says."""
        return str(self._select("PRAGMA integrity_check")[0][0])

    def _select(self, statement: str) -> list[tuple[Any, ...]]:
        uri = f"{(self._data / DATABASE).as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(statement).fetchall()
