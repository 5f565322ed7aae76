"""One room at the console: what happens in it becomes rows, and what is typed in it goes out.

It drives a session that somebody else opened and will close. It does not know whether it is the
room that one looks at: its rows go to the console (`Desk`), which prints them, or has the room hold
them until somebody looks. `console_sending.py` sees our own lines on their way, `presence.py` who
comes and goes, `render.py` lays out what is shown.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, tzinfo
from typing import Protocol

from socketchat.cli.asking import Asking, Question
from socketchat.cli.attention import mentions
from socketchat.cli.commands import CommandSession
from socketchat.cli.console_bar import Part
from socketchat.cli.console_printer import Backlog
from socketchat.cli.console_sending import Line, Sender, Sending
from socketchat.cli.ignoring import Ignored
from socketchat.cli.places import NOWHERE, Place
from socketchat.cli.presence import Presence
from socketchat.cli.render import (
    MOST_ALIGNED,
    Row,
    View,
    closing_words,
    day_of,
    day_words,
    event_rows,
    notice_rows,
    own_rows,
    rule_row,
)
from socketchat.errors import SessionClosed
from socketchat.events import (
    Event,
    Gap,
    Joined,
    Left,
    LinkLost,
    LinkRestored,
    Message,
    Present,
    Rejected,
    Renamed,
    Restarted,
    Topic,
    Typing,
)
from socketchat.text import clean_name, width

__all__ = ["LEAVE_TIMEOUT", "ChatSession", "ConsoleRoom", "Desk"]

#: Events handled before everything else, keys above all, gets its turn.
EVENTS_PER_TURN = 20
#: Seconds for which one who leaves waits for what was just typed.
LEAVE_TIMEOUT = 2.0
#: Seconds between two looks at how long the way to the server takes.
PING_INTERVAL = 15.0
#: Seconds without an answer after which the bar says so.
LAG_SHOWN = 1.0
#: Seconds for which somebody who has pressed a key counts as typing.
TYPING_SHOWN = 6.0
#: Seconds between two signs of our own typing.
TYPING_INTERVAL = 3.0
#: Names of those who are typing, at most; more are counted.
_MOST_TYPING = 2


class ChatSession(Sender, CommandSession, Protocol):
    """What the console needs of a `Session`."""

    @property
    def head(self) -> int:
        """The number of the last entry that the room had when the link came about."""

    @property
    def close_code(self) -> int | None:
        """Why the session ended."""

    @property
    def close_reason(self) -> str:
        """The words that go with it."""

    def events(self) -> AsyncIterator[Event]:
        """Iterate over everything that happens, until the session ends."""

    def tell(self, event: Typing) -> bool:
        """Tell the others that one is typing."""

    async def ping(self) -> float:
        """Return the seconds that a ping takes."""

    async def close(self) -> None:
        """Say goodbye, and wait until the session is closed."""

    def abort(self) -> None:
        """End the session at once."""


class Desk(Protocol):
    """What a room needs of the console around it."""

    zone: tzinfo | None
    ignored: Ignored

    @property
    def columns(self) -> int:
        """The terminal's width."""

    def clock(self) -> int:
        """Tell the time, in microseconds since the epoch."""

    def put(
        self,
        room: ConsoleRoom,
        rows: Iterable[Row],
        *,
        then: Callable[[], object] | None = None,
        may_fold: bool = False,
    ) -> None:
        """Print rows, or have the room hold them."""

    async def ready(self, room: ConsoleRoom) -> None:
        """Wait while too much waits to be printed."""

    def redraw(self) -> None:
        """Draw the bottom of the terminal anew."""

    def call(self) -> None:
        """Call whoever is at the terminal."""


class ConsoleRoom:
    """A room in which one takes part at the console.

    Args:
        session: Its session.
        desk: The console.
        seen: Where one has stopped to read there before; None if that is not known.

    Attributes:
        session: Its session.
        seen: Where one has stopped to read there before; None if that is not known, or what is new
            since was marked.
        sending: Our own lines.
        presence: Who else is there.
        held: What is to be printed once somebody looks.
        unread: Messages that nobody has looked at.
        is_called: Whether one of them speaks to us.
        online: Whether there is a link.
        left: Set when one wants to leave the room.
        shown: The place of the last message that was shown.
        draft: What is typed there, and was left for another room.
    """

    def __init__(self, session: ChatSession, desk: Desk, *, seen: Place | None = None) -> None:
        self.session = session
        self.held: Backlog = Backlog(fold=True)
        self.unread: int = 0
        self.is_called: bool = False
        self.online: bool = True
        self.left: asyncio.Event = asyncio.Event()
        self.shown: Place = NOWHERE
        self.draft = ""
        self._desk = desk
        self.presence: Presence = Presence(functools.partial(self._put_notice, may_fold=True))
        self.sending: Sending = Sending(session, self._report, desk.redraw)
        self._asking = Asking(self)
        self._loop = asyncio.get_running_loop()
        # What is new is what was said after this time, or is up to this number and not yet shown.
        self.seen = seen
        self._topic = ""
        self._missed_until = 0
        self._is_unmarked = False
        self._day: date | None = day_of(desk.clock(), desk.zone)
        self._names = 0
        # Until when those count as typing who have pressed a key.
        self._typing: dict[str, float] = {}
        self._typed_at = -TYPING_INTERVAL
        self._asked_at: float | None = None

    @property
    def name(self) -> str:
        """The room's name, cleaned; may be empty."""
        return clean_name(self.session.room) if self.session.room else ""

    # ---- for the console ----

    async def run(self) -> None:
        """Take part until the session ends, and see what becomes of our own lines."""
        code, reason = None, ""
        try:
            await self._read_events()
            code, reason = self.session.close_code, self.session.close_reason
        except SessionClosed as exc:
            code, reason = exc.code, exc.reason
        self.notice(closing_words(code, reason))
        # The session settles every receipt when it ends, and then all is reported.
        await self.sending.idle()
        self.sending.show_held()

    def workers(self) -> list[asyncio.Task[None]]:
        """Start the tasks that go on beside `run`, to be cancelled with it."""
        return [
            asyncio.create_task(self.sending.send_all()),
            asyncio.create_task(self.sending.confirm_all()),
            asyncio.create_task(self._asking.run()),
            asyncio.create_task(self._ping()),
        ]

    def close(self) -> None:
        """Say what is left to say: who came and went, and which of our lines were not confirmed."""
        self.presence.close()
        for line in self.sending.unsettled():
            line.reported = True
            self._report(line, "not confirmed" if line.number else "not sent", 0)
        self.sending.show_held()

    def look_at(self) -> None:
        """Take notice that somebody looks at the room from now on."""
        self.unread = 0
        self.is_called = False
        self._is_unmarked = False

    def look_away(self) -> None:
        """Take notice that nobody looks at it any more: what comes now is new to whoever does."""
        self._is_unmarked = True

    def ask(self, name: str, question: Question) -> None:
        """Have something done that takes a while, and show what comes of it."""
        if not self.online:
            self.notice(f"/{name} waits until the link is back")
        self._asking.add(name, question)

    def type(self) -> None:
        """Tell the others that one is typing, now and then."""
        now = self._loop.time()
        if self.online and self.session.room and now >= self._typed_at + TYPING_INTERVAL:
            self._typed_at = now
            self.session.tell(Typing(self.session.nick))

    def people(self) -> Mapping[str, str]:
        """Return who else is known to be there, by cleaned names."""
        return {clean_name(name): key for name, key in self.presence.people.items()}

    # ---- what arrives ----

    async def _read_events(self) -> None:
        events = self.session.events()
        count = 0
        try:
            async for event in events:
                self._hear(event)
                await self._desk.ready(self)
                count += 1
                if count % EVENTS_PER_TURN == 0:
                    await asyncio.sleep(0)
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    def _hear(self, event: Event) -> None:
        match event:
            case Message():
                self._hear_message(event)
            case Rejected():
                pass  # for our own lines, the receipts tell
            case Joined() | Left() | Present() | Renamed():
                self._hear_of_people(event)
            case Typing(nick):
                if not self._desk.ignored.hides(nick, self.presence.people.get(nick, "")):
                    self._typing[nick] = self._loop.time() + TYPING_SHOWN
                    self._desk.redraw()
            case _:
                self._hear_of_the_link(event)

    def _hear_of_people(self, event: Joined | Left | Present | Renamed) -> None:
        is_hidden = not isinstance(event, Present) and self._desk.ignored.hides(
            event.nick, event.key
        )
        if is_hidden and isinstance(event, Renamed):
            self._desk.ignored.add(event.now, event.key)
        self.presence.hear(event, is_hidden=is_hidden)
        if isinstance(event, Left):
            self._typing.pop(event.nick, None)
        names = event.nicks if isinstance(event, Present) else (event.nick,)
        self._align(names)
        self._desk.redraw()

    def _hear_of_the_link(self, event: Event) -> None:
        match event:
            case LinkLost():
                self.online = False
                self._asked_at = None
                self._typing.clear()
            case LinkRestored():
                self.online = True
                self.presence.forget()
                self._missed_until = self.session.head
            case Gap() | Restarted():
                self.sending.show_held()  # they may be among what is missing
            case Topic(text=text) if text == self._topic:
                return  # it is told over each new link
            case Topic(text=text):
                self._topic = text
            case _:
                pass
        self._put(event_rows(event, self._view()), may_fold=True)

    def _hear_message(self, message: Message) -> None:
        self._typing.pop(message.sender, None)
        if message.own:
            self.shown = Place(message.at, message.number)
            self._mark_day(message.at)
            if not self.sending.came_back(message.own_number, message.at):
                self.show_earlier(message)  # said before, and read again: the room has begun anew
            return
        if self._desk.ignored.hides(message.sender, message.key):
            return
        self.presence.speaks(message.sender)
        self._align((message.sender,))
        speaks_to_us = self._speaks_to_us(message)
        self._show(message, is_new=self._is_new(message), is_mention=speaks_to_us)
        self.shown = Place(message.at, message.number)
        if not message.replayed:
            self.unread += 1
            if speaks_to_us:
                self.is_called = True
                self._desk.call()

    def _speaks_to_us(self, message: Message) -> bool:
        nick = self.session.nick
        if message.sender == nick:
            return False  # another session of ours
        is_text = isinstance(message.body, str)
        return bool(message.to) or (is_text and mentions(message.text, nick))

    def _is_new(self, message: Message) -> bool:
        """Tell whether a message is the first of those that were missed."""
        if message.sender == self.session.nick:
            return False  # we have said it ourselves, elsewhere
        if self._is_unmarked:
            self._is_unmarked = False
            return True
        if self._missed_until:
            is_missed = message.number <= self._missed_until
            self._missed_until = 0
            return is_missed
        if self.seen is not None and message.at > self.seen.at:
            self._tell_of_earlier(message, self.seen)
            self.seen = None
            return message.replayed
        return False

    def _tell_of_earlier(self, message: Message, seen: Place) -> None:
        """Say how many messages are new, and older than the first that is shown."""
        missed = message.number - seen.number - 1
        if message.replayed and missed > 0 and not self.shown.at:
            count = self.session.head - seen.number
            self.notice(f"{missed:,} more are new before these: /history {count}")

    def _show(self, message: Message, *, is_new: bool, is_mention: bool) -> None:
        view = self._view()
        if is_new:
            self._put([rule_row("new", view, "class:rule.new")], may_fold=False)
        self._mark_day(message.at)
        self._put(event_rows(message, view, is_mention=is_mention), may_fold=True)

    def _mark_day(self, at: int) -> None:
        """Draw a rule where another day begins."""
        day = day_of(at, self._desk.zone)
        if day is not None and day != self._day:
            self._day = day
            self._put([rule_row(day_words(day), self._view())], may_fold=True)

    # ---- what is typed ----

    def _report(self, line: Line, failure: str | None, at: int) -> None:
        """Show what became of a line of ours, in the frame that takes it from the pending ones."""
        self._put(
            self.own_rows(line.text, failure, to=line.to, at=at),
            then=lambda: self.sending.shown(line),
        )

    def own_rows(self, text: str, failure: str | None, *, to: str = "", at: int = 0) -> list[Row]:
        """Lay out a line of our own; without a time it was said now."""
        nick, at = self.session.nick, at or self._desk.clock()
        self._align((nick,))
        return own_rows(nick, text, at, self._view(), to=to, failure=failure)

    def notice(self, text: str) -> None:
        """Show a line that is no message."""
        self._put_notice(text)

    def _put_notice(self, text: str, *, may_fold: bool = False) -> None:
        self._put(notice_rows(text, self._view()), may_fold=may_fold)

    def show_earlier(self, message: Message) -> None:
        """Show a message that was said before."""
        self._show(message, is_new=False, is_mention=self._speaks_to_us(message))

    def _put(
        self, rows: list[Row], *, then: Callable[[], object] | None = None, may_fold: bool = False
    ) -> None:
        self._desk.put(self, rows, then=then, may_fold=may_fold)

    def _view(self) -> View:
        return View(self._desk.columns, self._desk.zone, self._names)

    def _align(self, names: Iterable[str]) -> None:
        """Let names be aligned with the longest that is seen here, as long as it is no long one."""
        widest = max((width(clean_name(name)) for name in names if name), default=0)
        self._names = max(self._names, min(widest, MOST_ALIGNED))

    # ---- what stands at the bottom ----

    async def _ping(self) -> None:
        """Look how long the way takes, so that the bar can say it."""
        while True:
            self._asked_at = self._loop.time()
            with suppress(SessionClosed):  # `run` tells
                await self.session.ping()
            self._asked_at = None
            await asyncio.sleep(PING_INTERVAL)

    def parts(self, *, is_leaving: bool) -> list[Part]:
        """Return what the bar says of the room."""
        count = len(self.presence.people) + 1
        here = f"{count:,} here" if count > 1 else ""
        waiting = len(self.sending.unsettled())
        wait = f", {waiting:,} waiting" if waiting else ""
        if wait and is_leaving:
            wait += ", leaving"
        parts = [Part(self.name, 3), Part(here, 2)]
        if not self.online:
            return [*parts, Part(f"offline{wait}", 5, "class:toolbar.offline")]
        return [
            *parts,
            Part(f"online{wait}", 5),
            Part(*self._latency()),
            Part(self._who_types(), 4),
        ]

    def _latency(self) -> tuple[str, int]:
        """Return how long the way takes, or for how long there was no answer; how important."""
        now = self._loop.time()
        if self._asked_at is not None and now > self._asked_at + LAG_SHOWN:
            return f"lag {now - self._asked_at:.0f} s", 4
        milliseconds = self.session.latency * 1000
        if not milliseconds:
            return "", 1
        return (f"{milliseconds:.0f} ms" if milliseconds >= 1 else "<1 ms"), 1

    def _who_types(self) -> str:
        now = self._loop.time()
        self._typing = {name: until for name, until in self._typing.items() if until > now}
        names = list(map(clean_name, self._typing))
        if not names:
            return ""
        if len(names) > _MOST_TYPING:
            return f"{len(names):,} are typing"
        return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} typing"
