"""One room: its members, who of them has which name, and what all of them are given.

The log tells the room what was committed, in order. The room makes the frames once and writes them
to every member that keeps up, in one piece; the others read on by themselves (`member.py`).
Presence and typing pass by (`passing.py`). `server.py` opens rooms and lets callers in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol

from socketchat.chat.log import READ_SIZE, Draft, Entry, Log, Span, lane_name
from socketchat.chat.member import Member, frame_of
from socketchat.chat.names import name_key
from socketchat.chat.neighbourhood import Neighbourhood
from socketchat.chat.neighbours import Came, Renamed, Typing, Went
from socketchat.chat.passing import Passing
from socketchat.chat.registry import Standing
from socketchat.chat.roster import LINGER, Holder, Roster
from socketchat.chat.rules import Rules, Verdict
from socketchat.chat.tally import Tally
from socketchat.errors import CloseCode, LogUnavailable
from socketchat.logged import LoggedSession, LogPlace
from socketchat.messages import Command, Event, Hello, Post, encode

__all__ = ["Room", "RoomHost"]

#: How much a room remembers of what was said last, for members that are a little behind.
MAX_RECENT = 2048
MAX_RECENT_SIZE = 2**20
#: Seconds after a room was opened for which people may still be on their way back to it, from a
#: server that was here before: what is for one of them waits. It is as long as those whose links
#: were lost would be in the room.
RETURNING = LINGER
#: What a frame has around a body, in bytes, about: short messages are mostly that.
FRAME_OVERHEAD = 48


class RoomHost(Protocol):
    """Who opens rooms, and is told what concerns more than one of them."""

    def own(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something run as a task, and wait for its end before the host's own."""

    def obey(self, member: Member, command: Command) -> None:
        """Carry out what a member asks for, and answer."""

    def log_failed(self, member: Member, error: BaseException) -> None:
        """Deal with a log that did not do what was asked of it for a member."""

    def came_or_went(self, room: Room, event: Event) -> None:
        """Take notice that somebody has come into a room, or is gone."""

    def deserted(self, room: Room) -> None:
        """Take notice that nobody has a name in a room any more."""


class Room:
    """Members, and their places in one log.

    Attributes:
        name: The room's name.
        log: The log of all rooms.
        rules: What its members may do.
        host: Who is told what concerns more than this room.
        members: The sessions in it, by the name of the lane.
        roster: Who is in it, by which name.
        passing: Tells its members what passes.
        head: The number of the last entry that it knows of.
        topic: What it is about, and who has said so; both may be empty.
        restarts: How often the log has begun afresh; see `Diverged`.
        tally: Where what happens is counted, for all rooms of a server.
    """

    def __init__(
        self,
        name: str,
        log: Log,
        rules: Rules,
        host: RoomHost,
        *,
        topic: tuple[str, str] = ("", ""),
        all_here_at: float = 0.0,
        tally: Tally | None = None,
        around: Neighbourhood | None = None,
    ) -> None:
        """Make a room of a server that all who were there before have come back to by a time.

        Around it are other servers, at which people are in the same room.
        """
        self.name = name
        self.log = log
        self.rules = rules
        self.host = host
        self.members: dict[bytes, Member] = {}
        self.head: int = 0
        self._head_at = 0
        self.topic: tuple[str, str] = topic
        self.restarts: int = 0
        self.tally: Tally = tally or Tally()
        self._around = around or Neighbourhood()
        self.roster: Roster = Roster(self._lingered, self._around.of(name))
        # The lanes of those who are seated, by who they are.
        self._lanes: dict[bytes, set[bytes]] = {}
        # The last append of each lane that has one on its way to the log.
        self._on_their_way: dict[bytes, asyncio.Future[int]] = {}
        self._recent: deque[tuple[Entry, bytes]] = deque()
        self._recent_size = 0
        self.passing: Passing = Passing(self.members, partial(host.came_or_went, self))
        self._unwatch: Callable[[], None] | None = None
        self._all_here_at = all_here_at

    async def open(self) -> None:
        """Follow the log.

        Raises:
            LogError: It cannot be read.
        """
        self._unwatch = self.log.watch(self.name, self._on_entries, self._on_diverged)
        try:
            span = await self.log.span(self.name)
        except BaseException:
            self.close()
            raise
        if span.head > self.head:
            self.head, self._head_at = span.head, span.at

    def close(self) -> None:
        """Follow the log no more."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self.roster.close()

    @property
    def deserted(self) -> bool:
        """Whether nobody has a name here."""
        return not self.roster

    # ---- coming in ----

    async def find_place(self, hello: Hello) -> LogPlace:
        """Find where a caller goes on in the log.

        Raises:
            LogError: The log cannot be read.
        """
        lane = lane_name(hello.lane)
        await self._settled(lane)
        restarts = self.restarts
        span = await self._look()
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
        mark = await self.log.mark(self.name, lane)
        return LogPlace(session, mark, span.floor, span.head, (number, at), restarts)

    async def _look(self) -> Span:
        """Return the log's span, if the log is the one that the room has been told of.

        Else this server has still to learn that it is another one, and would show what it remembers
        of the one before behind what there is now.

        Raises:
            LogError: It cannot be read, or is another one.
        """
        head, at = self.head, self._head_at
        span = await self.log.span(self.name)
        is_other = span.head < head
        if at and not is_other:
            theirs = span.at if span.head == head else await self.log.at(self.name, head)
            is_other = theirs not in (at, None)  # it may be held no more
        if is_other:
            raise LogUnavailable("the log is another one, which this server has still to look at")
        return span

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

    def seat(self, session: LoggedSession, standing: Standing) -> Member:
        """Seat a session whose name is reserved.

        Raises:
            SessionClosed: It has ended already.
        """
        member = Member(self, session, standing)
        session.keep(member)
        self.members[member.lane] = member
        self._lanes.setdefault(member.identity, set()).add(member.lane)
        is_news = self._take_seat(member, member.nick)
        self.passing.welcome(member, self.roster)
        if self.topic[0]:
            member.session.pass_frames(encode(self._topic_event()), 1)
        if is_news:
            self.passing.announce("joined", member)
        if session.place.restarts == self.restarts:
            member.read_on()
        else:
            _begin_afresh(member)
        self.settle_name(member.nick)
        return member

    def leave(self, member: Member, *, lost: bool) -> None:
        """Free a seat; for its member alone."""
        if self.members.get(member.lane) is not member:
            return
        del self.members[member.lane]
        lanes = self._lanes[member.identity]
        lanes.discard(member.lane)
        if not lanes:
            del self._lanes[member.identity]
        if self._leave_seat(member.nick, lost=lost):
            self.passing.announce("left", member)
        self._look_if_deserted()

    def _take_seat(self, member: Member, nick: str) -> bool:
        """Seat a member; tell whether it is news in the room that somebody is called so.

        The other servers are told, who find out for themselves whether it is news to theirs.
        """
        address = member.session.peer.address
        if not self.roster.seat(nick, address):
            return False
        self._around.tell(Came(self.name, self.roster.seat_of(nick)))
        return self.roster.find_elsewhere(nick) is None

    def _leave_seat(self, nick: str, *, lost: bool) -> bool:
        """Free a member's seat; tell whether nobody in the room is called so any more."""
        if not self.roster.leave(nick, lost=lost):
            return False
        self._around.tell(Went(self.name, nick))
        return self.roster.find_elsewhere(nick) is None

    def vacate(self, nick: str) -> None:
        """Free a name that was reserved for a session which is not seated after all."""
        self.roster.vacate(nick)
        self._look_if_deserted()

    def _lingered(self, holder: Holder) -> None:
        """Take notice that one whose link was lost is gone."""
        self._around.tell(Went(self.name, holder.nick))
        if self.roster.find_elsewhere(holder.nick) is None:
            event = Event("left", holder.nick, key=holder.public)
            self.passing.tell(event)
        self._look_if_deserted()

    def _look_if_deserted(self) -> None:
        if self.deserted:
            self.host.deserted(self)

    def rename(self, member: Member, nick: str) -> str | None:
        """Have a member go by another name.

        Returns:
            The name that it has now, as other sessions of the same one have it; None if it is
            another's.
        """
        old, address = member.nick, member.session.peer.address
        if name_key(old) == name_key(nick) and self.roster.respell(old, nick):
            given: str | None = nick
            came = went = True
        else:
            given = self.roster.reserve(nick, member.identity, member.session.key)
            if given is None:
                return None
            came = self.roster.seat(given, address)
            went = self.roster.leave(old, lost=False)
        assert given is not None
        member.nick = member.session.nick = given
        self._tell_renamed(member, old, came=came, went=went)
        return given

    def _tell_renamed(self, member: Member, old: str, *, came: bool, went: bool) -> None:
        """Tell that a member has another name, of which somebody may be here already."""
        given, key = member.nick, member.session.key
        seat = self.roster.seat_of(given)
        if came and went:
            self._around.tell(Renamed(self.name, old, seat))
        elif went:
            self._around.tell(Went(self.name, old))
        elif came:
            self._around.tell(Came(self.name, seat))
        is_news = came and self.roster.find_elsewhere(given) is None
        is_gone = went and self.roster.find_elsewhere(old) is None
        if is_gone and is_news:
            if given != old:
                event = Event("renamed", old, key=key, text=given)
                self.passing.tell(event, about=member.lane)
        elif is_gone:
            self.passing.announce("left", member, old)
        elif is_news:
            self.passing.announce("joined", member)

    def settle_name(self, nick: str) -> None:
        """Have one come back, under another name, whose name is another's by the better claim."""
        holder = self.roster.outdone(nick)
        for member in self.sessions_of(holder.identity) if holder is not None else ():
            if name_key(member.nick) == name_key(nick):
                reason = f"somebody else came as {member.nick} at the same moment"
                member.session.turn_away(CloseCode.TRY_AGAIN_LATER, reason)

    async def topic_changed(self, nick: str) -> None:
        """Have everyone be told what the room is about now, at all servers; it is kept already.

        Raises:
            LogError: It cannot be looked at here yet.
        """
        await self._around.topic_changed(self.name, nick)

    def take_topic(self, text: str, nick: str) -> None:
        """Tell everyone at this server what the room is about now."""
        self.topic = text, nick
        event = self._topic_event()
        self.passing.tell(event)

    def _topic_event(self) -> Event:
        text, nick = self.topic
        return Event("topic", nick, text=text)

    def typing(self, member: Member) -> None:
        """Tell everyone else that a member is typing, at all servers."""
        self._around.tell(Typing(self.name, member.nick, member.session.key))
        self.passing.announce("typing", member)

    def sessions_of(self, identity: bytes) -> list[Member]:
        """Return the seats of one who is in the room, of whom there may be several sessions."""
        return [self.members[lane] for lane in self._lanes.get(identity, ())]

    # ---- what is said ----

    def append(self, lane: bytes, drafts: Sequence[Draft], after: int) -> asyncio.Future[int]:
        """Hand a member's drafts over to the log; see `Log.append`."""
        appended = self.log.append(self.name, lane, drafts, after=after)
        self._on_their_way[lane] = appended
        since = asyncio.get_running_loop().time()
        self.tally.appended(since)
        appended.add_done_callback(lambda _: self._arrived(lane, appended, since))
        return appended

    def _arrived(self, lane: bytes, appended: asyncio.Future[int], since: float) -> None:
        made = appended.exception() is None
        self.tally.answered(since, asyncio.get_running_loop().time(), made=made)
        if self._on_their_way.get(lane) is appended:
            del self._on_their_way[lane]

    def judge(self, member: Member, post: Post) -> Draft | Verdict | None:
        """Make a draft of what a member posts, or say why it is refused; None is: not yet known."""
        if member.standing.is_muted:
            return Verdict(CloseCode.POLICY_VIOLATION, "you are muted here")
        objection = self.rules.objection(post.body)
        if objection is not None:
            return objection
        key = member.session.key
        if not post.to:
            return Draft(post.number, post.body, member.nick, key=key)
        whom = self.roster.find(post.to)
        if whom is None and asyncio.get_running_loop().time() < self._all_here_at:
            return None
        if whom is None:
            return Verdict(CloseCode.POLICY_VIOLATION, f"nobody here is called {post.to!r}")
        return Draft(post.number, post.body, member.nick, whom.nick, whom.identity, key)

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and give what was committed."""
        for piece in _pieces(entries):
            # Piece by piece: an acknowledgement must not overtake what it acknowledges.
            self._acknowledge(piece)
            self._give(piece)

    def _on_diverged(self, head: int) -> None:
        """Have everybody come back: no place here means what it meant.

        In the greeting their places are compared with the log, and they are told what it holds.
        """
        self.head, self._head_at = head, 0
        self.restarts += 1
        self._recent.clear()
        self._recent_size = 0
        for member in list(self.members.values()):
            _begin_afresh(member)

    def _acknowledge(self, entries: Sequence[Entry]) -> None:
        """Have the authors told, with the next bytes that they are given."""
        for lane, number in {entry.lane: entry.lane_number for entry in entries}.items():
            author = self.members.get(lane)
            if author is not None:
                # The member does so too when its append is done, which is later: then the
                # acknowledgement would need a write of its own.
                author.session.hold(number)

    def _give(self, entries: Sequence[Entry]) -> None:
        """Write entries to all members that keep up, in one piece."""
        before, head = entries[0].number - 1, entries[-1].number
        if head > self.head:
            self.head, self._head_at = head, entries[-1].at
        frames = [frame_of(entry) for entry in entries]
        self._remember(entries, frames)
        # Who is given something else than the others: authors, and the ends of direct messages.
        special = {entry.lane for entry in entries}
        for entry in entries:
            if entry.to:
                special.update(self._lanes.get(entry.to_id, ()))
                special.update(self._lanes.get(entry.key or entry.lane, ()))
        common = b"".join(
            frame for entry, frame in zip(entries, frames, strict=True) if not entry.to
        )
        commonly = sum(not entry.to for entry in entries)
        deliveries = 0
        for lane, member in self.members.items():
            place = member.place
            if not (before <= place < head and member.keeps_up):
                continue  # it reads on by itself, or was quicker: what is read may not be told yet
            if lane in special or place != before:
                at = place - before
                theirs = list(map(member.frame, entries[at:], frames[at:]))
                member.give(b"".join(theirs), head)
                deliveries += len(theirs) if commonly == len(entries) else sum(map(bool, theirs))
            else:
                member.give(common, head)
                deliveries += commonly
        self.tally.deliveries += deliveries

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


def _begin_afresh(member: Member) -> None:
    """Have a member come back, since its place is one in a log that is no more."""
    member.stop_giving()
    reason = "the room's log is not the one that it was: some of it may be gone"
    member.session.turn_away(CloseCode.SERVICE_RESTART, reason)


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
