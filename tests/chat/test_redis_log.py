"""Claims about `socketchat.chat.redis_log`, against real servers of Redis."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from socketchat.chat.log import Log
from socketchat.chat.redis_log import RedisLog
from tests.chat.log_conformance import ADA, Clock, LastingLogConformance, Opener, drafts
from tests.redis_server import RedisServer, redis_is_missing

pytestmark = redis_is_missing

#: Seconds for which entries are kept by the logs of these tests, where they are not kept for ever.
RETAIN = 100


@asynccontextmanager
async def opened(server: RedisServer, **options: Any) -> AsyncIterator[RedisLog]:
    log = RedisLog(server.url, **options)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


_prefixes = (f"test{number}" for number in itertools.count())


class TestConformance(LastingLogConformance):
    server: ClassVar[RedisServer]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _server(cls, redis_server: RedisServer) -> None:
        cls.server = redis_server

    @asynccontextmanager
    async def place(self, clock: Clock) -> AsyncIterator[Opener]:
        prefix = next(_prefixes)
        yield lambda: opened(self.server, prefix=prefix, clock=clock, retain=RETAIN)

    async def break_down(self, log: Log) -> None:
        assert isinstance(log, RedisLog)
        for key in log._keys.room("lobby"):
            await asyncio.to_thread(self.server.ask, "SET", key, "something else")

    async def forget(self, log: Log, room: str, clock: Clock) -> None:
        assert isinstance(log, RedisLog)
        clock.now += RETAIN * 1_000_000 // 2
        await log.append(room, ADA, drafts(21, 25))
        clock.now += RETAIN * 1_000_000 // 2 + 1
        await log.prune()
