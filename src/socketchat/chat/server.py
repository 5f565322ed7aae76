"""The chat server: a handler that lets callers in, seats them in rooms and gives each a name.

It is an application of the library like any other: `serve(ChatServer(log), ...)`. Rooms (`room.py`)
are made when somebody asks for them and go when the last one has left; what was said stays in the
log. `registry.py` knows who may come in and whose name it is; `command_queue.py` has done what
members ask for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Protocol

from socketchat.chat.attendant import Attendant
from socketchat.chat.command_queue import CommandQueue
from socketchat.chat.log import LaneTaken, Log, lane_name
from socketchat.chat.member import Member
from socketchat.chat.memory_log import MemoryLog
from socketchat.chat.moderation import Moderator
from socketchat.chat.names import load_tables, nick_of, untagged
from socketchat.chat.neighbourhood import Neighbourhood
from socketchat.chat.neighbours import Neighbours, Place
from socketchat.chat.registry import GUEST, Registry, Standing
from socketchat.chat.room import RETURNING, Room
from socketchat.chat.rules import TOO_LONG, Rules, checked_room_name, room_name_of
from socketchat.chat.tally import Tally
from socketchat.errors import (
    CloseCode,
    HandshakeRefused,
    LogError,
    LogFailed,
    LogUnavailable,
    SessionClosed,
)
from socketchat.events import Joined, Left, Renamed
from socketchat.fingerprint import fingerprint_of
from socketchat.handlers import Admission
from socketchat.logged import LoggedSession
from socketchat.messages import MAX_NAME, Command, Event, Hello
from socketchat.session import Session
from socketchat.trust.invites import Grant, Invite

__all__ = ["ChatServer"]

#: Seconds for which nobody is let in after the log could not be written: all would come at once.
LOG_PAUSE = 1.0

_FAILED = "the log has failed"

_log = logging.getLogger("socketchat.chat")


class Invites(Protocol):
    """Makes invites, and tells what is one; `cli/serve.py` has them made with the server's key."""

    def make(self, room: str, seconds: int, others: Sequence[Place]) -> Invite:
        """Return a new invite to a room, or to all, that is valid for so long.

        It names other servers too, as far as it can.
        """

    def check(self, token: str, issued: Grant | None) -> Grant:
        """Return what an invite gives; `issued` is what it does if another server has made it.

        Raises:
            HandshakeRefused: It is none of this server's, or has expired; the reason says which.
        """


class ChatServer:
    """Passes each message on to everyone in the room, once it is in the room's log.

    Args:
        log: Where everything is kept; None keeps it in memory. It is opened and closed with the
            server.
        room: The room of callers who ask for none.
        rules: What may be said, and how fast; None is the defaults of `Rules`.
        registry: Names, bans and the like; None keeps them in memory. It is opened and closed with
            the server.
        invites: Makes invites, and tells what is one; None has none.
        neighbours: The other servers of the same log, if it is shared; None has none. It is opened
            and closed with the server.

    Attributes:
        default_room: The room of callers who ask for none.
        log: Where everything is kept.
        tally: What was said and written so far, in all rooms.
        failure: Why the log has failed for good; None if it has not.
        on_presence: Called with a room's name and each who comes into it, leaves it or takes
            another name, for a host who sits in one room and wants to know of all; None is nobody.
        on_moderation: Called with the name of an operator who is not at the server itself, the
            command that was carried out for it, and what it was told, which may hold an invite;
            None is nobody.

    Raises:
        ValueError: The room's name is too long, or empty.
    """

    def __init__(
        self,
        log: Log | None = None,
        *,
        room: str = "lobby",
        rules: Rules | None = None,
        registry: Registry | None = None,
        invites: Invites | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self.default_room: str = checked_room_name(room)
        self.log: Log = log if log is not None else MemoryLog()
        self.tally: Tally = Tally()
        self._rules = rules or Rules()
        self._registry = registry or Registry()
        self._invites = invites
        self.on_presence: Callable[[str, Joined | Left | Renamed], object] | None = None
        self.on_moderation: Callable[[str, str, str], object] | None = None
        self._rooms: dict[str, Room] = {}
        self._around = Neighbourhood(self._rooms, self._registry, neighbours)
        self._commands = CommandQueue(
            Attendant(self._registry, self._rooms),
            Moderator(self._registry, self._rooms, invites, self._around),
            own=self.own,
            note=self._note,
            moderated=self._moderated,
        )
        # What is done on behalf of members.
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: dict[str, int] = {}
        self._blocked_until = 0.0
        self._all_here_at = 0.0
        self.failure: LogError | None = None
        self._failed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    @property
    def rooms(self) -> Collection[Room]:
        """The rooms that somebody is in."""
        return self._rooms.values()

    # ---- with the server ----

    async def open(self) -> None:
        """Open the log and the registry.

        Raises:
            OSError: One cannot be opened.
        """
        await self.log.open()
        try:
            await asyncio.to_thread(load_tables)
            await self._registry.open()
            try:
                await self._around.open()
            except BaseException:
                await self._registry.close()
                raise
        except BaseException:
            await self.log.close()
            raise
        self._all_here_at = asyncio.get_running_loop().time() + RETURNING
        self._watching = asyncio.create_task(self._watch_log())

    async def close(self) -> None:
        """Finish what is under way, and close the registry and the log.

        What fails of that is a failure of the log as well: see `failure`.
        """
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._around.close()
        for room in self._rooms.values():
            room.close()
        try:
            await self._registry.close()
        finally:
            await self.log.close()
        if self._watching is not None:
            await self._watching

    async def _watch_log(self) -> None:
        """Give up when the log fails, even if nobody asks anything of it."""
        error = await self.log.failed()
        if error is not None:
            self._give_up(error)

    async def wait_failed(self) -> LogError:
        """Wait until the log has failed for good, and return why: the server must be stopped.

        What was not acknowledged by then is with its senders, who send it again to a new server.

        Cancellation: safe.
        """
        await self._failed.wait()
        assert self.failure is not None
        return self.failure

    # ---- callers ----

    async def admit(self, hello: Hello, address: str) -> Admission:
        """Find a caller's place in the room that it asks for, and a name: its own, or a free one.

        Raises:
            HandshakeRefused: It may not come in, or the log is not to be had.
        """
        name = room_name_of(hello.room) or self.default_room
        if len(name) > MAX_NAME:
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, TOO_LONG)
        if self.failure is not None or asyncio.get_running_loop().time() < self._blocked_until:
            raise HandshakeRefused(CloseCode.TRY_AGAIN_LATER, "the log cannot be written just now")
        # A room is kept while somebody looks into it.
        self._opening[name] = self._opening.get(name, 0) + 1
        try:
            if address:  # who sits at the server itself is always let in
                await self._let_in(hello, name, address)
            room = await self._open_room(name)
            place = await room.find_place(hello)
            lane = lane_name(hello.lane)
            if place.mark and await self.log.owner(name, lane) not in (b"", hello.key):
                reason = "this lane belongs to another key"
                raise HandshakeRefused(CloseCode.POLICY_VIOLATION, reason)
            nick = await self._name(room, hello, address)
        except LogError as exc:
            self._note(exc)
            raise HandshakeRefused(CloseCode.TRY_AGAIN_LATER, str(exc)) from exc
        finally:
            self._opening[name] -= 1
            if not self._opening[name]:
                del self._opening[name]
                if name in self._rooms:
                    self.deserted(self._rooms[name])
        return Admission(nick, name, place)

    def withdraw(self, hello: Hello, admission: Admission) -> None:
        """Take notice that one who was admitted does not come in after all."""
        del hello
        room = self._rooms.get(admission.room)
        if room is not None:
            room.vacate(admission.nick)

    async def _let_in(self, hello: Hello, room: str, address: str) -> None:
        """Check that a caller may come into a room: it is not banned, and known or invited.

        Raises:
            HandshakeRefused: It may not.
            LogError: The registry cannot be asked.
        """
        await self._registry.check(hello.key, address)
        if await self._registry.is_admitted(hello.key, room):
            return
        if not hello.invite or self._invites is None:
            rooms = ", ".join(await self._registry.rooms_of(hello.key))
            asked = f"you were invited to {rooms}, and not to {room}" if rooms else ""
            reason = asked or "this server is private: ask its host for an invite"
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, reason)
        if not hello.key:
            reason = "an invite is for a device's key, and this caller has shown none"
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, reason)
        issued = await self._registry.issued(hello.invite)
        grant = self._invites.check(hello.invite, issued)
        if grant.room not in ("", room):
            reason = f"this invite is for the room {grant.room}"
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, reason)
        if not await self._registry.redeem(grant.token_id.hex(), hello.key, grant.room):
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, "this invite was used already")

    async def _name(self, room: Room, hello: Hello, address: str) -> str:
        """Reserve a name for a caller: the one that it wants, or one that resembles it.

        Raises:
            LogError: The registry cannot be asked.
        """
        asked = untagged(hello.nick, hello.key)
        wanted = nick_of(asked) if asked else GUEST
        identity = hello.key or lane_name(hello.lane)
        async for nick in self._registry.names_for(wanted, hello.key, address):
            given = room.roster.reserve(nick, identity, hello.key)
            if given is not None:
                return given
        raise AssertionError("unreachable")

    async def _open_room(self, name: str) -> Room:
        """Return the room, which follows its log.

        Raises:
            LogError: The log cannot be read.
        """
        room = self._rooms.get(name)
        if room is None:
            given = self._around.orders.given
            topic = await self._registry.topic(name)
            opened = Room(
                name,
                self.log,
                self._rules,
                self,
                topic=topic,
                all_here_at=self._all_here_at,
                tally=self.tally,
                around=self._around,
            )
            await opened.open()
            room = self._rooms.setdefault(name, opened)
            if room is not opened:
                opened.close()  # somebody else was quicker
            elif given != self._around.orders.given:
                self._around.missed()  # its topic may have been changed meanwhile
        return room

    def came_or_went(self, room: Room, event: Event) -> None:
        """Tell who asked for it that somebody has come into a room, is gone or renamed."""
        if self.on_presence is None:
            return
        key = fingerprint_of(event.key)
        if event.kind == "renamed":
            self.on_presence(room.name, Renamed(event.nick, event.text, key))
        else:
            kind = Joined if event.kind == "joined" else Left
            self.on_presence(room.name, kind(event.nick, event.address, key))

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
        given = self._around.orders.given
        try:
            if session.peer.address:  # it may have been banned since it was admitted
                await self._registry.check(session.key, session.peer.address)
            room.seat(session, await self._standing(session))
            if given != self._around.orders.given:
                self._around.missed()  # an order may have been meant for this one
        except SessionClosed:
            room.vacate(session.nick)
            raise
        except HandshakeRefused as exc:
            room.vacate(session.nick)
            session.turn_away(exc.code, exc.reason)
            return
        except LogError as exc:
            self._note(exc)
            room.vacate(session.nick)
            session.turn_away(CloseCode.TRY_AGAIN_LATER, str(exc))
            return
        if self.failure is not None:
            session.turn_away(CloseCode.TRY_AGAIN_LATER, _FAILED)
        _log.info("%s (%s) is online", session.nick, who)
        await session.wait_closed()
        _log.info("%s (%s) has left", session.nick, who)

    async def _standing(self, session: LoggedSession) -> Standing:
        standing = await self._registry.standing(session.key)
        # Who sits at the server itself need not be told from others by a key.
        standing.is_operator |= not session.peer.address
        return standing

    # ---- what members ask for ----

    def own(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something run as a task, and wait for its end before the log is closed."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def obey(self, member: Member, command: Command) -> None:
        """Carry out what a member asks for, in the order in which it does, and answer."""
        self._commands.obey(member, command)

    def _moderated(self, member: Member, nick: str, command: str, answer: str) -> None:
        """Tell who asked for it what an operator who is not at the server itself has done."""
        if self.on_moderation is not None and member.session.peer.address:
            self.on_moderation(nick, command, answer)

    # ---- when the log does not do what it should ----

    def log_failed(self, member: Member, error: BaseException) -> None:
        """Turn a member away, with whose message or place the log could do nothing."""
        if isinstance(error, LaneTaken):
            member.session.turn_away(CloseCode.TRY_AGAIN_LATER, str(error))
            return
        if isinstance(error, LogUnavailable):
            self._blocked_until = asyncio.get_running_loop().time() + LOG_PAUSE
            _log.warning("%s is turned away: %s", member.nick, error)
            member.session.turn_away(CloseCode.TRY_AGAIN_LATER, str(error))
            return
        self._give_up(error if isinstance(error, LogError) else LogFailed(repr(error)))

    def _note(self, error: LogError) -> None:
        """Give up if nobody knows what became of something that was to be written."""
        if isinstance(error, LogFailed):
            self._give_up(error)

    def _give_up(self, failure: LogError) -> None:
        """Turn everybody away for good: nobody knows any more what the log holds."""
        if self.failure is not None:
            return
        self.failure = failure
        _log.error("%s", failure)
        self._failed.set()
        for room in self._rooms.values():
            for each in list(room.members.values()):
                each.session.turn_away(CloseCode.TRY_AGAIN_LATER, _FAILED)
