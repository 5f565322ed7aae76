"""A server is stopped and started again while people talk: none of it is lost, or said twice.

The server is a process as an operator runs it; the people are sessions of the library, which speak
and read without pause. Nothing is waited for by time.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from socketchat import Device, Message, Receipt, Session, connect
from socketchat.awaiting import Opening
from tests.processes import Program, start
from tests.sessions import until

RESTARTS = 5
PEOPLE = ("ada", "bob", "eve", "dan")
#: Messages of one person that may be on their way, and those that each must read between restarts.
WINDOW = 50
BETWEEN = 200
#: Ports that systems do not give to connections, so that the server gets its own again.
PORTS = range(20_000, 32_000)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let people come back sooner than they would want."""
    monkeypatch.setattr("socketchat.client.FIRST_DELAY", 0.02)
    monkeypatch.setattr("socketchat.client.MAX_DELAY", 0.2)


def free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@asynccontextmanager
async def serving(folder: Path, port: int) -> AsyncIterator[tuple[Program, str]]:
    """Start the server on its port and its data, and return it and its key once it listens."""
    at = ("--host", "127.0.0.1", "--port", str(port), "--data", folder / "server", "--rate", "0")
    async with start("-m", "socketchat", "serve", "--headless", *at, cwd=folder) as program:
        await program.prints("^waiting for callers")
        yield program, (await program.prints(r"^key (\S+)$"))[1]


class Person:
    """One who speaks and reads without pause.

    Attributes:
        nick: The name.
        session: Its session.
        said: How much it has said.
        read: What it has read, its own too, in the room's order: name, text and number.
    """

    def __init__(self, nick: str, session: Session) -> None:
        self.nick = nick
        self.session = session
        self.said = 0
        self.read: list[tuple[str, str, int]] = []
        self._receipts: list[Receipt] = []
        self._over = asyncio.Event()
        self._speaking = asyncio.create_task(self._speak())
        self._reading = asyncio.create_task(self._listen())

    async def _speak(self) -> None:
        while not self._over.is_set():
            if len(self._receipts) >= WINDOW:
                await self._receipts[-WINDOW]
            self.said += 1
            self._receipts.append(await self.session.send(f"{self.nick} {self.said}"))

    async def _listen(self) -> None:
        async for event in self.session.events():
            if isinstance(event, Message):
                self.read.append((event.sender, event.text, event.number))

    async def stop_speaking(self) -> None:
        """Say nothing more, and wait until all that was said is in the log."""
        self._over.set()
        await self._speaking
        await asyncio.gather(*self._receipts)

    async def leave(self) -> None:
        await self.session.close()
        await self._reading


async def read_on(people: list[Person]) -> None:
    """Wait until everybody has read something more, and been heard."""
    before = {person.nick: (len(person.read), person.said) for person in people}

    def has_gone_on(person: Person) -> bool:
        read, said = before[person.nick]
        return len(person.read) >= read + BETWEEN and person.said > said + WINDOW

    await until(lambda: all(map(has_gone_on, people)))


@pytest.mark.may_block("a free port is looked for")
async def test_five_restarts_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    port = free_port()
    people: list[Person] = []
    async with AsyncExitStack() as stack:
        for _ in range(RESTARTS):
            async with serving(tmp_path, port) as (server, key):
                if not people:  # all are there before anybody speaks
                    calls = [call(port, key, nick) for nick in PEOPLE]
                    sessions = [await stack.enter_async_context(each) for each in calls]
                    people = [Person(*each) for each in zip(PEOPLE, sessions, strict=True)]
                await read_on(people)
                # While all of them speak: the server has said goodbye, and ended in good order.
                assert await server.ends_by(signal.SIGTERM) == 0
                assert not re.search("Traceback|rror", str(server)), server
        async with serving(tmp_path, port) as (server, _):
            await read_on(people)
            for person in people:
                await person.stop_speaking()
            total = sum(person.said for person in people)
            await until(lambda: all(len(person.read) >= total for person in people))
            for person in people:
                await person.leave()
            assert await server.ends_by(signal.SIGTERM) == 0
    check(people, total)


def call(port: int, key: str, nick: str) -> Opening[Session]:
    return connect("127.0.0.1", port, trust=key, nick=nick, device=Device.generate())


def check(people: list[Person], total: int) -> None:
    """Check that all have read the same: what each has said, in its order, once."""
    read = people[0].read
    assert [number for *_, number in read] == list(range(1, total + 1))
    for person in people:
        assert person.read == read
        own = [text for sender, text, _ in read if sender == person.nick]
        assert own == [f"{person.nick} {number}" for number in range(1, person.said + 1)]
