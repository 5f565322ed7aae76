"""Claims about how a session that outlives its links comes to an end, or does not.

How it comes back is told in `test_resume.py`.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from socketchat import (
    HandshakeRefused,
    LinkLost,
    MessageTooBig,
    Receipt,
    Session,
    SessionClosed,
    SessionClosedError,
    SessionClosedOK,
    SessionState,
    UnsupportedVersion,
)
from socketchat.handlers import Admission
from socketchat.messages import Greeting, Hello
from tests.sessions import (
    MemoryNetwork,
    next_events,
    now,
    receive,
    receive_all,
    say_nothing,
    send_all,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    """Put a network in memory where TCP would be."""
    return MemoryNetwork(monkeypatch)


# A server that says goodbye, or no


@pytest.mark.parametrize("code", [1012, 1013])
@pytest.mark.parametrize("who", ["session", "server"])
async def test_a_goodbye_for_a_while_brings_the_client_back(
    network: MemoryNetwork, code: int, who: str
) -> None:
    async with network.serve(say_nothing) as first, network.connect() as client:
        (there,) = first.sessions
        await client.send("before")
        network.server = None
        closing = asyncio.create_task(
            (there if who == "session" else first).close(code, "back soon")
        )
        await until(lambda: client.state is SessionState.LOST)
        await closing
        await client.send("while away")
        async with network.serve(say_nothing) as second:
            await client.flush()
            (new,) = second.sessions
            assert await receive_all(there) == ["before"]
            assert await receive(new, 1) == ["while away"]
            (lost, *_) = await next_events(client, 3)
            assert isinstance(lost, LinkLost)
            assert "back soon" in lost.reason
            assert client.close_code is None
            await client.close()


async def test_a_ping_during_a_goodbye_for_a_while_waits_until_the_client_is_back(
    network: MemoryNetwork,
) -> None:
    network.latency = 0.5
    async with network.serve(say_nothing) as first, network.connect() as client:
        (there,) = first.sessions
        network.server = None
        receipt = await client.send("keeps the link for a moment longer")
        closing = asyncio.create_task(there.close(1012))
        await asyncio.sleep(0.6)
        pinging = asyncio.create_task(client.ping())
        sending = asyncio.create_task(client.send("late"))
        await closing
        async with network.serve(say_nothing) as second:
            assert await pinging == pytest.approx(1.0)
            await sending
            await receipt
            await client.flush()
            (new,) = second.sessions
            assert await receive_all(there) + await receive(new, 1) == [
                "keeps the link for a moment longer",
                "late",
            ]
            client.abort()


async def test_a_client_that_closes_during_a_goodbye_for_a_while_says_its_own(
    network: MemoryNetwork,
) -> None:
    network.latency = 0.5
    async with network.serve(say_nothing) as first, network.connect() as client:
        (there,) = first.sessions
        network.server = None
        await client.send("keeps the link for a moment longer")
        closing = asyncio.create_task(there.close(1012))
        await asyncio.sleep(0.6)
        await client.send("late")
        leaving = asyncio.create_task(client.close(4000, "enough"))
        await closing
        async with network.serve(say_nothing) as second:
            await until(lambda: second.sessions)
            (new,) = second.sessions
            await leaving
            await new.wait_closed()
            for end in (client, new):
                assert (end.close_code, end.close_reason) == (4000, "enough")
            assert await receive_all(new) == ["late"]


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 4000])
async def test_a_goodbye_for_good_does_not(network: MemoryNetwork, code: int) -> None:
    async with network.pair() as (client, server):
        await server.close(code)
        await client.wait_closed()
        await asyncio.sleep(100)
        assert client.close_code == code
        assert len(network.dialled) == 1


class Doorkeeper:
    """A handler that lets callers in as long as `refusal` is None."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None

    async def admit(self, hello: Hello, address: str) -> Admission:
        if self.refusal is not None:
            raise self.refusal
        return Admission(hello.nick, hello.room)

    async def __call__(self, session: Session) -> None:
        await session.wait_closed()


@pytest.mark.parametrize("code", [1008, 4003])
async def test_a_client_that_is_not_let_in_again_is_told_why(
    network: MemoryNetwork, code: int
) -> None:
    door = Doorkeeper()
    async with network.serve(door) as server, network.connect() as client:
        door.refusal = HandshakeRefused(code, "banned")
        receipt = await client.send("hello")
        for session in server.sessions:
            session.abort()
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (code, "banned")
        with pytest.raises(SessionClosedError) as caught:
            await receipt
        assert isinstance(caught.value.__cause__, HandshakeRefused)


async def test_a_server_of_another_version_in_its_place_ends_the_session(
    network: MemoryNetwork,
) -> None:
    async with network.pair() as (client, _):
        callers = network.answer_yourself()
        network.cut()
        async with await callers.get() as wire:
            wire.say(Greeting(2, bytes(32)))
            await client.wait_closed()
            assert client.close_code == 1006
            with pytest.raises(SessionClosedError) as caught:
                await client.recv()
            assert isinstance(caught.value.__cause__, UnsupportedVersion)
            assert "version 2" in str(caught.value)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 503 Service Unavailable\r\n\r\n"])
async def test_another_program_in_its_place_is_borne_with(
    network: MemoryNetwork, said: bytes
) -> None:
    async with network.pair() as (client, server):
        callers = network.answer_yourself()
        network.cut()
        for _ in range(3):
            async with await callers.get() as wire:
                wire.say_bytes(said)
        network.answer_yourself(no_more=True)
        await until(lambda: client.state is SessionState.OPEN)
        await client.send("still here")
        assert await receive(server, 1) == ["still here"]


async def test_a_client_that_shall_try_again_later_does(network: MemoryNetwork) -> None:
    door = Doorkeeper()
    async with network.serve(door) as server, network.connect() as client:
        door.refusal = HandshakeRefused(1013, "not now")
        for session in server.sessions:
            session.abort()
        await client.send("hello")
        await asyncio.sleep(100)
        assert client.state is SessionState.LOST
        assert len(network.dialled) > 5
        door.refusal = None
        await client.flush()


async def test_a_message_that_is_too_big_for_the_server_that_came_back_is_refused_here(
    network: MemoryNetwork,
) -> None:
    async with network.serve(say_nothing) as first, network.connect() as client:
        network.server = None
        for session in first.sessions:
            session.abort()
        await until(lambda: client.state is SessionState.LOST)
        bodies: list[str | bytes] = ["small", "x" * 10_000, "small again"]
        receipts = await send_all(client, bodies)
        async with network.serve(say_nothing, max_size=5000) as second:
            await receipts[0]
            with pytest.raises(MessageTooBig, match="at most 5000"):
                await receipts[1]
            await receipts[2]
            with pytest.raises(MessageTooBig):
                await client.send("x" * 6000)
            await client.send("goes on")
            (new,) = second.sessions
            assert await receive(new, 3) == ["small", "small again", "goes on"]
            client.abort()


# Closing while the link is lost


async def test_closing_with_nothing_unacknowledged_does_not_wait_for_the_link(
    network: MemoryNetwork,
) -> None:
    async with network.pair() as ends:
        network.server = None
        network.cut()
        await until(lambda: {end.state for end in ends} == {SessionState.LOST})
        for end in ends:
            start = now()
            await end.close()
            assert now() == start
            with pytest.raises(SessionClosedOK):
                await receive_all_strictly(end)


async def receive_all_strictly(session: Session) -> None:
    """Receive until the error that ends it."""
    while True:
        await session.recv()


async def test_closing_with_something_unacknowledged_waits_until_the_link_is_back(
    network: MemoryNetwork,
) -> None:
    async with network.pair() as (client, server):
        there, network.server = network.server, None
        network.cut()
        await until(lambda: client.state is server.state is SessionState.LOST)
        receipts = [await client.send("there"), await server.send("back")]
        closing = [asyncio.create_task(end.close()) for end in (client, server)]
        await asyncio.sleep(5)
        assert not closing[0].done()
        assert not closing[1].done()
        network.server = there
        await asyncio.gather(*closing)
        for receipt in receipts:
            await receipt
        assert (client.close_code, server.close_code) == (1000, 1000)
        assert await receive_all(server) == ["there"]
        assert await receive_all(client) == ["back"]


async def test_closing_gives_up_when_the_link_is_not_back_in_time(network: MemoryNetwork) -> None:
    async with network.pair(server={"close_timeout": 7}, close_timeout=7) as ends:
        network.server = None
        network.cut()
        await until(lambda: {end.state for end in ends} == {SessionState.LOST})
        receipts = [await end.send("never") for end in ends]
        start = now()
        await asyncio.gather(*[end.close() for end in ends])
        assert now() == start + 7
        for end, receipt in zip(ends, receipts, strict=True):
            assert end.close_code == 1006
            with pytest.raises(SessionClosedError):
                await receipt


async def test_a_link_that_breaks_while_closing_comes_back_for_what_is_unacknowledged(
    network: MemoryNetwork,
) -> None:
    network.latency = 0.1
    async with network.pair() as (client, server):
        receipts = await send_all(client, "abc")
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0.05)
        network.cut()
        await closing
        assert [receipt.error for receipt in receipts] == [None] * 3
        assert await receive_all(server) == ["a", "b", "c"]
        assert (client.close_code, server.close_code) == (1000, 1000)


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_an_end_does_not_wait_for_an_attempt_to_come_back(
    network: MemoryNetwork, how: str
) -> None:
    async with network.pair(open_timeout=1000) as (client, _):
        network.prepare = lambda link: link.stall()
        network.cut()
        await until(lambda: len(network.links) == 2)
        start = now()
        if how == "close":
            await client.close()
        else:
            client.abort()
            await client.wait_closed()
        assert now() == start
        await turns()
        assert network.links[1].near[1].is_closing()


@pytest.mark.parametrize("seed", range(24))
async def test_whatever_breaks_while_each_side_closes_no_receipt_lies_and_nobody_hangs(
    network: MemoryNetwork, seed: int
) -> None:
    rng = random.Random(seed)
    network.latency = rng.choice([0, 0.01, 0.2])
    network.prepare = lambda link: link.deliver_chunks(rng)
    received: dict[Session, list[str | bytes]] = {}
    receipts: dict[Session, list[tuple[str, Receipt]]] = {}

    async def talk(session: Session) -> None:
        name = len(received)
        received[session], receipts[session] = [], []
        receiving = asyncio.create_task(receive_into(received[session], session))
        with suppress(SessionClosed):
            for number in range(rng.randrange(100)):
                text = f"{name}.{number:03}"
                receipts[session].append((text, await session.send(text)))
                await asyncio.sleep(rng.choice([0, 0, 0.05]))
            await session.close(rng.choice([1000, 4000]))
        await receiving

    async def cut() -> None:
        while True:
            await asyncio.sleep(rng.random())
            network.cut(reset=rng.random() < 0.5)

    async with network.serve(talk, close_timeout=5, resume_timeout=50), network.connect() as client:
        cutting = asyncio.create_task(cut())
        await talk(client)
        await client.wait_closed()
        cutting.cancel()
        assert network.server is not None
        await asyncio.sleep(60)
        assert not network.server.sessions
        servers = [session for session in received if session is not client]
        for bodies in received.values():
            assert bodies == sorted(set(bodies), key=str)
        there = set().union(*[received[session] for session in servers])
        for text, receipt in receipts[client]:
            assert receipt.done
            assert receipt.error is not None or text in there
        for session in servers:
            for text, receipt in receipts[session]:
                assert receipt.done
                assert receipt.error is not None or text in received[client]


async def receive_into(bodies: list[str | bytes], session: Session) -> None:
    """Note each message that arrives, until the session ends in whatever way."""
    with suppress(SessionClosed):
        async for message in session:
            bodies.append(message.body)  # noqa: PERF401 - others look at it meanwhile
