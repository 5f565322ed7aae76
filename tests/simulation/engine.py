"""The disk of the server's machine, and a log on it: an engine as unkind as one may be.

`Disk` outlives every server; `SimulatedLog` is what one server process has of it, and keeps the
protocol of `chat/log.py`. Commits take their time, are made in groups, one after the other, and are
told a while after they are durable. A log that dies loses what is not committed, but for a commit
under way, which may be durable all the same.

Marks are kept for good, though a log need keep them only for so long after the last entry of the
lane: no sender is away for that time.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from socketchat import LogError, LogFailed, LogUnavailable
from socketchat.chat.log import READ_SIZE, Diverged, Draft, Entry, Span, Watcher
from socketchat.chat.watchers import Watchers
from socketchat.chat.words import matcher
from tests.simulation.history import Committed, History, Trimmed

__all__ = ["Disk", "Request", "SimulatedLog"]

#: 2026-01-01, in microseconds since the epoch: when every run begins.
EPOCH = 1_767_225_600_000_000
#: The most appends that one transaction takes.
GROUP_SIZE = 4


class RoomOnDisk:
    """What the disk holds of one room."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.floor = 1
        self.marks: dict[bytes, int] = {}
        self.owners: dict[bytes, bytes] = {}

    @property
    def head(self) -> int:
        return len(self.entries)

    @property
    def at(self) -> int:
        return self.entries[-1].at if self.entries else 0


class Disk:
    """What survives the server, and how well the disk works just now.

    Attributes:
        rooms: The logs; their entries are all kept for the checker, also those below the floor.
        slowness: Seconds that a commit takes at the most.
        fullness: How often there is no room for a commit, from 0 to 1.
        breaking: Whether the next commit fails, and nobody knows what became of it; or the next
            read, if that comes first.
        piece: The most entries that are read at once, if it is not 0.
        clock: Tells the time, in microseconds since the epoch.
    """

    def __init__(
        self, rng: random.Random, history: History, *, clock: Callable[[], int] | None = None
    ) -> None:
        self.rooms: dict[str, RoomOnDisk] = {}
        self.rng = rng
        self.history = history
        self.piece = 0
        self.clock = clock or (lambda: EPOCH + int(history.now() * 1_000_000))
        self.heal()

    def heal(self) -> None:
        """Work well."""
        self.slowness = 0.005
        self.fullness = 0.0
        self.breaking = False

    def room(self, name: str) -> RoomOnDisk:
        """Return what is held of a room."""
        return self.rooms.setdefault(name, RoomOnDisk())

    def add(self, name: str, lane: bytes, draft: Draft, at: int = 0) -> Entry:
        """Make an entry durable; it bears the time `at`, or now."""
        room = self.room(name)
        at = max(room.at, at or self.clock())
        entry = draft.entry(room.head + 1, at, lane)
        room.entries.append(entry)
        room.owners.setdefault(lane, draft.key)
        self.history.add(Committed(self.history.now(), name, entry))
        return entry

    def trim(self, name: str, keep: int) -> None:
        """Let go of all but the last entries of a room."""
        room = self.room(name)
        floor = max(room.floor, room.head - keep + 1)
        if floor > room.floor:
            room.floor = floor
            self.history.add(Trimmed(self.history.now(), name, floor))


class Request(NamedTuple):
    """An append that waits to be committed."""

    room: str
    lane: bytes
    drafts: Sequence[Draft]
    after: int
    future: asyncio.Future[int]


#: What became of a request: the new entries and the mark, or why it was not done.
Outcome = tuple[list[Entry], int] | LogError


class SimulatedLog:
    """A server process's hold on the disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.dead = False
        self._rng = disk.rng
        self._loop = asyncio.get_running_loop()
        self._error: LogFailed | None = None
        self._queue: list[Request] = []
        self._under_way: list[Request] = []
        self._telling = 0
        self._told_at = 0.0
        self._watchers: dict[str, Watchers] = {}
        self._idle = asyncio.Event()
        self._ended = asyncio.Event()
        self.commits = 0

    # ---- its life ----

    async def open(self) -> None:
        """Do nothing: what the disk holds is the log."""

    async def close(self) -> None:
        """Finish the commits under way."""
        while self._queue or self._under_way or self._telling:
            self._idle.clear()
            await self._idle.wait()
        self._ended.set()

    async def failed(self) -> LogFailed | None:
        """See `Log.failed`."""
        await self._ended.wait()
        return None if self.dead else self._error

    def die(self) -> None:
        """Lose what is not committed, and maybe the answer of a commit that is; tell nobody."""
        if self._under_way and self._error is None and self._rng.random() < 0.5:
            self.transact(self._under_way)
        self.dead = True
        self._ended.set()
        self._queue.clear()
        self._under_way = []

    # ---- appending ----

    def append(
        self, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        """See `Log.append`."""
        future: asyncio.Future[int] = self._loop.create_future()
        if self._error is not None:
            future.set_exception(self._error)
        elif not self.dead:
            self._queue.append(Request(room, lane, drafts, after, future))
            self._begin_commit()
        return future

    def _begin_commit(self) -> None:
        if self._under_way or not self._queue:
            return
        count = self._rng.randint(1, GROUP_SIZE)
        self._under_way, self._queue = self._queue[:count], self._queue[count:]
        # Most are quick, even on a slow disk.
        seconds = self.disk.slowness * self._rng.random() ** 3
        self._loop.call_later(seconds, self._commit)

    def _commit(self) -> None:
        if self.dead or self._error is not None:
            return
        if self.disk.breaking:
            self.fail()
            return
        group, self._under_way = self._under_way, []
        if self.disk.fullness and self._rng.random() < self.disk.fullness:
            outcomes: list[Outcome] = [LogUnavailable("the disk is full")] * len(group)
        else:
            outcomes = self.transact(group)
            self.commits += 1
        # It is durable now, and told later: by a thread, on a busy machine.
        delay = self.disk.slowness * self._rng.random() / 4 if self._rng.random() < 0.3 else 0.0
        self._told_at = max(self._told_at + 1e-9, self._loop.time() + delay)
        self._telling += 1
        self._loop.call_at(self._told_at, self._tell, group, outcomes)
        self._begin_commit()

    def transact(self, group: Sequence[Request]) -> list[Outcome]:
        """Do what is asked for, in one transaction, and say what became of each."""
        return [self.apply(request) for request in group]

    def apply(self, request: Request) -> Outcome:
        """Store the entries of one request and their lane's mark."""
        room, lane = request.room, request.lane
        mark = self.known_mark(room, lane)
        if mark < request.after:
            return LogUnavailable(f"message {request.after} is not in the log")
        added = []
        for draft in request.drafts:
            if draft.number > mark:
                added.append(self.store(request, draft))
                mark = draft.number
        self.set_mark(room, lane, mark)
        return added, mark

    # What faults are planted in (`planted.py`):

    def store(self, request: Request, draft: Draft) -> Entry:
        """Store one entry."""
        return self.disk.add(request.room, request.lane, draft)

    def known_mark(self, room: str, lane: bytes) -> int:
        """Return a lane's mark, as far as this process knows."""
        return self.disk.room(room).marks.get(lane, 0)

    def set_mark(self, room: str, lane: bytes, mark: int) -> None:
        """Store a lane's mark."""
        self.disk.room(room).marks[lane] = mark

    def _tell(self, group: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
        self._telling -= 1
        if self.dead:
            return
        for request, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, LogError):
                request.future.set_exception(outcome)
                continue
            added, mark = outcome
            if added:
                self.tell_watchers(request.room, added)
            request.future.set_result(mark)
        self._idle.set()

    def tell_watchers(self, room: str, entries: Sequence[Entry]) -> None:
        """Tell those who watch a room what is new."""
        if room in self._watchers:
            self._watchers[room].show(entries)

    def fail(self) -> None:
        """Fail for good; what is under way may be durable, and nobody is told whether it is."""
        if self._error is not None:
            return
        group = self._under_way + self._queue
        if self._rng.random() < 0.5:
            self.transact(self._under_way)
        self._under_way, self._queue = [], []
        self.disk.breaking = False
        self._error = LogFailed("a write failed")
        for request in group:
            request.future.set_exception(self._error)
        self._idle.set()
        self._ended.set()

    # ---- reading ----

    async def _reach(self, name: str) -> RoomOnDisk:
        """Return what is held of a room, now or a little later."""
        if self._rng.random() < 0.3:
            await asyncio.sleep(self.disk.slowness * self._rng.random() / 4)
        if self.dead:
            raise LogUnavailable("the process is dead")
        if self.disk.breaking:
            self.fail()
        if self._error is not None:
            raise self._error
        return self.disk.room(name)

    async def mark(self, room: str, lane: bytes) -> int:
        """See `Log.mark`."""
        await self._reach(room)
        return self.known_mark(room, lane)

    async def owner(self, room: str, lane: bytes) -> bytes:
        """See `Log.owner`."""
        await self._reach(room)
        return self.disk.room(room).owners.get(lane, b"")

    async def span(self, room: str) -> Span:
        """See `Log.span`."""
        held = await self._reach(room)
        return Span(held.floor, held.head, held.at)

    async def at(self, room: str, number: int) -> int | None:
        """See `Log.at`."""
        held = await self._reach(room)
        return held.entries[number - 1].at if held.floor <= number <= held.head else None

    async def before(self, room: str, at: int) -> int:
        """See `Log.before`."""
        held = await self._reach(room)
        older = bisect_left(held.entries, at, key=lambda entry: entry.at)
        return max(older, held.floor - 1)

    async def read(
        self, room: str, after: int, *, limit: int = 1024, size: int = READ_SIZE
    ) -> list[Entry]:
        """See `Log.read`."""
        held = await self._reach(room)
        if self.disk.piece:
            limit = min(limit, self._rng.randint(1, self.disk.piece))
        found: list[Entry] = []
        for entry in held.entries[max(after, held.floor - 1) :]:
            if len(found) >= limit or size <= 0:
                break
            found.append(entry)
            size -= len(entry.body)
        return found

    async def search(
        self, room: str, words: str, sees: Callable[[Entry], bool], *, limit: int
    ) -> list[Entry]:
        """See `Log.search`."""
        held = await self._reach(room)
        holds = matcher(words)
        texts = [one for one in held.entries[max(held.floor - 1, 0) :] if isinstance(one.body, str)]
        return [one for one in texts if sees(one) and holds(str(one.body))][-limit:]

    def watch(
        self, room: str, watcher: Watcher, diverged: Diverged | None = None
    ) -> Callable[[], None]:
        """See `Log.watch`."""
        return self._watchers.setdefault(room, Watchers(room)).watch(watcher, diverged)
