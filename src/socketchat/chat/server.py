"""The chat server: a handler that seats sessions in rooms and gives each a name.

It is an application of the library like any other: `serve(ChatServer(), ...)`.
"""

from __future__ import annotations

import asyncio
import logging

from socketchat.chat.room import Room
from socketchat.messages import Hello
from socketchat.server import Admission
from socketchat.session import Session
from socketchat.text import clean_name

__all__ = ["ChatServer"]

_log = logging.getLogger("socketchat.chat")


class ChatServer:
    """Passes each message on to everyone else in the room.

    Args:
        room: The room of callers who ask for none.
    """

    def __init__(self, room: str = "lobby") -> None:
        self._default_room = room
        self._rooms: dict[str, Room] = {}
        # Names are given before their owners are seated, and freed when their sessions end.
        self._names: set[tuple[str, str]] = set()

    def admit(self, hello: Hello, address: str) -> Admission:  # noqa: ARG002 - not judged by it
        """Give a caller its room, and its name in it: the one it wants, or one that is free."""
        return self.reserve(hello.nick, hello.room)

    def reserve(self, nick: str, room: str = "") -> Admission:
        """Give a name to someone who will be seated next."""
        room = clean_name(room) if room else self._default_room
        wanted = clean_name(nick) if nick else "guest"
        name, count = wanted, 1
        while (room, name.casefold()) in self._names:
            count += 1
            name = f"{wanted}-{count}"
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
        feeder = asyncio.create_task(room.feed(member))
        _log.info("%s (%s) is online", session.nick, session.peer.address or "here")
        try:
            async for message in session:
                room.say(member, message)
        finally:
            feeder.cancel()
            await asyncio.wait((feeder,))
            if not feeder.cancelled():
                feeder.exception()  # the session closed; the iteration above said so
            room.leave(member)
            if not room.members:
                self._rooms.pop(room.name, None)
            self._names.discard((session.room, session.nick.casefold()))
            _log.info("%s (%s) has left", session.nick, session.peer.address or "here")
