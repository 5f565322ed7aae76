"""Claims about `socketchat.server`: who comes in, what its handler's end means, how it closes.

Callers come over links in memory, and time is virtual. What needs sockets: `test_server_tcp.py`;
callers who mean no good: `test_hostile_peers.py`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from socketchat import (
    HandshakeError,
    HandshakeRefused,
    Refusal,
    Session,
    SessionState,
    Side,
    serve,
)
from socketchat.handlers import Admission
from socketchat.messages import Greeting, Hello, Refused, TextPost, Welcome
from tests.sessions import (
    MemoryNetwork,
    MemoryServer,
    Wire,
    echo,
    now,
    receive,
    receive_all,
    say_nothing,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    """Put a network in memory where TCP would be."""
    return MemoryNetwork(monkeypatch)


# What becomes of a session when its handler ends


async def test_a_handler_that_returns_closes_its_session_in_good_order(
    network: MemoryNetwork,
) -> None:
    async def greet(session: Session) -> None:
        await session.send(f"hello {session.nick}")

    async with network.serve(greet), network.connect(nick="ada") as client:
        assert await receive_all(client) == ["hello ada"]
        assert client.close_code == 1000


async def test_a_handler_that_fails_is_logged_and_closes_its_session_with_1011(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(session: Session) -> None:
        await session.send("almost")
        raise LookupError("no such thing")

    async with network.serve(fail), network.connect() as client:
        assert await receive_all(client) == ["almost"]
        assert client.close_code == 1011
        assert "no such thing" not in client.close_reason
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "LookupError: no such thing" in caplog.text
    assert record.name == "socketchat.server"


async def test_a_handler_need_not_mind_that_its_session_ends(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    async def listen(session: Session) -> None:
        while True:
            await session.recv()

    async with network.serve(listen) as server:
        for code in (1000, 4000):
            async with network.connect() as client:
                await client.close(code)
            async with network.connect(reconnect=False) as client:
                client.abort()
        await until(lambda: all(s.state is SessionState.LOST for s in server.sessions))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("error", [None, LookupError])
async def test_a_handler_may_run_tasks_that_meet_the_end_of_its_session(
    network: MemoryNetwork,
    error: type[Exception] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            if error is not None:
                raise error

    async def handler(session: Session) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            tasks.create_task(receive(session, 1))

    async with network.serve(handler) as server, network.connect() as client:
        (session,) = server.sessions
        await client.close()
        await until(lambda: not server._handlers)
        assert session.close_code == 1000
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == (error is not None)


async def test_a_handler_that_awaits_what_was_cancelled_has_failed(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(session: Session) -> None:
        waiting = asyncio.create_task(session.recv())
        await turns()
        waiting.cancel()
        await waiting

    async with network.serve(handler), network.connect() as client:
        await client.wait_closed()
        assert client.close_code == 1011
    assert "was cancelled" in caplog.text


async def test_each_caller_has_a_handler_of_its_own_and_a_failing_one_harms_no_other(
    network: MemoryNetwork,
) -> None:
    async def fail_if_told(session: Session) -> None:
        async for message in session:
            if message.text == "fail":
                raise ValueError(message.text)
            await session.send(message.text)

    async with (
        network.serve(fail_if_told) as server,
        network.connect() as one,
        network.connect() as other,
    ):
        assert len(server.sessions) == 2
        await one.send("fail")
        await one.wait_closed()
        await other.send("hello")
        assert await receive(other, 1) == ["hello"]
        assert len(server.sessions) == 1


# Who comes in


async def test_a_handler_knows_its_caller(network: MemoryNetwork) -> None:
    async with (
        network.serve(say_nothing) as server,
        network.connect(nick="ada", room="lobby") as client,
    ):
        (session,) = server.sessions
        assert session.side is Side.SERVER
        assert (session.nick, session.room) == ("ada", "lobby")
        assert session.peer.nick == "ada"
        assert session.peer.address == "192.0.2.1:50000"
        assert session.id == client.id
        assert client.peer.nick == "server"


class Door:
    """A handler that lets in whom it likes."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.served = 0

    async def admit(self, hello: Hello, address: str) -> Admission:
        self.asked.append((hello.nick, hello.room, address))
        match hello.nick:
            case "mallory":
                raise HandshakeRefused(1008, "not you")
            case "bug":
                raise ZeroDivisionError("a bug in admit")
            case nick:
                return Admission(nick.upper(), "the only room")

    async def __call__(self, session: Session) -> None:
        self.served += 1
        await session.wait_closed()


async def test_a_handler_may_give_names_and_rooms(network: MemoryNetwork) -> None:
    door = Door()
    async with network.serve(door) as server, network.connect(nick="ada", room="den") as client:
        (session,) = server.sessions
        for end in (client, session):
            assert (end.nick, end.room) == ("ADA", "the only room")
        assert door.asked == [("ada", "den", "192.0.2.1:50000")]


async def test_a_caller_that_is_not_let_in_is_told_why_and_has_no_handler(
    network: MemoryNetwork,
) -> None:
    door = Door()
    async with network.serve(door) as server:
        with pytest.raises(HandshakeRefused, match="not you") as caught:
            async with network.connect(nick="mallory"):
                pass
        assert caught.value.code == 1008
        assert door.served == 0
        assert not server.sessions


async def test_a_bug_in_admit_is_logged_and_the_caller_is_refused(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    async with network.serve(Door()):
        with pytest.raises(HandshakeRefused) as caught:
            async with network.connect(nick="bug"):
                pass
        assert caught.value.code == 1011
        assert "bug" not in caught.value.reason
        async with network.connect(nick="ada") as client:
            assert client.nick == "ADA"
    assert "ZeroDivisionError: a bug in admit" in caplog.text


async def test_a_caller_that_comes_back_gets_its_session_and_no_second_handler(
    network: MemoryNetwork,
) -> None:
    door = Door()
    async with network.serve(door) as server, network.connect(nick="ada") as client:
        (session,) = server.sessions
        for _ in range(3):
            network.cut()
            await until(lambda: client.state is SessionState.LOST)
            assert server.sessions == {session}
            await until(lambda: client.state is SessionState.OPEN)
        assert (door.served, len(door.asked)) == (1, 1)
        await client.close()
        await session.wait_closed()
        assert not server.sessions


# Callers in the greeting


async def test_a_caller_that_never_says_anything_is_hung_up_on_in_time(
    network: MemoryNetwork,
) -> None:
    async with network.serve(open_timeout=3) as server:
        wire = server.call_raw()
        await wire.expect(Greeting)
        assert (await wire.read_bye()).code == 1008
        await wire.read_end()
        assert now() == 3


@pytest.mark.parametrize(
    ("max_pending", "addresses", "let_in"),
    [
        ((3, 99), ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], [1, 1, 1, 0]),
        ((99, 2), ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"], [1, 1, 0, 1]),
    ],
    ids=["in all", "from one address"],
)
async def test_callers_in_the_greeting_are_counted_and_one_too_many_is_turned_away(
    max_pending: tuple[int, int], addresses: list[str], let_in: list[int]
) -> None:
    async with MemoryServer(echo, max_pending=max_pending, open_timeout=60) as server:
        for _ in range(2):
            wires = [server.call_raw(address) for address in addresses]
            for wire, expected in zip(wires, let_in, strict=True):
                if expected:
                    await wire.greet(Hello(1, id(wire).to_bytes(16)))
                else:
                    await wire.read_end()
            # Those who are through the greeting do not count: as many come in again.
        assert len(server.sessions) == 2 * sum(let_in)
        assert not server._pending


async def test_a_caller_that_was_refused_counts_until_it_is_gone() -> None:
    async with MemoryServer(Door(), max_pending=(1, 1), close_timeout=7) as server:
        wire = server.call_raw()
        await wire.expect(Greeting)
        transport = wire.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        wire.say(Hello(1, bytes(16), "mallory"))
        await turns()
        await server.call_raw().read_end()
        assert now() == 0
        transport.resume_reading()
        assert (await wire.expect(Refused)).reason == "not you"
        await turns()
        assert not server._pending


# Sessions


async def call_and_greet(server: MemoryServer, lane: int, address: str) -> Wire:
    """Come in from an address, or be refused."""
    wire = server.call_raw(address)
    await wire.expect(Greeting)
    wire.say(Hello(1, lane.to_bytes(16)))
    return wire


async def expect_too_many(wire: Wire) -> None:
    """Be refused because there are too many sessions."""
    refused = await wire.expect(Refused)
    assert (refused.code, "too many sessions" in refused.reason) == (1013, True)


@pytest.mark.parametrize(
    ("max_sessions", "addresses", "let_in"),
    [
        ((3, 99), ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], [1, 1, 1, 0]),
        ((99, 2), ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"], [1, 1, 0, 1]),
        ((99, 1), ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"], [1, 0, 1]),
    ],
    ids=["in all", "from one address", "from one network"],
)
async def test_one_session_too_many_is_refused_until_another_has_ended(
    max_sessions: tuple[int, int], addresses: list[str], let_in: list[int]
) -> None:
    async with MemoryServer(echo, max_sessions=max_sessions) as server:
        for _ in range(2):
            wires = [await call_and_greet(server, n, at) for n, at in enumerate(addresses)]
            for wire, expected in zip(wires, let_in, strict=True):
                if expected:
                    await wire.expect(Welcome)
                else:
                    await expect_too_many(wire)
            assert len(server.sessions) == len(server._seats) == sum(let_in)
            for session in server.sessions:
                await session.close()
            await until(lambda: not server.sessions)
            assert not server._seats
        assert server.refused == {Refusal.TOO_MANY_SESSIONS: 2}


async def test_a_session_that_comes_back_counts_once_from_wherever_it_comes() -> None:
    async with MemoryServer(echo, max_sessions=(1, 1)) as server:
        first = await call_and_greet(server, 1, "192.0.2.1")
        await first.expect(Welcome)
        again = await call_and_greet(server, 1, "192.0.2.2")
        await again.expect(Welcome)
        await expect_too_many(await call_and_greet(server, 2, "192.0.2.3"))
        assert len(server._seats) == 1


async def test_a_handler_is_not_asked_about_one_session_too_many() -> None:
    door = Door()
    async with MemoryServer(door, max_sessions=(1, 1)) as server:
        await (await call_and_greet(server, 1, "192.0.2.1")).expect(Welcome)
        await expect_too_many(await call_and_greet(server, 2, "192.0.2.1"))
        assert len(door.asked) == 1


async def test_one_who_is_not_let_in_takes_no_seat() -> None:
    async with MemoryServer(Door(), max_sessions=(1, 1)) as server:
        for _ in range(2):
            wire = server.call_raw()
            await wire.expect(Greeting)
            wire.say(Hello(1, bytes(16), "mallory"))
            assert (await wire.expect(Refused)).reason == "not you"
        assert not server._seats
        assert server.refused == {Refusal.NOT_ADMITTED: 2}


# Arguments


@pytest.mark.parametrize(
    "argument", [{"max_pending": (0, 1)}, {"max_sessions": (1, 0)}, {"tls_timeout": 0}]
)
def test_a_limit_out_of_range_is_refused_by_its_name(argument: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(argument))):
        serve(echo, **argument)


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 64 characters"):
        serve(echo, name="x" * 65)


def test_an_option_out_of_range_is_refused_before_anything_happens() -> None:
    with pytest.raises(ValueError, match="max_size"):
        serve(echo, max_size=1)


async def test_a_post_before_the_welcome_is_an_error(network: MemoryNetwork) -> None:
    async with network.serve(echo) as server:
        wire = server.call_raw()
        wire.say(Hello(1, bytes(16)), TextPost(1, "too early"))
        assert (await wire.read_bye()).code == 1002
        with pytest.raises(EOFError):
            await wire.expect(Greeting)
        assert not server.sessions


async def test_a_client_that_speaks_another_version_is_told_which_is_spoken(
    network: MemoryNetwork,
) -> None:
    async with network.serve(echo) as server:
        wire = server.call_raw()
        wire.say(Hello(2, bytes(16)))
        bye = await wire.read_bye()
        assert (bye.code, "version 2" in bye.reason) == (1002, True)


async def test_a_network_without_a_server_refuses(network: MemoryNetwork) -> None:
    with pytest.raises(ConnectionRefusedError):
        async with network.connect():
            pass
    assert issubclass(HandshakeRefused, HandshakeError)
