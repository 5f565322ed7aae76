"""Who is in a room, by which name: names given out, and those whose link was lost a moment ago.

A name is held by one identity at a time: a device's key, or the lane of one that has none. Several
sessions of one identity may share it. It is given before a session is seated, and kept for a while
after one was lost. Names that people have in the same room at other servers are theirs as well. The
roster knows neither sessions nor the log; `room.py` keeps it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from socketchat.chat.names import name_key
from socketchat.chat.neighbours import Seat

__all__ = ["LINGER", "Elsewhere", "Holder", "Roster"]

#: Seconds for which one whose link was lost still counts as present, so that a short cut is not
#: told as a leave and a join; somebody else who wants its name gets it all the same.
LINGER: Final = 10.0


@dataclass(slots=True, eq=False)
class Holder:
    """One who has a name in a room.

    Attributes:
        nick: The name.
        identity: Who that is: the device's key, or the lane of one that has none.
        public: The device's key, or empty.
        address: Where it calls from; empty if one of its sessions sits at the server itself.
        since: When somebody was first seated under it, in microseconds since the epoch.
        reserved: Sessions that were given the name, and are neither seated yet nor known to have
            ended.
        seated: Sessions that are seated under it.
        lingering: Ends the time in which it counts as present though nobody is seated.
    """

    nick: str
    identity: bytes
    public: bytes = b""
    address: str = ""
    since: int = 0
    reserved: int = 0
    seated: int = 0
    lingering: asyncio.TimerHandle | None = None

    @property
    def is_present(self) -> bool:
        """Whether it counts as being in the room."""
        return self.seated > 0 or self.lingering is not None

    def as_seat(self) -> Seat:
        """Return what other servers are told of it."""
        return Seat(self.nick, self.identity, self.public, self.address, self.since)


class Elsewhere(Protocol):
    """Who is in the room at other servers."""

    def find(self, nick: str) -> Seat | None:
        """Return who has a name there, or one that looks like it."""

    def seats(self) -> Iterator[tuple[str, Seat]]:
        """Iterate over all of them, each name once, by its key."""


class Roster:
    """The names of a room.

    Args:
        on_left: Called with each who lingered, and counts as gone now.
        elsewhere: Who is in the room at other servers; None is nobody.
    """

    def __init__(
        self, on_left: Callable[[Holder], object], elsewhere: Elsewhere | None = None
    ) -> None:
        self._on_left = on_left
        self._elsewhere = elsewhere
        self._holders: dict[str, Holder] = {}
        # Who lingers, by identity: one that is back under another name does not linger on.
        self._lingering: dict[bytes, Holder] = {}

    def __bool__(self) -> bool:
        return bool(self._holders)

    def __iter__(self) -> Iterator[Holder | Seat]:
        """Iterate over those who are present, at whichever server."""
        yield from self.local()
        if self._elsewhere is not None:
            for key, seat in self._elsewhere.seats():
                if self._local(key) is None:
                    yield seat

    def local(self) -> Iterator[Holder]:
        """Iterate over those who are present at this server."""
        return (holder for holder in self._holders.values() if holder.is_present)

    def find(self, name: str) -> Holder | Seat | None:
        """Return who is present under a name, or under one that looks like it."""
        return self._local(name_key(name)) or self.find_elsewhere(name)

    def find_elsewhere(self, name: str) -> Seat | None:
        """Return who is present under such a name at another server."""
        return self._elsewhere.find(name) if self._elsewhere is not None else None

    def _local(self, key: str) -> Holder | None:
        holder = self._holders.get(key)
        return holder if holder is not None and holder.is_present else None

    def reserve(self, nick: str, identity: bytes, public: bytes = b"") -> str | None:
        """Give a session a name, until it is seated or vacated.

        Who lingers must give it up, unless a session of its own is about to be seated.

        Returns:
            The name, as other sessions of the same identity have it; None if it is another's.
        """
        seat = self.find_elsewhere(nick)
        if seat is not None and seat.identity != identity:
            return None
        holder = self._holders.get(name_key(nick))
        if holder is not None and (holder.identity, holder.nick) != (identity, nick):
            if not (holder.seated or holder.reserved):
                self._let_go(holder)
                holder = None
            elif holder.identity != identity:
                return None
        if holder is None:
            spelled = seat.nick if seat is not None else nick
            holder = self._holders[name_key(nick)] = Holder(spelled, identity, public)
        holder.reserved += 1
        return holder.nick

    def respell(self, nick: str, spelling: str) -> bool:
        """Have a name spelled in another way, if nobody but one session bears it; tell whether."""
        holder = self._holders[name_key(nick)]
        if holder.seated + holder.reserved > 1 or self.find_elsewhere(nick) is not None:
            return False
        holder.nick = spelling
        return True

    def seat_of(self, nick: str) -> Seat:
        """Return what other servers are told of one who has a name at this server."""
        return self._holders[name_key(nick)].as_seat()

    def outdone(self, name: str) -> Holder | None:
        """Return who is present here under a name to which one elsewhere has the better claim.

        That comes about when both got it before either server had told the other.
        """
        mine, other = self._local(name_key(name)), self.find_elsewhere(name)
        if mine is None or other is None or mine.identity == other.identity:
            return None
        return mine if other.claim < mine.as_seat().claim else None

    def vacate(self, nick: str) -> None:
        """Take notice that a session has ended before it was seated."""
        holder = self._holders[name_key(nick)]
        holder.reserved -= 1
        self._drop(holder)

    def seat(self, nick: str, address: str = "") -> bool:
        """Seat a session; tell whether it is news that somebody of this name is at this server."""
        holder = self._holders[name_key(nick)]
        elsewhere = self._lingering.get(holder.identity)
        if elsewhere is not None and elsewhere is not holder:
            self._let_go(elsewhere)
        is_news = not holder.is_present
        if is_news:
            holder.since = time.time_ns() // 1000
        if not holder.seated or not address:
            holder.address = address
        self._stay(holder)
        holder.reserved -= 1
        holder.seated += 1
        return is_news

    def leave(self, nick: str, *, lost: bool) -> bool:
        """Free a session's seat; tell whether nobody of this name is at this server any more.

        One whose link was `lost` lingers first.
        """
        holder = self._holders[name_key(nick)]
        holder.seated -= 1
        if holder.seated:
            return False
        if lost:
            self._linger(holder)
            return False
        self._drop(holder)
        return True

    def close(self) -> None:
        """Wait for nobody any more."""
        for holder in self._lingering.values():
            self._stop(holder)
        self._lingering.clear()

    def _linger(self, holder: Holder) -> None:
        elsewhere = self._lingering.get(holder.identity)
        if elsewhere is not None and elsewhere is not holder:
            self._let_go(elsewhere)
        self._lingering[holder.identity] = holder
        loop = asyncio.get_running_loop()
        holder.lingering = loop.call_later(LINGER, self._give_up, holder)

    def _give_up(self, holder: Holder) -> None:
        if holder.reserved:
            self._linger(holder)  # it is about to be back
        else:
            self._let_go(holder)

    def _let_go(self, holder: Holder) -> None:
        """Count one who lingers as gone."""
        self._stay(holder)
        self._drop(holder)
        self._on_left(holder)

    def _stay(self, holder: Holder) -> None:
        """Stop the time for one who lingers, if it does."""
        if holder.lingering is not None:
            self._stop(holder)
            del self._lingering[holder.identity]

    @staticmethod
    def _stop(holder: Holder) -> None:
        if holder.lingering is not None:
            holder.lingering.cancel()
            holder.lingering = None

    def _drop(self, holder: Holder) -> None:
        """Free a name that nobody needs."""
        if not (holder.is_present or holder.reserved):
            self._holders.pop(name_key(holder.nick), None)
