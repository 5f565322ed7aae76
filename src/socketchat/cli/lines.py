"""Plain lines: a session at a pipe, a dumb terminal or a screen reader.

Each line of the input is sent; each message is a line on stdout, or a JSON object. Nothing is
redrawn, and prompt_toolkit is not loaded. stdout carries data alone: what else there is to say goes
to stderr. `event_writer.py` is the half that hears.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from socketchat.cli.asking import Asking, Question
from socketchat.cli.commands import interpret
from socketchat.cli.delivery import acknowledged, lines_were, seconds
from socketchat.cli.event_writer import EventWriter, Hear, hear_all
from socketchat.cli.failures import ExitCode, Failure, file_failure, session_exit_code
from socketchat.cli.ignoring import Ignored
from socketchat.cli.render import closing_words, dated
from socketchat.cli.render_json import (
    connected_json,
    delivered_json,
    disconnected_json,
    error_json,
    rejected_json,
)
from socketchat.cli.rooms import Rooms
from socketchat.cli.stdio import InputError, LineInput, LineOutput, OutputError, Unfit
from socketchat.cli.terminal import notice
from socketchat.errors import CloseCode, MessageRejected, MessageTooBig, SessionClosed
from socketchat.events import Message
from socketchat.receipt import Receipt
from socketchat.session import Session
from socketchat.text import clean_name

__all__ = ["Lines"]

#: Seconds for which one who is told to leave waits for a reader that does not read its output.
LEAVE_TIMEOUT = 2.0


class Lines:
    """A session whose lines come from stdin and go to stdout.

    Args:
        session: An open session; it is not closed here.
        as_json: Write one JSON object a line.
        speaks: Whether anything is sent.
        said: What is sent; None is the lines of stdin.
        commands: Whether there may be commands among them, if somebody types them.
        to: The name of the one whom it is for; empty is everyone.
        hear: Which of what happens is written, and until when.
        leaving: What one does who leaves, as the first line says it to somebody who types.
        rooms: How the server's rooms are read; None if they are not.

    Attributes:
        keys: Which keys do what, for `/help`.
        session: The session.
        rooms: How the server's rooms are read; None if they are not.
        ignored: Of whom nothing is written.
    """

    def __init__(
        self,
        session: Session,
        *,
        as_json: bool = False,
        speaks: bool = True,
        said: AsyncGenerator[str | Unfit, None] | None = None,
        commands: bool = True,
        to: str = "",
        hear: Hear = hear_all,
        leaving: str = "leaves",
        rooms: Rooms | None = None,
    ) -> None:
        self.session = session
        self.rooms = rooms
        self._as_json = as_json
        self._speaks = speaks
        self._said = said or LineInput(sys.stdin.fileno()).lines()
        self._from_input = said is None
        self._to = to
        self._hear = hear
        self._leaving_words = leaving
        self.keys: str = f"Enter sends. Ctrl-D on an empty line {leaving}, and so does Ctrl-C."
        # Somebody who types has commands, and wants to see that a line was sent; a pipe does not.
        self._typed = speaks and commands and said is None and sys.stdin.isatty()
        self._left = asyncio.Event()
        # Who only reads is over with its reader; who speaks has said what it had to say.
        self._output = LineOutput(sys.stdout.fileno(), watched=not speaks)
        self._writer = EventWriter(session, self._output, as_json=as_json)
        self.ignored: Ignored = self._writer.ignored
        self._asking = Asking(self)
        # What commands have to say, and to whom.
        self._sayings: deque[tuple[str, str]] = deque()
        self._in_hand = False
        self._all_taken = not speaks or self._typed
        self._lost = 0
        self._refused = 0

    def leave(self) -> None:
        """Let `run` return once what was sent is acknowledged."""
        self._left.set()

    def notice(self, text: str) -> None:
        """Say something that is no message."""
        notice(text)

    def show_earlier(self, message: Message) -> None:
        """Write a message that was said before."""
        self._output.put((dated(message) + "\n").encode())

    def say(self, text: str, to: str = "") -> None:
        """Send a message, to everyone or to one member."""
        self._sayings.append((text, to))

    @property
    def sessions(self) -> Sequence[Session]:
        """The session, as the only one."""
        return [self.session]

    def ask(self, name: str, question: Question) -> None:
        """Have something done that takes a while, and say what comes of it."""
        if not self.session.linked:
            self.notice(f"/{name} waits until the link is back")
        self._asking.add(name, question)

    def join(self, room: str) -> None:
        """Say that there is one room only."""
        self.notice(f"plain lines have one room: socketchat connect HOST/{room} opens another")

    def part(self, room: str = "") -> None:
        """Leave, if it is this room."""
        if room in ("", self.session.room):
            self.leave()
        else:
            self.notice(f"you are not in {clean_name(room)}")

    def people(self) -> Mapping[str, str]:
        """Return who is known to be in the room: names, and fingerprints of keys or nothing."""
        return self._writer.people

    async def run(self) -> ExitCode:
        """Exchange lines until the input, the output or the session ends, or `leave` is called.

        Raises:
            SessionClosedError: The session did not end in good order.
            Failure: The input cannot be sent, or was not acknowledged, or the output not written.
        """
        self._writer.put_json(connected_json(self.session.room, self.session.nick))
        if self._typed and not self._as_json:
            who, room = clean_name(self.session.nick), clean_name(self.session.room)
            self.notice(f"{who} in {room}: Enter sends, /quit {self._leaving_words}")
        receiving = asyncio.create_task(self._receive())
        writing = asyncio.create_task(self._output.run())
        sending = asyncio.create_task(self._send_until_left())
        tasks = (receiving, writing, sending)
        asking = asyncio.create_task(self._asking.run())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if writing.done() and not writing.exception() and self._speaks and not self._typed:
                # As after `| head`. Whoever still had something to say must learn that it was not.
                self.notice("nobody reads the output any more: no more of the input is sent")
            if sending.done() and isinstance(sending.exception(), SessionClosed):
                # The other side has said goodbye: what it has said before is still written.
                await asyncio.wait((receiving, writing), return_when=asyncio.FIRST_COMPLETED)
            receiving.cancel()
            sending.cancel()
            await asyncio.wait((receiving, sending))
            self._output.finish()
            patience = LEAVE_TIMEOUT if self._left.is_set() else None
            await asyncio.wait((writing,), timeout=patience)
        finally:
            for task in (*tasks, asking):
                task.cancel()
            await asyncio.wait((*tasks, asking))
        return self._outcome(tasks)

    def _outcome(self, tasks: tuple[asyncio.Task[None], ...]) -> ExitCode:
        """Return the exit code, or raise what one of the tasks has raised."""
        if missing := self._missing():
            over = closing_words(self.session.close_code, self.session.close_reason)
            what = f"{over}; {lines_were(missing)} not acknowledged"
            raise Failure(ExitCode.NOT_ACKNOWLEDGED, what)
        if self._cut_short:
            over = closing_words(self.session.close_code, self.session.close_reason)
            what = f"{over}; the rest of the input was not sent"
            raise Failure(ExitCode.NOT_ACKNOWLEDGED, what)
        try:
            for task in tasks:
                if not task.cancelled():
                    task.result()
        except OutputError as exc:
            raise Failure(ExitCode.INTERNAL_ERROR, str(exc)) from exc
        except SessionClosed:
            if session_exit_code(self.session) is not ExitCode.DONE:
                raise
        return ExitCode.REFUSED if self._refused else ExitCode.DONE

    def _missing(self) -> int:
        """Tell how many of the lines taken from the input were lost with the session."""
        if self.session.close_code is None:
            return 0
        return self._lost + (self._in_hand and not self._left.is_set())

    @property
    def _cut_short(self) -> bool:
        """Whether a goodbye in good order came before the input's end, which nobody has waived."""
        over = self.session.close_code is not None
        in_order = session_exit_code(self.session) is ExitCode.DONE
        return over and in_order and not self._all_taken and not self._left.is_set()

    # ---- out of the session ----

    async def _receive(self) -> None:
        """Write what happens until the session is over, or enough was heard."""
        try:
            await self._hear(self.session, self._writer)
        finally:
            if self.session.close_code is not None:
                self._put_end(self.session.close_code, self.session.close_reason)

    def _put_end(self, code: int, reason: str) -> None:
        if self._as_json:
            self._writer.put_json(disconnected_json(self.session.room, code, reason))
        elif session_exit_code(self.session) is ExitCode.DONE and not (
            self._missing() or self._cut_short
        ):
            self.notice(closing_words(code, reason))  # else it is the error's line

    # ---- into the session ----

    async def _send_until_left(self) -> None:
        """Send the input, line by line, and wait until all of it is acknowledged."""
        sending = asyncio.create_task(self._send_input())
        leaving = asyncio.create_task(self._left.wait())
        awaited = (sending, leaving) if self._speaks else (leaving,)
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait((sending, leaving))
        if self._left.is_set() and self.session.unacknowledged:
            if not self.session.linked:
                return  # it was not said for how long; what is in a file can wait there
            waiting = lines_were(self.session.unacknowledged)
            self.notice(f"{waiting} not acknowledged yet; leave once more to wait no longer")
        try:
            await acknowledged(self.session)
        except TimeoutError:
            missing = lines_were(self.session.unacknowledged)
            what = f"{missing} not acknowledged: no sign of it in {seconds()}"
            raise Failure(ExitCode.NOT_ACKNOWLEDGED, what) from None
        if not sending.cancelled():
            sending.result()

    async def _send_input(self) -> None:
        if not self._speaks:
            return
        try:
            async with aclosing(self._said) as lines:
                number = 0
                async for line in lines:
                    number += 1
                    if isinstance(line, Unfit):
                        self._refuse(number, None, line.code, line.reason)
                        continue
                    said = interpret(self, line) if self._typed else line
                    # An empty line of a pipe is a line; somebody who types has pressed Enter.
                    if said is not None and (said.strip() or not self._typed):
                        self.say(said, self._to)
                    while self._sayings:
                        await self._send(*self._sayings.popleft(), number)
            self._all_taken = True
        except InputError as exc:
            raise Failure(ExitCode.USAGE, str(exc)) from exc

    async def _send(self, line: str, to: str, number: int) -> None:
        self._in_hand = True
        await self._output.ready()  # each line sent may bring one out
        try:
            receipt = await self.session.send(line, to=to)
        except MessageTooBig as exc:
            self._refuse(number, None, CloseCode.TOO_BIG, str(exc))
        except OSError as exc:  # the outbox in a file
            if not self._typed:
                raise file_failure(exc) from exc
            self._fail(f"not sent: {file_failure(exc)}")
        else:
            receipt.add_done_callback(functools.partial(self._settled, line, number))
        self._in_hand = False

    def _settled(self, line: str, number: int, receipt: Receipt) -> None:
        match receipt.error:
            case None:
                entry = receipt.entry or None
                self._writer.put_json(delivered_json(self.session.room, entry, receipt.at))
                if self._typed and not self._as_json:
                    self.notice("sent")
            case MessageRejected() as exc:
                self._refuse(number, receipt.number, exc.code, exc.reason)
            case _:
                self._lost += 1  # the session is over
                if self._typed:
                    self.notice(f"not confirmed: {line}")

    def _refuse(self, number: int, post: int | None, code: int, reason: str) -> None:
        """Tell of a line that is refused for good: the others are sent all the same."""
        self._refused += 1
        line = number if self._from_input and not self._typed else None
        self._writer.put_json(rejected_json(self.session.room, post, code, reason, line))
        self.notice(f"line {line} was not sent: {reason}" if line else f"not sent: {reason}")

    def _fail(self, text: str) -> None:
        self._writer.put_json(error_json(self.session.room, text))
        self.notice(text)
