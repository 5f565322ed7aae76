"""What the tests of logged sessions share: a keeper that only notes, and both ends of a link.

Its users: `test_logged.py` and `test_logged_closing.py`. Everything runs on virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from socketchat import Options, Session, Side
from socketchat.link import Link
from socketchat.logged import LoggedSession, LogPlace
from socketchat.messages import (
    VERSION,
    Ack,
    Command,
    Event,
    Greeting,
    Hello,
    Ping,
    Pong,
    Post,
    TextPost,
    Welcome,
    encode,
)
from socketchat.protocol import Protocol
from socketchat.testing import MemoryLink, stream_pair
from tests.sessions import LANE, Wire, directed, now, turns

__all__ = [
    "PLACE",
    "Ends",
    "Keeper",
    "acknowledged",
    "clog",
    "in_order",
    "logged",
    "stop_reading",
    "until_the_end",
    "with_client",
]

PLACE = LogPlace(session=b"", mark=0, floor=1, head=41, after=(41, 7_000))


class Keeper:
    """Keeps what a session gives it, and notes what it is told.

    Attributes:
        posts: What the client posted.
        events: What passed.
        commands: What the client asked for.
        drains: How often it was told that the link takes more again.
        ends: Whether the link was lost, for each time that it was told of the end.
        holds: A session that it acknowledges everything to at once, if any.
    """

    def __init__(self, holds: LoggedSession | None = None) -> None:
        self.posts: list[Post] = []
        self.events: list[Event] = []
        self.commands: list[Command] = []
        self.drains = 0
        self.ends: list[bool] = []
        self.holds = holds

    @property
    def numbers(self) -> list[int]:
        return [post.number for post in self.posts]

    def take(self, posts: Sequence[Post]) -> None:
        self.posts += posts
        if self.holds is not None:
            self.holds.hold(posts[-1].number)

    def hear(self, event: Event) -> None:
        self.events.append(event)

    def obey(self, command: Command) -> None:
        self.commands.append(command)

    def drained(self) -> None:
        self.drains += 1

    def ended(self, *, lost: bool) -> None:
        self.ends.append(lost)


@dataclass
class Ends:
    """A logged session that was welcomed and has no keeper yet, and the client's end of its link.

    Attributes:
        session: The session under test.
        wire: The client, which does as it is told.
        welcome: How it was let in.
        between: The link.
        driver: What drives the session.
    """

    session: LoggedSession
    wire: Wire
    welcome: Welcome
    between: MemoryLink
    driver: asyncio.Task[None]

    def keep(self) -> Keeper:
        """Give the session a keeper."""
        keeper = Keeper()
        self.session.keep(keeper)
        return keeper


async def welcome(
    session: LoggedSession, between: MemoryLink, hello: Hello | None = None
) -> tuple[Wire, Welcome]:
    """Let a client in, at the near end of a link, and have nobody drive the session yet."""
    greeting = Greeting(VERSION, bytes(32), "server")
    protocol = Protocol(Side.SERVER, session._options, now(), greeting=greeting)
    link = Link(*directed(between.far), protocol)
    wire = Wire(*between.near)
    wire.say(hello or Hello(VERSION, LANE, "ada", "lobby"))
    session.welcome(link, await link.greet_client(), "ada", "lobby")
    return wire, await wire.expect(Welcome)


@asynccontextmanager
async def logged(
    place: LogPlace = PLACE, hello: Hello | None = None, **options: float | None
) -> AsyncIterator[Ends]:
    """Open a logged session; at the end it is aborted."""
    session = LoggedSession(Options(**options), lane=LANE, place=place)  # type: ignore[arg-type]
    with stream_pair() as between:
        wire, welcomed = await welcome(session, between, hello)
        assert session._link is not None
        driver = asyncio.create_task(session.drive(session._link))
        try:
            yield Ends(session, wire, welcomed, between, driver)
        finally:
            session.abort()
            await asyncio.wait([driver])


@asynccontextmanager
async def with_client() -> AsyncIterator[tuple[LoggedSession, Session]]:
    """Open a logged session whose other end is a client of this library."""
    session = LoggedSession(Options(), lane=LANE, place=PLACE)
    with stream_pair() as between:
        greeting = Greeting(VERSION, bytes(32), "server")
        protocol = Protocol(Side.SERVER, Options(), now(), greeting=greeting)
        link = Link(*between.far, protocol)

        async def let_in() -> None:
            session.welcome(link, await link.greet_client(), "ada", "lobby")

        client, _ = await asyncio.gather(
            Session.from_streams(*between.near, side=Side.CLIENT), let_in()
        )
        driver = asyncio.create_task(session.drive(link))
        try:
            yield session, client
        finally:
            for end in (session, client):
                end.abort()
                await end.wait_closed()
            await driver


async def acknowledged(wire: Wire, number: int) -> None:
    """Wait until everything up to a number is acknowledged, and nothing above it was."""
    while (ack := await wire.expect(Ack)) != Ack(number):
        assert ack.number < number


async def in_order(wire: Wire) -> list[object]:
    """Return all that the client is told, up to the answer to a ping."""
    wire.heard.clear()
    wire.say(Ping(2**40))
    await wire.expect(Pong)
    return list(wire.heard)


async def until_the_end(wire: Wire) -> list[object]:
    """Return all that the client is told from here on, until the server hangs up."""
    wire.heard.clear()
    with suppress(EOFError):
        await wire.expect(Welcome)
    return list(wire.heard)


def stop_reading(wire: Wire) -> asyncio.Transport:
    """Have the client read nothing more, and return what reads on when it is told to."""
    transport = wire.writer.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    return transport


async def clog(ends: Ends) -> None:
    """Give more than the link takes."""
    number = 41
    while ends.session.takes_more:
        number += 1
        ends.session.give(encode(TextPost(number, "x" * 10_000, 7_000)), number)
        await turns()
        assert number < 1000
