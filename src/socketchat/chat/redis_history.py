"""What a log in Redis holds, for one who is no server: `socketchat history --redis`.

It only reads, and may do so while servers write the log. `history.py` is the same for the embedded
log, `redis_log.py` the servers' side. Redis has no index of words: all that may be meant is read,
page by page, and two pages of each room are in memory at most.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, Final, NamedTuple

from msgspec import MsgspecError

from socketchat.chat.log import READ_SIZE, Entry
from socketchat.chat.records import unpack
from socketchat.chat.redis_caller import PATIENCE, Caller
from socketchat.chat.redis_link import Command, RedisLost, RedisStore
from socketchat.chat.redis_scripts import (
    BEFORE,
    MAX_NUMBER,
    PAGE,
    PREFIX,
    SPAN,
    Keys,
    check_version,
)
from socketchat.chat.sqlite_search import Hits
from socketchat.chat.words import matcher
from socketchat.errors import LogError

__all__ = ["RedisHistory", "open_redis_history"]

#: Entries that are read at once.
_AT_ONCE: Final = 1024

Holds = Callable[[Entry], bool]


class _Range(NamedTuple):
    """The entries of one room that may be among what is found, by their numbers."""

    name: str
    first: int
    last: int


class RedisHistory:
    """What a log holds; from `open_redis_history`.

    Attributes:
        rooms: The names of all rooms that were ever written to, sorted.
    """

    def __init__(self, ask: Callable[[Command], Any], keys: Keys) -> None:
        self._ask = ask
        self._keys = keys
        self.rooms: list[str] = sorted(name.decode() for name in ask(("SMEMBERS", keys.rooms)))

    def find(
        self,
        *,
        room: str | None = None,
        words: str = "",
        since: int = 0,
        limit: int | None = 1000,
    ) -> Hits:
        """Find entries that were there by now; see `History.find`."""
        matches = matcher(words)

        def holds(entry: Entry) -> bool:
            return isinstance(entry.body, str) and matches(entry.body)

        wanted: Holds = holds if words.split() else lambda _: True
        names = self.rooms if room is None else [room] if room in self.rooms else []
        ranges = [self._range(name, since) for name in names]
        more = False
        if limit is not None:
            more, ranges = self._newest(ranges, wanted, max(limit, 0))
        return Hits(more, self._entries(ranges, wanted))

    def _range(self, name: str, since: int) -> _Range:
        at = self._keys.room(name)[:2]
        _, held, *_ = map(int, self._ask(SPAN(at)).split())
        # Times never go back within a room.
        before = int(self._ask(BEFORE(at, min(max(since, 0), MAX_NUMBER))))
        return _Range(name, before + 1, held)

    def _newest(self, ranges: list[_Range], wanted: Holds, limit: int) -> tuple[bool, list[_Range]]:
        """Cut the ranges to the newest hits; tell whether there are more."""

        def backwards(one: _Range) -> Iterator[tuple[int, str, int, _Range]]:
            end = one.last
            while end >= one.first:
                start = max(end - _AT_ONCE + 1, one.first)
                for entry in reversed(list(self._read(one._replace(first=start, last=end)))):
                    if wanted(entry):
                        yield entry.at, one.name, entry.number, one
                end = start - 1

        newest = heapq.merge(*map(backwards, ranges), reverse=True)
        firsts: dict[str, _Range] = {}
        for _, name, number, one in islice(newest, limit):
            firsts[name] = one._replace(first=number)
        return next(newest, None) is not None, list(firsts.values())

    def _entries(self, ranges: list[_Range], wanted: Holds) -> Iterator[tuple[str, Entry]]:
        def forwards(one: _Range) -> Iterator[tuple[int, str, int, Entry]]:
            for entry in self._read(one):
                if wanted(entry):
                    yield entry.at, one.name, entry.number, entry

        for _, name, _, entry in heapq.merge(*map(forwards, ranges)):
            yield name, entry

    def _read(self, one: _Range) -> Iterator[Entry]:
        """Read a range; what was let go of meanwhile is left out."""
        keys, after = self._keys.room(one.name)[:2], one.first - 1
        while after < one.last:
            limit = min(one.last - after, _AT_ONCE)
            _, _, _, count, records = self._ask(PAGE(keys, after, "", limit, READ_SIZE))
            if not count:
                return
            for entry in unpack(count, records):
                if entry.number > one.last:
                    return
                yield entry
                after = entry.number


def open_redis_history(url: str, *, prefix: str = PREFIX) -> AbstractContextManager[RedisHistory]:
    """Open the log that servers keep in a Redis, to read in it.

    It has an event loop of its own, and is for programs that have none.

    Args:
        url: As that of `RedisLog`.
        prefix: As that of `RedisLog`.

    Raises:
        ValueError: The URL is none of Redis.
        OSError: When it is entered: there is no log, or it cannot be read, now or later on;
            `strerror` says why.
    """
    return _opened(RedisStore(url), Keys(prefix))


@contextmanager
def _opened(store: RedisStore, keys: Keys) -> Iterator[RedisHistory]:
    with asyncio.Runner() as runner:
        try:
            caller = runner.run(_call(store))

            def ask(command: Command) -> Any:
                (reply,) = runner.run(caller.ask(command))
                return reply

            try:
                version = ask(("GET", keys.version))
                if version is None:
                    raise OSError(errno.ENOENT, "no server has kept a log there", store.shown)
                check_version(version, store.shown)
                yield RedisHistory(ask, keys)
            finally:
                runner.run(caller.close())
        except (LogError, RedisLost, MsgspecError) as exc:
            raise OSError(errno.EIO, str(exc), store.shown) from exc


async def _call(store: RedisStore) -> Caller:
    link = await store.connect()
    return Caller(store, patience=PATIENCE, what="the log", link=link)
