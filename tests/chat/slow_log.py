"""A log in memory that does what is asked of it when the test says so, or fails to."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from socketchat.chat.log import READ_SIZE, Diverged, Draft, Entry, Span, Watcher
from socketchat.chat.memory_log import MemoryLog, _Lane
from socketchat.errors import LogError, LogFailed

__all__ = ["SlowLog"]


class _Asked(NamedTuple):
    """An append that waits to be committed."""

    room: str
    lane: bytes
    drafts: Sequence[Draft]
    after: int
    done: asyncio.Future[int]


class SlowLog(MemoryLog):
    """A `MemoryLog` whose commits can be held back and fail, and whose reads likewise.

    Attributes:
        slow: Whether an append waits for `commit` or `fail`.
        quiet: Whether what is committed can be read, while nobody is told before `tell`.
        readable: While it is not set, whoever reads waits.
        unreadable: What reading raises; None reads.
        reads: How often entries were read.
        failure: Why it has failed for good.
    """

    def __init__(self, *, slow: bool = False, quiet: bool = False, **bounds: Any) -> None:
        super().__init__(**bounds)
        self.slow = slow
        self.quiet = quiet
        self.readable = asyncio.Event()
        self.readable.set()
        self.unreadable: LogError | None = None
        self.reads = 0
        self.failure: LogFailed | None = None
        self._asked: deque[_Asked] = deque()
        self._untold: dict[Watcher, tuple[Watcher, list[Entry]]] = {}
        self._committed: list[Callable[[], object]] = []
        self._diverged: list[tuple[str, Diverged]] = []

    @property
    def under_way(self) -> list[str | bytes]:
        """The bodies that wait to be committed."""
        return [draft.body for asked in self._asked for draft in asked.drafts]

    def append(
        self, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        """Append at once, or when the test says so."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(room, lane, drafts, after, done))
        if not self.slow:
            self.commit()
        return done

    def commit(self, count: int = 2**31) -> None:
        """Commit the oldest appends that wait."""
        while count and self._asked:
            asked, count = self._asked.popleft(), count - 1
            what_happened = super().append(asked.room, asked.lane, asked.drafts, after=asked.after)
            error = what_happened.exception()
            if error is not None:
                asked.done.set_exception(error)
            else:
                told = functools.partial(asked.done.set_result, what_happened.result())
                self._committed.append(told)
        if not self.quiet:
            self.tell()

    def tell(self) -> None:
        """Tell those who watch of what is committed, as one piece, and then those who appended."""
        untold, self._untold = self._untold, {}
        for watcher, entries in untold.values():
            watcher(entries)
        committed, self._committed = self._committed, []
        for done in committed:
            done()

    def watch(
        self, room: str, watcher: Watcher, diverged: Diverged | None = None
    ) -> Callable[[], None]:
        """See `Log.watch`."""

        def keep(entries: Sequence[Entry]) -> None:
            self._untold.setdefault(keep, (watcher, []))[1].extend(entries)

        unwatch = super().watch(room, keep)
        others = [(room, diverged)] if diverged is not None else []
        self._diverged += others

        def stop() -> None:
            unwatch()
            self._untold.pop(keep, None)
            for other in others:
                self._diverged.remove(other)

        return stop

    def diverge(self, room: str, entries: int) -> None:
        """Lose all but the first entries of a room, and their marks, and tell those who watch."""
        self.lose_end(room, entries)
        self.tell_diverged(room)

    def lose_end(self, room: str, entries: int) -> None:
        """Lose all but the first entries of a room, and their marks; nobody notices yet."""
        log = self._room(room)
        while len(log.entries) > entries:
            log.entries.pop()
        log.head = entries
        log.at = log.entries[-1].at if log.entries else 0
        log.lanes.clear()
        for entry in log.entries:
            log.lanes[entry.lane] = _Lane(entry.lane_number, entry.key, entry.number)

    def tell_diverged(self, room: str) -> None:
        """Tell those who watch a room that its log does not go on from where it was."""
        log = self._room(room)
        for name, diverged in list(self._diverged):
            if name == room:
                diverged(log.head)

    def fail(self, error: LogError) -> None:
        """Have the oldest append that waits fail."""
        self._asked.popleft().done.set_exception(error)

    def break_down(self, error: LogFailed) -> None:
        """Fail for good, whoever asks for something or not."""
        self.failure = self.unreadable = error
        self._closed.set()
        while self._asked:
            self.fail(error)

    async def failed(self) -> LogFailed | None:
        """See `Log.failed`."""
        await super().failed()
        return self.failure

    def speed_up(self) -> None:
        """Commit all that waits, and be neither slow nor quiet any more."""
        self.slow = self.quiet = False
        self.commit()

    async def close(self) -> None:
        """Finish the commits under way."""
        self.speed_up()
        await super().close()

    async def _wait_readable(self) -> None:
        await self.readable.wait()
        if self.unreadable is not None:
            raise self.unreadable

    async def mark(self, room: str, lane: bytes) -> int:
        """See `Log.mark`."""
        await self._wait_readable()
        return await super().mark(room, lane)

    async def owner(self, room: str, lane: bytes) -> bytes:
        """See `Log.owner`."""
        await self._wait_readable()
        return await super().owner(room, lane)

    async def span(self, room: str) -> Span:
        """See `Log.span`."""
        await self._wait_readable()
        return await super().span(room)

    async def at(self, room: str, number: int) -> int | None:
        """See `Log.at`."""
        await self._wait_readable()
        return await super().at(room, number)

    async def before(self, room: str, at: int) -> int:
        """See `Log.before`."""
        await self._wait_readable()
        return await super().before(room, at)

    async def read(
        self, room: str, after: int, *, limit: int = 1024, size: int = READ_SIZE
    ) -> list[Entry]:
        """See `Log.read`."""
        self.reads += 1
        await self._wait_readable()
        return await super().read(room, after, limit=limit, size=size)

    def bodies(self, room: str = "lobby") -> list[str | bytes]:
        """Return what is in a room's log."""
        return [entry.body for entry in self._room(room).entries]
