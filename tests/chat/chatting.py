"""A chat server in memory and those who call it: what the tests of rooms share.

`chat` opens a server; sessions call it over links that the test can stall and cut, and `Wire`s,
which show every message of the protocol, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Unpack

import pytest

from socketchat import Device, Event, Message, Session, SessionState, Side
from socketchat.chat import ChatServer, Rules
from socketchat.chat.registry import Registry
from socketchat.chat.server import Invites
from socketchat.logged import LoggedSession
from socketchat.messages import VERSION, Ack, Greeting, Hello, Post, TextPost, Welcome
from socketchat.options import OptionArgs
from socketchat.testing import End, MemoryLink, stream_pair
from tests.chat.slow_log import SlowLog
from tests.sessions import LANE, MemoryNetwork, MemoryServer, Wire, now, send_all, turns, until

__all__ = [
    "FREE",
    "Chat",
    "acknowledged",
    "chat",
    "found",
    "new_log",
    "posts",
    "say",
    "texts",
    "unread",
    "waiting",
]

#: The usual rules, but that all may speak as fast as they can.
FREE = Rules(rate=None)


def new_log(**bounds: Any) -> SlowLog:
    """Make a log whose clock is the loop's."""
    return SlowLog(clock=lambda: int(now() * 1_000_000) + 1_000_000, **bounds)


class Chat:
    """A chat server that one calls over links in memory.

    Attributes:
        network: Where callers find it.
        server: The chat server.
        log: Its log.
    """

    server: ChatServer
    log: SlowLog

    def __init__(
        self,
        network: MemoryNetwork,
        stack: AsyncExitStack,
        make: Callable[[SlowLog], ChatServer],
        options: OptionArgs,
    ) -> None:
        self.network = network
        self._stack = stack
        self._make = make
        self._options = options
        self._links: dict[Session, MemoryLink] = {}

    async def open(self, log: SlowLog) -> None:
        """Put a server on a log there."""
        self.log, self.server = log, self._make(log)
        await self._stack.enter_async_context(self.network.serve(self.server, **self._options))

    async def restart(self, log: SlowLog) -> None:
        """Put another server there, on this log or another one."""
        await self.listener.close(1012)
        await self.open(log)

    @property
    def listener(self) -> MemoryServer:
        """The server itself."""
        assert self.network.server is not None
        return self.network.server

    async def call(self, nick: str = "", room: str = "", **options: Any) -> Session:
        """Open a session and wait until it has its seat."""
        session = await self._stack.enter_async_context(
            self.network.connect(nick=nick, room=room, **options)
        )
        self._links[session] = self.network.links[-1]
        await turns()
        return session

    async def wire(self, nick: str = "mallory", **hello: Any) -> tuple[Wire, Welcome]:
        """Let a peer without manners in."""
        wire = self.listener.call_raw()
        welcome = await wire.greet(Hello(VERSION, hello.pop("lane", LANE), nick, **hello))
        await turns()
        return wire, welcome

    async def ask(self, nick: str = "mallory", *, lane: bytes = LANE, room: str = "") -> Wire:
        """Let a peer without manners ask to be let in, without waiting for the answer."""
        wire = self.listener.call_raw()
        await wire.expect(Greeting)
        wire.say(Hello(VERSION, lane, nick, room))
        return wire

    async def host(self, nick: str = "host", device: Device | None = None) -> Session:
        """Seat somebody at the server itself, who calls from no address."""
        link = stream_pair()
        link.far[1].transport._extra.clear()  # type: ignore[attr-defined]
        serving = asyncio.create_task(self.listener.accept(*link.far, is_host=True))
        self._stack.push_async_callback(asyncio.wait, [serving])
        session = await Session.from_streams(*link.near, side=Side.CLIENT, nick=nick, device=device)
        self._stack.push_async_callback(session.wait_closed)
        self._stack.callback(session.abort)
        await turns()
        return session

    async def cut(self, session: Session) -> None:
        """Cut the first link of a session, and wait until it has noticed."""
        self.link(session).cut()
        await until(lambda: session.state is SessionState.LOST)

    def link(self, session: Session) -> MemoryLink:
        """Return the first link of a session."""
        return self._links[session]

    def stall(self, *sessions: Session) -> None:
        """Let the first links of these sessions bring them nothing more."""
        for session in sessions:
            self.link(session).stall(End.FAR)

    def resume(self, *sessions: Session) -> None:
        """Let them bring it after all."""
        for session in sessions:
            self.link(session).resume(End.FAR)

    def far(self, nick: str) -> LoggedSession:
        """Return the server's end of a session."""
        (session,) = (one for one in self.listener.sessions if one.nick == nick)
        assert isinstance(session, LoggedSession)
        return session

    def buffered(self, nick: str) -> int:
        """Return how many bytes wait for a member to read them, wherever they do."""
        link = self.far(nick)._link
        assert link is not None
        return int(link._transport.get_write_buffer_size()) + sum(map(len, link.protocol._out))

    def is_read(self, nick: str) -> bool:
        """Tell whether the server reads what a member says."""
        link = self.far(nick)._link
        assert link is not None
        return bool(link._transport.is_reading())  # type: ignore[attr-defined]


@asynccontextmanager
async def chat(
    monkeypatch: pytest.MonkeyPatch,
    log: SlowLog | None = None,
    *,
    rules: Rules = FREE,
    room: str = "lobby",
    registry: Registry | None = None,
    invites: Invites | None = None,
    **options: Unpack[OptionArgs],
) -> AsyncIterator[Chat]:
    """Open a chat server; at the end all who called are cut off, and it is closed."""
    async with AsyncExitStack() as stack:
        it = Chat(
            MemoryNetwork(monkeypatch),
            stack,
            lambda log: ChatServer(log, room=room, rules=rules, registry=registry, invites=invites),
            options,
        )
        await it.open(log or new_log())
        yield it


def waiting(session: Session) -> int:
    """Return how many messages and events a session has not read yet."""
    return len(session._inbox.items)


def texts(events: Iterable[Event]) -> list[str]:
    """Return the texts of the messages among events."""
    return [event.text for event in events if isinstance(event, Message)]


def posts(first: int, last: int, body: str = "line {}") -> list[TextPost]:
    """Return what a client posts, from one number to another."""
    return [TextPost(number, body.format(number)) for number in range(first, last + 1)]


async def acknowledged(wire: Wire, number: int) -> None:
    """Wait until a peer's posts up to a number are acknowledged, and no more than that."""
    while (ack := await wire.expect(Ack)).number < number:
        pass
    assert ack.number == number


async def found(*sessions: Session) -> None:
    """Wait until the links of these sessions are back."""
    await until(lambda: all(session.state is SessionState.OPEN for session in sessions))


async def say(session: Session, *bodies: str | bytes) -> None:
    """Say something, and wait until it is in the log."""
    await asyncio.gather(*await send_all(session, bodies))


def unread(session: Session) -> list[Event]:
    """Return what a session was told and has not read."""
    items = session._inbox.items
    told = [session._message(one) if isinstance(one, Post) else one for one in items]
    items.clear()
    return told
