"""Claims about `socketchat.server` and handlers whose log remembers: each caller is admitted anew.

Callers come over links in memory, and time is virtual. What the sessions do is told in
`test_logged.py`, what rooms make of them in `tests/chat/`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from socketchat import (
    Admission,
    HandshakeError,
    HandshakeRefused,
    Session,
    SessionState,
    Side,
)
from socketchat.logged import LoggedSession, LogPlace
from socketchat.messages import (
    VERSION,
    Ack,
    Bye,
    Command,
    Event,
    Greeting,
    Hello,
    Post,
    Refused,
    TextPost,
)
from socketchat.testing import stream_pair
from tests.sessions import (
    LANE,
    MemoryNetwork,
    MemoryServer,
    Wire,
    echo,
    lost_and_found,
    now,
    receive,
    say_nothing,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    """Put a network in memory where TCP would be."""
    return MemoryNetwork(monkeypatch)


class Logbook:
    """A handler with a log: it holds what comes at once, and remembers the mark of each lane.

    Attributes:
        asked: The hellos, in order.
        marks: The highest number that is held, by lane.
        bodies: What is held, in order.
        sessions: Every session that it was called with.
        gate: What `admit` waits for.
        calls: Who was served and has left, and when it was closed, in order.
    """

    def __init__(self) -> None:
        self.asked: list[Hello] = []
        self.marks: Counter[bytes] = Counter()
        self.bodies: list[str | bytes] = []
        self.sessions: list[LoggedSession] = []
        self.gate: asyncio.Event | None = None
        self.calls: list[str] = []

    async def open(self) -> None:
        """Be ready: nobody calls it here, since a server in memory is not started."""

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.calls.append("close")

    async def admit(self, hello: Hello, address: str) -> Admission:
        self.asked.append(hello)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        head = len(self.bodies)
        place = LogPlace(hello.session, self.marks[hello.lane], 1, head, (head, head))
        return Admission(hello.nick, "log", place)

    async def __call__(self, session: Session) -> None:
        assert isinstance(session, LoggedSession)
        self.sessions.append(session)
        self.calls.append(session.nick)
        session.keep(Page(self, session))
        await session.wait_closed()
        self.calls.append(f"{session.nick} has left")


class Page:
    """A keeper for one session: what it takes is in the log at once."""

    def __init__(self, book: Logbook, session: LoggedSession) -> None:
        self.book = book
        self.session = session

    def take(self, posts: Sequence[Post]) -> None:
        assert posts[0].number > self.book.marks[self.session.lane], "doubled"
        self.book.bodies += [post.body for post in posts]
        self.book.marks[self.session.lane] = posts[-1].number
        self.session.hold(posts[-1].number)

    def hear(self, event: Event) -> None:
        """Let it pass."""

    def obey(self, command: Command) -> None:
        """Do nothing."""

    def drained(self) -> None:
        """Have nothing to give."""

    def ended(self, *, lost: bool) -> None:
        """Have nothing to let go of."""


# Who remembers


async def test_a_caller_with_a_place_in_a_log_gets_a_session_that_the_log_keeps(
    network: MemoryNetwork,
) -> None:
    book = Logbook()
    async with network.serve(book) as server, network.connect(nick="ada", room="den") as client:
        await (await client.send("hello"))
        (session,) = book.sessions
        assert server.sessions == {session}
        assert (client.nick, client.room) == ("ada", "log")
        assert client.id == session.id
        assert book.bodies == ["hello"]


async def test_a_caller_that_comes_back_is_admitted_again_and_to_a_new_session(
    network: MemoryNetwork,
) -> None:
    book = Logbook()
    async with network.serve(book) as server, network.connect(nick="ada") as client:
        await (await client.send("one"))
        name = client.id
        network.cut()
        await lost_and_found(client)
        await (await client.send("two"))
        first, second = book.asked
        assert (first.session, second.session.hex()) == (b"", name)
        assert client.id == name
        assert server.sessions == {book.sessions[1]}
        assert book.sessions[0].state is SessionState.CLOSED
        assert book.bodies == ["one", "two"]


async def test_a_server_that_was_started_again_on_its_log_is_as_good_as_the_old_one(
    network: MemoryNetwork,
) -> None:
    book = Logbook()
    network.latency = 0.1
    async with network.serve(book), network.connect(nick="ada") as client:
        receipt = await client.send("one")
        await asyncio.sleep(0.15)  # it is in the log, and nobody knows
        network.server = None
        network.cut()
        await until(lambda: client.state is SessionState.LOST)
        async with MemoryServer(book) as network.server:
            await (await client.send("two"))
            await receipt
            assert book.bodies == ["one", "two"]
            await client.close()


async def test_a_handler_that_gives_no_place_has_its_sessions_kept_in_memory(
    network: MemoryNetwork,
) -> None:
    class Plain(Logbook):
        async def admit(self, hello: Hello, address: str) -> Admission:
            self.asked.append(hello)
            return Admission(hello.nick, "plain")

        async def __call__(self, session: Session) -> None:
            await echo(session)

    book = Plain()
    async with network.serve(book) as server, network.connect(nick="ada") as client:
        (session,) = server.sessions
        assert not isinstance(session, LoggedSession)
        network.cut()
        await lost_and_found(client)
        await client.send("hello")
        assert await receive(client, 1) == ["hello"]
        assert len(book.asked) == 1


# Two links of one lane


async def caller(server: MemoryServer, nick: str = "ada") -> Wire:
    """Call, and ask to be let in by the same lane as every other caller."""
    wire = server.call_raw()
    await wire.expect(Greeting)
    wire.say(Hello(VERSION, LANE, nick))
    return wire


async def test_a_newer_link_of_a_lane_cuts_the_older_before_its_mark_is_asked_for(
    network: MemoryNetwork,
) -> None:
    states: list[SessionState] = []

    class Watching(Logbook):
        async def admit(self, hello: Hello, address: str) -> Admission:
            states.extend(session.state for session in self.sessions)
            return await super().admit(hello, address)

    book = Watching()
    async with network.serve(book) as server:
        older = server.call_raw()
        await older.greet()
        await until(lambda: book.sessions)
        newer = server.call_raw()
        await newer.greet()
        await older.read_end()
        assert states == [SessionState.CLOSED]
        await until(lambda: len(book.sessions) == 2)
        assert server.sessions == {book.sessions[1]}
        # A goodbye would have been for the session, which goes on.
        assert not [message for message in older.heard if isinstance(message, Bye)]
        newer.say(TextPost(1, "still here"))
        assert await newer.expect(Ack) == Ack(1)
        # Nothing that the older one says counts any more.
        older.say(TextPost(1, "me too"))
        await turns()
        assert book.bodies == ["still here"]


async def test_of_two_hellos_of_one_lane_at_once_the_later_gets_it(
    network: MemoryNetwork,
) -> None:
    book = Logbook()
    book.gate = asyncio.Event()
    async with network.serve(book) as server:
        wires = [await caller(server) for _ in range(3)]
        await until(lambda: len(book.asked) == 3)
        book.gate.set()
        for wire in wires[:2]:
            refused = await wire.expect(Refused)
            assert (refused.code, refused.reason) == (1013, "a newer link has come")
            await wire.read_end()
        wires[2].say(TextPost(1, "hello"))
        assert await wires[2].expect(Ack) == Ack(1)
        assert len(book.sessions) == 1
        assert server.sessions == set(book.sessions)
        assert not server._latest


async def test_a_later_hello_is_not_held_up_by_one_that_is_never_admitted(
    network: MemoryNetwork,
) -> None:
    class Stuck(Logbook):
        async def admit(self, hello: Hello, address: str) -> Admission:
            if hello.nick == "stuck":
                await asyncio.Event().wait()
            return await super().admit(hello, address)

    book = Stuck()
    async with network.serve(book, open_timeout=5) as server:
        stuck = await caller(server, "stuck")
        await turns()
        other = server.call_raw()
        await other.greet()
        assert now() == 0
        assert (await stuck.read_bye()).code == 1008
        assert now() == 5
        other.say(TextPost(1, "hello"))
        assert await other.expect(Ack) == Ack(1)
        assert not server._latest


async def test_an_older_link_that_ends_late_does_not_take_the_newer_out_of_the_list(
    network: MemoryNetwork,
) -> None:
    book = Logbook()
    async with network.serve(book) as server:
        older = server.call_raw()
        await older.greet()
        await until(lambda: book.sessions)
        first = server.sessions
        newer = server.call_raw()
        await newer.greet()
        for session in first:
            await session.wait_closed()
        assert server.sessions
        assert server.sessions.isdisjoint(first)


async def test_one_that_is_not_let_in_leaves_no_trace(network: MemoryNetwork) -> None:
    class Shut(Logbook):
        async def admit(self, hello: Hello, address: str) -> Admission:
            raise HandshakeRefused(1013, "the log cannot be written just now")

    async with network.serve(Shut()) as server:
        with pytest.raises(HandshakeRefused, match="just now"):
            async with network.connect():
                pass
        assert not server.sessions
        assert not server._latest


# The end


async def test_closing_the_server_waits_until_what_came_is_held_and_then_closes_the_log(
    network: MemoryNetwork,
) -> None:
    book = Logbook()
    async with network.serve(book) as server, network.connect(nick="ada") as client:
        receipts = [await client.send(f"{n}") for n in range(100)]
        await until(lambda: book.sessions)
        await server.close(1012)
        assert len(book.bodies) == sum(receipt.done for receipt in receipts)
        assert book.calls == ["ada", "ada has left", "close"]
        client.abort()


# Callers that come some other way


async def test_a_caller_may_come_over_any_pair_of_streams() -> None:
    async with MemoryServer(echo) as server:
        with stream_pair() as link:
            serving = asyncio.create_task(server.accept(*link.far))
            client = await Session.from_streams(*link.near, side=Side.CLIENT, nick="ada")
            assert len(server.sessions) == 1
            await client.send("hello")
            assert await receive(client, 1) == ["hello"]
            assert not serving.done()
            await client.close()
            await serving
            await until(lambda: not server.sessions)


async def test_a_caller_over_streams_is_admitted_like_any_other() -> None:
    book = Logbook()
    async with MemoryServer(book) as server:
        with stream_pair() as link:
            serving = asyncio.create_task(server.accept(*link.far))
            client = await Session.from_streams(*link.near, side=Side.CLIENT, nick="ada", room="x")
            await (await client.send("hello"))
            assert (client.room, book.bodies) == ("log", ["hello"])
            link.cut()
            await serving
            assert not server.sessions
            await client.wait_closed()


async def test_a_caller_over_streams_that_is_not_let_in_is_told_and_hung_up_on() -> None:
    async with MemoryServer(say_nothing) as server:
        await server.close(1012, "back soon")
        with stream_pair() as link:
            serving = asyncio.create_task(server.accept(*link.far))
            with pytest.raises(HandshakeRefused, match="back soon") as caught:
                await Session.from_streams(*link.near, side=Side.CLIENT)
            assert caught.value.code == 1012
            with pytest.raises(HandshakeRefused):
                await serving
            assert link.far[1].is_closing()


async def test_a_stranger_over_streams_is_hung_up_on() -> None:
    async with MemoryServer(say_nothing) as server:
        with stream_pair() as link:
            wire = Wire(*link.near)
            serving = asyncio.create_task(server.accept(*link.far))
            wire.say_bytes(b"GET / HTTP/1.1\r\n\r\n")
            assert (await wire.read_bye()).code == 1009
            with pytest.raises(HandshakeError):
                await serving
            await wire.read_end()


async def test_one_that_says_nothing_over_streams_is_given_up_in_time() -> None:
    async with MemoryServer(say_nothing, open_timeout=3) as server:
        with stream_pair() as link:
            with pytest.raises(TimeoutError):
                await server.accept(*link.far)
            assert now() == 3
            assert link.far[1].is_closing()


@pytest.mark.parametrize("greeted", [False, True])
async def test_a_cancelled_accept_ends_the_session_and_cuts_the_streams(greeted: bool) -> None:
    async with MemoryServer(say_nothing) as server:
        with stream_pair() as link:
            wire = Wire(*link.near)
            serving = asyncio.create_task(server.accept(*link.far))
            if greeted:
                await wire.greet()
            else:
                await wire.expect(Greeting)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            await wire.read_end()
            assert not server.sessions


async def test_closing_the_server_says_goodbye_over_streams_too() -> None:
    async with MemoryServer(say_nothing) as server:
        with stream_pair() as link:
            serving = asyncio.create_task(server.accept(*link.far))
            client = await Session.from_streams(*link.near, side=Side.CLIENT)
            await server.close(1001, "over")
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1001, "over")
            await serving
