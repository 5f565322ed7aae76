"""The one task of a server that appends to Redis: everything in order, over one connection.

It takes whatever has queued up, sends it as one pipeline and waits for the answers: so a pipeline
is as big as the one before it was slow, and no timer is needed (`redis_batch.py` puts it together).

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
import os
from collections import deque
from collections.abc import Callable
from typing import Final

from socketchat.chat.log import Span
from socketchat.chat.redis_batch import (
    Append,
    Batch,
    Call,
    Committed,
    Look,
    committed_of,
    span_of,
)
from socketchat.chat.redis_link import Command, RedisLink, RedisLost, RedisStore, delays
from socketchat.chat.redis_scripts import APPEND, PUBLISH, SPAN, Keys, as_digits
from socketchat.chat.watchers import settle
from socketchat.errors import LogError, LogFailed, LogUnavailable

__all__ = ["Writer"]

#: Appends of one pipeline, and bytes, about.
_MAX_BATCH: Final = 128
_MAX_BATCH_SIZE: Final = 2**20
#: Bytes, about, that may queue up; beyond, appends are refused.
_MAX_QUEUED: Final = 64 * 2**20
#: Seconds for which one `WAIT` waits.
_WAIT: Final = 1.0
#: Rooms that are known to be in the set of all; beyond, all are forgotten and added again.
_MAX_LISTED: Final = 65_536

_NO_ANSWER: Final = "Redis does not answer"

_log = logging.getLogger("socketchat.chat")


class Writer:
    """Appends in order.

    Args:
        store: Where to connect to.
        keys: The names of keys.
        server: The name of this server, which no other has.
        wait: How many replicas must have what is acknowledged and seen.
        patience: Seconds for which an append is tried.
        clock: Tells the time, in microseconds since the epoch; None has Redis tell it.
        told: Called with appends that are committed, and may be seen.
        failed: Called if what Redis holds is not as it should be.
    """

    def __init__(
        self,
        store: RedisStore,
        keys: Keys,
        *,
        server: str,
        wait: int,
        patience: float,
        clock: Callable[[], int] | None,
        told: Callable[[Committed], object],
        failed: Callable[[LogFailed], object],
    ) -> None:
        self._store = store
        self._keys = keys
        self._server = server
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
        #: Set unless a pipeline is under way, and it is not known whether it is done.
        self._answered = asyncio.Event()
        self._answered.set()
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

    async def certain(self, room: str, lane: bytes) -> None:
        """Wait until nothing of a lane may still be made that was given up.

        It may be under way: over this connection, or over one that was lost.

        Raises:
            LogUnavailable: It takes too long.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._certain.wait()
                while not self._answered.is_set() and self._may_be_made(room, lane):
                    await self._answered.wait()
                    await self._certain.wait()
        except TimeoutError as exc:
            raise LogUnavailable(self._why) from exc

    def _may_be_made(self, room: str, lane: bytes) -> bool:
        """Tell whether something of a lane is under way though it was given up."""
        return any(
            isinstance(item, Append) and item.is_given_up and (item.room, item.lane) == (room, lane)
            for item in self._under_way
        )

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
        waits = delays()
        while True:
            link = await self._connect()
            try:
                while True:
                    await self._serve(link)
                    waits = delays()
            except RedisLost as exc:
                self._interrupted(link, str(exc))
            finally:
                await link.close()
            # It may have been of no use: Redis that has no memory left takes connections.
            await asyncio.sleep(next(waits))

    async def _connect(self) -> RedisLink:
        for delay in delays():
            try:
                link = await self._store.connect()
                await self._make_certain(link)
            except RedisLost as exc:
                self._note(str(exc))
                await asyncio.sleep(delay)
            else:
                self._note_back()
                return link
        raise AssertionError("unreachable")

    async def _make_certain(self, link: RedisLink) -> None:
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

    def _interrupted(self, link: RedisLink, why: str) -> None:
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

    async def _serve(self, link: RedisLink) -> None:
        """Do what has queued up, as far as it makes one pipeline."""
        while not self._queue:
            self._some.clear()
            await self._some.wait()
        batch = self._take()
        self._under_way = batch.items
        waits = self._wait > 0 and batch.may_publish
        self._why = self._too_few("not all of them have") if waits else _NO_ANSWER
        commands = [*batch.commands, *self._waiting()] if waits else batch.commands
        self._answered.clear()
        try:
            replies = await link.ask(commands, longer=_WAIT if waits else 0.0)
        finally:
            self._answered.set()
        outcomes = [self._outcome(batch, *each) for each in batch.replied(replies)]
        if batch.unseen and (not waits or await self._replicated(link, replies[-1])):
            await self._publish(link, batch)
        elif batch.unseen:
            outcomes = []  # all of them are given up
        self._under_way = []
        for part, outcome in zip(batch.parts, outcomes, strict=False):
            self._settle(part, outcome)
        self._look_if_idle()

    def _take(self) -> Batch:
        """Take as much of the queue as makes one pipeline."""
        batch = Batch()
        size = 0
        while self._queue and len(batch.items) < _MAX_BATCH and size < _MAX_BATCH_SIZE:
            item = self._queue.popleft()
            self._queued -= item.size
            if item.is_given_up:
                continue
            size += item.size
            batch.add(item)
            if isinstance(item, Append) and item.room not in self._listed:
                self._list(item.room, batch)
        batch.commands += map(self._command, batch.parts)
        return batch

    def _list(self, room: str, batch: Batch) -> None:
        """Have a room be in the set of all before anything is in it."""
        if len(self._listed) >= _MAX_LISTED:
            self._listed.clear()
        self._listed.add(room)
        batch.commands.append(("SADD", self._keys.rooms, room))

    def _command(self, part: Call | Look) -> Command:
        if isinstance(part, Look):
            return SPAN(self._keys.room(part.room)[:2])
        taken = [self._keys.taken(part.room, item.lane) for item in part.appends]
        appends: list[str | bytes | int] = []
        for item in part.appends:
            key = item.drafts[0].key if item.drafts else b""
            appends += (as_digits(item.after), item.lane, key, len(item.drafts))
            for draft, record in zip(item.drafts, item.records, strict=True):
                appends += (as_digits(draft.number), len(draft.body), record)
        # Eight bits: however much is said, the time does not run away from Redis' clock.
        at, later = ("", 1 + os.urandom(1)[0]) if self._clock is None else (self._clock(), 0)
        keys = (*self._keys.room(part.room), *taken)
        return APPEND(keys, 0 if self._wait else 1, at, self._server, later, *appends)

    def _waiting(self) -> list[Command]:
        """Return what waits for replicas: for all that was written on the server before."""
        # `WAIT` is about what was written over its own connection, and repeats write nothing.
        touch: Command = ("SET", self._keys.touch, "")
        return [touch, ("WAIT", self._wait, int(_WAIT * 1000))]

    async def _replicated(self, link: RedisLink, reply: object) -> bool:
        """Wait until there are enough replicas that have it; tell whether it came to that."""
        while not (isinstance(reply, int) and reply >= self._wait):
            if all(item.is_given_up for item in self._under_way):
                return False
            if isinstance(reply, LogFailed):
                raise RedisLost(str(reply.args[0]))
            self._why = self._too_few(f"{reply} have")
            *_, reply = await link.ask(self._waiting(), longer=_WAIT)
        return True

    def _too_few(self, how_many: str) -> str:
        return f"{self._wait} replicas of Redis are to have it, and {how_many}"

    async def _publish(self, link: RedisLink, batch: Batch) -> None:
        """Let everybody see what is appended."""
        commands = []
        for room, last in batch.unseen.items():
            log, head, _, news = self._keys.room(room)
            commands.append(PUBLISH((log, head, news), last))
        for reply in await link.ask(commands):
            if isinstance(reply, LogFailed):
                self._failed(reply)
            elif isinstance(reply, LogError):
                raise RedisLost(str(reply))

    def _outcome(
        self, batch: Batch, part: Call | Look, reply: object
    ) -> Committed | Span | LogError:
        """Return what became of something, and note what must still be published."""
        if isinstance(reply, LogError):
            return reply
        assert isinstance(reply, bytes)
        if isinstance(part, Look):
            span, head = span_of(reply)
            if part.publishes and head > span.head:
                batch.note(part.room, head)
            return span
        committed = committed_of(part, reply)
        if committed.first == 1:
            self._listed.discard(part.room)  # it may have been emptied, and the set as well
        last = max((one.last for one in committed.made), default=0)
        if last > committed.held:
            batch.note(part.room, last)
        return committed

    def _settle(self, part: Call | Look, outcome: Committed | Span | LogError) -> None:
        if isinstance(outcome, Committed):
            self._told(outcome)
            for append, why in outcome.refused:
                settle(append.done, why)
            return
        if isinstance(part, Look):
            settle(part.done, outcome)
            if isinstance(outcome, Span):
                part.then(outcome)
            _need_not_be_heard(part.done)
        else:
            for append in part.appends:
                settle(append.done, outcome)
        if isinstance(outcome, LogFailed):
            self._failed(outcome)


def _need_not_be_heard(done: asyncio.Future[Span]) -> None:
    """Have nobody complain if what was asked fails, and whoever asked is gone."""
    if not done.cancelled():
        done.exception()
