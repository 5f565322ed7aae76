"""Claims about sessions that may be at several servers: nothing lost, nothing twice, in order.

In memory and on virtual time; at the end the same over TCP. How servers are named and whose turn it
is: `test_servers.py`.
"""

from __future__ import annotations

import asyncio
import errno
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from socketchat import (
    HandshakeRefused,
    Identity,
    LinkLost,
    LinkRestored,
    Restarted,
    Session,
    SessionClosedError,
    SessionState,
    UntrustedPeer,
    connect,
    serve,
)
from socketchat.chat import ChatServer, MemoryLog, Rules
from socketchat.client import FIRST_DELAY, MAX_DELAY
from socketchat.errors import CloseCode
from socketchat.messages import VERSION, Greeting, Hello, Refused
from tests.proxy import CuttingProxy
from tests.sessions import (
    MemoryNetwork,
    lost_and_found,
    next_events,
    now,
    receive,
    say_nothing,
    send_all,
    turns,
    until,
)

virtual_time = pytest.mark.virtual_time

A, B, C = "a.test:7625", "b.test:7625", "c.test:80"
ALL: list[Any] = [A, "b.test", ("c.test", 80)]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    """Put a network in memory where TCP would be."""
    return MemoryNetwork(monkeypatch)


async def call(*hosts: Any, **arguments: Any) -> Session:
    """Connect to one of these servers."""
    return await connect(list(hosts) or ALL, tls=False, **arguments)


def room(log: MemoryLog) -> ChatServer:
    """Return a chat server in which everyone speaks as fast as they can."""
    return ChatServer(log, rules=Rules(rate=None))


def die(network: MemoryNetwork, address: str) -> None:
    """Have a server be there no longer, and its link cut."""
    network.at.pop(address, None)
    network.cut()


# At first


@virtual_time
async def test_the_first_that_lets_us_in_is_the_one(network: MemoryNetwork) -> None:
    async with network.serve_at(B), network.serve_at(C), await call() as client:
        assert network.called == [A, B]
        assert client.peer.host == B
        await client.send("hello")
        assert await receive(client, 1) == ["hello"]


@virtual_time
async def test_if_there_is_none_the_error_has_what_each_of_them_said(
    network: MemoryNetwork,
) -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        await call()
    assert network.called == [A, B, C]
    assert caught.value.errno == errno.ECONNREFUSED
    assert [note.partition(": ")[0] for note in caught.value.__notes__] == [A, B, C]


@virtual_time
async def test_a_server_that_does_not_answer_has_its_own_time(network: MemoryNetwork) -> None:
    network.prepare = lambda link: link.stall() if len(network.links) == 1 else None
    async with (
        network.serve_at(A, open_timeout=100),
        network.serve_at(B),
        await call(open_timeout=3) as client,
    ):
        assert now() == 3
        assert client.peer.host == B


@virtual_time
async def test_who_is_refused_by_one_goes_on_to_the_next(network: MemoryNetwork) -> None:
    async with (
        network.serve_at(A, max_sessions=(1, 1)),
        network.serve_at(B),
        await call(A),
        await call() as client,
    ):
        assert client.peer.host == B


@virtual_time
async def test_the_most_serious_refusal_is_raised(network: MemoryNetwork) -> None:
    async with network.serve_at(B, max_sessions=(1, 1)), await call(B):
        network.called.clear()
        with pytest.raises(HandshakeRefused) as caught:
            await call()
        assert caught.value.code == CloseCode.TRY_AGAIN_LATER
        assert network.called == [A, B, C]


# When the link is lost


@virtual_time
async def test_a_session_goes_on_at_the_next_server_and_tells_at_which(
    network: MemoryNetwork,
) -> None:
    log = MemoryLog()
    async with network.serve_at(A, room(log)), network.serve_at(B, room(log)):
        client = await call(A, B)
        async with client:
            await (await client.send("one"))
            die(network, A)
            await until(lambda: client.state is SessionState.LOST)
            receipt = await client.send("two")
            await receipt
            assert receipt.number == 2
            lost, restored = await next_events(client, 2)
            assert isinstance(lost, LinkLost)
            assert restored == LinkRestored(B)
            assert client.peer.host == B
            assert network.called == [A, B]


@virtual_time
async def test_a_link_that_is_back_at_the_same_server_says_of_none(network: MemoryNetwork) -> None:
    async with network.serve_at(A), await call(A, B) as client:
        network.cut()
        await lost_and_found(client)
        assert (await next_events(client, 2))[1] == LinkRestored()
        assert network.called == [A, B, A]


@virtual_time
async def test_between_plain_servers_it_is_a_restart(network: MemoryNetwork) -> None:
    async with network.serve_at(A), network.serve_at(B), await call(A, B) as client:
        die(network, A)
        await lost_and_found(client)
        assert (await next_events(client, 3))[1:] == [Restarted(), LinkRestored(B)]


@virtual_time
async def test_each_round_calls_all_of_them_and_only_rounds_wait(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def uniform(low: float, high: float) -> float:
        asked.append(high)
        return high

    monkeypatch.setattr("socketchat.client.random.uniform", uniform)
    async with network.serve_at(B) as there:
        client = await call()
        assert network.called == [A, B]
        start = len(network.called)
        die(network, B)
        await until(lambda: len(network.called) == start + 3 * 12)
        rounds = [network.dialled[n : n + 3] for n in range(start, start + 36, 3)]
        assert network.called[start : start + 6] == [C, A, B] * 2
        assert all(first == last for first, _, last in rounds)
        assert asked == [min(FIRST_DELAY * 2**n, MAX_DELAY) for n in range(len(asked))]
        network.at[B] = there
        await until(lambda: client.state is SessionState.OPEN)
        await client.close()


@virtual_time
async def test_a_new_link_that_is_asked_for_is_to_the_next(network: MemoryNetwork) -> None:
    log = MemoryLog()
    async with (
        network.serve_at(A, room(log)),
        network.serve_at(B, room(log)),
        await call(A, B) as client,
    ):
        assert client.reconnect()
        await lost_and_found(client)
        assert client.peer.host == B


@virtual_time
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_the_end_of_a_session_waits_for_no_round(network: MemoryNetwork, end: str) -> None:
    async with network.serve_at(A):
        client = await call(open_timeout=None)
        die(network, A)
        network.answer_yourself()
        await until(lambda: len(network.called) == 2)
        await turns()
        await client.close() if end == "close" else client.abort()
        await client.wait_closed()
        assert len(network.called) == 2


@virtual_time
@pytest.mark.parametrize("seed", range(12))
async def test_whichever_servers_die_each_message_arrives_once_and_in_order(
    network: MemoryNetwork, seed: int
) -> None:
    rng = random.Random(seed)
    network.latency = rng.choice([0, 0.001, 0.02])
    network.prepare = lambda link: link.deliver_chunks(rng)
    log = MemoryLog()
    sent = [f"{number}." + "x" * rng.choice([0, 10, 1000]) for number in range(200)]
    async with AsyncExitStack() as stack:
        places = [A, B, C]
        there = {
            at: await stack.enter_async_context(network.serve_at(at, room(log))) for at in places
        }
        client = await call(ping_interval=1, ping_timeout=1)

        async def kill() -> None:
            while True:
                await asyncio.sleep(rng.random())
                network.at.clear()
                network.at.update({at: there[at] for at in rng.sample(places, rng.randrange(3))})
                network.cut(reset=rng.random() < 0.5)

        killing = asyncio.create_task(kill())
        for text in sent:
            await client.send(text)
            await asyncio.sleep(rng.choice([0, 0, 0.1]))
        network.at.update(there)
        await client.flush()
        killing.cancel()
        network.at.update(there)
        assert len(set(network.called)) > 1
        await client.close()
        async with await call(history=1000) as reader:
            assert await receive(reader, len(sent)) == sent


# Whom to trust

IDENTITY, OTHER = Identity.generate(), Identity.generate()

may_block = pytest.mark.may_block(reason="server_context")


@may_block
async def test_each_server_has_its_own_pin_among_the_known_hosts(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    log = MemoryLog()
    async with (
        serve(room(log), "127.0.0.1", 0, identity=IDENTITY) as first,
        serve(room(log), "127.0.0.1", 0, identity=OTHER) as second,
    ):
        hosts = [f"127.0.0.1:{server.port}" for server in (first, second)]
        async with connect(hosts, trust="accept-new", known_hosts=known) as client:
            client.reconnect()
            await lost_and_found(client)
            assert client.peer.key == OTHER.fingerprint
    assert known.read_text().splitlines() == [
        f"{hosts[0]} {IDENTITY.fingerprint}",
        f"{hosts[1]} {OTHER.fingerprint}",
    ]


@may_block
async def test_an_untrusted_server_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve(say_nothing, "127.0.0.1", 0, identity=IDENTITY) as first,
        serve(say_nothing, "127.0.0.1", 0, identity=OTHER) as second,
    ):
        hosts = [("127.0.0.1", first.port), ("127.0.0.1", second.port)]
        async with connect(hosts, trust=OTHER.fingerprint) as client:
            assert client.peer.host == f"127.0.0.1:{second.port}"
        assert not first.sessions
        assert f"127.0.0.1:{first.port} is passed over" in caplog.text
        async with connect(hosts, trust=[IDENTITY.fingerprint, OTHER.fingerprint]) as client:
            assert client.peer.host == f"127.0.0.1:{first.port}"


@may_block
async def test_if_none_lets_us_in_an_untrusted_one_is_what_is_told(tmp_path: Path) -> None:
    async with serve(say_nothing, "127.0.0.1", 0, identity=IDENTITY) as server:
        hosts = [("127.0.0.1", 1), ("127.0.0.1", server.port), ("127.0.0.1", 2)]
        with pytest.raises(UntrustedPeer, match="is not known here") as caught:
            await connect(hosts, known_hosts=tmp_path / "known_hosts")
        assert len(caught.value.__notes__) == 3


@may_block
async def test_a_session_ends_once_no_server_can_be_trusted_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.client.FIRST_DELAY", 0.01)
    known = tmp_path / "known_hosts"
    async with (
        serve(say_nothing, "127.0.0.1", 0, identity=IDENTITY) as first,
        serve(say_nothing, "127.0.0.1", 0, identity=OTHER) as second,
    ):
        hosts = [("127.0.0.1", first.port), ("127.0.0.1", second.port)]
        async with connect(hosts[:1], trust="accept-new", known_hosts=known):
            pass
        async with connect(hosts, trust="strict", known_hosts=known) as client:
            client.reconnect()  # the second is not known: it is passed over
            await lost_and_found(client)
            assert client.peer.key == IDENTITY.fingerprint
            known.write_text(f"127.0.0.1:{first.port} {OTHER.fingerprint}\n")
            client.reconnect()
            with pytest.raises(SessionClosedError) as caught:
                await client.recv()
            assert isinstance(caught.value.__cause__, UntrustedPeer)


# Invites


@virtual_time
async def test_an_invite_is_shown_to_all_servers_that_it_names(network: MemoryNetwork) -> None:
    callers = network.answer_yourself()
    pins = [IDENTITY.fingerprint, OTHER.fingerprint]
    opening = asyncio.create_task(call(A, B, trust=pins, invite="token"))
    told = []
    for _ in range(2):
        wire = await callers.get()
        wire.say(Greeting(VERSION, bytes(32)))
        told.append((await wire.expect(Hello)).invite)
        wire.say(Refused(1008, "not you"))
    with pytest.raises(HandshakeRefused):
        await opening
    assert told == ["token"] * 2


# Over TCP


@pytest.mark.both_loops
@may_block
async def test_over_tcp_nothing_is_lost_or_doubled_when_a_server_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socketchat.client.FIRST_DELAY", 0.01)
    log = MemoryLog()
    sent = [f"{number}" for number in range(600)]
    async with (
        serve(room(log), "127.0.0.1", 0, identity=IDENTITY) as first,
        serve(room(log), "127.0.0.1", 0, identity=OTHER) as second,
    ):
        pins = [IDENTITY.fingerprint, OTHER.fingerprint]
        async with CuttingProxy(first.port, random.Random(1), max_bytes=10_000) as proxy:
            hosts = [f"127.0.0.1:{proxy.port}", f"127.0.0.1:{second.port}"]
            client = await connect(hosts, trust=pins)
            sending = asyncio.create_task(send_all(client, sent))
            await until(lambda: client.peer.key == OTHER.fingerprint)
        await sending
        await client.flush()
        await client.close()
        async with connect(hosts[1:], history=1000, trust=pins[1]) as reader:
            assert await receive(reader, len(sent)) == sent
