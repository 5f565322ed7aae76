"""Slow commits: what the server has to commit waits, as when a backup holds its database.

SQLite's lock for writing is a byte of the file beside the database, at a place that is a part of
its format (sqlite.org/walformat.html, "WAL Locks"). Whoever has it locked keeps the server from
committing, and does nothing to the database. A second connection would do: it might even bring
what is committed into the database, which is the server's business alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

__all__ = ["held"]

_WRITE_LOCK = 120
#: Seconds between two attempts to get the lock; the server has it now and then.
_PATIENCE = 0.002


@contextlib.asynccontextmanager
async def held(database: Path) -> AsyncIterator[None]:
    """Let nobody commit to a database in this block.

    This process must not close any connection to it in the meantime: that would let go of it.
    """
    file = os.open(database.with_name(f"{database.name}-shm"), os.O_RDWR)
    try:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _WRITE_LOCK)
                break
            except (BlockingIOError, PermissionError):
                await asyncio.sleep(_PATIENCE)
        yield
    finally:
        os.close(file)
