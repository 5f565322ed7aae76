"""What the servers of one log tell each other: who is in their rooms, and what operators do.

None of it is logged, and any of it may be lost. So whoever misses something is told the whole again
(`Whole`), and what must hold for good, as a ban, is a fact besides (`facts.py`), which is looked at
again. `neighbourhood.py` remembers what was told; `redis_neighbours.py` carries it. A server that
shares its log with nobody has `NoNeighbours`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol, TypeAlias

import msgspec
from msgspec import Meta, Struct

from socketchat.messages import MAX_NAME, MAX_REASON

__all__ = [
    "Alive",
    "Ask",
    "Came",
    "Leaving",
    "Listener",
    "Neighbours",
    "News",
    "NoNeighbours",
    "Place",
    "Renamed",
    "Seat",
    "ShowOut",
    "StandingChanged",
    "Topic",
    "Typing",
    "Went",
    "Whole",
]

_Name = Annotated[str, Meta(max_length=MAX_NAME)]
_Identity = Annotated[bytes, Meta(max_length=32)]
_Word = Annotated[str, Meta(max_length=128)]


class Seat(Struct, array_like=True, frozen=True):
    """One who is in a room, by the name that it has there.

    Attributes:
        nick: The name.
        identity: Who that is: the device's key, or the lane of one that has none.
        public: The device's key, or empty.
        address: Where it calls from; empty if it sits at its server itself.
        since: When it got the name, in microseconds since the epoch, by its server's clock.
    """

    nick: _Name
    identity: _Identity
    public: _Identity = b""
    address: Annotated[str, Meta(max_length=64)] = ""
    since: int = 0

    @property
    def claim(self) -> tuple[bool, bool, int, bytes]:
        """What the lowest of is the best claim to a name that several have at once.

        It is the same at all servers, whatever their clocks. A host goes before its callers, who
        has a key before those who own nothing, and then who was first.
        """
        return bool(self.address), not self.public, self.since, self.identity


class Place(Struct, array_like=True, frozen=True):
    """Where callers find a server, for invites.

    Attributes:
        host: A name or an address.
        port: The TCP port.
        pin: The pin of its key.
    """

    host: Annotated[str, Meta(max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    pin: _Word


class Came(Struct, array_like=True, frozen=True, tag=1):
    """One has come into a room of mine."""

    room: _Name
    seat: Seat


class Went(Struct, array_like=True, frozen=True, tag=2):
    """Nobody of this name is in that room of mine any more."""

    room: _Name
    nick: _Name


class Renamed(Struct, array_like=True, frozen=True, tag=3):
    """One in a room of mine has another name now."""

    room: _Name
    nick: _Name
    seat: Seat


class Typing(Struct, array_like=True, frozen=True, tag=4):
    """One in a room of mine is typing."""

    room: _Name
    nick: _Name
    public: _Identity


class Topic(Struct, array_like=True, frozen=True, tag=5):
    """What a room is about has changed, by one of this name: look at the facts."""

    room: _Name
    nick: _Name


class ShowOut(Struct, array_like=True, frozen=True, tag=6):
    """Somebody is to be shown out of all rooms.

    Attributes:
        whom: A key's fingerprint or a network, as bans have it; or empty.
        identity: Who it is, of one without a key; or empty.
        text: What they are told.
    """

    whom: _Word
    identity: _Identity
    text: Annotated[str, Meta(max_length=MAX_REASON)]


class StandingChanged(Struct, array_like=True, frozen=True, tag=7):
    """What somebody may do has changed.

    Attributes:
        key: The key's fingerprint, or empty.
        identity: Who it is, of one without a key; or empty.
        is_operator: Whether it is an operator now; None is as before.
        is_muted: Whether it is muted now; None is as before.
    """

    key: _Word
    identity: _Identity
    is_operator: bool | None = None
    is_muted: bool | None = None


class Alive(Struct, array_like=True, frozen=True, tag=8):
    """I am here.

    Attributes:
        place: Where callers find me; None if they do not, or not yet.
    """

    place: Place | None = None


class Leaving(Struct, array_like=True, frozen=True, tag=9):
    """I shall tell nothing more: who is still in my rooms comes back soon, or to another one."""


class Ask(Struct, array_like=True, frozen=True, tag=10):
    """Tell me the whole; an empty name is everybody's."""

    server: _Word


class Whole(Struct, array_like=True, frozen=True, tag=11):
    """A part of who is in my rooms, with nothing else in between.

    Attributes:
        part: 0, 1, 2 and so on.
        is_last: Whether it is the last part.
        seats: Rooms, and who is there.
    """

    part: int
    is_last: bool
    seats: tuple[tuple[_Name, Seat], ...]


News: TypeAlias = (
    Came
    | Went
    | Renamed
    | Typing
    | Topic
    | ShowOut
    | StandingChanged
    | Alive
    | Leaving
    | Ask
    | Whole
)


class Listener(Protocol):
    """Who is told what neighbours tell. All of it is called from the event loop."""

    def whole(self) -> Iterable[tuple[str, Seat]]:
        """Return who is in the rooms of this server."""

    def heard(self, server: str, news: News) -> None:
        """Take notice of what a neighbour tells."""

    def present(self, server: str, seats: Sequence[tuple[str, Seat]]) -> None:
        """Take notice of all who are in a neighbour's rooms; nobody is, if it is gone."""

    def missed(self) -> None:
        """Take notice that something that was told may have been missed."""


class Neighbours(Protocol):
    """The other servers of the same log.

    Attributes:
        place: Where callers find this one, which the others are told; None if they do not.
    """

    place: Place | None

    async def open(self, listener: Listener) -> None:
        """Tell and hear from now on; wait a moment for what the others have to tell."""

    async def close(self) -> None:
        """Tell that this one leaves, and hear nothing more."""

    def tell(self, news: News) -> None:
        """Tell the others something; it may be lost."""

    async def order(self, news: News) -> None:
        """Tell the others something, and wait until it is on its way to them.

        Raises:
            LogUnavailable: It is not.
        """

    def places(self) -> Sequence[Place]:
        """Return where callers find the others, as far as they have told it."""


class NoNeighbours:
    """Nobody. See `Neighbours`."""

    def __init__(self) -> None:
        self.place: Place | None = None

    async def open(self, listener: Listener) -> None:
        """See `Neighbours.open`."""

    async def close(self) -> None:
        """See `Neighbours.close`."""

    def tell(self, news: News) -> None:
        """See `Neighbours.tell`."""

    async def order(self, news: News) -> None:
        """See `Neighbours.order`."""

    def places(self) -> Sequence[Place]:
        """See `Neighbours.places`."""
        return ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[_Word, int, News]).decode


def pack(server: str, number: int, news: News) -> bytes:
    """Return what a server tells, with the number that it has among all that it tells."""
    return _encode((server, number, news))


def unpack(data: bytes) -> tuple[str, int, News]:
    """Return what `pack` was given.

    Raises:
        ValueError: It is something else.
    """
    return _decode(data)
