"""Claims about what a session bounds, and about whom it gives up: no buffer grows without end.

Every test of a bound fills it.
"""

from __future__ import annotations

import asyncio

import pytest

from socketchat import Message, Options, Session, SessionClosedError, SessionState, Side
from socketchat.link import GATHER_SIZE, HIGH_WATER
from socketchat.messages import MAX_PRESENT, Ack, Bye, Event, Ping, Pong, Present, TextPost
from socketchat.testing import End, stream_pair
from tests.sessions import (
    now,
    raw_server,
    receive,
    receive_all,
    send_all,
    session_pair,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


def written(session: Session) -> int:
    """Return how many bytes wait in a session's transport."""
    assert session._link is not None
    return int(session._link._transport.get_write_buffer_size())


def waiting(session: Session) -> int:
    """Return how many bytes wait in a session's core."""
    assert session._link is not None
    return sum(map(len, session._link.protocol._out))


# What was sent and is not acknowledged


@pytest.mark.parametrize(
    ("max_unacked", "fitting"), [((10, 2**22), 10), ((4096, 1000), 10)], ids=["messages", "bytes"]
)
async def test_a_full_outbox_makes_send_wait_and_goes_on(
    max_unacked: tuple[int, int], fitting: int
) -> None:
    async with session_pair(max_unacked=max_unacked, ping_interval=None) as (client, server, link):
        link.stall()
        sending = asyncio.create_task(send_all(client, (f"{n:085}" for n in range(200))))
        await asyncio.sleep(1000)
        assert client.unacknowledged == fitting
        assert not sending.done()
        link.resume()
        received = await receive(server, 200)
        assert received == [f"{n:085}" for n in range(200)]
        await sending
        assert client.unacknowledged <= fitting


async def test_the_message_that_crosses_a_bound_is_still_taken() -> None:
    async with session_pair(max_unacked=(4096, 1), ping_interval=None) as (client, server, link):
        link.stall()
        await client.send("x" * 100_000)
        late = asyncio.create_task(client.send("late"))
        await asyncio.sleep(1000)
        assert not late.done()
        link.resume()
        assert len((await server.recv()).text) == 100_000
        assert (await server.recv()).text == "late"
        await late


async def test_what_waits_behind_a_transport_that_has_enough_to_do_is_bounded_too() -> None:
    bound = 2**20
    async with session_pair(max_unacked=(10**6, bound), ping_interval=None) as (client, _, link):
        link.stall()
        sending = asyncio.create_task(send_all(client, ["x" * 1000] * 10_000))
        await asyncio.sleep(1000)
        assert written(client) < HIGH_WATER + GATHER_SIZE + 2000
        assert bound <= written(client) + waiting(client) < bound + 2000
        sending.cancel()


# What was received and is not read


async def test_a_flood_stops_at_an_application_that_does_not_read_and_goes_on_when_it_does() -> (
    None
):
    link = stream_pair(limit=2**14)
    async with session_pair(link, max_queue=(64, 8), max_unacked=(500, 2**22)) as pair:
        client, server, _ = pair
        texts: list[str | bytes] = [f"{n:01000}" for n in range(3000)]
        sending = asyncio.create_task(send_all(client, texts))
        await asyncio.sleep(3600)
        # A stream reader holds twice its limit and one chunk more, and is read in one go.
        assert 64 <= len(server._inbox.items) < 64 + (2 * 2**14 + 2**18) / 1000
        assert client.unacknowledged == 500
        assert written(client) + waiting(client) < HIGH_WATER + 500 * 1100
        assert not sending.done()
        assert await receive(server, 3000) == texts
        await sending


async def test_what_one_read_brings_is_taken_whole_though_it_passes_the_bound() -> None:
    async with raw_server(max_queue=(4, 1)) as (client, wire):
        for number in range(1, 101):
            wire.say(TextPost(number, f"{number}"), Ping(number))
        assert await receive(client, 100) == [f"{number}" for number in range(1, 101)]
        while await wire.expect(Ack) != Ack(100):
            pass


async def test_events_count_like_messages() -> None:
    async with raw_server(max_queue=(8, 2), ping_interval=None) as (client, wire):
        for number in range(5000):
            wire.say(Event("typing", f"{number}"))
            await wire.writer.drain()
            if number % 100 == 0:
                await turns(3)
            if wire.writer.transport.get_write_buffer_size():
                break
        else:
            pytest.fail("it never stopped reading")
        assert len(client._inbox.items) < 5000


async def test_lists_of_who_is_there_count_like_messages() -> None:
    async with raw_server(max_queue=(8, 2), ping_interval=None) as (client, wire):
        crowd = Present(("x" * 64,) * MAX_PRESENT)
        for _ in range(1000):
            wire.say(crowd)
            await turns(3)
            if wire.writer.transport.get_write_buffer_size():
                break
        else:
            pytest.fail("it never stopped reading")
        assert len(client._inbox.items) < 100


async def test_a_slow_application_is_blamed_by_neither_side() -> None:
    link = stream_pair(limit=1000)
    async with session_pair(link, max_queue=(4, 1), max_unacked=(100, 2**20)) as pair:
        client, server, _ = pair
        sending = asyncio.create_task(send_all(client, ["x" * 1000] * 500))
        await asyncio.sleep(7200)
        assert not sending.done()
        assert (client.state, server.state) == (SessionState.OPEN, SessionState.OPEN)
        for _ in range(500):
            await server.recv()
            await asyncio.sleep(1)
        await sending
        await client.flush()
        assert (client.state, server.state) == (SessionState.OPEN, SessionState.OPEN)


async def test_one_that_never_pings_gives_signs_of_life_while_its_application_is_slow() -> None:
    link = stream_pair(limit=1000)
    async with session_pair(
        link, max_queue=(4, 1), max_unacked=(100, 2**20), server={"ping_interval": None}
    ) as (client, server, _):
        sending = asyncio.create_task(send_all(client, ["x" * 1000] * 500))
        await asyncio.sleep(3600)
        assert client.state is SessionState.OPEN
        await receive(server, 500)
        await sending


async def test_one_that_is_leaving_and_reads_no_more_is_not_flooded_with_events() -> None:
    async with raw_server(max_queue=(8, 2)) as (client, wire):
        for number in range(8):
            wire.say(Event("typing", f"{number}"))
        await until(lambda: client._inbox.full)
        closing = asyncio.create_task(client.close())
        await wire.read_bye()
        for number in range(5000):
            wire.say(Event("typing", f"{number}"))
        wire.say(Bye(1000))
        await closing
        assert len(client._inbox.items) == 8


# A peer that does not read


async def test_a_peer_that_does_not_read_its_answers_costs_little_memory() -> None:
    async with raw_server(ping_interval=None) as (client, wire):
        transport = wire.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        reading = asyncio.create_task(receive_all(client))
        for number in range(1, 30_001):
            wire.say(TextPost(number, "x"), Ping(number))
            await wire.writer.drain()
            if number % 10 == 0:
                await turns(2)
        await until(lambda: client._lanes.received == 30_000)
        assert written(client) < HIGH_WATER + 1000
        assert waiting(client) < 1000
        transport.resume_reading()
        await wire.expect(Pong)
        while wire.heard[-1] != Ack(30_000):
            await wire.expect(Ack)
            wire.heard.append(Ack(30_000))
        client.abort()
        assert len(await reading) == 30_000


@pytest.mark.parametrize("side", Side)
async def test_a_peer_that_stops_reading_is_given_up_though_we_are_blocked_in_send(
    side: Side,
) -> None:
    async with session_pair(max_unacked=(100, 2**20)) as (client, server, link):
        blocked, other = (client, server) if side is Side.CLIENT else (server, client)
        receiving = asyncio.create_task(receive_all(other))
        link.stall()
        start = now()
        with pytest.raises(SessionClosedError) as caught:
            await send_all(blocked, ["x" * 1000] * 500)
        assert now() == start + 40
        assert caught.value.reason == "no sign of life for 40 s"
        link.resume()
        await receiving


@pytest.mark.parametrize("vanished", End)
@pytest.mark.parametrize("talked", [True, False])
async def test_a_peer_that_vanished_is_given_up_in_time(vanished: End, talked: bool) -> None:
    async with session_pair(ping_interval=30, ping_timeout=7) as (client, server, link):
        left = server if vanished is End.NEAR else client
        if talked:
            await client.send("hello")
            await server.send("hello")
            await asyncio.gather(client.flush(), server.flush())
        link.half_open(vanished)
        start = now()
        await left.wait_closed()
        assert now() == start + 37
        assert (left.close_code, left.close_reason) == (1006, "no sign of life for 37 s")


async def test_a_session_with_nothing_to_say_stays_open_for_hours() -> None:
    async with session_pair(stream_pair(latency=0.1)) as (client, server, _):
        await asyncio.sleep(6 * 3600)
        assert (client.state, server.state) == (SessionState.OPEN, SessionState.OPEN)
        assert client.latency == pytest.approx(0.2)
        assert server.latency == pytest.approx(0.2)


@pytest.mark.parametrize(("interval", "timeout"), [(None, 5), (5, None)])
async def test_without_a_limit_a_silent_peer_is_waited_for_for_ever(
    interval: float | None, timeout: float | None
) -> None:
    async with session_pair(ping_interval=interval, ping_timeout=timeout) as (client, _, link):
        link.stall()
        await asyncio.sleep(100_000)
        assert client.state is SessionState.OPEN


async def test_ever_so_many_unanswered_pings_do_not_keep_a_vanished_peer_alive() -> None:
    async with session_pair() as (client, _, link):
        link.half_open()
        pinging = [asyncio.create_task(client.ping()) for _ in range(1024)]
        await client.wait_closed()
        assert client.close_reason == "no sign of life for 40 s"
        outcomes = await asyncio.gather(*pinging, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {SessionClosedError}


async def test_messages_that_were_received_are_still_there_when_the_peer_is_given_up() -> None:
    async with session_pair() as (client, server, link):
        await send_all(client, "abc")
        await client.flush()
        link.half_open(End.NEAR)
        await server.wait_closed()
        assert [isinstance(await server.recv(), Message) for _ in range(3)] == [True] * 3
        with pytest.raises(SessionClosedError):
            await server.recv()


async def test_a_flood_of_events_while_closing_fills_no_memory() -> None:
    # Reading goes on then, though nobody may read the inbox any more.
    options = Options(max_queue=(4, 1))
    session = Session(Side.CLIENT, options, lane=bytes(16), resumable=False)
    session._closing = True
    for _ in range(100):
        session._pass_on(Event("typing", "eve"))
    assert len(session._inbox.items) == 4
