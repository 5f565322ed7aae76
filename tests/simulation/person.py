"""Someone who runs clients, one process after the other: talks, reads, is killed, comes back."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socketchat import (
    CloseCode,
    Gap,
    HandshakeError,
    HandshakeRefused,
    Message,
    MessageRejected,
    Receipt,
    Restarted,
    Session,
    SessionClosed,
    SessionState,
    connect,
)
from socketchat.chat.log import lane_name
from socketchat.file_outbox import FileOutbox
from socketchat.options import OptionArgs
from socketchat.testing import End, MemoryLink
from tests.simulation.history import (
    Accepted,
    Died,
    Ended,
    Fate,
    History,
    Joined,
    Settled,
    Shown,
    ToldGap,
    ToldRestart,
)
from tests.simulation.network import CALLER, Notice, bury

__all__ = ["Habits", "Person", "Process"]


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How someone talks and reads.

    Attributes:
        name: Who it is, in the history.
        nick: The name that it asks for; another may have it.
        room: Where it talks.
        outboxes: Where its outboxes are; None keeps them in memory.
        messages: How many it says.
        pause: Seconds between two of them, about.
        history: How many earlier ones it asks for.
        friends: Whom it speaks to in private.
        whispers: How often it does, from 0 to 1.
        servers: The hosts at any of which its sessions may be.
        options: Options of its sessions.
    """

    name: str
    nick: str
    room: str
    outboxes: Path | None
    messages: int
    pause: float
    history: int
    friends: tuple[str, ...]
    whispers: float
    servers: tuple[str, ...]
    options: OptionArgs


class Person:
    """Runs a client, and another when that one is gone.

    Attributes:
        habits: How it talks and reads.
        process: Its client, if it runs one.
        said: How many messages it has sent, in all its processes.
        reading_pause: Seconds that it takes to read one message.
        quiet: Whether it shall say nothing more.
    """

    def __init__(self, habits: Habits, history: History, rng: random.Random) -> None:
        self.habits = habits
        self.history = history
        self.rng = rng
        self.process: Process | None = None
        self.said = 0
        self.reading_pause = 0.0
        self.quiet = False
        self._processes = 0
        self._remains: list[Process] = []

    def start(self) -> None:
        """Start a client, if there is none."""
        if self.process is None:
            self._processes += 1
            self.process = Process(self, f"{self.habits.name}.{self._processes}")

    def kill(self, notice: Notice) -> None:
        """Kill the client."""
        if self.process is not None:
            self.history.tell(f"{self.process.name} is killed")
            self._remains.append(self.process)
            self.process.kill(notice)
            self.process = None

    async def leave(self) -> None:
        """Have the client say goodbye and end, unless it is killed meanwhile."""
        process = self.process
        if process is not None and not process.leaving:
            self.history.tell(f"{process.name} leaves")
            await process.leave()
            if self.process is process:
                self._remains.append(process)
                self.process = None

    async def buried(self) -> None:
        """Wait until nothing is left of clients that are gone."""
        for process in self._remains:
            await process.buried()


class Process:
    """One client process: a session that talks and reads, and those that send what others left.

    Attributes:
        name: Its name, in the history.
        alive: Whether anything that it does counts.
        leaving: Whether it is about to end.
        main: The session that talks and reads, once it is open.
        sessions: Its sessions that are open, by their names as members.
    """

    def __init__(self, person: Person, name: str) -> None:
        self.name = name
        self.alive = True
        self.leaving = False
        self.main: Session | None = None
        self.sessions: dict[str, Session] = {}
        self._person = person
        self._habits = person.habits
        self._history = person.history
        self._rng = person.rng
        self._links: list[MemoryLink] = []
        self._outboxes: list[FileOutbox] = []
        self._lanes: list[bytes] = []
        self._all: list[Session] = []
        self._asked_to_close: set[Session] = set()
        self._tasks: list[asyncio.Task[None]] = []
        # So that the network knows whose links those are that are opened in here.
        self._context = contextvars.copy_context()
        self._context.run(CALLER.set, self._links)
        self._begin()

    # ---- its life ----

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(coroutine, context=self._context))

    def _begin(self) -> None:
        directory, room = self._habits.outboxes, self._habits.room
        outbox = None
        if directory is not None:
            for leftover in FileOutbox.leftovers(directory, room, new_post=Receipt):
                self._outboxes.append(leftover)
                name = f"{self.name}+{len(self._outboxes)}"
                self._spawn(self._deliver(name, leftover))
            bounds = self._habits.options.get("max_unacked", (4096, 2**22))
            outbox = FileOutbox.create(directory, room, *bounds)
            self._outboxes.append(outbox)
        self._spawn(self._talk(outbox))

    async def _talk(self, outbox: FileOutbox | None) -> None:
        """Open a session, and talk over it."""
        self.main = session = await self._connect(self.name, outbox, self._habits.history)
        while self._person.said < self._habits.messages:
            seconds = self._rng.expovariate(1 / self._habits.pause)
            await asyncio.sleep(seconds)
            burst = self._rng.randint(2, 12) if self._rng.random() < 0.2 else 1
            for _ in range(burst):
                if self._person.quiet or self.leaving:
                    return
                await self._say(session, kept=outbox is not None)

    async def _say(self, session: Session, *, kept: bool) -> None:
        habits, rng = self._habits, self._rng
        body = f"{self.name}/{self._person.said}"
        chance = rng.random()
        too_long = chance < 0.05
        if too_long:
            body += "\n" * 200  # more lines than are taken
        elif chance < 0.15:
            body += "." * 1000  # what clogs a link
        to = rng.choice(habits.friends) if rng.random() < habits.whispers else ""
        try:
            receipt = await session.send(body, to=to)
        except SessionClosed:
            return
        self._person.said += 1
        lane, when = lane_name(session._lanes.lane), self._history.now()
        refusable = too_long or bool(to)
        self._history.add(Accepted(when, self.name, lane, receipt.number, body, kept, refusable))
        self._follow(receipt, lane)

    def _follow(self, receipt: Receipt, lane: bytes) -> None:
        # Not by a done callback, which comes a turn later: the process may be killed in between.
        receipt._add(functools.partial(self._settled, receipt, lane))

    def _settled(self, receipt: Receipt, lane: bytes) -> None:
        if not self.alive:
            return
        match receipt.error:
            case None:
                fate = Fate.ACKNOWLEDGED
            case MessageRejected():
                fate = Fate.REJECTED
            case _:
                fate = Fate.UNKNOWN
        entry = receipt.entry if fate is Fate.ACKNOWLEDGED else 0
        self._history.add(Settled(self._history.now(), lane, receipt.number, fate, entry))

    async def _deliver(self, name: str, leftover: FileOutbox) -> None:
        """Send what a process that is gone has left, under its own lane."""
        for post in leftover:
            assert isinstance(post, Receipt)
            self._follow(post, lane_name(leftover.lane))
        session = await self._connect(name, leftover, 0)
        try:
            await session.flush()
        except SessionClosed:
            return
        await self._close(session)
        leftover.close()

    async def _connect(self, name: str, outbox: FileOutbox | None, history: int) -> Session:
        """Open a session as soon as there is a server that takes us, and read from it."""
        habits = self._habits
        while True:
            try:
                session = await connect(
                    self._hosts(),
                    tls=False,
                    room=habits.room,
                    nick=habits.nick,
                    history=history,
                    outbox=outbox,
                    **habits.options,
                )
                break
            except HandshakeRefused as exc:
                if not CloseCode.is_temporary(exc.code):
                    raise
            except (OSError, HandshakeError):
                pass
            await asyncio.sleep(self._rng.random() * 2)
        lane = lane_name(session._lanes.lane)
        self._history.add(Joined(self._history.now(), name, habits.room, lane, history))
        self.sessions[name] = session
        self._all.append(session)
        self._lanes.append(lane)
        self._spawn(self._read(name, session))
        return session

    def _hosts(self) -> list[str]:
        """Return the servers in the order in which they are called."""
        hosts = list(self._habits.servers)
        if len(hosts) > 1:
            self._rng.shuffle(hosts)
        return hosts

    async def _read(self, name: str, session: Session) -> None:
        """Note what a session is told, until it is over."""
        add, now = self._history.add, self._history.now
        try:
            async for event in session.events():
                match event:
                    case Message(str(body), _, number, at):
                        add(Shown(now(), name, number, at, body, event.own))
                        if self._person.reading_pause:
                            await asyncio.sleep(self._person.reading_pause)
                    case Gap(first, last):
                        add(ToldGap(now(), name, first, last))
                    case Restarted():
                        add(ToldRestart(now(), name))
        except SessionClosed:
            pass  # how it ended is looked at below
        if not self.alive:
            return
        add(Ended(now(), name))
        del self.sessions[name]
        if session not in self._asked_to_close:
            raise AssertionError(f"{name} was closed unasked: {session._error}")

    # ---- its end ----

    async def leave(self) -> None:
        """Say goodbye with every session, and end."""
        self.leaving = True
        if self.main is None:
            self.kill(Notice.RESET)
            return
        for session in list(self.sessions.values()):
            await self._close(session)
        if not self.alive:
            return
        self._end_members()
        for task in self._tasks:
            task.cancel()
        for outbox in self._outboxes:
            outbox.close()

    def _end_members(self) -> None:
        """Note that nobody reads any more what has come."""
        for name in self.sessions:
            self._history.add(Ended(self._history.now(), name))
        self.sessions.clear()

    async def _close(self, session: Session) -> None:
        self._asked_to_close.add(session)
        await session.close()

    def kill(self, notice: Notice) -> None:
        """End at once: nothing that is left of it can have any effect."""
        self.alive = False
        for link in self._links:
            if not link.near[1].transport.is_closing():
                bury(link, End.NEAR, notice)
        for outbox in self._outboxes:
            if not outbox._closed:
                outbox._db.close()
        for lane in self._lanes:
            self._history.add(Died(self._history.now(), lane))
        self._end_members()
        for task in self._tasks:
            task.cancel()
        for session in self._all:
            session.abort()

    async def buried(self) -> None:
        """Wait until nothing is left of it.

        Raises:
            Exception: Something in it failed.
        """
        for session in self._all:
            await session.wait_closed()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception) and self.alive:
                raise result

    # ---- what it looks like from without ----

    def failures(self) -> list[BaseException]:
        """Return what went wrong in it."""
        done = [task for task in self._tasks if task.done() and not task.cancelled()]
        return [exc for task in done if (exc := task.exception()) is not None]

    @property
    def calm(self) -> bool:
        """Whether all that was accepted is settled, and only the main session is left."""
        main = self.main
        return (
            main is not None
            and main.state is SessionState.OPEN
            and not main.unacknowledged
            and len(self.sessions) == 1
        )
