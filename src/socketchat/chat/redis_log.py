"""The log that several servers share: an engine that keeps rooms in Redis. See `log.py`.

Every server appends to the same rooms (`redis_writer.py`), and waits for what the others append
(`redis_reader.py`); a client may go on at any of them. `redis_scripts.py` says how it lies there.

What Redis has acknowledged is as safe as it is set to keep it: `appendfsync always`, replicas and
`wait`. While it is away nothing is acknowledged, and everything goes on when it is back. An append
of which nobody knows what became is made again, which the marks make harmless, or given up after
`patience` seconds: so no outage makes the log fail. It fails if Redis holds something else than it
should. If Redis comes back without what it had, everybody is told: see `Log.watch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from socketchat.chat.log import READ_SIZE, Diverged, Draft, Entry, Span, Watcher
from socketchat.chat.records import unpack
from socketchat.chat.redis_batch import Append, Committed, Look, span_of
from socketchat.chat.redis_caller import PATIENCE, Caller
from socketchat.chat.redis_chores import Chores
from socketchat.chat.redis_link import TIMEOUT, RedisStore
from socketchat.chat.redis_reader import Reader
from socketchat.chat.redis_rooms import Followed, Place, Waiting
from socketchat.chat.redis_scripts import (
    AT,
    BEFORE,
    MAX_NUMBER,
    PAGE,
    PREFIX,
    SPAN,
    TAKE,
    VERSION,
    Keys,
    check_version,
    pack,
)
from socketchat.chat.redis_writer import Writer
from socketchat.chat.watchers import settle
from socketchat.chat.words import matcher
from socketchat.errors import LogError, LogFailed, LogUnavailable
from socketchat.messages import MAX_NUMBER as MAX_LANE_NUMBER

__all__ = ["RedisLog"]

_log = logging.getLogger("socketchat.chat")

#: Entries that a search looks at, in all and between two looks at whether it has found enough.
_MOST_SEARCHED: Final = 20_000
_SEARCHED_AT_ONCE: Final = 500
#: Seconds for which it is known at which server a lane's author was let in last: longer than what a
#: server that lost it could still be about to append.
_TAKEN_FOR: Final = 3600


class RedisLog:
    """Logs in a Redis server, from 6.2 on, or Valkey; without Redis Cluster.

    A lane's mark is kept as long as an entry of the lane, and for 30 days after the last one.

    Attributes:
        error: Why the log has failed for good; None if it has not. See `failed`.
        commits: See `Log.commits`; those of this server.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, as the package redis takes it.
        retain: Seconds for which entries are kept; None is for ever. Of several servers the one
            that keeps them shortest counts.
        wait: How many replicas must have a message before it is acknowledged, and before anybody
            sees it, at any server. It must be the same for all servers.
        prefix: What all keys begin with: logs of different prefixes know nothing of each other.
        timeout: Seconds without an answer after which a connection is lost.
        patience: Seconds for which anything is tried before it is unavailable.
        clock: Tells the time, in microseconds since the epoch; None has Redis tell it, which is the
            same for all servers.

    Raises:
        ValueError: The URL is none of Redis.
    """

    def __init__(
        self,
        url: str,
        *,
        retain: float | None = None,
        wait: int = 0,
        prefix: str = PREFIX,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.error: LogFailed | None = None
        self.commits: int = 0
        self._store = RedisStore(url, timeout=timeout)
        self._keys = Keys(prefix)
        self._server = uuid.uuid4().hex
        self._wait = wait
        self._patience = patience
        self._clock = clock
        self._timeout = timeout
        self._retain = retain
        self._rooms: dict[str, Followed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = False
        self._closed: asyncio.Task[None] | None = None
        #: Reads under way.
        self._reads = 0
        self._no_reads = asyncio.Event()
        self._no_reads.set()

    # Opening and closing

    async def open(self) -> None:
        """Make ready; before anything else. It may be opened only once.

        Raises:
            OSError: Redis cannot be reached, is none on which a log can be kept, or holds one of a
                newer version; `strerror` says which.
        """
        link = await self._store.check()
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._caller = Caller(
            self._store,
            patience=self._patience,
            what="the log",
            link=link,
            touch=self._keys.touch,
        )
        try:
            await self._check_version()
        except BaseException:
            await self._caller.close()
            raise
        self._writer = Writer(
            self._store,
            self._keys,
            server=self._server,
            wait=self._wait,
            patience=self._patience,
            clock=self._clock,
            told=self._committed,
            failed=self._fail,
        )
        self._reader = Reader(
            self._store, self._keys, self._rooms, unseen=self._publish, failed=self._fail
        )
        self._chores = Chores(self._caller, self._keys, self._retain, self._clock)
        self._is_open = True
        self._warn(link.facts)
        self._own(self._writer.run())
        self._own(self._reader.run())
        self._own(self._chores.run())

    def _warn(self, facts: Mapping[str, str]) -> None:
        """Say what a server is set to that the operator may not have meant."""
        replicas = int(facts.get("connected_slaves", self._wait))
        if replicas < self._wait:
            _log.warning(
                "nothing is acknowledged before %d replicas of Redis have it: there are %d",
                self._wait,
                replicas,
            )

    async def _check_version(self) -> None:
        try:
            key = self._keys.version
            _, version = await self._caller.ask(("SETNX", key, VERSION), ("GET", key))
        except LogError as exc:
            raise OSError(errno.EIO, str(exc.args[0]), self._store.shown) from exc
        check_version(version, self._store.shown)

    async def close(self) -> None:
        """Finish the commits and reads under way, and let everything go. Twice does no harm.

        Cancellation: it goes on by itself.
        """
        if self._closed is None and self._is_open:
            self._is_open = False
            self._closed = asyncio.create_task(self._close())
        if self._closed is not None:
            await asyncio.shield(self._closed)

    async def _close(self) -> None:
        if self.error is None:
            await self._writer.idle()  # as long as its patience
            await self._no_reads.wait()
            await self._told_all()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._caller.close()
        self._let_go(self.error or LogUnavailable("the log is closed"))
        if not self._over.done():
            self._over.set_result(None)

    async def _told_all(self) -> None:
        """Give the reader the time to bring what goes before the last appends."""
        waiting = [done for room in self._rooms.values() for done in room.waiting]
        if waiting:
            await asyncio.wait(waiting, timeout=self._timeout)

    async def failed(self) -> LogFailed | None:
        """See `Log.failed`.

        Redis holds something else than it should.
        """
        await asyncio.shield(self._over)
        return self.error

    def _fail(self, error: LogFailed) -> None:
        """Acknowledge nothing any more."""
        if self.error is not None:
            return
        self.error = error
        if not self._over.done():
            self._over.set_result(None)
        for task in self._tasks:
            task.cancel()
        self._let_go(error)

    def _let_go(self, error: LogError) -> None:
        self._writer.fail(error)
        for room in self._rooms.values():
            room.give_up(error)
            room.fail_to_start(error)

    def _why_not(self) -> LogError:
        """Return what is raised by a log that is closed or has failed."""
        if self.error is not None:
            return LogFailed(*self.error.args)
        return LogUnavailable("the log is closed")

    def _own(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if self._is_open:  # else it was for us to cancel it
                self._fail(LogFailed("a task of the log was cancelled"))
        elif isinstance(exc := task.exception(), LogFailed):
            self._fail(exc)
        elif exc is not None:
            self._loop.call_exception_handler(
                {"message": "the log", "exception": exc, "task": task}
            )
            self._fail(LogFailed(repr(exc)))

    # Appending

    def append(
        self, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        """See `Log.append`.

        Raises:
            ValueError: A draft's number is too great, or a text holds what is no character
                (surrogates).
        """
        for draft in drafts:
            if draft.number > MAX_LANE_NUMBER:
                raise ValueError(f"the number {draft.number} is too great")
        room.encode()
        records = [pack(lane, draft) for draft in drafts]
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if not self._is_open or self.error is not None:
            done.set_exception(self._why_not())
        else:
            self._writer.ask(Append(room, lane, drafts, records, after, done))
        return done

    def _committed(self, committed: Committed) -> None:
        """Tell those who watch, and the authors, of what was appended here."""
        self.commits += bool(committed.first)  # one script is one transaction
        waiting = [
            Waiting(last, append.lane, mark, append.done, append.deadline)
            for append, mark, last, _ in committed.made
        ]
        room = self._rooms.get(committed.room)
        if room is None:
            for one in waiting:
                settle(one.done, one.mark)
            return
        entries: list[Entry] = []
        for append, _, last, first in committed.made:
            if first:
                # The last ones: those before them were repeats.
                new = append.drafts[-(last - first + 1) :]
                entries += [
                    draft.entry(number, committed.at, append.lane)
                    for number, draft in enumerate(new, first)
                ]
        room.committed(entries, Place(committed.first - 1, committed.before), waiting)

    def watch(
        self, room: str, watcher: Watcher, diverged: Diverged | None = None
    ) -> Callable[[], None]:
        """See `Log.watch`."""
        followed = self._rooms.get(room)
        if followed is None:
            followed = self._rooms[room] = Followed(room)
            if self._is_open and self.error is None:
                self._start(followed)
        unwatch = followed.watch(watcher, diverged)

        def stop() -> None:
            unwatch()
            if not followed.is_watched and self._rooms.get(room) is followed:
                del self._rooms[room]

        return stop

    def _start(self, room: Followed) -> None:
        """Find out from where on those who watch a room are told.

        What is appended here after this call is behind it.
        """

        def begin(span: Span) -> None:
            room.start(Place(span.head, span.at))
            self._own(self._wake(room))

        def looked(done: asyncio.Future[Span]) -> None:
            error = done.exception()
            if isinstance(error, LogError):
                room.fail_to_start(error)
                if room.is_watched and self._is_open and self.error is None:
                    self._start(room)

        look = Look(room.name, publishes=False, done=self._loop.create_future(), then=begin)
        look.done.add_done_callback(looked)
        self._writer.ask(look)

    async def _wake(self, room: Followed) -> None:
        """Have the reader wait for a room's news as well."""
        commands = self._reader.wakes(room.name)
        if commands:
            with contextlib.suppress(LogError):  # it wakes by itself a little later
                await self._caller.ask(*commands)

    def _publish(self, room: Followed) -> None:
        """Let all of a room be seen, of which a server has not published the end."""
        if self._is_open:
            self._writer.ask(Look(room.name, publishes=True, done=self._loop.create_future()))

    # Reading

    async def mark(self, room: str, lane: bytes) -> int:
        """See `Log.mark`."""
        await self._writer.certain(room, lane)
        _, head, lanes, _ = self._keys.room(room)
        keys = head, lanes, self._keys.taken(room, lane)
        ((known, held),) = await self._ask(TAKE(keys, lane, self._server, _TAKEN_FOR))
        if not known:
            return 0
        self._learn(room, int(known[19:35]), int(known[35:51]))
        if int(known[19:35]) > int(held):
            await self._published(room)  # else it may not be kept
        return int(known[:19])

    async def owner(self, room: str, lane: bytes) -> bytes:
        """See `Log.owner`."""
        (known,) = await self._ask(("HGET", self._keys.room(room)[2], lane))
        return known[51:] if known else b""

    async def span(self, room: str) -> Span:
        """See `Log.span`."""
        followed = self._rooms.get(room)
        if followed is not None and self._is_open:
            await followed.started()
        (reply,) = await self._ask(SPAN(self._keys.room(room)[:2]))
        span, head = span_of(reply)
        self._learn(room, span.head, span.at)
        # A place that a member may have been shown must not be missing, though replicas are.
        return await self._published(room) if head > span.head else span

    async def _published(self, room: str) -> Span:
        """Wait until all of a room is published, and return its span."""
        look = Look(room, publishes=True, done=self._loop.create_future())
        self._writer.ask(look)
        span = await asyncio.shield(look.done)  # it is the writer's as well
        (reply,) = await self._ask(SPAN(self._keys.room(room)[:2]))
        span = max(span_of(reply)[0], span, key=lambda span: span.head)
        self._learn(room, span.head, span.at)
        return span

    async def at(self, room: str, number: int) -> int | None:
        """See `Log.at`."""
        if not 0 < number <= MAX_NUMBER:
            return None
        (reply,) = await self._ask(AT(self._keys.room(room)[:2], number))
        if not reply:
            return None
        self._learn(room, number, int(reply))
        return int(reply)

    async def before(self, room: str, at: int) -> int:
        """See `Log.before`."""
        asked = min(max(at, 0), MAX_NUMBER)
        (reply,) = await self._ask(BEFORE(self._keys.room(room)[:2], asked))
        return int(reply)

    async def read(
        self, room: str, after: int, *, limit: int = 1024, size: int = READ_SIZE
    ) -> list[Entry]:
        """See `Log.read`."""
        if after >= MAX_NUMBER:
            return []
        page = PAGE(self._keys.room(room)[:2], max(after, 0), "", limit, size)
        ((_, _, _, count, records),) = await self._ask(page)
        try:
            entries = unpack(count, records)
        except msgspec.MsgspecError as exc:
            error = LogFailed(f"the room {room!r} holds what is no entry: {exc}")
            self._fail(error)
            raise error from exc
        if entries:
            self._learn(room, entries[-1].number, entries[-1].at)
        return entries

    def _learn(self, room: str, number: int, at: int) -> None:
        """Take notice of an entry that whoever asks acts on from now on."""
        followed = self._rooms.get(room)
        if followed is not None:
            followed.learn(Place(number, at))

    async def search(
        self, room: str, words: str, sees: Callable[[Entry], bool], *, limit: int
    ) -> list[Entry]:
        """See `Log.search`; it looks at the last 20,000 entries, as Redis has no index."""
        holds = matcher(words)
        found: list[Entry] = []
        span = await self.span(room)
        lowest = max(span.floor, span.head - _MOST_SEARCHED + 1)
        end = span.head
        while end >= lowest and len(found) < limit:
            start = max(end - _SEARCHED_AT_ONCE, lowest - 1)
            piece: list[Entry] = []
            while not piece or piece[-1].number < end:
                page = await self.read(room, piece[-1].number if piece else start)
                if not page:
                    break
                piece += [entry for entry in page if entry.number <= end]
                if page[-1].number >= end:
                    break
            found += [
                entry
                for entry in reversed(piece)
                if isinstance(entry.body, str) and sees(entry) and holds(entry.body)
            ]
            end = start
        return found[:limit][::-1]

    async def prune(self) -> None:
        """Let go now of what is older than `retain`.

        It happens by itself at the opening and every hour.

        Raises:
            LogUnavailable: Redis is away, or the log is closed.
            LogFailed: The log has failed.
        """
        if not self._is_open or self.error is not None:
            raise self._why_not()
        try:
            await self._chores.prune()
        except LogFailed as exc:
            self._fail(exc)
            raise

    async def _ask(self, *commands: Sequence[str | bytes | int]) -> list[Any]:
        """Have a question answered."""
        if not self._is_open or self.error is not None:
            raise self._why_not()
        self._reads += 1
        self._no_reads.clear()
        try:
            return await self._caller.ask(*commands)
        except LogFailed as exc:
            self._fail(exc)
            raise
        finally:
            self._reads -= 1
            if not self._reads:
                self._no_reads.set()
