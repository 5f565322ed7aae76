"""The console: a session at a terminal, where one types while messages arrive.

One long-lived inline application owns the bottom of the terminal: our own lines that are not
acknowledged yet, the input, a toolbar. Everything else is printed above it by one task
(`console_printer.py`) and then belongs to the terminal: its scrollback, selection and copying.
`console_sending.py` sees our own lines on their way, `commands.py` knows the commands,
`console_layout.py` the bottom of the terminal, `render.py` lays out what is printed, and
`console_terminal.py` changes what must be changed of prompt_toolkit's terminal.

It drives a session that somebody else opened and will close, and it does not know how.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import tzinfo
from typing import ClassVar, Protocol

from prompt_toolkit.application import Application, create_app_session
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import Layout
from prompt_toolkit.output import ColorDepth, Output

from socketchat.cli.asking import Asker, Asking
from socketchat.cli.commands import interpret
from socketchat.cli.console_layout import STYLE, make_layout
from socketchat.cli.console_printer import Printer
from socketchat.cli.console_sending import MAX_PENDING, Line, Sender, Sending
from socketchat.cli.console_terminal import make_input, make_output
from socketchat.cli.render import (
    Row,
    View,
    closing_words,
    event_rows,
    notice_rows,
    own_rows,
)
from socketchat.errors import SessionClosed
from socketchat.events import Event, LinkLost, LinkRestored, Message, Rejected
from socketchat.text import clean_name

__all__ = ["ChatSession", "Console"]

#: Seconds for which one who leaves waits for what was just typed.
LEAVE_TIMEOUT = 2.0
#: Events handled before everything else, keys above all, gets its turn.
EVENTS_PER_TURN = 50
#: Seconds between two looks at what the toolbar shows.
TOOLBAR_INTERVAL = 1.0


class ChatSession(Sender, Asker, Protocol):
    """What the console needs of a `Session`."""

    @property
    def nick(self) -> str:
        """Our own name."""

    @property
    def room(self) -> str:
        """The room's name, or empty."""

    @property
    def latency(self) -> float:
        """Seconds that the last ping took; 0.0 if there was none."""

    @property
    def close_code(self) -> int | None:
        """Why the session ended."""

    @property
    def close_reason(self) -> str:
        """The words that go with it."""

    def events(self) -> AsyncIterator[Event]:
        """Iterate over everything that happens, until the session ends."""


class Console:
    """A terminal at which one takes part in a session.

    `await console.run()` once; it returns when the user leaves or the session ends, and leaves the
    terminal as it was. The session is neither opened nor closed here.

    Args:
        session: The session.
        input: The keyboard; by default this process's terminal.
        output: The screen; by default this process's terminal.
        color: Whether to use colours.
        zone: The time zone of the times shown; None is the machine's own.
        clock: Tells the time, in microseconds since the epoch.
        fold: Whether a backlog of messages may be folded into one line that counts them, because
            the session's room has a log in which they can be read.
        leaving: What one does who leaves, as the banner says it.
    """

    keys: ClassVar[str] = (
        "Enter sends, Alt-Enter starts a new line, Ctrl-C clears the line.\n"
        "On an empty line, Ctrl-C and Ctrl-D leave."
    )

    def __init__(
        self,
        session: ChatSession,
        *,
        input: Input | None = None,  # noqa: A002 - prompt_toolkit's word
        output: Output | None = None,
        color: bool = True,
        zone: tzinfo | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        fold: bool = False,
        leaving: str = "leaves",
    ) -> None:
        self._session = session
        self._input = input or make_input()
        self._output = output or make_output()
        self._zone = zone
        self._clock = clock
        self._leaving_words = leaving
        self._online = True
        self._started = False
        self._running = False
        self._leaving = asyncio.Event()
        self._over = asyncio.Event()
        self._toolbar_shown: Row = []
        self._sending = Sending(session, self._report, self._redraw)
        self._asking = Asking(session, self.notice)
        self._buffer = Buffer(multiline=True, history=InMemoryHistory())
        self._app: Application[None] = Application(
            layout=self._make_layout(),
            key_bindings=self._make_bindings(),
            style=STYLE,
            include_default_pygments_style=False,
            color_depth=None if color else ColorDepth.DEPTH_1_BIT,
            full_screen=False,
            mouse_support=False,
            erase_when_done=True,
            input=self._input,
            output=self._output,
        )
        self._printer = Printer(self._app, fold=fold)

    # ---- for the command around it ----

    def notice(self, text: str) -> None:
        """Print a line that is no message; before `run` and after it too."""
        self._print(notice_rows(text, self._view()))

    def ask(self, name: str, argument: str) -> None:
        """Ask the server to do something, and print what it says to that."""
        self._asking.add(name, argument)

    def exit(self) -> None:
        """Let `run` return, without waiting for anything; calling it again does nothing.

        From a signal handler or another thread, call it through `loop.call_soon_threadsafe`.
        """
        self._over.set()

    def leave(self) -> None:
        """Let `run` return once what was typed is confirmed; called again, at once.

        It waits `LEAVE_TIMEOUT` at most, and not at all while the link is lost.
        """
        if self._leaving.is_set() or not self._online or not self._sending.unreported():
            self.exit()
        self._leaving.set()
        self._app.invalidate()

    async def run(self) -> None:
        """Take part until the user leaves or the session ends.

        What was typed and not confirmed by then is named on the screen.

        Cancellation: the terminal is restored, then the cancellation goes on.
        """
        assert not self._started, "a console runs once"
        self._started = True
        self.notice(self._banner())
        with create_app_session(input=self._input, output=self._output):
            # The order matters: the printer finds the application only once it runs.
            app = asyncio.create_task(self._app.run_async(set_exception_handler=False))
            printer = asyncio.create_task(self._printer.run())
            self._running = True
            workers = [
                asyncio.create_task(self._read()),
                asyncio.create_task(self._sending.send_all()),
                asyncio.create_task(self._sending.confirm_all()),
                asyncio.create_task(self._asking.run()),
                asyncio.create_task(self._leave_in_time()),
                asyncio.create_task(self._watch_toolbar()),
            ]
            for task in (app, printer, *workers):
                task.add_done_callback(self._task_ended)
            try:
                await self._over.wait()
            finally:
                await self._end(app, printer, workers)
        _raise_first([app, printer], but=(EOFError, OSError))  # the terminal went away
        _raise_first(workers)

    # ---- beginning and end ----

    def _banner(self) -> str:
        who = clean_name(self._session.nick) if self._session.nick else "you"
        where = f" in {clean_name(self._session.room)}" if self._session.room else ""
        return f"{who}{where}: Enter sends, /help tells more, Ctrl-D {self._leaving_words}"

    def _task_ended(self, _task: asyncio.Task[None]) -> None:
        """End the console with the first of its tasks that ends by itself."""
        self._over.set()

    async def _end(
        self,
        app: asyncio.Task[None],
        printer: asyncio.Task[None],
        workers: list[asyncio.Task[None]],
    ) -> None:
        for worker in workers:
            worker.cancel()
        try:
            await asyncio.wait(workers)
            for line in self._sending.unreported():
                self._report(line, "not confirmed" if line.accepted else "not sent")
            if self._buffer.text.strip():
                self._print(self._own_rows(self._buffer.text, "not sent"))
            self._printer.close()
            await asyncio.wait([printer])
        finally:  # also when cancelled again: the terminal is restored
            self._printer.close()
            if self._app.is_running and not self._app.is_done:
                self._app.exit()
            await asyncio.wait([app, printer])
            self._running = False
        if not printer.cancelled() and printer.exception() is None:
            self._printer.print_rest()

    async def _leave_in_time(self) -> None:
        await self._leaving.wait()
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._sending.idle()
        except TimeoutError:
            pass  # what is left will be named

    # ---- what arrives ----

    async def _read(self) -> None:
        """Show what happens until the session ends."""
        code, reason = None, ""
        try:
            await self._read_events()
            code, reason = self._session.close_code, self._session.close_reason
        except SessionClosed as exc:
            code, reason = exc.code, exc.reason
        self.notice(closing_words(code, reason))
        # The session settles every receipt when it ends, and then all is reported.
        self._leaving.set()
        await self._sending.idle()

    async def _read_events(self) -> None:
        events = self._session.events()
        count = 0
        try:
            async for event in events:
                self._show(event)
                await self._printer.ready()
                count += 1
                if count % EVENTS_PER_TURN == 0:
                    await asyncio.sleep(0)
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    def _show(self, event: Event) -> None:
        match event:
            case Message(own=True) | Rejected():
                return  # for our own lines, the receipts tell
            case LinkLost():
                self._online = False
            case LinkRestored():
                self._online = True
            case _:
                pass
        self._print(event_rows(event, self._view()), may_fold=True)

    def _report(self, line: Line, failure: str | None) -> None:
        """Show what became of a line of ours, in the frame that takes it from the pending ones."""
        rows = self._own_rows(line.text, failure)
        self._print(rows, then=lambda: self._sending.shown(line))

    def _own_rows(self, text: str, failure: str | None) -> list[Row]:
        return own_rows(self._session.nick, text, self._clock(), self._view(), failure=failure)

    def _redraw(self) -> None:
        self._app.invalidate()

    def _view(self) -> View:
        return View(self._output.get_size().columns, self._zone)

    def _print(
        self,
        rows: list[Row],
        *,
        then: Callable[[], object] | None = None,
        may_fold: bool = False,
    ) -> None:
        if self._running:
            self._printer.put(rows, then=then, may_fold=may_fold)
        else:
            self._printer.print_now(rows)

    # ---- what is typed ----

    def _enter(self) -> None:
        text = self._buffer.text.strip("\n")
        if self._leaving.is_set():
            return
        if text.strip():
            said = interpret(self, text)
            if said is not None and not self._sending.add(said):
                self.notice(f"{MAX_PENDING} lines wait to be sent: this one stays in the input")
                return
        self._buffer.reset(append_to_history=True)

    def _make_bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        typing = has_focus(self._buffer)
        empty = Condition(lambda: not self._buffer.text)

        @bindings.add("enter", filter=typing)
        def _(_event: KeyPressEvent) -> None:
            self._enter()

        @bindings.add("escape", "enter", filter=typing)
        def _(_event: KeyPressEvent) -> None:
            self._buffer.newline(copy_margin=False)

        @bindings.add("c-c", filter=typing & ~empty)
        @bindings.add("<sigint>", filter=typing & ~empty)
        def _(_event: KeyPressEvent) -> None:
            self._buffer.reset()

        @bindings.add("c-c", filter=typing & empty)
        @bindings.add("<sigint>", filter=typing & empty)
        @bindings.add("c-d", filter=typing & empty)
        def _(_event: KeyPressEvent) -> None:
            self.leave()

        @bindings.add("c-l")
        def _(_event: KeyPressEvent) -> None:
            self._printer.clear()

        @bindings.add("c-z")
        def _(_event: KeyPressEvent) -> None:
            """Do nothing; by default it would be typed."""

        return bindings

    # ---- what stands at the bottom ----

    def _make_layout(self) -> Layout:
        return make_layout(
            self._buffer,
            self._output,
            # Only what the session has: with an outbox in a file, that survives a kill.
            pending=lambda: [
                line.text for line in self._sending.pending if line.accepted or line.reported
            ],
            toolbar=self._toolbar_text,
        )

    def _toolbar_text(self) -> Row:
        self._toolbar_shown = self._toolbar()
        return self._toolbar_shown

    def _toolbar(self) -> Row:
        room = f"{clean_name(self._session.room)} · " if self._session.room else ""
        waiting = len(self._sending.unreported())
        wait = f", {waiting} waiting" if waiting else ""
        if wait and self._leaving.is_set():
            wait += ", leaving"
        if not self._online:
            return [("class:toolbar", room), ("class:toolbar.offline", f"offline{wait}")]
        latency = self._session.latency * 1000
        ping = f" · {latency:.0f} ms" if latency >= 1 else " · <1 ms" if latency else ""
        return [("class:toolbar", f"{room}online{wait}{ping}")]

    async def _watch_toolbar(self) -> None:
        """Have the toolbar drawn again when what it shows has changed by itself."""
        while True:
            await asyncio.sleep(TOOLBAR_INTERVAL)
            if self._toolbar() != self._toolbar_shown:
                self._app.invalidate()


def _raise_first(tasks: list[asyncio.Task[None]], but: tuple[type[Exception], ...] = ()) -> None:
    errors = [task.exception() for task in tasks if not task.cancelled()]
    for error in errors:
        if error is not None and not isinstance(error, but):
            raise error
