"""One room: its last entries, in order, and the members who read on from their places in it.

A member that is slow delays nobody and costs one number: its place. The entries are kept once for
all members, in memory, up to a bound; a member that falls behind that is told so and has to come
back. `server.py` seats sessions here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from socketchat.errors import CloseCode
from socketchat.events import Joined, Left, Message
from socketchat.session import Session

__all__ = ["Member", "Room"]

#: How much a room keeps for members that are behind: entries, and bytes (characters, for text).
MAX_ENTRIES = 4096
MAX_SIZE = 16 * 2**20


@dataclass(frozen=True, slots=True)
class _Entry:
    author: Member
    body: str | bytes


@dataclass(eq=False, slots=True)
class Member:
    """A session in a room.

    Attributes:
        session: The session.
        place: The number of the last entry that it was given.
        is_host: Whether it sits at the server itself, and is told where the others call from.
    """

    session: Session
    place: int
    is_host: bool

    def joined(self, reader: Member) -> Joined:
        """Return what `reader` is told when this member comes."""
        return Joined(self.session.nick, self.session.peer.address if reader.is_host else "")

    def left(self, reader: Member) -> Left:
        """Return what `reader` is told when this member goes."""
        return Left(self.session.nick, self.session.peer.address if reader.is_host else "")


class Room:
    """Members, and what was last said among them.

    Attributes:
        name: The room's name.
        members: Who is in it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: set[Member] = set()
        self._entries: deque[_Entry] = deque()
        self._size = 0
        self._head = 0
        self._news = asyncio.Event()

    def enter(self, session: Session, *, is_host: bool) -> Member:
        """Seat `session`; it will be given what is said from now on."""
        member = Member(session, self._head, is_host)
        for other in self.members:
            other.session.tell(member.joined(other))
        self.members.add(member)
        return member

    def leave(self, member: Member) -> None:
        """Free the seat of `member`."""
        self.members.discard(member)
        for other in self.members:
            other.session.tell(member.left(other))

    def say(self, author: Member, message: Message) -> None:
        """Add what `author` says, for all others."""
        self._entries.append(_Entry(author, message.body))
        self._size += len(message.body)
        while len(self._entries) > MAX_ENTRIES or (
            self._size > MAX_SIZE and len(self._entries) > 1
        ):
            self._size -= len(self._entries.popleft().body)
        self._head += 1
        self._news.set()
        self._news = asyncio.Event()

    async def feed(self, member: Member) -> None:
        """Give `member` what the others say, until it is cancelled or the session closes.

        Raises:
            SessionClosed: The session is closed.
        """
        while True:
            while member.place == self._head:
                await self._news.wait()
            missed = self._head - len(self._entries) - member.place
            if missed > 0:
                reason = f"{missed} messages behind what the room keeps"
                await member.session.close(CloseCode.TRY_AGAIN_LATER, reason)
                return
            entry = self._entries[member.place - self._head]
            member.place += 1
            if entry.author is not member:
                await member.session.send(entry.body, sender=entry.author.session.nick)
