"""Who is in the rooms at the other servers of the same log, and what follows from what they tell.

A room's people are those at all servers. Each server tells when somebody has come to it or is gone
from it; members are told of it only if that changes who is in the room at all. So nobody is told to
have left who has moved on to another server. `neighbours.py` says what is told.

Names: one that is somebody's at a neighbour is not given to another here. Two who ask two servers
for the same name within the moment that telling takes both get it at first. As soon as the servers
hear of it, the one that has the lesser claim (`Seat.claim`) is sent off to come back, and gets
another name then. Both servers find the same one.

What operators do is carried out by `orders.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from socketchat.chat.names import name_key
from socketchat.chat.neighbours import (
    Came,
    Listener,
    Neighbours,
    News,
    NoNeighbours,
    Place,
    Renamed,
    Seat,
    ShowOut,
    StandingChanged,
    Topic,
    Typing,
    Went,
)
from socketchat.chat.orders import Orders
from socketchat.chat.registry import Registry
from socketchat.fingerprint import fingerprint_of

if TYPE_CHECKING:
    from socketchat.chat.room import Room
    from socketchat.chat.roster import Elsewhere

__all__ = ["Neighbourhood"]

#: Names that are remembered of other servers; those beyond are not shown.
MAX_SEATS: Final = 100_000


class Neighbourhood(Listener):
    """What is known of other servers' people.

    Args:
        rooms: The rooms that are open here, by name.
        registry: What is known about people; None for tests of rooms alone.
        neighbours: The other servers; None has none.

    Attributes:
        orders: Carries out what operators at other servers do.
    """

    def __init__(
        self,
        rooms: Mapping[str, Room] | None = None,
        registry: Registry | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._rooms = rooms if rooms is not None else {}
        self.orders: Orders = Orders(self._rooms, registry or Registry())
        self._neighbours: Neighbours = neighbours or NoNeighbours()
        # By room and by the key of the name: the seat at each server.
        self._seats: dict[str, dict[str, dict[str, Seat]]] = {}
        self._count = 0

    async def open(self) -> None:
        """Tell and hear from now on."""
        await self._neighbours.open(self)

    async def close(self) -> None:
        """Tell and hear nothing more."""
        await self._neighbours.close()
        await self.orders.close()

    # ---- for the rooms ----

    def tell(self, news: News) -> None:
        """Tell the other servers something; it may be lost."""
        self._neighbours.tell(news)

    async def order(self, news: News) -> None:
        """Have the other servers do something.

        Raises:
            LogError: They are not told.
        """
        self.orders.given += 1
        await self._neighbours.order(news)

    async def topic_changed(self, room: str, nick: str) -> None:
        """Have all servers, this one too, see what a room is about now; it is kept already.

        Raises:
            LogError: It cannot be looked at here yet.
        """
        self._neighbours.tell(Topic(room, nick))
        await self.orders.topic_changed(room, nick)

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
                    self._rooms[room].passing.pass_on("typing", Seat(nick, public, public))
            case Topic() | ShowOut() | StandingChanged():
                self.orders.heard(news)
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
        self.orders.missed()

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
            self._rooms[room].passing.pass_on("joined", seat)
        self._settle_name(room, seat.nick)

    def _went(self, server: str, room: str, nick: str) -> None:
        seat = self._take(server, room, nick)
        if seat is not None and not self._is_here(room, nick):
            self._rooms[room].passing.pass_on("left", seat)

    def _renamed(self, server: str, room: str, nick: str, seat: Seat) -> None:
        old = self._take(server, room, nick)
        is_gone = old is not None and not self._is_here(room, nick)
        is_news = not self._is_here(room, seat.nick)
        if not self._add(server, room, seat):
            is_news = False
        if is_gone and is_news:
            self._rooms[room].passing.pass_on("renamed", Seat(nick, *_rest(seat)), seat.nick)
        elif is_gone:
            self._rooms[room].passing.pass_on("left", Seat(nick, *_rest(seat)))
        elif is_news:
            self._rooms[room].passing.pass_on("joined", seat)
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
