"""The chat server: a handler that seats sessions in rooms and gives each a name.

It is an application of the library like any other: `serve(ChatServer(), ...)`.
"""

from __future__ import annotations

import asyncio
import logging

from socketchat.chat.room import Member, Room
from socketchat.errors import CloseCode, HandshakeRefused, SessionClosed
from socketchat.messages import MAX_NAME, Hello
from socketchat.server import Admission
from socketchat.session import Session
from socketchat.text import NAME_COLUMNS, clean, clean_name, clip

__all__ = ["ChatServer"]

_TOO_LONG = f"a room's name has at most {MAX_NAME} characters"

_log = logging.getLogger("socketchat.chat")


class ChatServer:
    """Passes each message on to everyone else in the room.

    Args:
        room: The room of callers who ask for none.

    Raises:
        ValueError: The room's name is too long.
    """

    def __init__(self, room: str = "lobby") -> None:
        self._default_room = _room_name(room)
        if len(self._default_room) > MAX_NAME:
            raise ValueError(_TOO_LONG)
        self._rooms: dict[str, Room] = {}
        # Names are given before their owners are seated, and freed when their sessions end.
        self._names: set[tuple[str, str]] = set()

    def admit(self, hello: Hello, address: str) -> Admission:  # noqa: ARG002 - not judged by it
        """Give a caller its room, and its name in it: the one it wants, or one that is free."""
        return self.reserve(hello.nick, hello.room)

    def reserve(self, nick: str, room: str = "") -> Admission:
        """Give a name to someone who will be seated next.

        Raises:
            HandshakeRefused: The room's name is too long.
        """
        room = _room_name(room) or self._default_room
        if len(room) > MAX_NAME:
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, _TOO_LONG)
        wanted = _nick(nick or "guest")
        name, count = wanted, 1
        while (room, name.casefold()) in self._names:
            count += 1
            name = _with_suffix(wanted, f"-{count}")
        self._names.add((room, name.casefold()))
        return Admission(name, room)

    async def __call__(self, session: Session) -> None:
        """Seat a caller until its session closes."""
        await self.attend(session)

    async def attend(self, session: Session, *, is_host: bool = False) -> None:
        """Seat `session`, whose name is reserved, until it closes.

        Args:
            session: A server's end of a session.
            is_host: Whether it sits at the server itself, and is told where others call from.
        """
        room = self._rooms.setdefault(session.room, Room(session.room))
        member = room.enter(session, is_host=is_host)
        feeder = asyncio.create_task(_feed(room, member))
        _log.info("%s (%s) is online", session.nick, session.peer.address or "here")
        try:
            async for message in session:
                room.say(member, message)
                await room.keep_pace()
        finally:
            feeder.cancel()
            room.leave(member)
            if not room.members:
                self._rooms.pop(room.name, None)
            self._names.discard((session.room, session.nick.casefold()))
            _log.info("%s (%s) has left", session.nick, session.peer.address or "here")
            await asyncio.wait((feeder,))


async def _feed(room: Room, member: Member) -> None:
    """Feed `member`; whatever goes wrong ends its session, since it would be deaf."""
    try:
        await room.feed(member)
    except SessionClosed:
        pass  # whoever iterates over the session learns it too
    except Exception:  # noqa: BLE001 - nobody awaits this task, and it is logged
        _log.exception("%s cannot be fed", member.session.nick)
        await member.session.close(CloseCode.INTERNAL_ERROR)


def _room_name(asked: str) -> str:
    """Make a room's name harmless, and never the same as another that can be told from it."""
    return " ".join(clean(asked, multiline=False).split())


def _nick(wanted: str) -> str:
    """Make a name harmless, and short enough to be sent."""
    # With a colon it could put words into the mouth of another.
    return clean_name(wanted.replace(":", "_"))[:MAX_NAME]


def _with_suffix(name: str, suffix: str) -> str:
    """Shorten a name so that with its suffix it can be sent, and shown to the end."""
    return clip(name[: MAX_NAME - len(suffix)], NAME_COLUMNS - len(suffix)).rstrip() + suffix
