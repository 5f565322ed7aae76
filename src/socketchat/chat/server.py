"""The chat server: a handler that seats sessions in rooms and gives each a name.

It is an application of the library like any other: `serve(ChatServer(log), ...)`. Rooms (`room.py`)
are made when somebody asks for them and go when the last one has left; what was said stays in the
log.
"""

from __future__ import annotations

import asyncio
import logging

from socketchat.chat.log import Log
from socketchat.chat.member import Member
from socketchat.chat.memory_log import MemoryLog
from socketchat.chat.names import nick_of
from socketchat.chat.room import Room
from socketchat.chat.rules import Rules, room_name_of
from socketchat.errors import (
    CloseCode,
    HandshakeRefused,
    LogError,
    LogFailed,
    LogUnavailable,
    SessionClosed,
)
from socketchat.logged import LoggedSession
from socketchat.messages import MAX_NAME, Hello
from socketchat.server import Admission
from socketchat.session import Session

__all__ = ["ChatServer"]

#: Seconds for which nobody is let in after the log could not be written: all would come at once.
LOG_PAUSE = 1.0

_TOO_LONG = f"a room's name has at most {MAX_NAME} characters"

_log = logging.getLogger("socketchat.chat")


class ChatServer:
    """Passes each message on to everyone in the room, once it is in the room's log.

    Args:
        log: Where everything is kept; None keeps it in memory. It is opened and closed with the
            server.
        room: The room of callers who ask for none.
        rules: What may be said, and how fast; None is the defaults of `Rules`.

    Raises:
        ValueError: The room's name is too long, or empty.
    """

    def __init__(
        self, log: Log | None = None, *, room: str = "lobby", rules: Rules | None = None
    ) -> None:
        self._default_room = room_name_of(room)
        if not self._default_room:
            raise ValueError("a room's name must not be empty")
        if len(self._default_room) > MAX_NAME:
            raise ValueError(_TOO_LONG)
        self._log: Log = log if log is not None else MemoryLog()
        self._rules = rules or Rules()
        self._rooms: dict[str, Room] = {}
        self._opening: dict[str, int] = {}
        # What was asked last on behalf of each lane that is about to come in.
        self._asked: dict[bytes, Hello] = {}
        self._blocked_until = 0.0
        self._failure: LogError | None = None
        self._failed = asyncio.Event()

    # ---- with the server ----

    async def open(self) -> None:
        """Open the log.

        Raises:
            OSError: It cannot be opened.
        """
        await self._log.open()

    async def close(self) -> None:
        """Finish the commits that are under way, and close the log."""
        for room in self._rooms.values():
            room.close()
        await self._log.close()

    async def wait_failed(self) -> LogError:
        """Wait until the log has failed for good, and return why: the server must be stopped.

        What was not acknowledged by then is with its senders, who send it again to a new server.

        Cancellation: safe.
        """
        await self._failed.wait()
        assert self._failure is not None
        return self._failure

    # ---- callers ----

    async def admit(self, hello: Hello, address: str) -> Admission:  # noqa: ARG002 - not judged by it
        """Find a caller's place in the room that it asks for, and a name: its own, or a free one.

        Raises:
            HandshakeRefused: The room's name is too long, or the log is not to be had.
        """
        name = room_name_of(hello.room) or self._default_room
        if len(name) > MAX_NAME:
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, _TOO_LONG)
        if self._failure is not None or asyncio.get_running_loop().time() < self._blocked_until:
            raise HandshakeRefused(CloseCode.TRY_AGAIN_LATER, "the log cannot be written just now")
        # A room is kept while somebody looks into it.
        self._opening[name] = self._opening.get(name, 0) + 1
        self._asked[hello.lane] = hello
        try:
            room = await self._open_room(name)
            place = await room.find_place(hello)
            if self._asked.get(hello.lane) is not hello:
                # The server lets nobody but the latest in: no name may be kept for this one.
                raise HandshakeRefused(CloseCode.TRY_AGAIN_LATER, "a newer link has come")
            nick = room.reserve(nick_of(hello.nick or "guest"), hello.lane)
        except LogError as exc:
            raise HandshakeRefused(CloseCode.TRY_AGAIN_LATER, str(exc)) from exc
        finally:
            if self._asked.get(hello.lane) is hello:
                del self._asked[hello.lane]
            self._opening[name] -= 1
            if not self._opening[name]:
                del self._opening[name]
                if name in self._rooms:
                    self.deserted(self._rooms[name])
        return Admission(nick, name, place)

    async def _open_room(self, name: str) -> Room:
        """Return the room, which follows its log.

        Raises:
            LogError: The log cannot be read.
        """
        room = self._rooms.get(name)
        if room is None:
            opened = Room(name, self._log, self._rules, self)
            await opened.open()
            room = self._rooms.setdefault(name, opened)
            if room is not opened:
                opened.close()  # somebody else was quicker
        return room

    def deserted(self, room: Room) -> None:
        """Close a room in which nobody has a name, unless somebody is about to come in."""
        if room.deserted and room.name not in self._opening and room.name in self._rooms:
            room.close()
            del self._rooms[room.name]

    async def __call__(self, session: Session) -> None:
        """Seat a caller until its session closes."""
        assert isinstance(session, LoggedSession)
        who = session.peer.address or "here"
        room = self._rooms[session.room]
        try:
            room.seat(session)
        except SessionClosed:
            room.vacate(session)
            raise
        _log.info("%s (%s) is online", session.nick, who)
        await session.wait_closed()
        _log.info("%s (%s) has left", session.nick, who)

    # ---- when the log does not do what it should ----

    def log_failed(self, member: Member, error: BaseException) -> None:
        """Turn a member away, with whose message or place the log could do nothing."""
        if isinstance(error, LogUnavailable):
            self._blocked_until = asyncio.get_running_loop().time() + LOG_PAUSE
            _log.warning("%s is turned away: %s", member.nick, error)
            member.session.turn_away(CloseCode.TRY_AGAIN_LATER, str(error))
            return
        if self._failure is None:
            self._failure = error if isinstance(error, LogError) else LogFailed(repr(error))
            _log.error("%s", self._failure)
            self._failed.set()
        for room in self._rooms.values():
            for each in list(room.members.values()):
                each.session.turn_away(CloseCode.TRY_AGAIN_LATER, "the log has failed")
