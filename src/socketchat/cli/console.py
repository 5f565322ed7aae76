"""The console: sessions at a terminal, where one types while messages arrive.

One long-lived inline application owns the bottom of the terminal: our own lines that have no place
in the room yet, the input, a bar. Everything else is printed above it by one task
(`console_printer.py`) and then belongs to the terminal: its scrollback, selection and copying.

Here are the application, its beginning and its end. `console_rooms.py` has the rooms that one is
in, `console_room.py` what happens in one, `console_input.py` what is typed, `commands.py` the
commands, `console_layout.py` the bottom of the terminal, `render.py` lays out what is printed, and
`console_terminal.py` changes what must be changed of prompt_toolkit's terminal.

It does not know how sessions are opened: `rooms.py` says what it needs of whoever does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from socketchat.cli.console_room import LEAVE_TIMEOUT, ChatSession, ConsoleRoom
from socketchat.cli.console_rooms import ConsoleRooms, raise_first
from socketchat.cli.console_sending import MAX_PENDING, Line
from socketchat.cli.console_terminal import make_input, make_output
from socketchat.cli.ignoring import Ignored
from socketchat.cli.render import Row, View, notice_rows
from socketchat.cli.rooms import Rooms
from socketchat.text import clean_name

__all__ = ["ChatSession", "Console"]

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
        self.ignored: Ignored = Ignored()
        self.rooms = rooms
        self._input = input or make_input()
        self._output = output or make_output()
        self._leaving_words = leaving
        self.keys: str = _KEYS.format(leaving=leaving)
        self._started = False
        self._running = False
        self._leaving = asyncio.Event()
        self._over = asyncio.Event()
        self._bar_shown: Row = []
        completer = ChatCompleter(self.people, self._room_names, lambda: self.ignored.names)
        self._typed = ConsoleInput(self, self._input, completer, directory)
        self._app = self._make_app(color=color)
        self._printer = Printer(self._app)
        self._attention = Attention(self._output, asyncio.get_running_loop().time)
        self._app.key_processor.before_key_press += lambda _: self._attention.answer()
        self._entered = ConsoleRooms(session, self, self._typed, rooms, directory)

    def _make_app(self, *, color: bool) -> Application[None]:
        buffer = self._typed.buffer
        return Application(
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

    # ---- for the command around it, and for slash commands ----

    @property
    def session(self) -> ChatSession:
        """The session of the room that one looks at."""
        return self._entered.active.session

    @property
    def sessions(self) -> Sequence[ChatSession]:
        """The sessions of all rooms that one is in, the one that one looks at first."""
        others = [room.session for room in self._entered.here if room is not self._entered.active]
        return [self.session, *others]

    def sits_in(self, room: str) -> bool:
        """Tell whether one is in a room."""
        return any(one.session.room == room for one in self._entered.here)

    def notice(self, text: str) -> None:
        """Print a line that is no message; before `run` and after it too."""
        self.print_rows(notice_rows(text, View(self.columns)))

    def say(self, text: str, to: str = "") -> None:
        """Send a message, to everyone in the room or to one member."""
        if not self._entered.active.sending.add(text, to):
            self.notice(f"{MAX_PENDING} lines wait to be sent: this one was not taken")

    def ask(self, name: str, question: Question) -> None:
        """Have something done that takes a while, and print what comes of it."""
        self._entered.active.ask(name, question)

    def people(self) -> Mapping[str, str]:
        """Return who is known to be in the room: names, and fingerprints of keys or nothing."""
        return self._entered.active.people()

    def exit(self) -> None:
        """Let `run` return, without waiting for anything; calling it again does nothing.

        From a signal handler or another thread, call it through `loop.call_soon_threadsafe`.
        """
        self._over.set()

    def leave(self) -> None:
        """Let `run` return once what was typed is confirmed; called again, at once.

        It waits `LEAVE_TIMEOUT` at most, and not at all for rooms whose links are lost.
        """
        waiting = any(room.online and room.sending.unsettled() for room in self._entered.here)
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
        await self._entered.read_places()
        self._attention.start()
        self.notice(self._banner())
        with create_app_session(input=self._input, output=self._output):
            # The order matters: the printer finds the application only once it runs.
            app = asyncio.create_task(self._app.run_async(set_exception_handler=False))
            printer = asyncio.create_task(self._printer.run())
            self._running = True
            self._attention.look_at(self._entered.active.name)
            self._entered.start()
            workers = [
                asyncio.create_task(self._leave_in_time()),
                asyncio.create_task(self._watch_bar()),
            ]
            for task in (app, printer, *workers):
                task.add_done_callback(lambda _: self.exit())
            try:
                await self._over.wait()
            finally:
                await self._end(app, printer, workers)
        raise_first([app, printer], but=(EOFError, OSError))  # the terminal went away
        raise_first(workers)
        self._entered.raise_failure()

    # ---- beginning and end ----

    def _banner(self) -> str:
        who = clean_name(self.session.nick) if self.session.nick else "you"
        where = f" in {self._entered.active.name}" if self._entered.active.name else ""
        return f"{who}{where}: Enter sends, /help tells more, Ctrl-D {self._leaving_words}"

    async def _end(
        self,
        app: asyncio.Task[None],
        printer: asyncio.Task[None],
        workers: list[asyncio.Task[None]],
    ) -> None:
        try:
            await self._typed.edited()
            await self._entered.end()
            self._printer.close()
            await asyncio.wait([printer])
        finally:  # also when cancelled again: the terminal is restored
            self._typed.end_editor()
            self._entered.cancel()
            for worker in workers:
                worker.cancel()
            self._printer.close()
            if self._app.is_running and not self._app.is_done:
                self._app.exit()
            await asyncio.wait([app, printer, *workers])
            self._running = False
        if not printer.cancelled() and printer.exception() is None:
            self._printer.print_rest()
            self._attention.stop()

    async def _leave_in_time(self) -> None:
        await self._leaving.wait()
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                for room in list(self._entered.here):
                    if room.online:
                        await room.sending.idle()
        except TimeoutError:
            pass  # what is left will be named

    # ---- rooms ----

    def join(self, room: str) -> None:
        """Take part in another room as well, and look at it."""
        self._entered.join(room)

    def part(self, room: str = "") -> None:
        """Leave a room, or the one that one looks at; with the last one, leave altogether."""
        if not self._entered.part(room):
            self.leave()

    def look_at_number(self, number: int) -> None:
        """Look at the room of a number, from 1."""
        self._entered.look_at_number(number)

    def looks_at(self, room: ConsoleRoom) -> None:
        """Take notice that one looks at another room."""
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
        if room is self._entered.active:
            self.print_rows(rows, then=then)
        else:
            room.held.put(rows, then=then, may_fold=may_fold)
            self.redraw()

    async def ready(self, room: ConsoleRoom) -> None:
        """Wait while too much waits to be printed."""
        if room is self._entered.active:
            room.unread = 0
            await self._printer.ready()

    def redraw(self) -> None:
        """Draw the bottom of the terminal anew."""
        self._app.invalidate()

    def call(self) -> None:
        """Call whoever is at the terminal."""
        self._attention.call()

    def print_rows(self, rows: Iterable[Row], *, then: Callable[[], object] | None = None) -> None:
        """Print rows, whatever one looks at."""
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
        if said is not None and not self._entered.active.sending.add(said):
            self.notice(f"{MAX_PENDING} lines wait to be sent: this one stays in the input")
            return False
        return True

    def typing(self) -> None:
        """Let the others in the room know that one is typing."""
        if self._running:
            self._entered.active.type()

    def is_kept(self, text: str) -> bool:
        """Tell whether what was typed may be kept for the next time."""
        return not is_unknown(text)

    @property
    def is_editing(self) -> bool:
        """Whether an editor has the terminal."""
        return self._typed.is_editing

    def edit(self) -> None:
        """Open what is typed in an editor, for the room that one looks at now."""
        self._entered.edit()

    def clear(self) -> None:
        """Clear the screen."""
        self._printer.clear()

    def _room_names(self) -> list[str]:
        return self._entered.names()

    # ---- what stands at the bottom ----

    def _pending(self) -> list[Line]:
        # Only what the session has: with an outbox in a file, that survives a kill.
        lines = self._entered.active.sending.pending
        return [line for line in lines if line.number or line.reported]

    def _bar_text(self) -> Row:
        self._bar_shown = self._bar()
        return self._bar_shown

    def _bar(self) -> Row:
        if question := self._typed.question:
            return bar_row([Part(question, 1, "class:toolbar.offline")], self.columns)
        parts = self._entered.active.parts(is_leaving=self._leaving.is_set())
        if len(self._entered.here) > 1:
            parts = [*room_parts(self._entered.here, self._entered.active), *parts[1:]]
        return bar_row(parts, self.columns)

    async def _watch_bar(self) -> None:
        """Have the bar drawn again when what it shows has changed by itself."""
        while True:
            await asyncio.sleep(BAR_INTERVAL)
            if self._bar() != self._bar_shown:
                self.redraw()
