"""A session, a keyboard and a terminal for the console's tests, all in memory.

The screen wakes whoever waits for something with each write; nothing here sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, TextIO, cast

import pyte
import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input

from socketchat.cli.console import Console
from socketchat.cli.console_terminal import FrameOutput
from socketchat.cli.failures import Failure
from socketchat.cli.rooms import LookBack
from socketchat.errors import SessionClosedError, SessionClosedOK
from socketchat.events import Event, Message, Typing
from socketchat.peers import Peer
from socketchat.session import Session, SessionState

NOON = 12 * 3_600_000_000 + 60_000_000  # 12:01


class FakeReceipt:
    """A receipt that the test settles."""

    def __init__(self, text: str, to: str, number: int) -> None:
        self.text = text
        self.to = to
        self.number = number
        self._settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, None, None]:
        return self._settled.__await__()

    def settle(self, error: Exception | None = None) -> None:
        if self._settled.done():
            return
        if error is None:
            self._settled.set_result(None)
        else:
            self._settled.set_exception(error)
            self._settled.exception()  # nobody need ask


class FakeSession:
    """What the console needs of a session, and the test's end of it."""

    def __init__(self) -> None:
        self.nick = "ada"
        self.room = "lobby"
        self.latency = 0.0
        self.has_log = False
        self.head = 0
        self.peer = Peer("maple", "SHA256:key", "192.0.2.1:7625")
        self.state = SessionState.OPEN
        self.unacknowledged = 0
        self.next_pin = ""
        self.typed = 0
        self.reconnected = 0
        self.ended = ""
        self.ending = asyncio.Event()
        self.can_reconnect = True
        self.earlier = range(0)
        self.answers = asyncio.Event()
        self.answers.set()
        self.close_code: int | None = None
        self.close_reason = ""
        self.receipts: list[FakeReceipt] = []
        self.told: dict[str, str] = {}
        self.commands: list[tuple[str, str]] = []
        self.confirm = True
        self.accepting = asyncio.Event()
        self.accepting.set()
        self.refusal: Exception | None = None
        self._accepted = asyncio.Event()
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue()

    async def send(self, body: str, /, *, to: str = "") -> FakeReceipt:
        await self.accepting.wait()
        if self.refusal is not None:
            raise self.refusal
        receipt = FakeReceipt(body, to, len(self.receipts) + 1)
        self.receipts.append(receipt)
        self._accepted.set()
        if self.confirm:
            receipt.settle()
        return receipt

    async def command(self, name: str, argument: str = "") -> str:
        self.commands.append((name, argument))
        if self.refusal is not None:
            raise self.refusal
        return self.told.get(name, f"done: {name}")

    async def rename(self, nick: str) -> str:
        self.nick = await self.command("nick", nick)
        return self.nick

    def reconnect(self) -> bool:
        self.reconnected += self.can_reconnect
        return self.can_reconnect

    def tell(self, event: Typing) -> bool:
        self.typed += 1
        return True

    async def ping(self) -> float:
        await self.answers.wait()
        return self.latency

    async def events(self) -> AsyncIterator[Event]:
        while True:
            event = await self._events.get()
            if isinstance(event, SessionClosedOK):
                return
            if isinstance(event, Exception):
                raise event
            yield event

    async def accepted(self, count: int) -> None:
        """Wait until so many messages were accepted."""
        async with asyncio.timeout(20):
            while len(self.receipts) < count:
                self._accepted.clear()
                await self._accepted.wait()

    @property
    def sent(self) -> list[str]:
        return [receipt.text for receipt in self.receipts]

    def happen(self, *events: Event) -> None:
        for event in events:
            self._events.put_nowait(event)

    def say(self, text: str, sender: str = "bob") -> None:
        self.happen(Message(text, sender, 1, NOON))

    async def close(self) -> None:
        self.ended = self.ended or "closed"
        self.ending.set()

    def abort(self) -> None:
        self.ended = self.ended or "aborted"
        self.ending.set()

    def break_with(self, error: Exception) -> None:
        self._events.put_nowait(error)

    def end(self, error: SessionClosedOK | SessionClosedError) -> None:
        self.close_code, self.close_reason = error.code, error.reason
        for receipt in self.receipts:
            receipt.settle(error)
        self.refusal = error
        self.accepting.set()
        self.break_with(error)


class FakeRooms:
    """The rooms of a server, for the console's tests.

    Attributes:
        sessions: Those that were opened in order to take part, by room.
        looked: In which rooms somebody looked, under which names, and how far back.
        given: Other names than the one that was asked for, by rooms.
        open: Unless it is set, whoever comes waits.
        earlier: What was said before.
        refusal: Why no room can be opened.
        closed: The rooms that were left, in order.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, FakeSession] = {}
        self.looked: list[tuple[str, str, LookBack]] = []
        self.given: dict[str, str] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.earlier: list[Message] = []
        self.refusal: Failure | None = None
        self.closed: list[str] = []

    def label(self, room: str) -> str:
        return f"maple/{room}"

    @asynccontextmanager
    async def join(self, room: str, nick: str) -> AsyncIterator[Session]:
        if self.refusal is not None:
            raise self.refusal
        await self.open.wait()
        session = self.sessions[room] = FakeSession()
        session.room, session.nick = room, self.given.get(room, nick)
        try:
            yield cast("Session", session)
        finally:
            self.closed.append(room)

    @asynccontextmanager
    async def look(self, room: str, nick: str, back: LookBack) -> AsyncIterator[Session]:
        await self.open.wait()
        self.looked.append((room, nick, back))
        session = FakeSession()
        session.earlier = range(1, len(self.earlier) + 1)
        session.happen(*self.earlier)
        yield cast("Session", session)


class Screen:
    """A terminal in memory, as the file that an output writes to."""

    encoding = "utf-8"

    def __init__(self, columns: int, rows: int) -> None:
        self.size = Size(rows=rows, columns=columns)
        self.writes: list[str] = []
        self.gone = False
        self._pyte = pyte.HistoryScreen(columns, rows, history=30_000, ratio=0.5)
        self._stream = pyte.Stream(self._pyte)
        self._changed = asyncio.Event()

    def write(self, data: str) -> None:
        if self.gone:
            raise OSError(5, "Input/output error")
        self.writes.append(data)
        self._stream.feed(data)
        self._changed.set()

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True

    def resize(self, columns: int, rows: int) -> None:
        self.size = Size(rows=rows, columns=columns)
        self._pyte.resize(rows, columns)

    @property
    def title(self) -> str:
        return self._pyte.title

    @property
    def bells(self) -> int:
        """How often the bell rang; titles end with the same character."""
        return self.raw.count("\a") - self.raw.count("\x1b]2;")

    @property
    def raw(self) -> str:
        return "".join(self.writes)

    @property
    def rows(self) -> list[str]:
        """What is visible, without the empty rows at the end."""
        return [row.rstrip() for row in self._pyte.display]

    @property
    def scrolled(self) -> list[str]:
        """What has scrolled away."""
        return [
            "".join(row[column].data for column in range(self.size.columns)).rstrip()
            for row in self._pyte.history.top
        ]

    @property
    def text(self) -> str:
        return "\n".join(self.rows).rstrip("\n")

    @property
    def everything(self) -> list[str]:
        return self.scrolled + self.text.split("\n")

    async def until(self, what: str | Callable[[str], bool]) -> None:
        """Wait until a text is visible, or a claim about the visible text holds."""
        holds = what if callable(what) else lambda text: what in text
        try:
            async with asyncio.timeout(20):
                while not holds(self.text):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"never shown: {what!r}\n{self.text}")


@dataclass
class Terminal:
    """A console at work, and everything around it."""

    console: Console
    session: FakeSession
    screen: Screen
    keyboard: PipeInput
    task: asyncio.Task[None] = field(init=False)

    def type(self, keys: str) -> None:
        self.keyboard.send_text(keys)

    async def ended(self) -> None:
        async with asyncio.timeout(20):
            await self.task

    async def until(self, what: str | Callable[[str], bool]) -> None:
        await self.screen.until(what)


@asynccontextmanager
async def terminal(
    columns: int = 80, rows: int = 24, *, start: bool = True, **options: Any
) -> AsyncIterator[Terminal]:
    """Run a console until the test is over."""
    session, screen = FakeSession(), Screen(columns, rows)
    output = FrameOutput(cast("TextIO", screen), lambda: screen.size, term="xterm-256color")
    with create_pipe_input() as keyboard:
        console = Console(
            session, input=keyboard, output=output, zone=UTC, clock=lambda: NOON, **options
        )
        it = Terminal(console, session, screen, keyboard)
        if not start:
            yield it
            return
        it.task = asyncio.create_task(console.run())
        try:
            await screen.until(">>")
            yield it
        finally:
            console.exit()
            await asyncio.wait([it.task])
        if not it.task.cancelled() and it.task.exception() is not None:
            await it.task


def lines_of(screen: Screen, part: str) -> list[str]:
    return [row for row in screen.everything if part in row]
