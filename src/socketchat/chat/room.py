"""One room: its last entries, in order, and the members who read on from their places in it.

A member that is slow delays nobody and costs one number: its place. The entries are kept once for
all members, in memory, up to a bound; a member that falls behind that is told so and has to come
back. So that this does not happen to whoever reads a little slower than others can write, a flood
is slowed down (`keep_pace`). `server.py` seats sessions here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from socketchat.errors import CloseCode, MessageTooBig
from socketchat.events import Joined, Left, Message
from socketchat.session import Session

__all__ = ["Member", "Room"]

#: How much a room keeps for members that are behind: entries, and bytes (characters, for text). It
#: is more than what is on its way from several members at once (`Options.max_unacked`).
MAX_ENTRIES = 65_536
MAX_SIZE = 16 * 2**20
#: When a member is behind by half of that, authors pause for so many seconds after each 64th part.
PAUSE = 0.25
_PARTS = 64


@dataclass(frozen=True, slots=True)
class _Entry:
    """What happened in the room.

    Attributes:
        author: Who did it.
        said: What it said, or that it came or went.
        end: How much was said in the room up to here, this included.
        to: The name of the one whom it is for; empty is everyone.
    """

    author: Member
    said: str | bytes | type[Joined | Left]
    end: int
    to: str = ""

    def is_for(self, member: Member) -> bool:
        """Tell whether `member` is given this."""
        if member is self.author:
            return False
        return not self.to or self.to.casefold() == member.session.nick.casefold()


@dataclass(eq=False, slots=True)
class Member:
    """A session in a room.

    Attributes:
        session: The session.
        place: The number of the last entry that it was given.
        taken: How much was said in the room up to that entry.
        is_host: Whether it sits at the server itself, and is told where the others call from.
    """

    session: Session
    place: int
    taken: int
    is_host: bool


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
        self._head = 0  # the number of the last entry
        self._end = 0  # how much was said up to there
        self._size = 0  # how much of that is kept
        self._news = asyncio.Event()
        # Authors look at the others again behind this entry, or when so much was said.
        self._next_look = (MAX_ENTRIES // _PARTS, MAX_SIZE // _PARTS)
        self._pacing = asyncio.Lock()

    def enter(self, session: Session, *, is_host: bool) -> Member:
        """Seat `session`; it will be given what happens from now on."""
        member = Member(session, self._head, self._end, is_host)
        self.members.add(member)
        self._append(member, Joined)
        member.place = self._head
        return member

    def leave(self, member: Member) -> None:
        """Free the seat of `member`."""
        self.members.discard(member)
        self._append(member, Left)

    def say(self, author: Member, message: Message) -> None:
        """Add what `author` says, for all others, or for the one whom it names."""
        self._append(author, message.body, message.to)

    def _append(
        self, author: Member, said: str | bytes | type[Joined | Left], to: str = ""
    ) -> None:
        size = len(said) if isinstance(said, (str, bytes)) else 0
        self._head += 1
        self._end += size
        self._size += size
        self._entries.append(_Entry(author, said, self._end, to))
        while len(self._entries) > MAX_ENTRIES or (
            self._size > MAX_SIZE and len(self._entries) > 1
        ):
            self._entries.popleft()
            oldest = self._entries[0]
            before = oldest.end - (len(oldest.said) if isinstance(oldest.said, (str, bytes)) else 0)
            self._size = self._end - before
        self._news.set()
        self._news = asyncio.Event()

    async def feed(self, member: Member) -> None:
        """Give `member` what happens, until it is cancelled or the session closes.

        Raises:
            SessionClosed: The session is closed.
        """
        while True:
            while member.place == self._head:
                await self._news.wait()
            missed = self._head - len(self._entries) - member.place
            if missed > 0:
                reason = f"{missed} messages behind what the room keeps"
                if not member.is_host:
                    await member.session.close(CloseCode.TRY_AGAIN_LATER, reason)
                    return
                # The server would end with its host's seat, because of a terminal that stood still.
                member.place += missed
                await member.session.send(f"[they are left out: you were {reason}]", sender="room")
            entry = self._entries[member.place - self._head]
            if entry.is_for(member):
                await _give(member, entry)
            member.place += 1
            member.taken = entry.end

    async def keep_pace(self) -> None:
        """Pause now and then, having spoken, while others are far behind.

        It is time alone that is waited for: a member may be behind because it speaks too, and what
        it has read is told behind what it says.

        Cancellation: safe.
        """
        if self._is_too_soon():
            return
        async with self._pacing:  # whoever speaks meanwhile pauses too
            if self._is_too_soon():
                return
            if any(self._is_far_behind(member) for member in self.members):
                await asyncio.sleep(PAUSE)
            self._next_look = (self._head + MAX_ENTRIES // _PARTS, self._end + MAX_SIZE // _PARTS)

    def _is_too_soon(self) -> bool:
        return self._head < self._next_look[0] and self._end < self._next_look[1]

    def _is_far_behind(self, member: Member) -> bool:
        """Tell whether `member` is behind by half of what is kept; not if it is lost anyway."""
        entries, size = self._head - member.place, self._end - member.taken
        if entries > len(self._entries):
            return False
        return 2 * entries > MAX_ENTRIES or 2 * size > MAX_SIZE


async def _give(member: Member, entry: _Entry) -> None:
    """Give `member` one entry of somebody else.

    Raises:
        SessionClosed: The session is closed.
    """
    author = entry.author.session
    if not isinstance(entry.said, (str, bytes)):
        address = author.peer.address if member.is_host else ""
        member.session.tell(entry.said(author.nick, address))
        return
    try:
        await member.session.send(entry.said, to=entry.to, sender=author.nick)
    except MessageTooBig as exc:
        # Nobody is told of it by the session, and the others have got it.
        await member.session.send(f"[too big for you: {exc}]", sender=author.nick)
