"""The other servers of a log in Redis, which are told and heard by publish and subscribe.

All servers of a log share one channel, on which each numbers what it tells. Publishing is lossy:
who is not connected for a moment misses what passes. So whoever finds a number missing asks the
server for the whole; and so it does with one of which it knows nothing yet. Now and then the whole
is told unasked.

Each server tells regularly that it is alive, and hears itself do so. Of a server that is silent
while several of one's own signs of life have come back, nobody is there any more. That needs no
clock: if Redis is away, or this process has stood still, no sign comes back either, and nobody is
given up for it. One that is stopped says so; who was there counts as lost, and not as gone, for a
moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Final

from socketchat.chat.neighbours import (
    Alive,
    Ask,
    Leaving,
    Listener,
    News,
    Place,
    Seat,
    ShowOut,
    StandingChanged,
    Whole,
    pack,
    unpack,
)
from socketchat.chat.redis_link import (
    TIMEOUT,
    Command,
    RedisLink,
    RedisLost,
    RedisStore,
    Subscription,
    delays,
    dry_write,
)
from socketchat.chat.redis_scripts import PREFIX, Keys
from socketchat.chat.roster import LINGER
from socketchat.errors import LogError, LogUnavailable

__all__ = ["RedisNeighbours"]

#: Own signs of life that come back, of one that is silent, until it counts as gone.
_SILENCE: Final = 5
#: Beats without any message after which the connection that hears them is lost.
_DEAF: Final = 4
#: Beats between two times that the whole is told unasked.
_UNASKED: Final = 30
#: Beats for which the others are waited for at the start.
_AT_START: Final = 2
#: Seats in one message of the whole.
_PART: Final = 256
#: Messages that wait to be published; if there are more, the whole is told instead.
_MAX_QUEUE: Final = 4096
#: Servers that are heard; what others tell is left out.
_MAX_SERVERS: Final = 256
#: Names that one server's whole may have; those beyond are left out.
_MAX_WHOLE: Final = 100_000

_log = logging.getLogger("socketchat.chat")


class _Server:
    """Another server.

    Attributes:
        number: That of the last message that was heard of it.
        silent: Own signs of life that have come back since.
        is_known: Whether all that it tells was heard since it told the whole.
        parts: How many of the whole were heard.
        seats: What they held; None if it is not being told.
        place: Where callers find it; None if it has not told.
    """

    def __init__(self) -> None:
        self.number = 0
        self.silent = 0
        self.is_known = False
        self.parts = 0
        self.seats: list[tuple[str, Seat]] | None = None
        self.place: Place | None = None


class RedisNeighbours:
    """The servers that share a Redis. See `Neighbours`.

    Args:
        url: As that of `RedisLog`.
        prefix: As that of `RedisLog`.
        timeout: Seconds without an answer after which a connection is lost.
        beat: Seconds between two signs of life. A server that is killed counts as gone after
            five to six of them.

    Raises:
        ValueError: The URL is none of Redis.

    Attributes:
        place: See `Neighbours`.
    """

    def __init__(
        self, url: str, *, prefix: str = PREFIX, timeout: float = TIMEOUT, beat: float = 1.0
    ) -> None:
        self._store = RedisStore(url, timeout=timeout)
        self._channel = Keys(prefix).servers
        self._touch = Keys(prefix).touch
        self._timeout = timeout
        self._beat = beat
        self.place: Place | None = None
        self._name = uuid.uuid4().hex
        self._numbers = itertools.count(1)
        self._servers: dict[str, _Server] = {}
        #: Those that were stopped a moment ago: what ends the time for which their people stay.
        self._left: dict[str, asyncio.TimerHandle] = {}
        self._queue: list[tuple[News, asyncio.Future[None] | None]] = []
        self._some = asyncio.Event()
        self._acquainted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        #: Whether the others were ever heard.
        self._has_heard = False
        #: Whether the others can be told something.
        self._is_linked = False
        #: When the whole may be told next, and whether it is to be.
        self._next_whole = 0.0
        self._whole_is_due = False
        #: How many heard this one ask for the whole, itself among them.
        self._audience: int | None = None

    async def open(self, listener: Listener) -> None:
        """See `Neighbours.open`."""
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._tasks = [
            self._loop.create_task(self._keep_up(run)) for run in (self._listen, self._speak)
        ]
        try:
            async with asyncio.timeout(_AT_START * self._beat):
                await self._acquainted.wait()
        except TimeoutError:
            pass  # they are heard of later
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See `Neighbours.close`."""
        if not self._tasks:
            return
        with contextlib.suppress(LogUnavailable, TimeoutError):
            async with asyncio.timeout(self._beat):
                await self.order(Leaving())
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._tasks = []
        for timer in self._left.values():
            timer.cancel()
        self._forget_queue("the server is stopping")

    def tell(self, news: News) -> None:
        """See `Neighbours.tell`."""
        self._put(news)

    async def order(self, news: News) -> None:
        """See `Neighbours.order`."""
        if not self._is_linked:
            next(self._numbers)  # the others see that something is missing, and look at the facts
            raise LogUnavailable("the other servers cannot be told: Redis is away")
        told: asyncio.Future[None] = self._loop.create_future()
        self._put(news, told)
        await told

    def places(self) -> Sequence[Place]:
        """See `Neighbours.places`."""
        return [server.place for server in self._servers.values() if server.place is not None]

    async def _keep_up(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run something that never ends by itself, again if it does: else nobody would notice."""
        while True:
            try:
                await run()
            except Exception as exc:  # noqa: BLE001 - told to the loop
                self._report("what is told among servers was begun afresh", exc)
            await asyncio.sleep(self._beat)

    def _call(self, call: Callable[[], object]) -> None:
        """Call the listener; an error of its is no reason to hear nothing more."""
        try:
            call()
        except Exception as exc:  # noqa: BLE001 - told to the loop
            self._report("an error in what hears other servers", exc)

    def _report(self, what: str, exc: Exception) -> None:
        self._loop.call_exception_handler({"message": what, "exception": exc})

    # ---- telling ----

    def _put(self, news: News, told: asyncio.Future[None] | None = None) -> None:
        if len(self._queue) >= _MAX_QUEUE:
            self._forget_queue("too much is to be told to the other servers")
            self._whole_is_due = True
        self._queue.append((news, told))
        self._some.set()

    def _forget_queue(self, why: str) -> None:
        queue, self._queue = self._queue, []
        if queue:
            next(self._numbers)  # the others see that something is missing
        for _, told in queue:
            if told is not None and not told.done():
                told.set_exception(LogUnavailable(why))

    async def _speak(self) -> None:
        """Publish what is to be told, until it is cancelled."""
        waits = delays()
        while True:
            try:
                link = await self._store.connect()
            except RedisLost:  # the log says so
                await asyncio.sleep(next(waits))
                continue
            try:
                self._whole_is_due = True
                self._is_linked = True
                await self._publish(link)
            except RedisLost as exc:
                _log.info("the connection over which servers are told: %s", exc)
                await asyncio.sleep(next(waits))
            finally:
                self._is_linked = False
                await link.close()
                self._forget_queue("Redis is away")

    async def _publish(self, link: RedisLink) -> None:
        """Publish what is to be told.

        Raises:
            RedisLost: It cannot be any more.
        """
        next_beat, beats = 0.0, 0
        while True:
            now = self._loop.time()
            if now >= next_beat:
                self._queue.append((Alive(self.place), None))
                next_beat, beats = now + self._beat, beats + 1
                self._whole_is_due |= beats % _UNASKED == 0
                self._ask_again()
            if self._whole_is_due and now >= self._next_whole:
                self._whole_is_due = False
                self._next_whole = now + self._beat
                self._queue += ((part, None) for part in self._whole())
            self._some.clear()
            if self._queue:
                await self._publish_queue(link)
            elif self._loop.time() < next_beat:
                timer = self._loop.call_at(next_beat, self._some.set)
                await self._some.wait()
                timer.cancel()

    async def _publish_queue(self, link: RedisLink) -> None:
        batch = self._queue
        self._queue = []
        look: list[Command] = []
        commands: list[Command] = [
            ("PUBLISH", self._channel, pack(self._name, next(self._numbers), news))
            for news, _ in batch
        ]
        if any(told is not None or isinstance(news, Alive) for news, told in batch):
            look.append(dry_write(self._touch))  # before an order is said to be told, and each beat
        try:
            replies = (await link.ask(look + commands))[len(look) :]
        except BaseException:
            self._queue = batch + self._queue  # for those who wait to be told of it
            raise
        for (news, told), reply in zip(batch, replies, strict=True):
            if news == Ask("") and isinstance(reply, int):
                self._audience = reply
                self._look_if_acquainted()
            if isinstance(reply, LogError):
                _log.warning("the other servers cannot be told: %s", reply)
            if told is None or told.done():
                continue
            if isinstance(reply, LogError):
                told.set_exception(LogUnavailable(str(reply)))
            else:
                told.set_result(None)

    def _whole(self) -> Iterator[Whole]:
        seats = list(self._listener.whole())
        for part, start in enumerate(range(0, max(len(seats), 1), _PART)):
            some = tuple(seats[start : start + _PART])
            yield Whole(part, start + _PART >= len(seats), some)

    def _ask_again(self) -> None:
        """Ask those who have not told the whole."""
        for name, server in self._servers.items():
            if not server.is_known:
                self._queue.append((Ask(name), None))

    # ---- hearing ----

    async def _listen(self) -> None:
        """Hear what the others tell, until it is cancelled."""
        waits = delays()
        while True:
            try:
                subscription = await self._store.subscribe(self._channel)
            except RedisLost:
                await asyncio.sleep(next(waits))
                continue
            try:
                for server in self._servers.values():
                    server.silent = 0
                if self._has_heard:
                    self._call(self._listener.missed)
                self._has_heard = True
                self._put(Ask(""))
                await self._hear(subscription)
            except RedisLost as exc:
                _log.info("the connection over which servers are heard: %s", exc)
                await asyncio.sleep(next(waits))
            finally:
                await subscription.close()

    async def _hear(self, subscription: Subscription) -> None:
        """Hear what is published.

        Raises:
            RedisLost: Nothing is, not even by this server.
        """
        patience = max(_DEAF * self._beat, self._timeout)
        while True:
            data = await subscription.next(patience)
            try:
                name, number, news = unpack(data)
            except ValueError as exc:
                _log.warning("something else is published on %s: %s", self._channel, exc)
                continue
            if name == self._name:
                self._heard_myself(news)
            else:
                self._heard(name, number, news)

    def _heard_myself(self, news: News) -> None:
        if not isinstance(news, Alive):
            return
        for name, server in list(self._servers.items()):
            server.silent += 1
            if server.silent > _SILENCE:
                _log.info("another server is gone: nothing was heard of it")
                self._drop(name)

    def _look_if_acquainted(self) -> None:
        """See whether all that there are at the start have told the whole."""
        known = sum(server.is_known for server in self._servers.values())
        if self._audience is not None and known + 1 >= self._audience:
            self._acquainted.set()

    def _drop(self, name: str) -> None:
        if self._servers.pop(name, None) is not None:
            self._call(partial(self._listener.present, name, ()))

    def _leave(self, name: str) -> None:
        """Count a server as stopped; its people have the time to come to another one, or back."""
        if name not in self._servers or len(self._left) >= _MAX_SERVERS:
            self._drop(name)
            return
        del self._servers[name]
        self._left[name] = self._loop.call_later(LINGER, self._forget, name)

    def _forget(self, name: str) -> None:
        del self._left[name]
        self._call(partial(self._listener.present, name, ()))

    def _heard(self, name: str, number: int, news: News) -> None:
        if name in self._left:
            return
        if isinstance(news, Leaving):
            self._leave(name)
            return
        server = self._counted(name, number, news)
        if server is not None:
            self._take(name, server, news)

    def _counted(self, name: str, number: int, news: News) -> _Server | None:
        """Return who tells something, and see whether anything is missing before it."""
        server = self._servers.get(name)
        if server is None:
            if len(self._servers) >= _MAX_SERVERS:
                return None
            server = self._servers[name] = _Server()
            if number != 1:
                self._call(self._listener.missed)
            if not isinstance(news, Whole):
                self._put(Ask(name))
        elif number != server.number + 1:
            server.is_known, server.seats = False, None
            self._call(self._listener.missed)
            self._put(Ask(name))
        server.number = number
        server.silent = 0
        return server

    def _take(self, name: str, server: _Server, news: News) -> None:
        match news:
            case Alive(place):
                server.place = place
            case Ask(asked):
                self._whole_is_due |= asked in ("", self._name)
                self._some.set()
            case Whole():
                self._heard_part(name, server, news)
            case ShowOut() | StandingChanged():
                self._call(partial(self._listener.heard, name, news))
            case _:
                if server.is_known:
                    self._call(partial(self._listener.heard, name, news))

    def _heard_part(self, name: str, server: _Server, news: Whole) -> None:
        if news.part == 0:
            server.parts, server.seats = 0, []
        if server.seats is None or news.part != server.parts:
            return
        server.parts += 1
        server.seats += news.seats[: _MAX_WHOLE - len(server.seats)]
        if news.is_last:
            seats, server.seats, server.is_known = server.seats, None, True
            self._call(partial(self._listener.present, name, seats))
            self._look_if_acquainted()
