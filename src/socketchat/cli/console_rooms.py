"""The rooms that one is in at the console: which one looks at, how one comes and leaves.

Each is a task that ends when the room is left or its session is over; with the last the console
ends.
`console_room.py` has what happens in a room, `console.py` the terminal around them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from socketchat.cli.console_input import ConsoleInput
from socketchat.cli.console_room import LEAVE_TIMEOUT, ChatSession, ConsoleRoom, Desk
from socketchat.cli.failures import Failure
from socketchat.cli.places import Place, Places
from socketchat.cli.render import Row, View, other_name_words, rule_row
from socketchat.cli.rooms import Rooms
from socketchat.cli.target import BAD_ROOM, can_be_named
from socketchat.errors import HandshakeError, SessionClosed
from socketchat.text import clean_name

__all__ = ["ConsoleRooms", "RoomsHost", "raise_first"]


class RoomsHost(Desk, Protocol):
    """What the rooms need of the console around them."""

    def notice(self, text: str) -> None:
        """Print a line that is no message."""

    def print_rows(self, rows: Iterable[Row], *, then: Callable[[], object] | None = None) -> None:
        """Print rows, whatever one looks at."""

    def looks_at(self, room: ConsoleRoom) -> None:
        """Take notice that one looks at another room."""

    def exit(self) -> None:
        """End the console."""


class ConsoleRooms:
    """The rooms.

    Args:
        session: The session of the first, which is opened and closed by somebody else.
        host: The console.
        typed: What is typed: each room has a draft of its own.
        rooms: How one comes into others; None if one does not.
        directory: Where it is kept up to where was read; None keeps nothing.

    Attributes:
        active: The room that one looks at.
        here: All that one is in, in the order of their numbers.
    """

    def __init__(
        self,
        session: ChatSession,
        host: RoomsHost,
        typed: ConsoleInput,
        rooms: Rooms | None,
        directory: Path | None,
    ) -> None:
        self._host = host
        self._typed = typed
        self._rooms = rooms
        self._places = Places(directory / "places.json") if directory is not None else None
        self.active: ConsoleRoom
        self._first = self.active = ConsoleRoom(session, host)
        self.here: list[ConsoleRoom] = [self.active]
        #: Tasks of rooms, by the names that were asked for; that of the first by nothing.
        self._sitting: dict[str, asyncio.Task[None]] = {}
        #: The room that was asked for last.
        self._wanted = ""
        self._failed: list[asyncio.Task[None]] = []

    # ---- beginning and end ----

    async def read_places(self) -> None:
        """Find out up to where was read before."""
        if self._places is not None:
            await asyncio.to_thread(self._places.load)
            self._first.seen = self._seen(self._first.session)

    def start(self) -> None:
        """Take part in the first room."""
        task = self._sitting[""] = asyncio.create_task(self._sit_first())
        task.add_done_callback(lambda _: self._look_if_over())

    def cancel(self) -> None:
        """Take part in none any more."""
        for task in self._sitting.values():
            task.cancel()

    async def end(self) -> None:
        """Leave all rooms, and say what is left to say in each."""
        self.cancel()
        sitting = list(self._sitting.values())
        if sitting:
            _, slow = await asyncio.wait(sitting, timeout=LEAVE_TIMEOUT)
            for room in self.here:
                if room is not self._first and slow:
                    room.session.abort()  # its server does not answer
            await asyncio.wait(sitting)
        self._failed += sitting
        self.active.draft = self._typed.text
        for room in [self.active, *(room for room in self.here if room is not self.active)]:
            self._print_rest(room)
        if self._places is not None:
            await asyncio.to_thread(self._places.save)

    def raise_failure(self) -> None:
        """Raise what has ended one of the tasks, if it was a bug."""
        raise_first(self._failed)

    def _seen(self, session: ChatSession) -> Place | None:
        if self._places is None or self._rooms is None or not session.room:
            return None
        return self._places.find(self._rooms.label(session.room))

    def _print_rest(self, room: ConsoleRoom) -> None:
        """Print what a room that is left has held, and what it still has to say."""
        room.close()
        if room.draft.strip():
            self._host.put(room, room.own_rows(room.draft, "not sent"))
        if room is not self.active and room.held.rows:
            self._print_rule(room)
            self._print_held(room)
        if self._places is not None and self._rooms is not None and room.session.room:
            self._places.note(self._rooms.label(room.session.room), room.shown)

    def _print_held(self, room: ConsoleRoom) -> None:
        rows, then = room.held.take(room.held.rows + 1)
        self._host.print_rows(rows, then=lambda: [done() for done in then])

    def _print_rule(self, room: ConsoleRoom) -> None:
        self._host.print_rows([rule_row(room.name, View(self._host.columns), "class:rule.room")])

    # ---- coming and going ----

    def join(self, room: str) -> None:
        """Take part in another room as well, and look at it."""
        name = " ".join(room.split())
        here = [one for one in self.here if one.session.room == name]
        if here:
            self._look_at(here[0])
        elif self._rooms is None:
            self._host.notice("there are no other rooms here")
        elif not can_be_named(name):
            self._host.notice(f"/join: {BAD_ROOM}")
        elif name in self._sitting:
            self._host.notice(f"{clean_name(name)} is being opened already")
        else:
            self._wanted = name
            task = self._sitting[name] = asyncio.create_task(self._visit(self._rooms, name))
            task.add_done_callback(lambda task: self._visited(name, task))

    def part(self, room: str) -> bool:
        """Leave a room, or the one that one looks at; False if it is the last."""
        leaving = [one for one in self.here if one.session.room == room] or [self.active]
        if room and leaving[0].session.room != room:
            self._host.notice(f"you are not in {clean_name(room)}")
        elif len(self.here) == 1:
            return False
        else:
            leaving[0].left.set()
        return True

    async def _visit(self, rooms: Rooms, name: str) -> None:
        """Take part in another room until it is left or its session ends."""
        asked = self.active.session.nick
        try:
            async with rooms.join(name, asked) as session:
                room = ConsoleRoom(session, self._host, seen=self._seen(session))
                self.here.append(room)
                self._come_into(room, is_wanted=name == self._wanted)
                if other := other_name_words(asked, session.nick):
                    room.notice(other)
                await self._sit(room)
        except (Failure, SessionClosed, HandshakeError, OSError) as exc:
            self._host.notice(f"{clean_name(name)}: {exc}")

    def _come_into(self, room: ConsoleRoom, *, is_wanted: bool) -> None:
        """Look at a new room, unless something is being typed that is meant for another."""
        if self._typed.text or self._typed.is_editing or not is_wanted:
            room.look_away()
            self._host.notice(f"{room.name} is open: Alt-{len(self.here)} looks at it")
        else:
            self._look_at(room)

    def _visited(self, name: str, task: asyncio.Task[None]) -> None:
        del self._sitting[name]
        if not task.cancelled() and task.exception() is not None:
            self._failed.append(task)
            self._host.exit()
        self._look_if_over()

    async def _sit_first(self) -> None:
        """Take part in the first room, whose session is closed here only if others go on."""
        await self._sit(self._first)
        if self._first not in self.here:
            if self._first.session.unacknowledged:
                self._first.session.abort()  # it was waited for
            await self._first.session.close()

    async def _sit(self, room: ConsoleRoom) -> None:
        """Take part in a room until one leaves it or its session ends."""
        workers = room.workers()
        workers.append(asyncio.create_task(room.run()))
        leaving = asyncio.create_task(self._left(room))
        try:
            await asyncio.wait([*workers, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*workers, leaving):
                task.cancel()
            await asyncio.wait([*workers, leaving])
        raise_first(workers)
        self._leave(room)

    @staticmethod
    async def _left(room: ConsoleRoom) -> None:
        """Wait until a room is left, and what was just said there confirmed."""
        await room.left.wait()
        if room.online:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_TIMEOUT):
                    await room.sending.idle()

    def _leave(self, room: ConsoleRoom) -> None:
        """Look at another room instead of one that was left; with the last, the console ends."""
        others = [one for one in self.here if one is not room]
        if not others:
            self._host.exit()
        elif room is self.active:
            room.draft = self._typed.text
            self._print_rest(room)
            self._typed.put("")
            self.here.remove(room)
            self._look_at(others[0])
        else:
            self._print_rest(room)
            self._print_rule(self.active)
            self.here.remove(room)
            self._host.redraw()

    def _look_if_over(self) -> None:
        """End with the last room."""
        if all(task.done() for task in self._sitting.values()):
            self._host.exit()

    # ---- looking ----

    def look_at_number(self, number: int) -> None:
        """Look at the room of a number, from 1."""
        if number <= len(self.here):
            self._look_at(self.here[number - 1])

    def _look_at(self, room: ConsoleRoom) -> None:
        """Look at a room, and print what it has held."""
        if room is self.active:
            return
        self.active.look_away()
        self.active.draft = self._typed.text
        self.active = room
        self._typed.put(room.draft)
        self._print_rule(room)
        self._print_held(room)
        room.look_at()
        self._host.looks_at(room)

    def edit(self) -> None:
        """Open what is typed in an editor, for the room that one looks at now."""
        room = self.active
        self._typed.edit(lambda text: self._edited(room, text))

    def _edited(self, room: ConsoleRoom, text: str) -> None:
        if room is self.active:
            self._typed.put(text)
        else:
            room.draft = text

    def names(self) -> list[str]:
        """Return the names of rooms that one is in, or has been in before; cleaned."""
        known = {room.name for room in self.here if room.name}
        if self._places is not None and self._rooms is not None:
            server = self._rooms.label("")
            known |= {
                clean_name(label.removeprefix(server))
                for label in self._places.labels
                if label.startswith(server)
            }
        return sorted(known)


def raise_first(tasks: list[asyncio.Task[None]], but: tuple[type[Exception], ...] = ()) -> None:
    """Raise what the first of these tasks has raised, unless it is one of these errors."""
    errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    for error in errors:
        if error is not None and not isinstance(error, but):
            raise error
