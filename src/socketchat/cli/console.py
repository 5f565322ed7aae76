"""The console: sessions at a terminal, where one types while messages arrive.

One long-lived inline application owns the bottom of the terminal: our own lines that have no place
in the room yet, the input, a bar. Everything else is printed above it by one task
(`console_printer.py`) and then belongs to the terminal: its scrollback, selection and copying.

Here are the application, the room that one looks at, and how one comes into others and leaves.
`console_room.py` has what happens in a room, `console_input.py` what is typed, `commands.py` the
commands, `console_layout.py` the bottom of the terminal, `render.py` lays out what is printed, and
`console_terminal.py` changes what must be changed of prompt_toolkit's terminal.

It does not know how sessions are opened: `rooms.py` says what it needs of whoever does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from pathlib import Path

from prompt_toolkit.application import Application, create_app_session
from prompt_toolkit.input import Input
from prompt_toolkit.output import ColorDepth, Output

from socketchat.cli.asking import Question
from socketchat.cli.attention import Attention
from socketchat.cli.commands import interpret, is_unknown
from socketchat.cli.console_bar import Part, bar_row, room_parts
from socketchat.cli.console_completion import ChatCompleter
from socketchat.cli.console_input import ConsoleInput
from socketchat.cli.console_keys import make_bindings
from socketchat.cli.console_layout import STYLE, make_layout
from socketchat.cli.console_printer import Printer
from socketchat.cli.console_room import ChatSession, ConsoleRoom
from socketchat.cli.console_sending import MAX_PENDING, Line
from socketchat.cli.console_terminal import make_input, make_output
from socketchat.cli.failures import Failure
from socketchat.cli.ignoring import Ignored
from socketchat.cli.places import Place, Places
from socketchat.cli.render import Row, View, notice_rows, other_name_words, rule_row
from socketchat.cli.rooms import Rooms
from socketchat.cli.target import BAD_ROOM, can_be_named
from socketchat.errors import HandshakeError, SessionClosed
from socketchat.text import clean_name

__all__ = ["ChatSession", "Console"]

#: Seconds for which one who leaves waits for what was just typed.
LEAVE_TIMEOUT = 2.0
#: Seconds between two looks at what the bar shows.
BAR_INTERVAL = 1.0


_KEYS = """\
Enter sends, Alt-Enter starts a new line, Tab completes.
Up and Ctrl-R find what was typed before, Ctrl-X Ctrl-E opens an editor.
Alt-1 to Alt-9 change the room, Ctrl-L empties the screen.
Ctrl-C clears the line; on an empty one Ctrl-C or Ctrl-D {leaving}."""


class Console:
    """A terminal at which one takes part in a session, and in others of the same server.

    `await console.run()` once; it returns when the user leaves or the last session ends, and leaves
    the terminal as it was. The first session is neither opened nor closed here.

    Args:
        session: The first session.
        input: The keyboard; by default this process's terminal.
        output: The screen; by default this process's terminal.
        color: Whether to use colours.
        zone: The time zone of the times shown; None is the machine's own.
        clock: Tells the time, in microseconds since the epoch.
        leaving: What one does who leaves, as the banner says it.
        rooms: How one comes into other rooms; None if one does not.
        directory: Where it is kept what was typed, and up to where was read; None keeps nothing.

    Attributes:
        keys: Which keys do what, for `/help`.
        ignored: Whom one does not want to hear.
        zone: The time zone of the times shown; None is the machine's own.
        clock: Tells the time, in microseconds since the epoch.
    """

    def __init__(
        self,
        session: ChatSession,
        *,
        input: Input | None = None,  # noqa: A002 - prompt_toolkit's word
        output: Output | None = None,
        color: bool = True,
        zone: tzinfo | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        leaving: str = "leaves",
        rooms: Rooms | None = None,
        directory: Path | None = None,
    ) -> None:
        self.zone = zone
        self.clock = clock
        self.ignored = Ignored()
        self.rooms = rooms
        self._places = Places(directory / "places.json") if directory is not None else None
        self._input = input or make_input()
        self._output = output or make_output()
        self._leaving_words = leaving
        self.keys = _KEYS.format(leaving=leaving)
        self._started = False
        self._running = False
        self._leaving = asyncio.Event()
        self._over = asyncio.Event()
        self._bar_shown: Row = []
        completer = ChatCompleter(self.people, self._room_names, lambda: self.ignored.names)
        self._typed = ConsoleInput(self, self._input, completer, directory)
        buffer = self._typed.buffer
        self._app: Application[None] = Application(
            layout=make_layout(buffer, self._output, pending=self._pending, toolbar=self._bar_text),
            key_bindings=make_bindings(self, buffer),
            style=STYLE,
            include_default_pygments_style=False,
            color_depth=None if color else ColorDepth.DEPTH_1_BIT,
            full_screen=False,
            mouse_support=False,
            erase_when_done=True,
            # As soon as a key was pressed: else it waits until nothing arrives, or for 10 ms.
            max_render_postpone_time=None,
            input=self._input,
            output=self._output,
        )
        self._printer = Printer(self._app)
        self._attention = Attention(self._output, asyncio.get_running_loop().time)
        self._app.key_processor.before_key_press += lambda _: self._attention.answer()
        self._first = self._active = ConsoleRoom(session, self)
        #: The rooms that one is in, in the order of their numbers.
        self._here = [self._active]
        #: Tasks of rooms, by the names that were asked for; that of the first by nothing.
        self._sitting: dict[str, asyncio.Task[None]] = {}
        #: The room that was asked for last.
        self._wanted = ""
        self._failed: list[asyncio.Task[None]] = []

    # ---- for the command around it, and for slash commands ----

    @property
    def session(self) -> ChatSession:
        """The session of the room that one looks at."""
        return self._active.session

    @property
    def sessions(self) -> Sequence[ChatSession]:
        """The sessions of all rooms that one is in, the one that one looks at first."""
        others = [room.session for room in self._here if room is not self._active]
        return [self.session, *others]

    def sits_in(self, room: str) -> bool:
        """Tell whether one is in a room."""
        return any(one.session.room == room for one in self._here)

    def notice(self, text: str) -> None:
        """Print a line that is no message; before `run` and after it too."""
        self._print(notice_rows(text, View(self.columns)))

    def say(self, text: str, to: str = "") -> None:
        """Send a message, to everyone in the room or to one member."""
        if not self._active.sending.add(text, to):
            self.notice(f"{MAX_PENDING} lines wait to be sent: this one was not taken")

    def ask(self, name: str, question: Question) -> None:
        """Have something done that takes a while, and print what comes of it."""
        self._active.ask(name, question)

    def people(self) -> Mapping[str, str]:
        """Return who is known to be in the room: names, and fingerprints of keys or nothing."""
        return self._active.people()

    def exit(self) -> None:
        """Let `run` return, without waiting for anything; calling it again does nothing.

        From a signal handler or another thread, call it through `loop.call_soon_threadsafe`.
        """
        self._over.set()

    def leave(self) -> None:
        """Let `run` return once what was typed is confirmed; called again, at once.

        It waits `LEAVE_TIMEOUT` at most, and not at all for rooms whose links are lost.
        """
        waiting = any(room.online and room.sending.unsettled() for room in self._here)
        if self._leaving.is_set() or not waiting:
            self.exit()
        self._leaving.set()
        self.redraw()

    async def run(self) -> None:
        """Take part until the user leaves or the last session ends.

        What was typed and not confirmed by then is named on the screen.

        Cancellation: the terminal is restored, then the cancellation goes on.
        """
        assert not self._started, "a console runs once"
        self._started = True
        await self._typed.read_history()
        if self._places is not None:
            await asyncio.to_thread(self._places.load)
            self._first.seen = self._seen(self._first.session)
        self._attention.start()
        self.notice(self._banner())
        with create_app_session(input=self._input, output=self._output):
            # The order matters: the printer finds the application only once it runs.
            app = asyncio.create_task(self._app.run_async(set_exception_handler=False))
            printer = asyncio.create_task(self._printer.run())
            self._running = True
            self._attention.look_at(self._active.name)
            sitting = self._sitting[""] = asyncio.create_task(self._sit_first())
            workers = [
                asyncio.create_task(self._leave_in_time()),
                asyncio.create_task(self._watch_bar()),
            ]
            sitting.add_done_callback(lambda _: self._look_if_over())
            for task in (app, printer, *workers):
                task.add_done_callback(lambda _: self.exit())
            try:
                await self._over.wait()
            finally:
                await self._end(app, printer, workers)
        _raise_first([app, printer], but=(EOFError, OSError))  # the terminal went away
        _raise_first([*workers, sitting, *self._failed])

    # ---- beginning and end ----

    def _banner(self) -> str:
        who = clean_name(self.session.nick) if self.session.nick else "you"
        where = f" in {self._active.name}" if self._active.name else ""
        return f"{who}{where}: Enter sends, /help tells more, Ctrl-D {self._leaving_words}"

    async def _end(
        self,
        app: asyncio.Task[None],
        printer: asyncio.Task[None],
        workers: list[asyncio.Task[None]],
    ) -> None:
        sitting = list(self._sitting.values())
        try:
            await self._typed.edited()
            for task in (*workers, *sitting):
                task.cancel()
            _, slow = await asyncio.wait([*workers, *sitting], timeout=LEAVE_TIMEOUT)
            for room in self._here:
                if room is not self._first and slow:
                    room.session.abort()  # its server does not answer
            await asyncio.wait([*workers, *sitting])
            self._end_rooms()
            if self._places is not None:
                await asyncio.to_thread(self._places.save)
            self._printer.close()
            await asyncio.wait([printer])
        finally:  # also when cancelled again: the terminal is restored
            self._typed.end_editor()
            for task in (*workers, *sitting):
                task.cancel()
            self._printer.close()
            if self._app.is_running and not self._app.is_done:
                self._app.exit()
            await asyncio.wait([app, printer])
            self._running = False
        if not printer.cancelled() and printer.exception() is None:
            self._printer.print_rest()
            self._attention.stop()

    def _end_rooms(self) -> None:
        """Say what is left to say in each room, and note up to where was read."""
        active = self._active
        active.draft = self._typed.text
        for room in [active, *(room for room in self._here if room is not active)]:
            self._print_rest(room)

    async def _leave_in_time(self) -> None:
        await self._leaving.wait()
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                for room in list(self._here):
                    if room.online:
                        await room.sending.idle()
        except TimeoutError:
            pass  # what is left will be named

    def _seen(self, session: ChatSession) -> Place | None:
        if self._places is None or self.rooms is None or not session.room:
            return None
        return self._places.find(self.rooms.label(session.room))

    def _print_rest(self, room: ConsoleRoom) -> None:
        """Print what a room that is left has held, and what it still has to say."""
        room.close()
        if room.draft.strip():
            self.put(room, room.own_rows(room.draft, "not sent"))
        if room is not self._active and room.held.rows:
            self._print([rule_row(room.name, View(self.columns), "class:rule.room")])
            self._print_held(room)
        if self._places is not None and self.rooms is not None and room.session.room:
            self._places.note(self.rooms.label(room.session.room), room.shown)

    def _print_held(self, room: ConsoleRoom) -> None:
        rows, then = room.held.take(room.held.rows + 1)
        self._print(rows, then=lambda: [done() for done in then])

    # ---- rooms ----

    def join(self, room: str) -> None:
        """Take part in another room as well, and look at it."""
        name = " ".join(room.split())
        here = [one for one in self._here if one.session.room == name]
        if here:
            self._look_at(here[0])
        elif self.rooms is None:
            self.notice("there are no other rooms here")
        elif not can_be_named(name):
            self.notice(f"/join: {BAD_ROOM}")
        elif name in self._sitting:
            self.notice(f"{clean_name(name)} is being opened already")
        else:
            self._wanted = name
            task = self._sitting[name] = asyncio.create_task(self._visit(self.rooms, name))
            task.add_done_callback(lambda task: self._visited(name, task))

    def part(self, room: str = "") -> None:
        """Leave a room, or the one that one looks at; with the last one, leave altogether."""
        leaving = [one for one in self._here if one.session.room == room] or [self._active]
        if room and leaving[0].session.room != room:
            self.notice(f"you are not in {clean_name(room)}")
        elif len(self._here) == 1:
            self.leave()
        else:
            leaving[0].left.set()

    def look_at_number(self, number: int) -> None:
        """Look at the room of a number, from 1."""
        if number <= len(self._here):
            self._look_at(self._here[number - 1])

    async def _visit(self, rooms: Rooms, name: str) -> None:
        """Take part in another room until it is left or its session ends."""
        asked = self.session.nick
        try:
            async with rooms.join(name, asked) as session:
                room = ConsoleRoom(session, self, seen=self._seen(session))
                self._here.append(room)
                self._come_into(room, is_wanted=name == self._wanted)
                if other := other_name_words(asked, session.nick):
                    room.notice(other)
                await self._sit(room)
        except (Failure, SessionClosed, HandshakeError, OSError) as exc:
            self.notice(f"{clean_name(name)}: {exc}")

    def _come_into(self, room: ConsoleRoom, *, is_wanted: bool) -> None:
        """Look at a new room, unless something is being typed that is meant for another."""
        if self._typed.text or self._typed.is_editing or not is_wanted:
            room.look_away()
            self.notice(f"{room.name} is open: Alt-{len(self._here)} looks at it")
        else:
            self._look_at(room)

    def _visited(self, name: str, task: asyncio.Task[None]) -> None:
        del self._sitting[name]
        if not task.cancelled() and task.exception() is not None:
            self._failed.append(task)
            self.exit()
        self._look_if_over()

    async def _sit_first(self) -> None:
        """Take part in the first room, whose session is closed here only if others go on."""
        await self._sit(self._first)
        if self._first not in self._here:
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
        _raise_first(workers)
        self._leave_room(room)

    @staticmethod
    async def _left(room: ConsoleRoom) -> None:
        """Wait until a room is left, and what was said there confirmed, as in `leave`."""
        await room.left.wait()
        if room.online:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_TIMEOUT):
                    await room.sending.idle()

    def _leave_room(self, room: ConsoleRoom) -> None:
        """Look at another room instead of one that was left; with the last, the console ends."""
        others = [one for one in self._here if one is not room]
        if not others:
            self.exit()
            return
        if room is not self._active:
            self._print_rest(room)
            self._print([rule_row(self._active.name, View(self.columns), "class:rule.room")])
            self._here.remove(room)
            self.redraw()
            return
        room.draft = self._typed.text
        self._print_rest(room)
        self._typed.put("")
        self._here.remove(room)
        self._look_at(others[0])

    def _look_if_over(self) -> None:
        """End with the last room."""
        if all(task.done() for task in self._sitting.values()):
            self.exit()

    def _look_at(self, room: ConsoleRoom) -> None:
        """Look at a room, and print what it has held."""
        if room is self._active:
            return
        self._active.look_away()
        self._active.draft = self._typed.text
        self._active = room
        self._typed.put(room.draft)
        self._print([rule_row(room.name, View(self.columns), "class:rule.room")])
        self._print_held(room)
        room.look_at()
        self._attention.look_at(room.name)
        self.redraw()

    # ---- what rooms need ----

    @property
    def columns(self) -> int:
        """The terminal's width."""
        return self._output.get_size().columns

    def put(
        self,
        room: ConsoleRoom,
        rows: Iterable[Row],
        *,
        then: Callable[[], object] | None = None,
        may_fold: bool = False,
    ) -> None:
        """Print rows of the room that one looks at; have others hold them."""
        if room is self._active:
            self._print(rows, then=then)
        else:
            room.held.put(rows, then=then, may_fold=may_fold)
            self.redraw()

    async def ready(self, room: ConsoleRoom) -> None:
        """Wait while too much waits to be printed."""
        if room is self._active:
            room.unread = 0
            await self._printer.ready()

    def redraw(self) -> None:
        """Draw the bottom of the terminal anew."""
        self._app.invalidate()

    def call(self) -> None:
        """Call whoever is at the terminal."""
        self._attention.call()

    def _print(self, rows: Iterable[Row], *, then: Callable[[], object] | None = None) -> None:
        if self._running:
            self._printer.put(rows, then=then)
        else:
            self._printer.print_now(rows)

    # ---- what is typed ----

    def enter(self) -> None:
        """Send what is typed, or carry it out."""
        if not self._leaving.is_set():
            self._typed.enter()

    def take(self, text: str) -> bool:
        """Take what was typed; False if it stays in the input."""
        said = interpret(self, text)
        if said is not None and not self._active.sending.add(said):
            self.notice(f"{MAX_PENDING} lines wait to be sent: this one stays in the input")
            return False
        return True

    def typing(self) -> None:
        """Let the others in the room know that one is typing."""
        if self._running:
            self._active.type()

    def is_kept(self, text: str) -> bool:
        """Tell whether what was typed may be kept for the next time."""
        return not is_unknown(text)

    @property
    def is_editing(self) -> bool:
        """Whether an editor has the terminal."""
        return self._typed.is_editing

    def edit(self) -> None:
        """Open what is typed in an editor, for the room that one looks at now."""
        room = self._active
        self._typed.edit(lambda text: self._edited(room, text))

    def _edited(self, room: ConsoleRoom, text: str) -> None:
        if room is self._active:
            self._typed.put(text)
        else:
            room.draft = text

    def clear(self) -> None:
        """Clear the screen."""
        self._printer.clear()

    def _room_names(self) -> list[str]:
        known = {room.name for room in self._here if room.name}
        if self._places is not None and self.rooms is not None:
            here = self.rooms.label("")
            known |= {
                clean_name(label.removeprefix(here))
                for label in self._places.labels
                if label.startswith(here)
            }
        return sorted(known)

    # ---- what stands at the bottom ----

    def _pending(self) -> list[Line]:
        # Only what the session has: with an outbox in a file, that survives a kill.
        lines = self._active.sending.pending
        return [line for line in lines if line.number or line.reported]

    def _bar_text(self) -> Row:
        self._bar_shown = self._bar()
        return self._bar_shown

    def _bar(self) -> Row:
        if question := self._typed.question:
            return bar_row([Part(question, 1, "class:toolbar.offline")], self.columns)
        parts = self._active.parts(is_leaving=self._leaving.is_set())
        if len(self._here) > 1:
            parts = [*room_parts(self._here, self._active), *parts[1:]]
        return bar_row(parts, self.columns)

    async def _watch_bar(self) -> None:
        """Have the bar drawn again when what it shows has changed by itself."""
        while True:
            await asyncio.sleep(BAR_INTERVAL)
            if self._bar() != self._bar_shown:
                self.redraw()


def _raise_first(tasks: list[asyncio.Task[None]], but: tuple[type[Exception], ...] = ()) -> None:
    errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    for error in errors:
        if error is not None and not isinstance(error, but):
            raise error
