"""Claims about `socketchat.client`: what `connect` does when all is not well.

How it comes back is told in `test_resume.py`, whom it trusts in `test_client_trust.py`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from socketchat import (
    HandshakeError,
    HandshakeRefused,
    Identity,
    Session,
    SessionClosedError,
    SessionState,
    connect,
    serve,
)
from socketchat.messages import (
    VERSION,
    Ack,
    Bye,
    Greeting,
    Hello,
    Ping,
    Refused,
    TextPost,
    Welcome,
    WireMessage,
    encode,
)
from socketchat.testing import MemoryLink
from socketchat.trust.tls import server_context
from tests.sessions import MemoryNetwork, Wire, echo, now, open_session, say_nothing, turns

IDENTITY = Identity.generate()

virtual_time = pytest.mark.virtual_time


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    """Put a network in memory where TCP would be."""
    return MemoryNetwork(monkeypatch)


# Arguments


@pytest.mark.parametrize("trust", ["", "Strict", "ask", "SHA256:", "SHA256:" + "A" * 42])
def test_a_trust_that_does_not_exist_is_refused_at_once(trust: str) -> None:
    with pytest.raises(ValueError, match="trust must be"):
        connect("localhost", trust=trust)


@pytest.mark.parametrize("options", [{"max_size": 1}, {"open_timeout": 0}, {"max_queue": (1, 1)}])
def test_an_option_out_of_range_is_refused_at_once(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        connect("localhost", **options)


@virtual_time
@pytest.mark.parametrize("name", ["nick", "room"])
async def test_a_name_that_is_too_long_is_refused(network: MemoryNetwork, name: str) -> None:
    async with network.serve(echo):
        with pytest.raises(ValueError, match="at most 64 characters"):
            await open_session(**{name: "x" * 65})


@virtual_time
async def test_nothing_happens_before_it_is_awaited(network: MemoryNetwork) -> None:
    async with network.serve(echo):
        connect("server.test", tls=False)
        await turns()
        assert network.dialled == []


@virtual_time
async def test_history_cannot_be_less_than_nothing(network: MemoryNetwork) -> None:
    with pytest.raises(ValueError, match="history must be 0 or more"):
        await open_session(history=-1)
    assert network.dialled == []


@virtual_time
async def test_a_time_since_when_must_say_its_time_zone(network: MemoryNetwork) -> None:
    with pytest.raises(ValueError, match="time zone"):
        await open_session(since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point
    assert network.dialled == []


@virtual_time
@pytest.mark.parametrize(
    ("since", "asked"),
    [
        (None, 0),
        (datetime(2023, 11, 14, 22, 13, 20, 5, tzinfo=UTC), 1_700_000_000_000_005),
        (datetime(1970, 1, 1, 2, 0, 1, tzinfo=timezone(timedelta(hours=2))), 1_000_000),
        # Whatever there is: no time at all would mean the end of the room.
        (datetime(1970, 1, 1, tzinfo=UTC), 1),
        (datetime(1901, 1, 1, tzinfo=UTC), 1),
    ],
)
async def test_a_new_client_asks_for_what_was_said_since_a_time(
    network: MemoryNetwork, since: datetime | None, asked: int
) -> None:
    async with network.answer(since=since, history=7) as (wire, opening):
        hello = await wire.greet_back()
        assert (hello.session, hello.after, hello.history) == (b"", (0, asked), 7)
        await opening


@virtual_time
@pytest.mark.parametrize("place", [(39, 7_000), (0, 0)], ids=["a log", "an empty log"])
async def test_a_client_that_comes_back_names_its_place_and_not_what_it_asked_for_at_first(
    network: MemoryNetwork, place: tuple[int, int]
) -> None:
    session = bytes(range(16))
    since = datetime(2023, 11, 14, tzinfo=UTC)
    callers = network.answer_yourself()
    opening = asyncio.create_task(open_session(since=since, nick="ada", room="den"))
    wire = await callers.get()
    first = await wire.greet_back(Welcome(session, 0, "ada-2", "lobby", 1, place[0], place))
    client = await opening

    async def come_back() -> Hello:
        nonlocal wire
        wire.reset()
        wire = await callers.get()
        return await wire.greet_back(Welcome(session, 0, "ada-2", "lobby", 1, 50, place))

    # It holds nothing yet but the place that it was told.
    hello = await come_back()
    assert (hello.lane, hello.session, hello.after) == (first.lane, session, place)
    assert (hello.nick, hello.room) == ("ada-2", "lobby")
    wire.say(TextPost(40, "a", 7_100), TextPost(44, "b", 7_200))
    assert (await wire.expect(Ack)).number == 44
    hello = await come_back()
    assert (hello.session, hello.after) == (session, (44, 7_200))
    client.abort()
    await client.wait_closed()
    wire.reset()


# Invites


@virtual_time
async def test_an_invite_is_shown_until_it_has_let_us_in(network: MemoryNetwork) -> None:
    callers = network.answer_yourself()
    opening = asyncio.create_task(open_session(invite="token"))
    wire = await callers.get()
    assert (await wire.greet_back(Welcome(bytes(range(16)), 0))).invite == "token"
    client = await opening
    wire.reset()
    wire = await callers.get()
    assert (await wire.greet_back(Welcome(bytes(range(16)), 0))).invite == ""
    client.abort()
    await client.wait_closed()
    wire.reset()


def test_an_invite_that_is_too_long_is_refused_and_not_told() -> None:
    with pytest.raises(ValueError, match="at most 1024 characters") as caught:
        connect("localhost", invite="x" * 1025)
    assert "xx" not in str(caught.value)


# Nobody there


async def test_a_host_that_does_not_exist_is_an_error_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(socket.gaierror, match="not known"):
        await connect("nowhere.invalid")


@pytest.mark.both_loops
@pytest.mark.parametrize("tls", [False, True])
async def test_a_port_where_nobody_listens_is_an_error_of_the_system(tls: bool) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await connect("127.0.0.1", bound.getsockname()[1], tls=tls)


@virtual_time
async def test_a_host_that_never_answers_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def open_streams(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("socketchat.client.open_streams", open_streams)
    with pytest.raises(TimeoutError):
        await connect("192.0.2.1", open_timeout=3)
    assert now() == 3


@virtual_time
async def test_a_server_that_never_greets_is_given_up_in_time(network: MemoryNetwork) -> None:
    network.prepare = MemoryLink.stall
    async with network.serve(echo, open_timeout=100):
        with pytest.raises(TimeoutError):
            await connect("server.test", tls=False, open_timeout=3)
        assert now() == 3
        assert network.links[0].near[1].is_closing()


@virtual_time
async def test_without_a_limit_it_waits_for_ever(network: MemoryNetwork) -> None:
    network.prepare = MemoryLink.stall
    async with network.serve(echo, open_timeout=None):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100_000):
                await connect("server.test", tls=False, open_timeout=None)


# Someone else there


@asynccontextmanager
async def answering(data: bytes, *, tls: bool = False, stay: bool = False) -> AsyncIterator[int]:
    """Serve what is no socketchat server: it says something to every caller, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        writer.write(data)
        if stay:
            await wire.read_end()
        await wire.close()
        done.set()

    done = asyncio.Event()
    context = server_context(IDENTITY) if tls else None
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await done.wait()
    await server.wait_closed()


#: It writes a key for OpenSSL into a file.
may_block = pytest.mark.may_block(reason="server_context")


@may_block
@pytest.mark.both_loops
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", r"^not a socketchat server, or it closed at once \("),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "^not a socketchat server: frame of "),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "^not a socketchat server: frame of "),
        (b"\x00\x00\x00\x02hi", "^not a socketchat server: malformed message"),
        (encode(TextPost(1, "x")), "^not a socketchat server: TextPost from the server"),
        (
            encode(Greeting(2, bytes(32))),
            "speaks version 2 of the protocol, this program version 1",
        ),
        (
            encode(Greeting(0, bytes(32))),
            "speaks version 0 of the protocol, this program version 1",
        ),
        (encode(Bye(1013, "too busy")), r"^refused by the server: 1013 \(.*\): too busy$"),
    ],
    ids=["nothing", "HTTP", "SSH", "no msgpack", "post", "later", "earlier", "goodbye"],
)
async def test_who_is_no_socketchat_server_is_told_from_one(
    data: bytes, text: str, tls: bool
) -> None:
    async with answering(data, tls=tls) as port:
        with pytest.raises(HandshakeError, match=text):
            await connect("127.0.0.1", port, tls=tls, trust=IDENTITY.fingerprint)


@pytest.mark.both_loops
@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", encode(Greeting(VERSION, bytes(32)))]
)
async def test_who_does_not_speak_tls_is_an_error_of_the_system(data: bytes) -> None:
    async with answering(data) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect("127.0.0.1", port)


@pytest.mark.may_block("what is logged here, pytest writes to a file")
async def test_one_that_speaks_in_the_clear_to_a_server_with_tls_is_hung_up_on() -> None:
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY, tls_timeout=0.1) as server:
        with pytest.raises(HandshakeError, match="not a socketchat server, or it closed at once"):
            await connect("127.0.0.1", server.port, tls=False)


@virtual_time
@pytest.mark.parametrize("code", [1008, 1013, 4000])
async def test_a_refusal_is_raised_with_its_code_and_reason(
    network: MemoryNetwork, code: int
) -> None:
    async with network.answer() as (wire, opening):
        wire.say(Greeting(VERSION, bytes(32)), Refused(code, "not you"))
        with pytest.raises(HandshakeRefused, match="not you") as caught:
            await opening
        assert (caught.value.code, caught.value.reason) == (code, "not you")
        assert len(network.dialled) == 1


# A server that breaks the protocol


@virtual_time
@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([Ack(1)], 1002),
        ([Hello(VERSION, bytes(16))], 1002),
        ([Greeting(VERSION, bytes(32))], 1002),
        ([Bye(1000), TextPost(1, "too late")], 1002),
        ([TextPost(1, "x" * 5000)], 1009),
    ],
    ids=["Ack of nothing", "Hello", "Greeting", "text behind a goodbye", "too long"],
)
async def test_a_server_that_breaks_the_protocol_is_told_so_and_not_called_again(
    network: MemoryNetwork, said: list[WireMessage], code: int
) -> None:
    async with network.answer(max_size=4999) as (wire, opening):
        await wire.greet_back()
        client = await opening
        wire.say(*said)
        assert (await wire.read_bye()).code == code
        with pytest.raises(SessionClosedError) as caught:
            await client.recv()
        assert caught.value.code == code
        await client.wait_closed()
        assert len(network.dialled) == 1


@virtual_time
async def test_a_server_that_claims_to_hold_what_was_never_sent_is_not_believed(
    network: MemoryNetwork,
) -> None:
    async with network.answer() as (wire, opening):
        await wire.greet_back(Welcome(bytes(16), 7))
        with pytest.raises(HandshakeError, match="post 7 cannot be held"):
            await opening


@virtual_time
async def test_a_bug_while_it_comes_back_ends_the_session_and_is_logged(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with network.pair() as (client, _):

        async def open_streams(*_: object) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr("socketchat.client.open_streams", open_streams)
        network.cut()
        with pytest.raises(SessionClosedError) as caught:
            await client.recv()
        assert caught.value.code == 1011
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert "ZeroDivisionError: a bug" in caplog.text


# Cancelling


@virtual_time
async def test_connecting_that_is_cancelled_at_any_moment_leaves_nothing_behind(
    network: MemoryNetwork,
) -> None:
    network.prepare = lambda link: link.deliver_chunks([16] * 1000)
    async with network.serve(say_nothing) as server:
        moment, opened = 0, False
        while not opened:
            moment += 1
            opening = asyncio.create_task(open_session())
            await turns(moment)
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled():
                await opening.result().close()
                opened = True
            if network.links:
                await turns()
                assert network.links[-1].near[1].is_closing()
        assert moment > 10
        for session in server.sessions:
            assert session.state is SessionState.LOST


@pytest.mark.both_loops
async def test_connecting_over_tls_that_is_cancelled_at_any_moment_leaves_nothing_behind() -> None:
    async with serve(say_nothing, "127.0.0.1", 0, identity=IDENTITY) as server:

        async def call() -> Session:
            return await connect("127.0.0.1", server.port, trust=IDENTITY.fingerprint)

        moment, opened = 0, False
        while not opened:
            moment += 1
            opening = asyncio.create_task(call())
            for _ in range(moment):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled():
                await opening.result().close()
                opened = True


@virtual_time
async def test_a_goodbye_to_a_server_that_pings_meanwhile_is_no_trouble(
    network: MemoryNetwork,
) -> None:
    async with network.answer() as (wire, opening):
        await wire.greet_back()
        client = await opening
        closing = asyncio.create_task(client.close(4000))
        await wire.read_bye()
        wire.say(Ping(1), TextPost(1, "in flight"), Bye(4000))
        await closing
        assert client.close_code == 4000
        assert (await client.recv()).text == "in flight"
