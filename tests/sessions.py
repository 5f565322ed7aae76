"""What the tests of sessions, clients and servers share.

`session_pair` joins two sessions over a link in memory. `MemoryNetwork` stands where TCP would: a
client dials through it, the server's callers come over links in memory, and the test holds both
ends of each. `Wire` is a peer without manners, which says what it is told to.

It knows the library by its doors and its cores; pytest only in so far as a `MonkeyPatch` is handed
in.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Self, TypeVar, Unpack, cast

import pytest
from msgspec import Struct

from socketchat import (
    Event,
    Options,
    Receipt,
    Server,
    Session,
    SessionClosed,
    SessionState,
    Side,
    connect,
)
from socketchat.framing import FrameDecoder
from socketchat.handlers import Handler, Opens
from socketchat.link import Link
from socketchat.messages import (
    VERSION,
    Bye,
    Greeting,
    Hello,
    Limits,
    Welcome,
    WireMessage,
    decode,
    encode,
)
from socketchat.options import OptionArgs
from socketchat.protocol import Protocol
from socketchat.server import MAX_PENDING
from socketchat.streams import DirectReader
from socketchat.testing import MemoryLink, Streams, stream_pair

__all__ = [
    "LANE",
    "MemoryNetwork",
    "MemoryServer",
    "Pair",
    "Wire",
    "echo",
    "next_events",
    "now",
    "open_session",
    "raw_server",
    "receive",
    "receive_all",
    "say_nothing",
    "send_all",
    "session_pair",
    "turns",
    "until",
]

LANE = bytes(range(16))

M = TypeVar("M", bound=Struct)


# Waiting


def now() -> float:
    """Return the running loop's time."""
    return asyncio.get_running_loop().time()


async def turns(count: int = 20) -> None:
    """Let the loop go round: enough for all that is ready to have happened."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; what never comes true, pytest's time limit ends."""
    delay = 0.0
    while not condition():
        await asyncio.sleep(delay)
        delay = min(delay + 0.001, 0.05)


# Talking


async def send_all(session: Session, bodies: Iterable[str | bytes]) -> list[Receipt]:
    """Send each body in turn."""
    return [await session.send(body) for body in bodies]


async def receive(session: Session, count: int) -> list[str | bytes]:
    """Return the bodies of the next messages."""
    return [(await session.recv()).body for _ in range(count)]


async def receive_all(session: Session) -> list[str | bytes]:
    """Return the bodies of all messages, until the session ends in whatever way."""
    bodies: list[str | bytes] = []
    with suppress(SessionClosed):
        async for message in session:
            bodies.append(message.body)  # noqa: PERF401 - the bodies before an error count too
    return bodies


async def next_events(session: Session, count: int) -> list[Event]:
    """Return the next events."""
    events: list[Event] = []
    async for event in session.events():
        events.append(event)
        if len(events) == count:
            break
    return events


async def echo(session: Session) -> None:
    """Answer every message with itself; a handler."""
    async for message in session:
        await session.send(message.body)


async def say_nothing(session: Session) -> None:
    """Stay until the session is closed; a handler."""
    await session.wait_closed()


# Two sessions


class Pair(NamedTuple):
    """Two sessions, and the link that joins them: the client is its near end."""

    client: Session
    server: Session
    link: MemoryLink


@asynccontextmanager
async def session_pair(
    link: MemoryLink | None = None,
    *,
    client: OptionArgs | None = None,
    server: OptionArgs | None = None,
    nick: str = "ada",
    **both: Unpack[OptionArgs],
) -> AsyncIterator[Pair]:
    """Open a session over a link in memory; at the end both ends are aborted.

    Args:
        link: The link; None makes one.
        client: Options of the client alone.
        server: Options of the server alone.
        nick: The client's name; the server's is "server".
        **both: Options of both.
    """
    client, server = both | (client or {}), both | (server or {})
    with link or stream_pair() as link:
        near, far = await asyncio.gather(
            Session.from_streams(*link.near, side=Side.CLIENT, nick=nick, **client),
            Session.from_streams(*link.far, side=Side.SERVER, name="server", **server),
        )
        try:
            yield Pair(near, far, link)
        finally:
            for session in (near, far):
                session.abort()
                await session.wait_closed()


# A server without sockets


def directed(streams: Streams) -> Streams:
    """Put the reader that TCP streams have, which wakes no task, on an end of a link in memory."""
    loop = asyncio.get_running_loop()
    transport = streams[1].transport
    reader = DirectReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class MemoryServer(Server):
    """A server whose callers come over links in memory.

    All but its acceptor is the real one.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        max_pending: tuple[int, int] = MAX_PENDING,
        max_sessions: tuple[int, int] = (10_000, 10_000),  # all call from one address
        **options: Unpack[OptionArgs],
    ) -> None:
        super().__init__(
            handler,
            Options(**options),
            name="server",
            max_pending=max_pending,
            max_sessions=max_sessions,
        )
        self._links: list[MemoryLink] = []
        self._wires: list[Wire] = []

    def call(self, link: MemoryLink, address: str = "192.0.2.1") -> None:
        """Take a caller, at the near end of a link, or hang up on it."""
        # Its own streams are not used, and would close the link if they were collected.
        self._links.append(link)
        streams = directed(link.far)
        if self._count(address):
            caller = cast("socket.socket", (streams, address))
            self._own(self._callers, self._serve_caller(caller, address))
        else:
            streams[1].close()

    def call_raw(self, address: str = "192.0.2.1") -> Wire:
        """Let a peer without manners call; it hangs up when the server's block is left."""
        link = stream_pair()
        self.call(link, address)
        self._wires.append(Wire(*link.near))
        return self._wires[-1]

    async def __aenter__(self) -> Self:
        if isinstance(self._handler, Opens):
            await self._handler.open()
        return self

    async def close(self, code: int = 1001, reason: str = "") -> None:
        await super().close(code, reason)
        for wire in self._wires:
            wire.reset()

    async def _open_link(self, connection: socket.socket) -> Link:
        (reader, writer), address = cast("tuple[Streams, str]", connection)
        greeting = Greeting(VERSION, bytes(32), self._name, Limits(self._options.max_size))
        link = Link(reader, writer, Protocol(Side.SERVER, self._options, now(), greeting=greeting))
        link.address = f"[{address}]:50000" if ":" in address else f"{address}:50000"
        return link


async def open_session(**arguments: Any) -> Session:
    """Connect over whatever stands where TCP would be."""
    return await connect("server.test", tls=False, **arguments)


class MemoryNetwork:
    """Where clients find the server, if there is one, over links in memory.

    Attributes:
        server: Who is called; None refuses every connection.
        links: Every link so far, the client at its near end.
        at: Servers that are found at an address of their own, `host:port`.
        dialled: The time of every attempt.
        called: Whom it was to, as `host:port`.
        prepare: Called with each new link.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server: MemoryServer | None = None
        self.links: list[MemoryLink] = []
        self.at: dict[str, MemoryServer] = {}
        self.dialled: list[float] = []
        self.called: list[str] = []
        self.latency = 0.0
        self._raw: asyncio.Queue[Wire] | None = None
        self.prepare: Callable[[MemoryLink], object] = lambda link: None
        monkeypatch.setattr("socketchat.client.open_streams", self._open)
        # The delays between attempts shall be the same at every run.
        monkeypatch.setattr("socketchat.client.random.uniform", random.Random(7).uniform)

    async def _open(self, host: str, port: int, *_: object) -> Streams:
        self.dialled.append(now())
        self.called.append(f"{host}:{port}")
        await asyncio.sleep(0)
        server = self.at.get(self.called[-1], self.server)
        if server is None and self._raw is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        link = stream_pair(latency=self.latency)
        self.links.append(link)
        self.prepare(link)
        if self._raw is not None:
            self._raw.put_nowait(Wire(*link.far))
        elif server is not None:
            server.call(link)
        return directed(link.near)

    @asynccontextmanager
    async def serve(
        self, handler: Handler = echo, **options: Unpack[OptionArgs]
    ) -> AsyncIterator[MemoryServer]:
        """Put a server there."""
        async with MemoryServer(handler, **options) as self.server:
            yield self.server

    @asynccontextmanager
    async def serve_at(
        self, address: str, handler: Handler = echo, **options: Any
    ) -> AsyncIterator[MemoryServer]:
        """Put a server at an address of its own, `host:port`; at the end nobody is there."""
        async with MemoryServer(handler, **options) as server:
            self.at[address] = server
            try:
                yield server
            finally:
                self.at.pop(address, None)

    def answer_yourself(self, *, no_more: bool = False) -> asyncio.Queue[Wire]:
        """Have the test play the server's part from now on, for the callers it takes from here."""
        callers: asyncio.Queue[Wire] = asyncio.Queue()
        self._raw = None if no_more else callers
        return callers

    @asynccontextmanager
    async def answer(self, **arguments: Any) -> AsyncIterator[tuple[Wire, asyncio.Task[Session]]]:
        """Connect to a server whose part is played by the test."""
        callers = self.answer_yourself()
        opening = asyncio.create_task(open_session(**arguments))
        wire = await callers.get()
        try:
            yield wire, opening
        finally:
            await asyncio.wait([opening])
            if opening.exception() is None:
                opening.result().abort()
                await opening.result().wait_closed()
            wire.reset()

    @asynccontextmanager
    async def connect(self, **arguments: Any) -> AsyncIterator[Session]:
        """Connect to the server that is there; at the end the session is aborted."""
        session = await open_session(**arguments)
        try:
            yield session
        finally:
            session.abort()
            await session.wait_closed()

    @asynccontextmanager
    async def pair(
        self, *, server: OptionArgs | None = None, **arguments: Any
    ) -> AsyncIterator[tuple[Session, Session]]:
        """Open a session that is kept connected, and give both ends of it."""
        async with (
            self.serve(say_nothing, **(server or {})) as there,
            self.connect(**arguments) as session,
        ):
            (far,) = there.sessions
            yield session, far

    def cut(self, *, reset: bool = True) -> None:
        """Cut the latest link."""
        self.links[-1].cut(reset=reset)


async def lost_and_found(session: Session) -> None:
    """Wait until a session's link is lost, and then until it is back."""
    await until(lambda: session.state is SessionState.LOST)
    await until(lambda: session.state is SessionState.OPEN)


# A peer without manners


class Wire:
    """The other end of a connection, which says what it is told to and never objects.

    Attributes:
        heard: What the other side said and `expect` passed over.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard: list[WireMessage] = []
        self._frames = FrameDecoder(2**20)
        self._unread: list[WireMessage] = []

    @classmethod
    async def call(cls, port: int, **arguments: Any) -> Self:
        """Call a server on this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, **arguments))

    def say(self, *messages: WireMessage) -> None:
        """Send messages, in one piece."""
        self.writer.write(b"".join(map(encode, messages)))

    def say_bytes(self, data: bytes) -> None:
        """Send what need not be a message."""
        self.writer.write(data)

    async def greet(self, hello: Hello | None = None) -> Welcome:
        """Go through the greeting as a client."""
        await self.expect(Greeting)
        self.say(hello or Hello(VERSION, LANE, "mallory"))
        return await self.expect(Welcome)

    async def greet_back(self, welcome: Welcome | None = None) -> Hello:
        """Go through the greeting as a server."""
        self.say(Greeting(VERSION, bytes(32)))
        hello = await self.expect(Hello)
        self.say(welcome or Welcome(bytes(16), 0, hello.nick))
        return hello

    async def expect(self, kind: type[M]) -> M:
        """Return the next message of a kind, and keep those before it in `heard`.

        Raises:
            EOFError: There will be none.
        """
        while True:
            while self._unread:
                message = self._unread.pop(0)
                if isinstance(message, kind):
                    return message
                self.heard.append(message)
            data = await self.reader.read(2**16)
            if not data:
                raise EOFError(f"no {kind.__name__} behind {self.heard}")
            decoded = map(decode, self._frames.frames(data))
            self._unread.extend(message for message in decoded if message is not None)

    async def read_bye(self) -> Bye:
        """Return the other side's goodbye."""
        return await self.expect(Bye)

    async def read_end(self) -> None:
        """Wait until the other side has hung up."""
        with suppress(ConnectionError):
            while await self.reader.read(2**16):
                pass

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Hang up with a reset."""
        connection: socket.socket | None = self.writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            # To linger for no time at all is what makes a kernel send a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@asynccontextmanager
async def raw_server(**options: Any) -> AsyncIterator[tuple[Session, Wire]]:
    """Open a session, a client's, whose other end does as it is told."""
    with stream_pair() as link:
        wire = Wire(*link.far)
        client, _ = await asyncio.gather(
            Session.from_streams(*link.near, side=Side.CLIENT, **options), wire.greet_back()
        )
        try:
            yield client, wire
        finally:
            client.abort()
            await client.wait_closed()
