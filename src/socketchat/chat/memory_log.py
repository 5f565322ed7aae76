"""The log in memory: an engine that lasts as long as its process. See `log.py`."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from socketchat.chat.log import READ_SIZE, Diverged, Draft, Entry, Span, Watcher
from socketchat.chat.watchers import Watchers
from socketchat.chat.words import matcher
from socketchat.errors import LogFailed, LogUnavailable

__all__ = ["MemoryLog"]

#: Texts that a search looks at in one turn of the loop.
_SEARCHED_AT_ONCE = 100


@dataclass(slots=True)
class _Lane:
    """What is known of a lane: its mark, its owner, and the number of its last entry."""

    mark: int
    owner: bytes
    last: int


class _RoomLog:
    """The log of one room."""

    def __init__(self, name: str) -> None:
        self.entries: deque[Entry] = deque()
        self.size = 0
        self.head = 0
        self.at = 0
        #: By name, in the order of their last entries.
        self.lanes: dict[bytes, _Lane] = {}
        self.watchers = Watchers(name)

    @property
    def floor(self) -> int:
        return self.head - len(self.entries) + 1


class MemoryLog:
    """Logs in memory, which keep the last entries of each room.

    "Committed" means here: the process has it. A server on it promises to survive lost links.

    A lane's mark is kept as long as an entry of the lane, and longer: the marks of the `max_lanes`
    lanes that spoke last in the room. So who sends something again is known to do so unless that
    many others have spoken since.

    Args:
        max_entries: Entries kept in a room.
        max_size: Bytes (characters, of texts) of bodies kept in a room.
        max_lanes: Lanes remembered in a room, beside those of its entries; some 300 bytes each.
        clock: Tells the time, in microseconds since the epoch.
    """

    def __init__(
        self,
        *,
        max_entries: int = 65_536,
        max_size: int = 16 * 2**20,
        max_lanes: int = 16_384,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        #: See `Log.commits`: every append is one.
        self.commits: int = 0
        self._max_entries = max_entries
        self._max_size = max_size
        self._max_lanes = max_lanes
        self._clock = clock
        self._rooms: dict[str, _RoomLog] = {}
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """Make ready; it may be opened again once it was closed, and holds what it held."""
        if self._closed.is_set():
            self._closed = asyncio.Event()

    async def close(self) -> None:
        """Let those go who wait for it to fail: there is nothing under way."""
        self._closed.set()

    async def failed(self) -> LogFailed | None:
        """Wait until it is closed: it does not fail."""
        await self._closed.wait()
        return None

    def append(
        self, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        """Append at once; see `Log.append`."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        log = self._kept(room)
        known = log.lanes.get(lane)
        mark = known.mark if known is not None else 0
        if mark < after:
            done.set_exception(LogUnavailable(f"message {after} is not in the log"))
            return done
        added = []
        for draft in drafts:
            if draft.number > mark:
                mark = draft.number
                added.append(self._add(log, lane, draft))
        if added:
            self.commits += 1
            # It stays its first owner's, and becomes the last.
            owner = known.owner if known is not None else added[0].key
            log.lanes.pop(lane, None)
            log.lanes[lane] = _Lane(mark, owner, log.head)
            self._trim(log)
            log.watchers.show(added)
        done.set_result(mark)
        return done

    def _add(self, log: _RoomLog, lane: bytes, draft: Draft) -> Entry:
        log.head += 1
        log.at = max(log.at, self._clock())
        entry = draft.entry(log.head, log.at, lane)
        log.entries.append(entry)
        log.size += len(entry.body)
        return entry

    def _trim(self, log: _RoomLog) -> None:
        """Let go of the oldest entries, and of the lanes that have none left and spoke first."""
        while len(log.entries) > self._max_entries or (
            log.size > self._max_size and len(log.entries) > 1
        ):
            entry = log.entries.popleft()
            log.size -= len(entry.body)
        while len(log.lanes) > self._max_lanes:
            name, lane = next(iter(log.lanes.items()))
            if lane.last >= log.floor:
                break
            del log.lanes[name]

    async def mark(self, room: str, lane: bytes) -> int:
        """See `Log.mark`."""
        known = self._room(room).lanes.get(lane)
        return known.mark if known is not None else 0

    async def owner(self, room: str, lane: bytes) -> bytes:
        """See `Log.owner`."""
        known = self._room(room).lanes.get(lane)
        return known.owner if known is not None else b""

    async def span(self, room: str) -> Span:
        """See `Log.span`."""
        log = self._room(room)
        return Span(log.floor, log.head, log.at)

    async def at(self, room: str, number: int) -> int | None:
        """See `Log.at`."""
        log = self._room(room)
        return log.entries[number - log.floor].at if log.floor <= number <= log.head else None

    async def before(self, room: str, at: int) -> int:
        """See `Log.before`."""
        log = self._room(room)
        older = bisect.bisect_left(log.entries, at, key=lambda entry: entry.at)
        return log.floor - 1 + older

    async def read(
        self, room: str, after: int, *, limit: int = 1024, size: int = READ_SIZE
    ) -> list[Entry]:
        """See `Log.read`."""
        log = self._room(room)
        found: list[Entry] = []
        for entry in islice(log.entries, max(after + 1 - log.floor, 0), None):
            if len(found) >= limit or size <= 0:
                break
            found.append(entry)
            size -= len(entry.body)
        return found

    async def search(
        self, room: str, words: str, sees: Callable[[Entry], bool], *, limit: int
    ) -> list[Entry]:
        """See `Log.search`; it looks at every text that is kept, some 100,000 a second."""
        holds = matcher(words)
        found: list[Entry] = []
        # A snapshot: it gives way to others in between.
        for looked_at, entry in enumerate(reversed(list(self._room(room).entries))):
            if len(found) >= limit:
                break
            if isinstance(entry.body, str) and sees(entry) and holds(entry.body):
                found.append(entry)
            if looked_at % _SEARCHED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found[::-1]

    def watch(
        self,
        room: str,
        watcher: Watcher,
        diverged: Diverged | None = None,  # noqa: ARG002 - it does not
    ) -> Callable[[], None]:
        """See `Log.watch`."""
        log = self._kept(room)
        unwatch = log.watchers.watch(watcher)

        def stop() -> None:
            unwatch()
            if not log.watchers and not log.head:
                del self._rooms[room]  # nothing was ever said in it

        return stop

    def _room(self, name: str) -> _RoomLog:
        """Return a room's log, or an empty one that is not kept."""
        return self._rooms.get(name) or _RoomLog(name)

    def _kept(self, name: str) -> _RoomLog:
        """Return a room's log, which is kept from now on."""
        log = self._rooms.get(name)
        if log is None:
            log = self._rooms[name] = _RoomLog(name)
        return log
