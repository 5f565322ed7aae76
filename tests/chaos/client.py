"""A program in which some clients live: `python -m tests.chaos.client TASK`.

Each client first delivers what an earlier life left in its outbox, then goes into its room, reads
on where it was, and sends, up to its share at any time, what it has to say. It is done when stdin
ends; until then it may be killed at any moment. Everything that happens goes into its journal.

Whatever a client does not expect ends the program with a traceback and status 1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from socketchat import (
    CloseCode,
    Gap,
    HandshakeError,
    HandshakeRefused,
    LinkLost,
    LinkRestored,
    Message,
    Receipt,
    Restarted,
    Session,
    UntrustedPeer,
    connect,
)
from socketchat.file_outbox import FileOutbox
from tests.chaos.journal import History, Journal, Tag, parse_text

__all__ = ["Task"]

#: Sooner than people need it: the end of a half-open link must be noticed within a few seconds.
PING_INTERVAL = 1.0
PING_TIMEOUT = 2.0
OPEN_TIMEOUT = 5.0
#: Posts, and bytes, at which `send` waits.
MAX_UNACKED = (200, 2**20)
#: Seconds between two looks at how much may be said by now.
PAUSES = (0.0, 0.01, 0.05, 0.2, 1.0)

_log = logging.getLogger("tests.chaos")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Task(msgspec.Struct, frozen=True):
    """What the program is to do; its argument, in JSON.

    Attributes:
        servers: Of each server the port to call on this machine, and the pin of its key.
        directory: Where the journals and the outboxes are.
        clients: The numbers of the clients, and their rooms.
        incarnation: Which life of theirs this is, from 1.
        share: How many messages each client has accepted in the end, in all its lives.
        begin: From when, in seconds since the epoch,
        seconds: and for how long the messages are spread.
        seed: What decides when there are pauses.
    """

    servers: list[tuple[int, str]]
    directory: str
    clients: list[tuple[int, str]]
    incarnation: int
    share: int
    begin: float
    seconds: float
    seed: str


class Client:
    """One client in one of its lives."""

    def __init__(self, task: Task, number: int, room: str) -> None:
        self.task = task
        self.number = number
        self.room = room
        directory = Path(task.directory)
        self.outboxes = directory / "outboxes"
        history = History(directory, number, room)
        history.read()
        self.accepted = history.accepted
        self.sequence = history.tried
        # From the last entry on that it has: so the journals show whether one is missing.
        self.since = _EPOCH + timedelta(microseconds=history.last.at if history.last else 1)
        self.journal = Journal(directory, number, task.incarnation)
        self.rng = random.Random(f"{task.seed} {number} {task.incarnation}")

    async def run(self, done: asyncio.Event) -> None:
        """Live until `done`, or a SIGKILL."""
        with closing(self.journal):
            await self.deliver_leftovers()
            with closing(FileOutbox.create(self.outboxes, self.label, *MAX_UNACKED)) as outbox:
                session = await self.call(outbox)
                async with session, asyncio.TaskGroup() as group:
                    reading = group.create_task(self.read(session))
                    # Own messages come back only to one who is already reading.
                    await asyncio.sleep(0)
                    self.journal.write("ready")
                    await self.say(session)
                    await done.wait()
                    await session.close()
                    await reading

    @property
    def label(self) -> str:
        return f"{self.number}/{self.room}"

    async def deliver_leftovers(self) -> None:
        """Send what is in the outboxes of earlier lives, under their old lanes."""
        for outbox in FileOutbox.leftovers(self.outboxes, self.label, new_post=Receipt):
            with closing(outbox):
                self.journal.write("leftovers", len(outbox))
                async with await self.call(outbox) as session:
                    # Who does not read what comes is soon sent nothing, no acknowledgements either.
                    hearing = asyncio.create_task(self.hear(session))
                    await session.flush()
                    hearing.cancel()
                    await asyncio.wait([hearing])

    async def call(self, outbox: FileOutbox) -> Session:
        """Go into the room, as soon as a server is there."""
        first = self.number % len(self.task.servers)  # each server is somebody's first
        servers = self.task.servers[first:] + self.task.servers[:first]
        while True:
            try:
                return await connect(
                    [("127.0.0.1", port) for port, _ in servers],
                    room=self.room,
                    nick=f"client {self.number}",
                    trust=[pin for _, pin in servers],
                    since=self.since,
                    outbox=outbox,
                    ping_interval=PING_INTERVAL,
                    ping_timeout=PING_TIMEOUT,
                    open_timeout=OPEN_TIMEOUT,
                )
            except (OSError, HandshakeError) as exc:
                if isinstance(exc, UntrustedPeer) or (
                    isinstance(exc, HandshakeRefused) and not CloseCode.is_temporary(exc.code)
                ):
                    raise
                _log.info("client %d is not let in yet: %r", self.number, exc)
            await asyncio.sleep(self.rng.uniform(0.05, 0.3))

    # ---- what it hears ----

    async def hear(self, session: Session) -> None:
        """Let what comes pass: it is shown later, when it is in its room."""
        async for _ in session.events():
            pass

    async def read(self, session: Session) -> None:
        async for event in session.events():
            match event:
                case Message(str() as text, _, number, at):
                    self.journal.write("shown", number, at, parse_text(text))
                case Gap(first, last):
                    self.journal.write("gap", first, last)
                case Restarted():
                    self.journal.write("restarted")
                case LinkLost():
                    self.journal.write("lost")
                case LinkRestored():
                    self.journal.write("back")
                case _:
                    pass  # who comes and goes is told without any promise

    # ---- what it says ----

    async def say(self, session: Session) -> None:
        """Send, in bursts between pauses, what may be said by now, until all is said."""
        while self.accepted < self.task.share:
            passed = (time.time() - self.task.begin) / self.task.seconds
            while self.accepted < min(passed, 1) * self.task.share:
                await self.say_one(session)
            await asyncio.sleep(self.rng.choice(PAUSES))

    async def say_one(self, session: Session) -> None:
        self.sequence += 1
        tag = Tag(self.number, self.task.incarnation, self.sequence)
        self.journal.write("trying", tag.sequence)
        receipt = await session.send(tag.text)
        self.journal.write("accepted", tag.sequence)
        self.accepted += 1
        receipt.add_done_callback(self.on_settled(tag.sequence))

    def on_settled(self, sequence: int) -> Callable[[Receipt], None]:
        def settled(receipt: Receipt) -> None:
            if receipt.error is None:
                self.journal.write("acked", sequence, receipt.entry)
            else:
                self.journal.write("refused", sequence, repr(receipt.error))

        return settled


async def main(task: Task) -> None:
    """Let the clients live until stdin ends."""
    done = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, done.set)
    async with asyncio.TaskGroup() as group:
        for number, room in task.clients:
            group.create_task(Client(task, number, room).run(done))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=f"{os.getpid()} %(asctime)s %(message)s")
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Task)))
