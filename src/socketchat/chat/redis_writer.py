"""The one task of a server that appends to Redis: everything in order, over one connection.

It takes whatever has queued up, sends it as one pipeline and waits for the answers: so a pipeline
is as big as the one before it was slow, and no timer is needed.

When the connection is lost, nobody knows what became of the pipeline that was under way. It is no
reason to end the server: the marks of the lanes make it harmless to do all of it again. So it stays
first in the queue, and goes out over the next connection, once the server has been told to close
the old one: what that still had under way is then done or never will be. Who has waited for
`patience` seconds is told that the log is unavailable, and is turned away; its client comes back,
here or at another server, and learns from the mark what it need not send again.

With `wait`, a pipeline ends with `WAIT`. Nothing of it may be seen or acknowledged before so many
replicas have it; then it is published, by this server for all of them. What was appended and never
published, because its server died, is published with the next append in its room, or when a server
comes upon it (`Look`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from socketchat.chat.log import Draft, Span
from socketchat.chat.redis_link import Command, Link, LinkLost, RedisStore, delays
from socketchat.chat.redis_rooms import settle
from socketchat.chat.redis_scripts import APPEND, PUBLISH, SPAN, Keys, as_digits
from socketchat.errors import LogError, LogFailed, LogUnavailable

__all__ = ["Append", "Committed", "Look", "Writer", "span_of"]

#: Appends of one pipeline, and bytes, about.
_MAX_BATCH: Final = 128
_MAX_BATCH_SIZE: Final = 2**20
#: Bytes, about, that may queue up; beyond, appends are refused.
_MAX_QUEUED: Final = 64 * 2**20
#: What an append takes beside its records, in bytes, about.
_OVERHEAD: Final = 1024
#: Seconds for which one `WAIT` waits.
_WAIT: Final = 1.0
#: Rooms that are known to be in the set of all; beyond, all are forgotten and added again.
_MAX_LISTED: Final = 65_536

_NO_ANSWER: Final = "Redis does not answer"

_log = logging.getLogger("socketchat")


@dataclass(slots=True, eq=False)
class Append:
    """Append drafts, whose records are packed; the arguments of `Log.append`."""

    room: str
    lane: bytes
    drafts: Sequence[Draft]
    records: Sequence[bytes]
    after: int
    done: asyncio.Future[int]
    size: int = 0
    deadline: float = 0.0
    is_given_up: bool = False

    def __post_init__(self) -> None:
        self.size = _OVERHEAD + sum(map(len, self.records))


@dataclass(slots=True, eq=False)
class Look:
    """Look how far a room reaches, after all that was asked before; perhaps publish all of it.

    `then` is called with it before anything that was asked later is told.
    """

    room: str
    publishes: bool
    done: asyncio.Future[Span]
    then: Callable[[Span], object] = lambda _: None
    size: int = _OVERHEAD
    deadline: float = 0.0
    is_given_up: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of an append.

    Attributes:
        mark: The lane's mark.
        last: The number of the lane's last entry.
        first: The number of the first new entry, 0 if there is none.
        at: The time of the new entries.
        before: The time of the entry before them.
        held: The number of the last entry that could be seen.
    """

    mark: int
    last: int
    first: int
    at: int
    before: int
    held: int


@dataclass(slots=True)
class _Batch:
    """What one pipeline does.

    Attributes:
        items: What was asked.
        may_publish: Whether anything may come to be seen by it.
        commands: What is sent.
        unseen: By room, up to where it is still to be published.
    """

    items: list[Append | Look]
    may_publish: bool = False
    commands: list[Command] = field(default_factory=list)
    unseen: dict[str, int] = field(default_factory=dict)
    _places: list[int] = field(default_factory=list)

    def add(self, item: Append | Look, command: Command) -> None:
        """Add something, and the command that does it."""
        self.items.append(item)
        self._places.append(len(self.commands))
        self.commands.append(command)

    def replied(self, replies: Sequence[object]) -> Iterator[tuple[Append | Look, object]]:
        """Return what was asked, each with the reply to it."""
        for item, place in zip(self.items, self._places, strict=True):
            yield item, replies[place]

    def note(self, room: str, last: int) -> None:
        """Note up to where a room is to be published."""
        self.unseen[room] = max(last, self.unseen.get(room, 0))


def span_of(reply: bytes) -> tuple[Span, int]:
    """Return what `SPAN` tells: the span that may be seen, and the last number."""
    floor, held, at, head = map(int, reply.split())
    return Span(floor, held, at), head


class Writer:
    """Appends in order.

    Args:
        store: Where to connect to.
        keys: The names of keys.
        wait: How many replicas must have what is acknowledged and seen.
        patience: Seconds for which an append is tried.
        clock: Tells the time, in microseconds since the epoch; None has Redis tell it.
        told: Called with each append that is committed, and may be seen.
        failed: Called if what Redis holds is not as it should be.
    """

    def __init__(
        self,
        store: RedisStore,
        keys: Keys,
        *,
        wait: int,
        patience: float,
        clock: Callable[[], int] | None,
        told: Callable[[Append, Committed], object],
        failed: Callable[[LogFailed], object],
    ) -> None:
        self._store = store
        self._keys = keys
        self._wait = wait
        self._patience = patience
        self._clock = clock
        self._told = told
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Append | Look] = deque()
        self._queued = 0
        self._under_way: list[Append | Look] = []
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self._listed: set[str] = set()
        #: Number and server of a connection over which something may still be under way.
        self._old: tuple[int, str] = (0, "")
        #: Set unless something may still be under way there.
        self._certain = asyncio.Event()
        self._certain.set()
        #: Why what waits does so, if it is given up.
        self._why = _NO_ANSWER
        #: What was logged of it since Redis last answered; few texts.
        self._said: set[str] = set()

    # Asking

    def ask(self, item: Append | Look) -> None:
        """Have something done, after all that was asked before."""
        if self._queued > _MAX_QUEUED:
            self._give_up(item, f"too much waits for Redis ({self._why})")
            return
        item.deadline = self._loop.time() + self._patience
        self._queue.append(item)
        self._queued += item.size
        self._some.set()
        self._idle.clear()
        if self._timer is None:
            self._timer = self._loop.call_at(item.deadline, self._look_at_the_time)

    async def idle(self) -> None:
        """Wait until all that was asked is done, or given up.

        Cancellation: safe.
        """
        await self._idle.wait()

    async def certain(self) -> None:
        """Wait until nothing is under way any more over a connection that was lost.

        Raises:
            LogUnavailable: It takes too long.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._certain.wait()
        except TimeoutError as exc:
            raise LogUnavailable(self._why) from exc

    def fail(self, error: LogError) -> None:
        """Tell all who asked, once nothing more is done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for item in (*self._under_way, *self._queue):
            settle(item.done, error)
        self._under_way = []
        self._queue.clear()
        self._queued = 0
        self._idle.set()

    def _look_at_the_time(self) -> None:
        """Give up what has waited for too long."""
        self._timer = None
        now = self._loop.time()
        for item in (*self._under_way, *self._queue):
            if item.deadline > now:
                self._timer = self._loop.call_at(item.deadline, self._look_at_the_time)
                break
            if not item.is_given_up:
                self._give_up(item, self._why)
        while self._queue and self._queue[0].is_given_up:
            self._queued -= self._queue.popleft().size
        self._look_if_idle()

    def _give_up(self, item: Append | Look, why: str) -> None:
        item.is_given_up = True
        settle(item.done, LogUnavailable(why))
        if isinstance(item, Look):
            _need_not_be_heard(item.done)

    def _look_if_idle(self) -> None:
        if not self._queue and not self._under_way:
            self._idle.set()

    # Doing

    async def run(self) -> None:
        """Do what is asked, until it is cancelled."""
        while True:
            link = await self._connect()
            try:
                while True:
                    await self._serve(link)
            except LinkLost as exc:
                self._interrupted(link, str(exc))
            finally:
                await link.close()

    async def _connect(self) -> Link:
        for delay in delays():
            try:
                link = await self._store.connect()
                await self._make_certain(link)
            except LinkLost as exc:
                self._note(str(exc))
                await asyncio.sleep(delay)
            else:
                self._note_back()
                return link
        raise AssertionError("unreachable")

    async def _make_certain(self, link: Link) -> None:
        """Have the server let go of the connection before, and of what it still had under way."""
        number, server = self._old
        if number and server == link.facts.get("run_id"):
            try:
                # If it is not permitted, all that is lost is that nobody knows when it ends.
                await link.ask([("CLIENT", "KILL", "ID", number)])
            except BaseException:
                await link.close()
                raise
        self._old = (0, "")
        self._certain.set()

    def _interrupted(self, link: Link, why: str) -> None:
        """Keep what was under way as the first to be done."""
        if self._under_way:
            self._old = (link.client_id, link.facts.get("run_id", ""))
            self._certain.clear()
        again = [item for item in self._under_way if not item.is_given_up]
        self._under_way = []
        self._queue.extendleft(reversed(again))
        self._queued += sum(item.size for item in again)
        self._listed.clear()  # it may be another server by now
        self._look_if_idle()
        self._note(why)

    def _note(self, why: str) -> None:
        """Take notice that Redis is away, and say so once."""
        if why not in self._said:
            self._said.add(why)
            _log.warning("the log waits for %s: %s", self._store.shown, why)
        self._why = why

    def _note_back(self) -> None:
        if self._said:
            self._said.clear()
            _log.warning("the log goes on with %s", self._store.shown)

    async def _serve(self, link: Link) -> None:
        """Do what has queued up, as far as it makes one pipeline."""
        while not self._queue:
            self._some.clear()
            await self._some.wait()
        batch = self._take()
        self._under_way = batch.items
        waits = self._wait > 0 and batch.may_publish
        self._why = self._too_few("not all of them have") if waits else _NO_ANSWER
        commands = [*batch.commands, *self._waiting()] if waits else batch.commands
        replies = await link.ask(commands, longer=_WAIT if waits else 0.0)
        outcomes = [self._outcome(batch, *each) for each in batch.replied(replies)]
        if batch.unseen and (not waits or await self._replicated(link, replies[-1])):
            await self._publish(link, batch)
        elif batch.unseen:
            outcomes = []  # all of them are given up
        self._under_way = []
        for item, outcome in zip(batch.items, outcomes, strict=False):
            self._settle(item, outcome)
        self._look_if_idle()

    def _take(self) -> _Batch:
        """Take as much of the queue as makes one pipeline."""
        batch = _Batch([])
        size = 0
        while self._queue and len(batch.items) < _MAX_BATCH and size < _MAX_BATCH_SIZE:
            item = self._queue.popleft()
            self._queued -= item.size
            if item.is_given_up:
                continue
            size += item.size
            if isinstance(item, Append):
                batch.may_publish = True
                if item.room not in self._listed:
                    self._list(item.room, batch)
                command = self._appending(item)
            else:
                batch.may_publish |= item.publishes
                command = SPAN(self._keys.room(item.room)[:2])
            batch.add(item, command)
        return batch

    def _list(self, room: str, batch: _Batch) -> None:
        """Have a room be in the set of all before anything is in it."""
        if len(self._listed) >= _MAX_LISTED:
            self._listed.clear()
        self._listed.add(room)
        batch.commands.append(("SADD", self._keys.rooms, room))

    def _appending(self, item: Append) -> Command:
        drafts: list[str | bytes | int] = []
        for draft, record in zip(item.drafts, item.records, strict=True):
            drafts += (as_digits(draft.number), len(draft.body), record)
        return APPEND(
            self._keys.room(item.room),
            0 if self._wait else 1,
            "" if self._clock is None else self._clock(),
            as_digits(item.after),
            item.lane,
            item.drafts[0].key if item.drafts else b"",
            *drafts,
        )

    def _waiting(self) -> list[Command]:
        """Return what waits for replicas: for all that was written on the server before."""
        # `WAIT` is about what was written over its own connection, and repeats write nothing.
        touch: Command = ("SET", self._keys.touch, "")
        return [touch, ("WAIT", self._wait, int(_WAIT * 1000))]

    async def _replicated(self, link: Link, reply: object) -> bool:
        """Wait until there are enough replicas that have it; tell whether it came to that."""
        while not (isinstance(reply, int) and reply >= self._wait):
            if all(item.is_given_up for item in self._under_way):
                return False
            if isinstance(reply, LogFailed):
                raise LinkLost(str(reply.args[0]))
            self._why = self._too_few(f"{reply} have")
            *_, reply = await link.ask(self._waiting(), longer=_WAIT)
        return True

    def _too_few(self, how_many: str) -> str:
        return f"{self._wait} replicas of Redis are to have it, and {how_many}"

    async def _publish(self, link: Link, batch: _Batch) -> None:
        """Let everybody see what is appended."""
        commands = []
        for room, last in batch.unseen.items():
            log, head, _, news = self._keys.room(room)
            commands.append(PUBLISH((log, head, news), last))
        for reply in await link.ask(commands):
            if isinstance(reply, LogFailed):
                self._failed(reply)
            elif isinstance(reply, LogError):
                raise LinkLost(str(reply))

    def _outcome(
        self, batch: _Batch, item: Append | Look, reply: object
    ) -> Committed | Span | LogError:
        """Return what became of something, and note what must still be published."""
        if isinstance(reply, LogError):
            return reply
        assert isinstance(reply, bytes)
        if isinstance(item, Look):
            span, head = span_of(reply)
            if item.publishes and head > span.head:
                batch.note(item.room, head)
            return span
        if not reply:
            return LogUnavailable(f"message {item.after} is not in the log")
        committed = Committed(*map(int, reply.split()))
        if committed.first == 1:
            self._listed.discard(item.room)  # it may have been emptied, and the set as well
        if committed.last > committed.held:
            batch.note(item.room, committed.last)
        return committed

    def _settle(self, item: Append | Look, outcome: Committed | Span | LogError) -> None:
        if isinstance(outcome, Committed):
            assert isinstance(item, Append)
            self._told(item, outcome)
            return
        settle(item.done, outcome)
        if isinstance(item, Look):
            if isinstance(outcome, Span):
                item.then(outcome)
            _need_not_be_heard(item.done)
        if isinstance(outcome, LogFailed):
            self._failed(outcome)


def _need_not_be_heard(done: asyncio.Future[Span]) -> None:
    """Have nobody complain if what was asked fails, and whoever asked is gone."""
    if not done.cancelled():
        done.exception()
