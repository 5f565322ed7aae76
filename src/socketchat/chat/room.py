"""One room: its members, who has which name, and what passes among them.

The log tells the room what was committed, in order. The room makes the frames once and writes them
to every member that keeps up, in one piece; the others read on by themselves (`member.py`).
Presence and typing pass by: they are gathered for one turn of the loop, never logged, and lost
without harm. `server.py` opens rooms and lets callers in.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from socketchat.chat.log import READ_SIZE, Draft, Entry, Log
from socketchat.chat.member import Member, frame_of
from socketchat.chat.names import with_suffix
from socketchat.chat.rules import Rules, Verdict
from socketchat.errors import CloseCode
from socketchat.logged import LoggedSession, LogPlace
from socketchat.messages import MAX_PRESENT, Event, Hello, Post, Present, encode

__all__ = ["LINGER", "Room", "RoomHost"]

#: Seconds for which one whose link was lost still counts as present, so that a short cut is not
#: told as a leave and a join; somebody else who wants its name gets it all the same.
LINGER = 10.0
#: How much a room remembers of what was said last, for members that are a little behind.
MAX_RECENT = 2048
MAX_RECENT_SIZE = 2**20
#: What a frame has around a body, in bytes, about: short messages are mostly that.
FRAME_OVERHEAD = 48


class _Passing(NamedTuple):
    """Something that passes: whom it is about, and how the members and the host are told."""

    about: bytes
    frame: bytes
    frame_for_host: bytes


class _Absent(NamedTuple):
    """One whose link was lost a moment ago."""

    nick: str
    timer: asyncio.TimerHandle


class RoomHost(Protocol):
    """Who opens rooms, and is told what concerns more than one of them."""

    def log_failed(self, member: Member, error: BaseException) -> None:
        """Deal with a log that did not do what was asked of it for a member."""

    def deserted(self, room: Room) -> None:
        """Take notice that nobody has a name in a room any more."""


class Room:
    """Members, and their places in one log.

    Attributes:
        name: The room's name.
        log: The log of all rooms.
        rules: What its members may do.
        host: Who is told what concerns more than this room.
        members: Who is in it, by the name of the lane.
        head: The number of the last entry that it knows of.
    """

    def __init__(self, name: str, log: Log, rules: Rules, host: RoomHost) -> None:
        self.name = name
        self.log = log
        self.rules = rules
        self.host = host
        self.members: dict[bytes, Member] = {}
        self.head = 0
        # Names are given before their owners are seated, and kept for a while after them.
        self._names: dict[str, bytes] = {}
        # How many sessions were given a name and are neither seated yet nor known to have ended.
        self._reserved: Counter[str] = Counter()
        self._absent: dict[bytes, _Absent] = {}
        # The last append of each lane that has one on its way to the log.
        self._on_their_way: dict[bytes, asyncio.Future[int]] = {}
        self._recent: deque[tuple[Entry, bytes]] = deque()
        self._recent_size = 0
        self._passing: list[_Passing] = []
        self._unwatch: Callable[[], None] | None = None

    async def open(self) -> None:
        """Follow the log.

        Raises:
            LogError: It cannot be read.
        """
        self._unwatch = self.log.watch(self.name, self._on_entries)
        try:
            span = await self.log.span(self.name)
        except BaseException:
            self.close()
            raise
        self.head = max(self.head, span.head)

    def close(self) -> None:
        """Follow the log no more."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        for absent in self._absent.values():
            absent.timer.cancel()

    @property
    def deserted(self) -> bool:
        """Whether nobody has a name here."""
        return not self._names

    # ---- coming in ----

    async def find_place(self, hello: Hello) -> LogPlace:
        """Find where a caller goes on in the log.

        Raises:
            LogError: The log cannot be read.
        """
        await self._settled(hello.lane)
        span = await self.log.span(self.name)
        number, at = hello.after
        session = b""
        if hello.session:
            # An entry that is no longer held cannot be compared; the client is shown the gap.
            theirs = span.at if number == span.head else await self.log.at(self.name, number)
            if theirs is None:
                span = await self.log.span(self.name)  # it may have been let go of just now
            gone = number < span.floor and at <= span.at
            if number <= span.head and (theirs == at or (theirs is None and gone)):
                session = hello.session
            else:
                number = span.floor - 1
        elif at:
            number = await self.log.before(self.name, at)
        else:
            number = max(span.head - hello.history, span.floor - 1)
        if session and number < span.floor - 1:
            # What is gone the client is shown as a gap; it goes on with what there is.
            number, at = span.floor - 1, 0
        if not session:
            at = await self._time_of(number, span.at if number == span.head else None)
        mark = await self.log.mark(self.name, hello.lane)
        return LogPlace(session, mark, span.floor, span.head, (number, at))

    async def _settled(self, lane: bytes) -> None:
        """Wait for what an older link has handed over to the log.

        It would come again, could then be refused, and yet be in the log a moment later.
        """
        while appended := self._on_their_way.get(lane):
            await asyncio.wait([appended])

    async def _time_of(self, number: int, known: int | None) -> int:
        if known is not None:
            return known
        return await self.log.at(self.name, number) or 0

    def reserve(self, wanted: str, lane: bytes) -> str:
        """Give the owner of a lane the name that it wants, or one that is free.

        It is kept for a session, which is seated then, or vacated.
        """
        name, count = wanted, 1
        while not self._may_have(name.casefold(), lane):
            count += 1
            name = with_suffix(wanted, f"-{count}")
        self._names[name.casefold()] = lane
        self._reserved[name.casefold()] += 1
        return name

    def _may_have(self, key: str, lane: bytes) -> bool:
        """Tell whether a name is free; who was lost must give it up, unless about to be back."""
        owner = self._names.get(key)
        if owner is None or owner == lane:
            return True
        if owner in self._absent and not self._reserved[key]:
            self._forget(owner)
            return True
        return False

    def seat(self, session: LoggedSession) -> Member:
        """Seat a session whose name is reserved.

        Raises:
            SessionClosed: It has ended already.
        """
        member = Member(self, session)
        session.keep(member)
        absent = self._absent.get(member.lane)
        if absent is not None and absent.nick != member.nick:
            self._forget(member.lane)
            absent = None
        self.members[member.lane] = member
        self._redeem(member.nick)
        member.told = len(self._passing)
        self._tell_who_is_here(member)
        if absent is None:
            self.announce("joined", member)
        else:
            del self._absent[member.lane]
            absent.timer.cancel()
        member.read_on()
        return member

    def leave(self, member: Member, *, lost: bool) -> None:
        """Free a seat; for its member alone."""
        if self.members.get(member.lane) is not member:
            return  # a newer link has it
        del self.members[member.lane]
        if lost:
            self._linger(member.nick, member.lane)
        else:
            self._free_name(member.nick, member.lane)
            self.announce("left", member)

    def vacate(self, session: LoggedSession) -> None:
        """Free the name of a session that ended before it was seated."""
        self._redeem(session.nick)
        owner = self.members.get(session.lane) or self._absent.get(session.lane)
        if owner is None or owner.nick.casefold() != session.nick.casefold():
            self._free_name(session.nick, session.lane)

    def _redeem(self, nick: str) -> None:
        """Take notice that a session which was given this name is seated, or has ended."""
        key = nick.casefold()
        self._reserved[key] -= 1
        if not self._reserved[key]:
            del self._reserved[key]

    def _linger(self, nick: str, lane: bytes) -> None:
        """Count one whose link was lost as present for a while."""
        timer = asyncio.get_running_loop().call_later(LINGER, self._give_up, lane)
        self._absent[lane] = _Absent(nick, timer)

    def _give_up(self, lane: bytes) -> None:
        nick = self._absent[lane].nick
        if self._reserved[nick.casefold()]:
            self._linger(nick, lane)  # it is about to be back
        else:
            self._forget(lane)

    def _forget(self, lane: bytes) -> None:
        """Count one whose link was lost as gone."""
        nick, timer = self._absent.pop(lane)
        timer.cancel()
        self._free_name(nick, lane)
        self._pass(lane, Event("left", nick), Event("left", nick))

    def _free_name(self, nick: str, lane: bytes) -> None:
        key = nick.casefold()
        if self._names.get(key) == lane and not self._reserved[key]:
            del self._names[key]
        if self.deserted:
            self.host.deserted(self)

    # ---- what is said ----

    def append(self, lane: bytes, drafts: Sequence[Draft], after: int) -> asyncio.Future[int]:
        """Hand a member's drafts over to the log; see `Log.append`."""
        appended = self.log.append(self.name, lane, drafts, after=after)
        self._on_their_way[lane] = appended
        appended.add_done_callback(lambda _: self._arrived(lane, appended))
        return appended

    def _arrived(self, lane: bytes, appended: asyncio.Future[int]) -> None:
        if self._on_their_way.get(lane) is appended:
            del self._on_their_way[lane]

    def judge(self, member: Member, post: Post) -> Draft | Verdict:
        """Make a draft of what a member posts, or say why it is refused."""
        objection = self.rules.objection(post.body)
        if objection is not None:
            return objection
        if not post.to:
            return Draft(post.number, post.body, member.nick)
        lane = self._names.get(post.to.casefold(), b"")
        if lane in self.members:
            nick = self.members[lane].nick
        elif lane in self._absent:
            nick = self._absent[lane].nick
        else:
            return Verdict(CloseCode.POLICY_VIOLATION, f"nobody here is called {post.to!r}")
        return Draft(post.number, post.body, member.nick, nick, lane)

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and give what was committed."""
        for piece in _pieces(entries):
            # Piece by piece: an acknowledgement must not overtake what it acknowledges.
            self._acknowledge(piece)
            self._give(piece)

    def _acknowledge(self, entries: Sequence[Entry]) -> None:
        """Have the authors told, with the next bytes that they are given."""
        for lane, number in {entry.lane: entry.lane_number for entry in entries}.items():
            author = self.members.get(lane)
            if author is not None:
                author.session.hold(number)

    def _give(self, entries: Sequence[Entry]) -> None:
        """Write entries to all members that keep up, in one piece."""
        before, head = entries[0].number - 1, entries[-1].number
        self.head = max(self.head, head)
        frames = [frame_of(entry) for entry in entries]
        self._remember(entries, frames)
        # Who is given something else than the others: authors, and the ends of direct messages.
        special = {entry.lane for entry in entries}
        special.update(entry.to_lane for entry in entries if entry.to)
        common = b"".join(
            frame for entry, frame in zip(entries, frames, strict=True) if not entry.to
        )
        for lane, member in self.members.items():
            place = member.place
            if not (before <= place < head and member.keeps_up):
                continue  # it reads on by itself, or was quicker: what is read may not be told yet
            if lane in special or place != before:
                theirs = map(member.frame, entries[place - before :], frames[place - before :])
                member.give(b"".join(theirs), head)
            else:
                member.give(common, head)

    def _remember(self, entries: Sequence[Entry], frames: Sequence[bytes]) -> None:
        recent = self._recent
        recent.extend(zip(entries, frames, strict=True))
        self._recent_size += sum(map(len, frames))
        while len(recent) > MAX_RECENT or self._recent_size > MAX_RECENT_SIZE:
            self._recent_size -= len(recent.popleft()[1])

    def recent_after(self, place: int) -> Iterator[tuple[Entry, bytes]] | None:
        """Return the entries behind a place and their frames, if all are remembered."""
        recent = self._recent
        if not recent or not recent[0][0].number <= place + 1 <= recent[-1][0].number:
            return None
        return islice(recent, place + 1 - recent[0][0].number, None)

    # ---- what passes ----

    def announce(self, kind: str, member: Member) -> None:
        """Tell all others that a member has come, has gone, or is typing."""
        event = Event(kind, member.nick)
        for_host = event
        if kind != "typing":
            for_host = Event(kind, member.nick, member.session.peer.address)
        self._pass(member.lane, event, for_host)

    def _pass(self, about: bytes, event: Event, for_host: Event) -> None:
        if not self._passing:
            asyncio.get_running_loop().call_soon(self._tell_all)
        self._passing.append(_Passing(about, encode(event), encode(for_host)))

    def _tell_all(self) -> None:
        """Write what has passed in this turn to everyone whose link takes it."""
        passing, self._passing = self._passing, []
        common = b"".join(one.frame for one in passing)
        subjects = {one.about for one in passing}
        for lane, member in self.members.items():
            told, member.told = member.told, 0
            if not member.session.takes_more:
                continue
            if lane not in subjects and not told and not member.is_host:
                member.session.pass_frames(common, len(passing))
                continue
            theirs = [one for one in passing[told:] if one.about != lane]
            frames = [one.frame_for_host if member.is_host else one.frame for one in theirs]
            member.session.pass_frames(b"".join(frames), len(frames))

    def _tell_who_is_here(self, member: Member) -> None:
        names = [other.nick for other in self.members.values() if other is not member]
        names += [one.nick for lane, one in self._absent.items() if lane != member.lane]
        for start in range(0, len(names), MAX_PRESENT):
            present = Present(tuple(names[start : start + MAX_PRESENT]))
            member.session.pass_frames(encode(present), 1)


def _pieces(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut entries into pieces of about `READ_SIZE`: what one slow member may have in memory."""
    start = size = 0
    for index, entry in enumerate(entries):
        size += len(entry.body) + FRAME_OVERHEAD
        if size >= READ_SIZE:
            yield entries[start : index + 1]
            start, size = index + 1, 0
    if start < len(entries):
        yield entries[start:]
