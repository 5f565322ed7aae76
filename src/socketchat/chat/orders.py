"""What operators at other servers do to those who are here: carried out when it is heard of.

What was told and not heard is found by looking at the facts again: bans, who may do what, and what
rooms are about. Of a topic it is only told that it has changed: of two that are set at once, both
servers find the one that is kept. `neighbourhood.py` hears what is told, `moderation.py` gives the
orders.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, assert_never

from socketchat.chat.neighbours import ShowOut, StandingChanged, Topic
from socketchat.chat.registry import Registry
from socketchat.errors import HandshakeRefused, LogError
from socketchat.quota import network_of
from socketchat.session import SessionState

if TYPE_CHECKING:
    from socketchat.chat.member import Member
    from socketchat.chat.room import Room

__all__ = ["Orders"]

#: Seconds between two attempts to look at the facts again.
_PAUSE: Final = 1.0

_log = logging.getLogger("socketchat.chat")


class Orders:
    """Has those who are here, and their rooms, be as operators anywhere want them.

    Args:
        rooms: The rooms that are open here, by name.
        registry: What is known about people.

    Attributes:
        given: How many orders were heard of, or given here: what was read from the facts before
            the last one may be out of date.
        looking: What looks at the facts at the moment, or did.
    """

    def __init__(self, rooms: Mapping[str, Room], registry: Registry) -> None:
        self.given: int = 0
        self.looking: set[asyncio.Task[None]] = set()
        self._rooms = rooms
        self._registry = registry
        # The rooms whose topics may have changed, and who is said to have done it.
        self._topics: dict[str, str] = {}
        self._people_are_due = False
        self._reading: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Look at nothing more."""
        for task in self.looking:
            task.cancel()
        if self.looking:
            await asyncio.wait(self.looking)

    # ---- what is heard ----

    def heard(self, news: ShowOut | StandingChanged | Topic) -> None:
        """Do what another server tells."""
        self.given += 1
        match news:
            case ShowOut():
                self._show_out(news)
            case StandingChanged():
                self._standing_changed(news)
            case Topic(room, nick):
                if room in self._rooms:
                    self._topics[room] = nick
                    self._look()
            case _:
                assert_never(news)

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

    def _standing_changed(self, news: StandingChanged) -> None:
        for member in self._members():
            hit = news.key and member.session.peer.key == news.key
            if hit or (news.identity and member.identity == news.identity):
                if news.is_operator is not None:
                    member.standing.is_operator = news.is_operator
                if news.is_muted is not None:
                    member.standing.is_muted = news.is_muted

    # ---- what may have been missed ----

    def missed(self) -> None:
        """Look for all that may have been told and not heard."""
        for room in self._rooms:
            self._topics.setdefault(room, "")
        self._people_are_due = True
        self._look()

    def _look(self) -> None:
        if self._topics and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read_topics())
            self._own(self._reading)
        if self._people_are_due and (self._checking is None or self._checking.done()):
            self._checking = asyncio.create_task(self._check_people())
            self._own(self._checking)

    def _own(self, task: asyncio.Task[None]) -> None:
        self.looking.add(task)
        task.add_done_callback(self.looking.discard)

    async def _read_topics(self) -> None:
        while self._topics:
            room, nick = self._topics.popitem()
            try:
                await self._read_topic(room, nick)
            except LogError as exc:
                _log.info("what %s is about cannot be looked at: %s", room, exc)
                self._topics.setdefault(room, nick)
                await asyncio.sleep(_PAUSE)

    async def topic_changed(self, room: str, nick: str) -> None:
        """Tell those who are in a room here what it is about now: somebody here has changed it.

        Raises:
            LogError: It cannot be looked at yet; they are told later.
        """
        try:
            await self._read_topic(room, nick, is_news=True)
        except LogError:
            self._topics[room] = nick
            self._look()
            raise

    async def _read_topic(self, name: str, nick: str, *, is_news: bool = False) -> None:
        """See what a room is about, and tell those who are in it here if it is news.

        Args:
            name: The room.
            nick: Who has taken the topic away, if there is none; may be empty.
            is_news: Whether it is, even if it is what it was.

        Raises:
            LogError: It cannot be looked at.
        """
        text, author = await self._registry.topic(name)
        room = self._rooms.get(name)
        if room is None:
            return
        topic = text, author or nick
        if is_news or (topic != room.topic and (text or room.topic[0])):
            room.take_topic(*topic)

    async def _check_people(self) -> None:
        while self._people_are_due:
            self._people_are_due = False
            try:
                for member in self._members():
                    await self._check(member)
            except LogError as exc:
                _log.info("what may have been missed cannot be looked at: %s", exc)
                self._people_are_due = True
                await asyncio.sleep(_PAUSE)

    async def _check(self, member: Member) -> None:
        session = member.session
        given = -1
        while given != self.given:  # else what was read may be older than what was told
            given = self.given
            try:
                await self._registry.check(session.key, session.peer.address)
            except HandshakeRefused as exc:
                member.show_out(exc.reason, exc.code)
                return
            if not session.key:
                return  # of others nothing is kept
            standing = await self._registry.standing(session.key)
        if session.state is SessionState.OPEN:  # who was shown out may do nothing more
            member.standing.is_operator = standing.is_operator
            member.standing.is_muted = standing.is_muted
