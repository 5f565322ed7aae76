"""The one task of a server that waits for what other servers append, in all rooms that it watches.

It blocks in one `XREAD` on the `news` of these rooms; on a stream of its own besides, by which it
is woken when a room is added. What is new it reads in pages of a bounded size. With every page the
server is asked whether the room still goes on from the last entry that was told, its number and
its time, and from the last one that this server acts on, if it is ahead of that; and so it is asked
now and then though there is no news, and whenever the connection is a new one. If Redis was
restarted without its data, restored, or replaced by a replica that lacks the end, it does not, and
those who watch are told.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from socketchat.chat.log import READ_SIZE
from socketchat.chat.records import unpack
from socketchat.chat.redis_batch import span_of
from socketchat.chat.redis_link import Command, RedisLink, RedisLost, RedisStore, delays
from socketchat.chat.redis_rooms import Followed, Place
from socketchat.chat.redis_scripts import PAGE, SPAN, Keys
from socketchat.errors import LogError, LogFailed

__all__ = ["Reader"]

#: Seconds for which it blocks, and between two looks whether rooms still go on.
_BLOCK: Final = 1.0
#: Rooms that are looked at then, in turns.
_MAX_LOOKS: Final = 256
#: Pages that are asked for at once.
_MAX_PAGES: Final = 8
#: The most entries of a page.
_MAX_PAGE: Final = 1024
#: Seconds to let pass for each room between two waits: Redis looks at all of them each time, and
#: others want to be served as well.
_PACE: Final = 2e-6
#: Seconds for which Redis keeps the stream by which it is woken.
_KEPT: Final = 3600

_log = logging.getLogger("socketchat.chat")


class Reader:
    """Follows the rooms.

    Args:
        store: Where to connect to.
        keys: The names of keys.
        rooms: The rooms that are watched, by name; others add to it and take from it.
        unseen: Called with a room of which the end has not been published for a while.
        failed: Called if what Redis holds is not as it should be.
    """

    def __init__(
        self,
        store: RedisStore,
        keys: Keys,
        rooms: dict[str, Followed],
        *,
        unseen: Callable[[Followed], object],
        failed: Callable[[LogFailed], object],
    ) -> None:
        self._store = store
        self._keys = keys
        self._rooms = rooms
        self._unseen = unseen
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._key = keys.wake(uuid.uuid4().hex)
        self._wakings = itertools.count(1)
        self._woken = "0-0"
        #: Rooms whose news it waits for just now.
        self._waited_for: set[str] = set()
        self._next_look = 0.0
        self._looks = 0

    def wakes(self, room: str) -> list[Command]:
        """Return what wakes it, so that it waits for a room's news as well; perhaps nothing."""
        if room in self._waited_for:
            return []
        number = next(self._wakings)
        add: Command = ("XADD", self._key, "MAXLEN", 1, f"{number}-0", "n", "")
        return [add, ("EXPIRE", self._key, _KEPT)]

    async def run(self) -> None:
        """Follow the rooms, until it is cancelled."""
        waits = delays()
        while True:
            try:
                link = await self._store.connect()
            except RedisLost:  # the writer says so
                await asyncio.sleep(next(waits))
                continue
            try:
                await self._follow(link, list(self._rooms.values()))
                waits = delays()
                while True:
                    await self._wait(link)
            except RedisLost as exc:
                _log.info("the connection over which %s is read: %s", self._store.shown, exc)
                await asyncio.sleep(next(waits))
            finally:
                self._waited_for = set()
                await link.close()

    # Waiting

    async def _wait(self, link: RedisLink) -> None:
        """Wait for news, and tell them."""
        told = [(room, room.place.number) for room in self._rooms.values() if room.place]
        rooms = {self._keys.room(room.name)[3]: room for room, _ in told}
        self._waited_for = {room.name for room in rooms.values()}
        ids = [f"{max(room.known, number)}-0" for room, number in told]
        keys = [self._key, *rooms]
        command: Command = (
            "XREAD",
            "BLOCK",
            int(_BLOCK * 1000),
            "STREAMS",
            *keys,
            self._woken,
            *ids,
        )
        (reply,) = await link.ask([command], longer=_BLOCK)
        if isinstance(reply, LogError):
            self._object(reply)
        for key, entries in reply or ():
            name, last = key.decode(), entries[-1][0].decode()
            if name == self._key:
                self._woken = last
            elif name in rooms:
                rooms[name].known = int(last.partition("-")[0])
        await self._follow(link, [room for room in rooms.values() if _is_behind(room)])
        if self._loop.time() >= self._next_look:
            self._next_look = self._loop.time() + _BLOCK
            await self._follow(link, self._some_rooms())
        if rooms:
            await asyncio.sleep(len(rooms) * _PACE)

    def _some_rooms(self) -> list[Followed]:
        """Return the rooms whose turn it is to be looked at."""
        rooms = list(self._rooms.values())
        first = self._looks if self._looks < len(rooms) else 0
        self._looks = first + _MAX_LOOKS
        return rooms[first : self._looks]

    # Reading

    async def _follow(self, link: RedisLink, rooms: Iterable[Followed]) -> None:
        """Tell what is new in rooms, and whether they still go on."""
        queue = list(rooms)
        while queue:
            pages, queue = queue[:_MAX_PAGES], queue[_MAX_PAGES:]
            asked = [(room, room.place) for room in pages if room.place is not None]
            ahead = [(room, room.furthest) for room, _ in asked]
            further = [(room, place) for room, place in ahead if place is not None]
            commands = [self._page(room, place) for room, place in asked]
            # Behind the pages: what they bring is of the same log then, or of none that is told.
            commands += [self._page(room, place, 0) for room, place in further]
            replies = await link.ask(commands) if commands else []
            for (room, _), reply in zip(further, replies[len(asked) :], strict=True):
                # An error the room's own page will have as well.
                room.is_torn |= isinstance(reply, list) and not reply[0]
            for (room, place), reply in zip(asked, replies, strict=False):
                if not self._told(room, place, reply):
                    await self._restart(link, room)
                elif _is_behind(room):
                    queue.append(room)

    def _page(self, room: Followed, place: Place, limit: int = _MAX_PAGE) -> Command:
        keys = self._keys.room(room.name)[:2]
        return PAGE(keys, place.number, place.at, limit, READ_SIZE)

    def _told(self, room: Followed, place: Place, reply: object) -> bool:
        """Tell those who watch a room what a page brings; return whether the room goes on."""
        if isinstance(reply, LogError):
            self._object(reply)
        assert isinstance(reply, list)
        goes_on, held, head, count, records = reply
        if not goes_on or (not count and int(held) > place.number):
            return False
        room.known = int(held)
        # Between an append and its being published it is so for a moment.
        unseen = int(head) if int(head) > int(held) else 0
        if unseen and unseen == room.unseen:
            self._unseen(room)
        room.unseen = unseen
        try:
            return room.found(unpack(count, records))
        except msgspec.MsgspecError as exc:
            self._object(LogFailed(f"the room {room.name!r} holds what is no entry: {exc}"))
        return True

    async def _restart(self, link: RedisLink, room: Followed) -> None:
        """Begin a room afresh that does not go on from what was told."""
        _log.warning("the log of %r does not go on from where it was", room.name)
        (reply,) = await link.ask([SPAN(self._keys.room(room.name)[:2])])
        if isinstance(reply, LogError):
            self._object(reply)
        span, _ = span_of(reply)
        room.restart(Place(span.head, span.at))

    def _object(self, error: LogError) -> None:
        """Deal with a reply that is an error.

        Raises:
            RedisLost: In any case.
        """
        if isinstance(error, LogFailed):
            self._failed(error)
        raise RedisLost(str(error))


def _is_behind(room: Followed) -> bool:
    """Tell whether there is more in a room than its watchers were told."""
    return room.place is not None and room.place.number < room.known
