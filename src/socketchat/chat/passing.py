"""What passes in a room: who comes and goes, what it is about now, who is typing.

It is gathered for one turn of the loop and then written to the members, each in one piece; it is
never logged, and lost without harm. `room.py` says what there is to tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from socketchat.chat.neighbours import Seat
from socketchat.chat.roster import Holder
from socketchat.messages import MAX_PRESENT, Event, Present, encode

if TYPE_CHECKING:
    from socketchat.chat.member import Member

__all__ = ["Passing"]


class _Passed(NamedTuple):
    """Something that passes: whom it is about, and how the members and the host are told."""

    about: bytes
    frame: bytes
    frame_for_host: bytes


class Passing:
    """Tells the members of a room what passes.

    Args:
        members: Those of the room, by the name of the lane.
        came_or_went: Called with each event that says that somebody has come, is gone or renamed,
            as the host is told.
    """

    def __init__(
        self, members: Mapping[bytes, Member], came_or_went: Callable[[Event], object]
    ) -> None:
        self._members = members
        self._came_or_went = came_or_went
        self._passed: list[_Passed] = []

    def welcome(self, member: Member, people: Iterable[Holder | Seat]) -> None:
        """Tell a new member who is here; what has passed in this turn until now is in that."""
        member.told = len(self._passed)
        others = [one for one in people if one.nick != member.nick]
        for start in range(0, len(others), MAX_PRESENT):
            told = others[start : start + MAX_PRESENT]
            keys = tuple(one.public for one in told)
            present = Present(tuple(one.nick for one in told), keys if any(keys) else ())
            member.session.pass_frames(encode(present), 1)

    def announce(self, kind: str, member: Member, nick: str = "") -> None:
        """Tell all others that a member has come, has gone, or is typing."""
        key, nick = member.session.key, nick or member.nick
        event = for_host = Event(kind, nick, key=key)
        if kind != "typing":
            for_host = Event(kind, nick, member.session.peer.address, key)
        self.tell(event, for_host, about=member.lane)

    def pass_on(self, kind: str, seat: Seat, text: str = "") -> None:
        """Tell all that somebody has come to another server, is gone from there and so on."""
        event = Event(kind, seat.nick, key=seat.public, text=text)
        for_host = Event(kind, seat.nick, seat.address, seat.public, text)
        self.tell(event, for_host)

    def tell(self, event: Event, for_host: Event | None = None, *, about: bytes = b"") -> None:
        """Tell all of something, but not the member that it is about.

        Args:
            event: What the members are told.
            for_host: What the host is told; None is the same.
            about: The name of that member's lane.
        """
        for_host = for_host or event
        if not self._passed:
            asyncio.get_running_loop().call_soon(self._tell_all)
        self._passed.append(_Passed(about, encode(event), encode(for_host)))
        if event.kind in ("joined", "left", "renamed"):
            self._came_or_went(for_host)

    def _tell_all(self) -> None:
        """Write what has passed in this turn to everyone whose link takes it."""
        passed, self._passed = self._passed, []
        common = b"".join(one.frame for one in passed)
        subjects = {one.about for one in passed}
        for lane, member in self._members.items():
            told, member.told = member.told, 0
            if not member.session.takes_more:
                continue
            if lane not in subjects and not told and not member.is_host:
                member.session.pass_frames(common, len(passed))
                continue
            theirs = [one for one in passed[told:] if one.about != lane]
            frames = [one.frame_for_host if member.is_host else one.frame for one in theirs]
            member.session.pass_frames(b"".join(frames), len(frames))
