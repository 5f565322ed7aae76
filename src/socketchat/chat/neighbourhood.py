"""Who is in the rooms at the other servers of the same log, and what follows from what they tell.

A room's people are those at all servers. Each server tells when somebody has come to it or is gone
from it; members are told of it only if that changes who is in the room at all. So nobody is told to
have left who has moved on to another server. `neighbours.py` says what is told.

Names: one that is somebody's at a neighbour is not given to another here. Two who ask two servers
for the same name within the moment that telling takes both get it at first. As soon as the servers
hear of it, the one that has the lesser claim (`Seat.claim`) is sent off to come back, and gets
another name then. Both servers find the same one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from socketchat.chat.names import name_key
from socketchat.chat.neighbours import (
    Came,
    Grant,
    Listener,
    Neighbours,
    News,
    NoNeighbours,
    Place,
    Renamed,
    Seat,
    ShowOut,
    Topic,
    Typing,
    Went,
)
from socketchat.chat.registry import Registry, Standing
from socketchat.errors import HandshakeRefused, LogError
from socketchat.fingerprint import fingerprint_of
from socketchat.quota import network_of

if TYPE_CHECKING:
    from socketchat.chat.member import Member
    from socketchat.chat.room import Room
    from socketchat.chat.roster import Elsewhere

__all__ = ["Neighbourhood"]

#: Names that are remembered of other servers; those beyond are not shown.
MAX_SEATS: Final = 100_000
#: Seconds between two attempts to look at the facts again.
_PAUSE: Final = 1.0

_log = logging.getLogger("socketchat.chat")


class Neighbourhood(Listener):
    """What is known of other servers' people.

    Args:
        rooms: The rooms that are open here, by name.
        registry: What is known about people; None for tests of rooms alone.
        neighbours: The other servers; None has none.
    """

    def __init__(
        self,
        rooms: Mapping[str, Room] | None = None,
        registry: Registry | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._rooms = rooms if rooms is not None else {}
        self._registry = registry or Registry()
        self._neighbours: Neighbours = neighbours or NoNeighbours()
        # By room and by the key of the name: the seat at each server.
        self._seats: dict[str, dict[str, dict[str, Seat]]] = {}
        self._count = 0
        self._checking: asyncio.Task[None] | None = None
        self._check_again = False

    async def open(self) -> None:
        """Tell and hear from now on."""
        await self._neighbours.open(self)

    async def close(self) -> None:
        """Tell and hear nothing more."""
        await self._neighbours.close()
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait([self._checking])

    # ---- for the rooms ----

    def tell(self, news: News) -> None:
        """Tell the other servers something; it may be lost."""
        self._neighbours.tell(news)

    async def order(self, news: News) -> None:
        """Have the other servers do something.

        Raises:
            LogError: They are not told.
        """
        await self._neighbours.order(news)

    def places(self) -> Sequence[Place]:
        """Return where callers find the other servers, as far as those have told it."""
        return self._neighbours.places()

    def find(self, room: str, nick: str) -> Seat | None:
        """Return who has a name in a room at another server, or one that looks like it."""
        names = self._seats.get(room)
        seats = names.get(name_key(nick)) if names else None
        return _first(seats) if seats else None

    def of(self, room: str) -> Elsewhere:
        """Return what the roster of a room asks."""
        return _InRoom(self, room)

    def seats(self, room: str) -> Iterator[tuple[str, Seat]]:
        """Iterate over those who are in a room at other servers, each name once, by its key."""
        names = self._seats.get(room, {})
        return ((name, _first(seats)) for name, seats in names.items())

    def find_anywhere(self, nick: str) -> Seat | None:
        """Return who has a name in any room at another server."""
        return next((seat for room in self._seats if (seat := self.find(room, nick))), None)

    def seats_of(self, identity: bytes, key: str) -> list[Seat]:
        """Return the seats at other servers, in all rooms, of an identity; if empty, of a key."""
        return [
            seat
            for names in self._seats.values()
            for seats in names.values()
            for seat in seats.values()
            if (seat.identity == identity if identity else fingerprint_of(seat.public) == key)
        ]

    # ---- what is told ----

    def whole(self) -> Iterable[tuple[str, Seat]]:
        """See `Listener.whole`."""
        return [
            (room.name, one.as_seat())
            for room in self._rooms.values()
            for one in room.roster.local()
        ]

    def heard(self, server: str, news: News) -> None:
        """See `Listener.heard`."""
        match news:
            case Came(room, seat):
                self._came(server, room, seat)
            case Went(room, nick):
                self._went(server, room, nick)
            case Renamed(room, nick, seat):
                self._renamed(server, room, nick, seat)
            case Typing(room, nick, public):
                if room in self._rooms:
                    self._rooms[room].pass_on("typing", Seat(nick, public, public))
            case Topic(room, nick, text):
                if room in self._rooms:
                    self._rooms[room].take_topic(text, nick)
            case ShowOut():
                self._show_out(news)
            case Grant():
                self._grant(news)
            case _:
                pass

    def present(self, server: str, seats: Sequence[tuple[str, Seat]]) -> None:
        """See `Listener.present`."""
        now = {(room, name_key(seat.nick)): seat for room, seat in seats}
        before = {
            (room, name): at[server]
            for room, names in self._seats.items()
            for name, at in names.items()
            if server in at
        }
        for (room, name), seat in before.items():
            if (room, name) not in now:
                self._went(server, room, seat.nick)
        for (room, name), seat in now.items():
            if before.get((room, name)) != seat:
                self._came(server, room, seat)

    def missed(self) -> None:
        """See `Listener.missed`."""
        self._check_again = True
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._look_again())

    # ---- people ----

    def _is_here(self, room: str, nick: str) -> bool:
        """Tell whether somebody of this name is in a room, here or elsewhere."""
        opened = self._rooms.get(room)
        if opened is None:
            return True  # nobody is there to be told
        return opened.roster.find(nick) is not None

    def _came(self, server: str, room: str, seat: Seat) -> None:
        is_news = not self._is_here(room, seat.nick)
        if self._add(server, room, seat) and is_news:
            self._rooms[room].pass_on("joined", seat)
        self._settle_name(room, seat.nick)

    def _went(self, server: str, room: str, nick: str) -> None:
        seat = self._take(server, room, nick)
        if seat is not None and not self._is_here(room, nick):
            self._rooms[room].pass_on("left", seat)

    def _renamed(self, server: str, room: str, nick: str, seat: Seat) -> None:
        old = self._take(server, room, nick)
        is_gone = old is not None and not self._is_here(room, nick)
        is_news = not self._is_here(room, seat.nick)
        if not self._add(server, room, seat):
            is_news = False
        if is_gone and is_news:
            self._rooms[room].pass_on("renamed", Seat(nick, *_rest(seat)), seat.nick)
        elif is_gone:
            self._rooms[room].pass_on("left", Seat(nick, *_rest(seat)))
        elif is_news:
            self._rooms[room].pass_on("joined", seat)
        self._settle_name(room, seat.nick)

    def _settle_name(self, room: str, nick: str) -> None:
        if room in self._rooms:
            self._rooms[room].settle_name(nick)

    def _add(self, server: str, room: str, seat: Seat) -> bool:
        names = self._seats.get(room, {})
        is_known = server in names.get(name_key(seat.nick), {})
        if not is_known:
            if self._count >= MAX_SEATS:
                return False
            self._count += 1
        self._seats.setdefault(room, names).setdefault(name_key(seat.nick), {})[server] = seat
        return True

    def _take(self, server: str, room: str, nick: str) -> Seat | None:
        names = self._seats.get(room, {})
        seats = names.get(name_key(nick), {})
        seat = seats.pop(server, None)
        if seat is not None:
            self._count -= 1
            if not seats:
                del names[name_key(nick)]
            if not names:
                del self._seats[room]
        return seat

    # ---- what operators do ----

    def _members(self) -> list[Member]:
        """Return who is seated here but the host, and those who are operators in any case."""
        return [
            one
            for room in self._rooms.values()
            for one in room.members.values()
            if not (one.is_host or self._registry.is_appointed(one.session.peer.key))
        ]

    def _show_out(self, news: ShowOut) -> None:
        for member in self._members():
            peer = member.session.peer
            hit = news.whom and news.whom in (peer.key, network_of(peer.address))
            if hit or (news.identity and member.identity == news.identity):
                member.show_out(news.text)

    def _grant(self, news: Grant) -> None:
        for member in self._members():
            hit = news.key and member.session.peer.key == news.key
            if hit or (news.identity and member.identity == news.identity):
                if news.is_operator is not None:
                    member.standing.is_operator = news.is_operator
                if news.is_muted is not None:
                    member.standing.is_muted = news.is_muted

    async def _look_again(self) -> None:
        """Look at the facts for what was told and not heard: topics, bans, who may do what."""
        while self._check_again:
            self._check_again = False
            try:
                for room in list(self._rooms.values()):
                    topic = await self._registry.topic(room.name)
                    if topic != room.topic:
                        room.take_topic(*topic)
                for member in self._members():
                    await self._check(member)
            except LogError as exc:
                _log.info("what may have been missed cannot be looked at: %s", exc)
                self._check_again = True
                await asyncio.sleep(_PAUSE)

    async def _check(self, member: Member) -> None:
        session = member.session
        try:
            await self._registry.check(session.key, session.peer.address)
        except HandshakeRefused as exc:
            member.show_out(exc.reason, exc.code)
            return
        if session.key:  # of others nothing is kept
            standing: Standing = await self._registry.standing(session.key)
            member.standing.is_operator = standing.is_operator
            member.standing.is_muted = standing.is_muted


class _InRoom:
    """Those at other servers who are in one room."""

    def __init__(self, around: Neighbourhood, room: str) -> None:
        self._around = around
        self._room = room

    def find(self, nick: str) -> Seat | None:
        return self._around.find(self._room, nick)

    def seats(self) -> Iterator[tuple[str, Seat]]:
        return self._around.seats(self._room)


def _first(seats: Mapping[str, Seat]) -> Seat:
    """Return the one of a name's seats at several servers that has the best claim to it."""
    return min(seats.values(), key=lambda seat: seat.claim)


def _rest(seat: Seat) -> tuple[bytes, bytes, str]:
    return seat.identity, seat.public, seat.address
