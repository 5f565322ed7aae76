"""Claims about sessions that outlive their links: nothing lost, nothing twice, in order.

Clients and servers are the real ones; what joins them is in memory, and time is virtual. The same
over TCP, through a proxy that cuts: `test_resume_tcp.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from socketchat import (
    LinkLost,
    LinkRestored,
    Message,
    Restarted,
    Session,
    SessionClosedError,
    SessionState,
)
from socketchat.client import FIRST_DELAY, MAX_DELAY
from socketchat.options import OptionArgs
from socketchat.testing import End, MemoryLink
from tests.sessions import (
    MemoryNetwork,
    lost_and_found,
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


# A link that is lost and comes back


@pytest.mark.parametrize("reset", [True, False])
async def test_a_session_outlives_its_link_and_tells_of_it(
    network: MemoryNetwork, reset: bool
) -> None:
    async with network.pair() as (client, server):
        name = client.id
        network.cut(reset=reset)
        await lost_and_found(client)
        receipts = [await client.send("there"), await server.send("back")]
        for receipt in receipts:
            await receipt
        why = "Connection reset by peer" if reset else "the link broke without a goodbye"
        for session, text in ((client, "back"), (server, "there")):
            lost, restored, message = await next_events(session, 3)
            assert lost == LinkLost(why)
            assert restored == LinkRestored()
            assert isinstance(message, Message)
            assert message.text == text
            assert session.id == name


async def test_what_is_sent_while_the_link_is_lost_goes_out_when_it_is_back(
    network: MemoryNetwork,
) -> None:
    async with network.pair() as (client, server):
        there, network.server = network.server, None
        network.cut()
        await until(lambda: client.state is server.state is SessionState.LOST)
        assert (client.linked, server.linked) == (False, False)
        receipts = [await send_all(session, "abc") for session in (client, server)]
        await asyncio.sleep(30)
        assert (client.unacknowledged, server.unacknowledged) == (3, 3)
        network.server = there
        assert await receive(server, 3) == await receive(client, 3) == ["a", "b", "c"]
        for receipt in receipts[0] + receipts[1]:
            await receipt
        assert (client.linked, server.linked) == (True, True)


async def test_while_the_link_is_lost_send_waits_at_the_same_bound(network: MemoryNetwork) -> None:
    async with network.pair(max_unacked=(5, 2**20)) as (client, server):
        there, network.server = network.server, None
        network.cut()
        sending = asyncio.create_task(send_all(client, map(str, range(20))))
        await asyncio.sleep(60)
        assert client.unacknowledged == 5
        assert not sending.done()
        network.server = there
        assert await receive(server, 20) == [str(n) for n in range(20)]
        await sending


async def test_a_ping_waits_until_the_link_is_back(network: MemoryNetwork) -> None:
    network.latency = 0.5
    async with network.pair() as (client, _):
        pinging = asyncio.create_task(client.ping())
        await asyncio.sleep(0.1)
        network.cut()
        await asyncio.sleep(0.1)
        late = asyncio.create_task(client.ping())
        assert await pinging == await late == pytest.approx(1.0)


async def test_a_server_whose_link_is_replaced_is_answered_over_the_new_one(
    network: MemoryNetwork,
) -> None:
    async with network.pair() as (_, server):
        for _ in range(3):
            await server.ping()
        network.links[-1].half_open(End.NEAR)
        start = now()
        pinging = asyncio.create_task(server.ping())
        assert await pinging == 0.0
        assert now() - start <= FIRST_DELAY


async def test_a_cancelled_recv_does_not_mind_a_lost_link(network: MemoryNetwork) -> None:
    async with network.pair() as (client, server):
        receiving = asyncio.create_task(client.recv())
        await turns()
        network.cut()
        await turns()
        receiving.cancel()
        await lost_and_found(client)
        await server.send("hello")
        assert (await client.recv()).text == "hello"


async def test_a_client_does_not_wait_for_the_rest_of_a_link_that_the_server_has_left(
    network: MemoryNetwork,
) -> None:
    async with network.pair() as (client, server):
        network.links[0].stall(End.NEAR)
        await client.send("x" * 200_000)
        network.links[0].far[1].write_eof()
        start = now()
        await lost_and_found(client)
        assert now() - start < 1
        assert len((await server.recv()).text) == 200_000


# Cuts at any moment


@pytest.mark.parametrize("seed", range(24))
async def test_wherever_the_link_is_cut_each_message_arrives_once_and_in_order(
    network: MemoryNetwork, seed: int
) -> None:
    rng = random.Random(seed)
    network.latency = rng.choice([0, 0.001, 0.02])
    network.prepare = lambda link: link.deliver_chunks(rng)
    options: OptionArgs = {
        "max_unacked": (rng.choice([1, 7, 4096]), rng.choice([500, 2**22])),
        "max_queue": rng.choice([(2, 1), (256, 64)]),
        "ping_interval": 1,
        "ping_timeout": 1,
    }
    async with network.pair(server=options, **options) as (client, server):

        async def talk(session: Session) -> list[str | bytes]:
            bodies: list[str | bytes] = []
            for number in range(rng.randrange(1, 300)):
                text = f"{number}." + "x" * rng.choice([0, 10, 1000])
                bodies.append(text if rng.random() < 0.5 else text.encode())
                await session.send(bodies[-1])
                await asyncio.sleep(rng.choice([0, 0, 0, 0.001, 0.1]))
            await session.flush()
            return bodies

        async def cut() -> None:
            while True:
                await asyncio.sleep(rng.choice([0.001, 0.1, 1]) * rng.random())
                await turns(rng.randrange(5))
                break_a_link(rng, network.links[-1])

        cutting = asyncio.create_task(cut())
        receiving = [asyncio.create_task(receive_all(end)) for end in (server, client)]
        sent = list(await asyncio.gather(talk(client), talk(server)))
        cutting.cancel()
        await lost_and_found(client) if client.state is SessionState.LOST else None
        await client.close()
        await server.wait_closed()
        assert [await task for task in receiving] == sent


def break_a_link(rng: random.Random, link: MemoryLink) -> None:
    """Break a link in one of the ways in which links break."""
    match rng.randrange(4):
        case 0:
            link.cut()
        case 1:
            link.cut(reset=False)
        case 2:
            link.half_open(rng.choice(list(End)))
        case _:
            link.stall(rng.choice([None, *End]))


@pytest.mark.parametrize("end", ["cut", "stall"])
@pytest.mark.parametrize("moment", range(0, 60, 2))
async def test_a_link_that_breaks_during_the_greeting_costs_nothing(
    network: MemoryNetwork, moment: int, end: str
) -> None:
    async with network.pair(open_timeout=2) as (client, server):
        await send_all(client, "abc")
        await send_all(server, "def")
        cutters: list[asyncio.Task[None]] = []

        async def cut(link: MemoryLink) -> None:
            await turns(moment)
            link.cut() if end == "cut" else link.stall()

        def prepare(link: MemoryLink) -> None:
            link.deliver_chunks([8] * 1000)
            if len(network.links) == 2:
                cutters.append(asyncio.create_task(cut(link)))

        network.prepare = prepare
        network.cut()
        await send_all(client, "123")
        await send_all(server, "456")
        await asyncio.gather(client.flush(), server.flush())
        assert await receive(server, 6) == list("abc123")
        assert await receive(client, 6) == list("def456")
        await asyncio.gather(*cutters)


@pytest.mark.parametrize("stale", ["stays", "wakes up"])
async def test_a_newer_link_replaces_an_older_one_that_nobody_knew_was_dead(
    network: MemoryNetwork, stale: str
) -> None:
    async with network.pair() as (client, server):
        network.links[0].half_open(End.NEAR)
        receipts = await send_all(server, "abc")
        await until(lambda: len(network.links) == 2)
        await until(lambda: client.state is SessionState.OPEN)
        for receipt in receipts:
            await receipt
        if stale == "wakes up":
            network.links[0].resume()
        await client.send("still here")
        assert (await server.recv()).text == "still here"
        assert await receive(client, 3) == ["a", "b", "c"]
        assert network.links[0].far[1].is_closing()
        # For the server the link was never lost.
        assert server.state is SessionState.OPEN


async def test_ever_so_many_links_do_not_fill_an_inbox_that_nobody_reads(
    network: MemoryNetwork,
) -> None:
    async with network.pair(server={"max_queue": (16, 4)}) as (client, server):
        sending = asyncio.create_task(send_all(client, (f"{n:04000}" for n in range(3000))))
        await asyncio.sleep(1)
        waits = len(server._inbox.items)
        assert 16 <= waits < 100
        for _ in range(30):
            network.cut()
            await lost_and_found(client)
            await asyncio.sleep(1)
        assert len(server._inbox.items) < waits + 100
        assert await receive(server, 3000) == [f"{n:04000}" for n in range(3000)]
        await sending


# A server that restarts


async def test_a_server_that_restarted_says_so_and_gets_what_the_other_had_not_acknowledged(
    network: MemoryNetwork,
) -> None:
    async with network.serve(say_nothing) as first, network.connect() as client:
        (old,) = first.sessions
        await client.send("acknowledged")
        await client.flush()
        network.server = None
        network.cut()
        await client.send("not acknowledged")
        await turns()
        old.abort()
        async with network.serve(say_nothing) as second:
            await client.flush()
            (new,) = second.sessions
            assert await receive(new, 1) == ["not acknowledged"]
            await new.send("from the new one")
            events = await next_events(client, 4)
            assert events[:3] == [LinkLost("Connection reset by peer"), Restarted(), LinkRestored()]
            assert isinstance(events[3], Message)
            assert (events[3].text, events[3].number) == ("from the new one", 1)
            assert client.id == new.id != old.id
            client.abort()


@pytest.mark.parametrize("seed", range(20))
async def test_over_restarts_nothing_is_lost_and_each_server_gets_it_once_and_in_order(
    network: MemoryNetwork, seed: int
) -> None:
    rng = random.Random(seed)
    network.latency = 0.001
    got: list[list[str | bytes]] = []

    async def handler(session: Session) -> None:
        got.append([])
        received = got[-1]
        async for message in session:
            received.append(message.body)

    async with network.serve(handler), network.connect() as client:
        sending = asyncio.create_task(send_all(client, map(str, range(400))))
        for _ in range(5):
            await asyncio.sleep(rng.random() / 100)
            network.cut()
            for session in network.server.sessions if network.server else ():
                session.abort()
            async with network.serve(handler) as server:
                await asyncio.sleep(rng.random())
                await client.send("mark")
                network.cut()
                await server.close(1012)
        async with network.serve(handler):
            await sending
            await client.flush()
            await client.close()
        numbers = [[int(body) for body in each if body != "mark"] for each in got]
        assert all(each == sorted(set(each)) for each in numbers)
        assert set().union(*numbers) == set(range(400))


# A link that does not come back


async def test_a_server_gives_a_session_up_whose_link_does_not_come_back(
    network: MemoryNetwork,
) -> None:
    async with network.pair(server={"resume_timeout": 50}) as (client, server):
        (name,) = (client.id,)
        there, network.server = network.server, None
        assert there is not None
        receipt = await server.send("hello")
        network.links[0].half_open()
        await turns()
        start = now()
        await server.wait_closed()
        assert now() == start + 50
        assert server.close_code == 1006
        assert server.close_reason == "the link did not come back within 50 s"
        with pytest.raises(SessionClosedError, match="did not come back"):
            await receipt
        with pytest.raises(SessionClosedError):
            await anext(server)
        assert not there.sessions
        network.server = there
        await until(lambda: client.id != name)
        await client.send("a new session")


async def test_a_server_may_give_a_session_up_as_soon_as_its_link_is_lost(
    network: MemoryNetwork,
) -> None:
    async with network.pair(server={"resume_timeout": 0}) as (_, server):
        network.cut()
        start = now()
        await server.wait_closed()
        assert now() - start < FIRST_DELAY
        assert server.close_code == 1006


async def test_a_link_that_comes_back_in_time_stops_the_clock(network: MemoryNetwork) -> None:
    async with network.pair(server={"resume_timeout": 50}) as (client, server):
        for _ in range(5):
            there, network.server = network.server, None
            network.cut()
            await asyncio.sleep(25)
            network.server = there
            await until(lambda: client.state is SessionState.OPEN)
            await asyncio.sleep(40)
        assert server.state is SessionState.OPEN


async def test_without_reconnecting_a_lost_link_ends_the_session(network: MemoryNetwork) -> None:
    async with network.pair(reconnect=False) as (client, server):
        receipt = await client.send("hello")
        network.cut()
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1006, "Connection reset by peer")
        with pytest.raises(SessionClosedError):
            await receipt
        assert len(network.dialled) == 1
        assert server.state is SessionState.LOST


async def test_a_client_comes_back_ever_more_slowly_up_to_a_bound_and_never_in_step(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    monkeypatch.setattr("socketchat.client.random.uniform", uniform)
    async with network.pair() as (client, _):
        network.server = None
        network.cut()
        await asyncio.sleep(200)
        assert client.state is SessionState.LOST
        delays = [min(FIRST_DELAY * 2**n, MAX_DELAY) for n in range(len(asked))]
        assert asked == [(0, delay) for delay in delays]
        gaps = [later - earlier for earlier, later in itertools.pairwise(network.dialled[1:])]
        assert gaps == pytest.approx(delays[1 : 1 + len(gaps)])
        assert gaps[-1] == 20


async def test_after_a_link_that_came_back_the_delays_start_anew(network: MemoryNetwork) -> None:
    async with network.pair() as (client, _):
        there = network.server
        for _ in range(3):
            network.server = None
            network.cut()
            await asyncio.sleep(300)
            network.server = there
            await until(lambda: client.state is SessionState.OPEN)
            start = now()
            network.cut()
            await lost_and_found(client)
            assert now() - start <= FIRST_DELAY + 0.01


# A new link that is asked for


async def test_a_new_link_takes_the_place_of_one_that_there_is(network: MemoryNetwork) -> None:
    async with network.pair() as (client, server):
        await client.send("before")
        assert client.reconnect()
        await client.send("behind")
        await lost_and_found(client)
        assert await receive(server, 2) == ["before", "behind"]
        assert len(network.links) == 2
        lost, restored = await next_events(client, 2)
        assert isinstance(lost, LinkLost)
        assert lost.reason == "it was asked for a new one"
        assert restored == LinkRestored()


async def test_whoever_asks_for_a_new_link_does_not_wait_for_the_next_attempt(
    network: MemoryNetwork,
) -> None:
    async with network.pair() as (client, _):
        there, network.server = network.server, None
        network.cut()
        await asyncio.sleep(300)
        network.server = there
        attempts = len(network.dialled)
        start = now()
        assert client.reconnect()
        await until(lambda: client.linked)
        assert now() - start < FIRST_DELAY
        assert len(network.dialled) == attempts + 1


async def test_a_session_that_does_not_come_back_opens_no_new_link(network: MemoryNetwork) -> None:
    async with network.pair() as (client, server):
        assert not server.reconnect()
        await client.close()
        assert not client.reconnect()
    async with network.pair(reconnect=False) as (client, _):
        assert not client.reconnect()
        assert client.linked
