"""Claims about how a session ends: in good order, in any other way, and once."""

from __future__ import annotations

import asyncio
import random

import pytest

from socketchat import (
    CloseCode,
    Receipt,
    RemoteProtocolError,
    Session,
    SessionClosed,
    SessionClosedError,
    SessionClosedOK,
    SessionState,
)
from socketchat.messages import Ack, Bye, TextPost
from socketchat.testing import End, stream_pair
from tests.sessions import (
    now,
    raw_server,
    receive,
    receive_all,
    send_all,
    session_pair,
    turns,
)

pytestmark = pytest.mark.virtual_time

TEXTS: list[str | bytes] = [str(number) for number in range(500)]


# In good order


@pytest.mark.parametrize("closing", [(0,), (1,), (0, 1)], ids=["client", "server", "both"])
@pytest.mark.parametrize("max_unacked", [(4096, 2**22), (8, 2**22)], ids=["roomy", "narrow"])
async def test_whoever_closes_first_nothing_in_flight_is_lost(
    closing: tuple[int, ...], max_unacked: tuple[int, int]
) -> None:
    link = stream_pair(latency=0.1)
    async with session_pair(link, max_unacked=max_unacked, max_queue=(16, 4)) as pair:
        ends = pair[:2]
        receiving = [asyncio.create_task(receive_all(end)) for end in ends]
        count = 500 if max_unacked[0] > 500 else 8
        receipts = [await send_all(end, TEXTS[:count]) for end in ends]
        await asyncio.gather(*[ends[which].close() for which in closing])
        await asyncio.gather(*[end.wait_closed() for end in ends])
        assert [await task for task in receiving] == [TEXTS[:count]] * 2
        for receipt in receipts[0] + receipts[1]:
            assert receipt.done
            assert receipt.error is None
        for end in ends:
            assert end.close_code == 1000
            with pytest.raises(SessionClosedOK):
                await end.recv()


@pytest.mark.parametrize("seed", range(1000, 1600))
async def test_whenever_each_side_closes_each_message_arrives_once_or_its_receipt_fails(
    seed: int,
) -> None:
    rng = random.Random(seed)
    link = stream_pair(latency=rng.choice([0, 0.001, 0.1]))
    link.deliver_chunks(rng)
    max_unacked = (rng.choice([1, 5, 100, 4096]), rng.choice([50, 10_000, 2**22]))
    async with session_pair(link, max_unacked=max_unacked, max_queue=(4, 1)) as pair:
        sent: list[list[str]] = [[], []]
        receipts: list[list[Receipt]] = [[], []]

        async def talk(which: int) -> None:
            session, rest = pair[which], rng.randrange(300)
            assert isinstance(session, Session)
            try:
                while rest:
                    rest -= 1
                    text = "x" * rng.randrange(100) + str(rest)
                    receipts[which].append(await session.send(text))
                    sent[which].append(text)
                    await asyncio.sleep(rng.choice([0, 0, 0.01]))
            except SessionClosed:
                return
            await session.close()

        receiving = [asyncio.create_task(receive_all(end)) for end in pair[:2]]
        await asyncio.gather(talk(0), talk(1))
        await asyncio.gather(pair.client.wait_closed(), pair.server.wait_closed())
        for which, task in enumerate(reversed(receiving)):
            received = await task
            held = [receipt.error is None for receipt in receipts[which]]
            assert received == sent[which][: len(received)]
            # One that leaves takes nothing for which its inbox has no room.
            assert held == [True] * len(received) + [False] * (len(held) - len(received))
        assert {pair.client.close_code, pair.server.close_code} == {1000}


async def test_each_side_knows_both_goodbyes() -> None:
    async with session_pair() as (client, server, _):
        await client.close(4001, "enough")
        for end in (client, server):
            await end.wait_closed()
            assert (end.close_code, end.close_reason) == (4001, "enough")
            assert end.state is SessionState.CLOSED
        with pytest.raises(
            SessionClosedError, match=r"received 4001.*; sent 4001.*: enough"
        ) as ours:
            await client.recv()
        with pytest.raises(
            SessionClosedError, match=r"received 4001.*: enough; sent 4001"
        ) as theirs:
            await server.recv()
        assert ours.value.sent == theirs.value.received == (4001, "enough")


@pytest.mark.parametrize("code", [1000, 1001])
async def test_an_orderly_end_ends_an_iteration(code: int) -> None:
    async with session_pair() as (client, server, _):
        await client.send("last")
        await client.close(code)
        assert [message.body async for message in server] == ["last"]
        assert [event async for event in server.events()] == []
        assert server.close_code == code


@pytest.mark.parametrize("code", [1011, 1012, 1013, 4000])
async def test_any_other_end_is_raised_by_an_iteration_behind_the_last_message(code: int) -> None:
    async with session_pair() as (client, server, _):
        await client.send("last")
        await client.close(code)
        assert (await anext(server)).body == "last"
        with pytest.raises(SessionClosedError) as caught:
            await anext(server)
        assert caught.value.code == code
        with pytest.raises(SessionClosedError):
            await anext(server.events())


async def fail_in(session: Session) -> None:
    """Send something, and fail, within the block of a session."""
    async with session:
        await session.send("hello")
        raise LookupError


async def test_a_session_closes_at_the_end_of_its_block_even_if_that_fails() -> None:
    async with session_pair() as (client, server, _):
        with pytest.raises(LookupError):
            await fail_in(client)
        assert client.state is SessionState.CLOSED
        assert await receive_all(server) == ["hello"]
        assert server.close_code == 1000


async def test_closing_again_waits_and_changes_nothing() -> None:
    async with session_pair(stream_pair(latency=1.0)) as (client, server, _):
        closing = [asyncio.create_task(client.close(4000 + n, f"{n}")) for n in range(3)]
        await turns()
        assert client.state is SessionState.CLOSING
        assert not any(task.done() for task in closing)
        await asyncio.gather(*closing)
        await client.close(4007)
        await server.close(4008)
        for end in (client, server):
            assert (end.close_code, end.close_reason) == (4000, "0")


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 3000, 3999, 5000])
async def test_a_code_that_may_not_be_sent_is_refused_here(code: int) -> None:
    async with session_pair() as (client, _, _):
        with pytest.raises(ValueError, match="no code to close with"):
            await client.close(code)
        assert client.state is SessionState.OPEN


async def test_a_reason_that_is_too_long_is_refused_here() -> None:
    async with session_pair() as (client, server, _):
        with pytest.raises(ValueError, match="at most 500 characters"):
            await client.close(1000, "x" * 501)
        await client.close(1000, "x" * 500)
        await server.wait_closed()
        assert server.close_reason == "x" * 500


async def test_a_cancelled_close_goes_on() -> None:
    async with session_pair(stream_pair(latency=1.0)) as (client, server, _):
        closing = asyncio.create_task(client.close())
        await turns()
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        await client.wait_closed()
        await server.wait_closed()
        assert (client.close_code, server.close_code) == (1000, 1000)


async def test_any_number_may_wait_for_the_end_and_one_cancelled_harms_no_other() -> None:
    async with session_pair() as (client, server, _):
        waiting = [asyncio.create_task(client.wait_closed()) for _ in range(5)]
        await turns()
        waiting[1].cancel()
        await server.close()
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [False, True, False, False, False]
        await client.wait_closed()


async def test_when_the_wait_for_the_end_is_over_the_streams_are_closed() -> None:
    async with session_pair() as (client, _, link):
        await client.close()
        await asyncio.gather(*[writer.wait_closed() for _, writer in link])


# What is asked of a session that is closed or closing


async def test_a_closed_session_sends_receives_and_pings_no_more() -> None:
    async with session_pair() as (client, server, _):
        await client.close()
        for end in (client, server):
            await end.wait_closed()
            for call in (lambda end=end: end.send("x"), end.recv, end.ping):
                with pytest.raises(SessionClosedOK):
                    await call()
            await end.flush()


@pytest.mark.parametrize(("code", "error"), [(1001, SessionClosedOK), (1011, SessionClosedError)])
async def test_a_session_whose_other_side_is_leaving_sends_no_more_and_says_why(
    code: int, error: type[SessionClosed]
) -> None:
    async with raw_server() as (client, wire):
        await client.send("in flight")
        wire.say(Bye(code, "so long"))
        await wire.read_bye()
        assert client.state is SessionState.CLOSING
        for call in (lambda: client.send("late"), client.ping):
            with pytest.raises(error, match=r"received .*: so long; sent ") as caught:
                await call()
            assert caught.value.code == code
        wire.say(Ack(1))
        await client.wait_closed()
        assert client.close_code == code


async def test_a_send_that_waits_for_room_ends_with_the_session() -> None:
    async with session_pair(stream_pair(latency=0.1), max_unacked=(2, 2**20)) as pair:
        client, server, _ = pair
        receiving = asyncio.create_task(receive_all(server))
        sending = [asyncio.create_task(client.send(str(n))) for n in range(10)]
        await turns()
        await client.close()
        outcomes = await asyncio.gather(*sending, return_exceptions=True)
        refused = [isinstance(outcome, SessionClosed) for outcome in outcomes]
        assert refused == [False] * 2 + [True] * 8
        assert await receiving == ["0", "1"]


async def test_one_that_receives_learns_of_the_end_and_so_does_one_that_pings() -> None:
    async with session_pair(stream_pair(latency=1.0)) as (client, _, link):
        receiving = asyncio.create_task(client.recv())
        pinging = asyncio.create_task(client.ping())
        await turns()
        link.cut()
        for task in (receiving, pinging):
            with pytest.raises(SessionClosedError):
                await task


# With a peer that does not play along


async def test_a_peer_that_never_answers_is_cut_off_in_time() -> None:
    async with raw_server(close_timeout=3) as (client, wire):
        receipt = await client.send("hello")
        await wire.expect(TextPost)
        await client.close()
        assert now() == 3
        assert client.close_code == 1006
        with pytest.raises(SessionClosedError, match="received no goodbye; sent 1000"):
            await receipt
        await wire.read_end()


async def test_without_a_limit_a_goodbye_is_waited_for_until_the_session_is_aborted() -> None:
    async with raw_server(close_timeout=None, ping_interval=None) as (client, _):
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(100_000)
        assert not closing.done()
        client.abort()
        await closing
        assert client.close_code == 1006


@pytest.mark.parametrize("ping_interval", [None, 20, 3600])
async def test_a_peer_that_says_goodbye_and_stays_is_cut_off_in_time(
    ping_interval: float | None,
) -> None:
    async with raw_server(close_timeout=3, ping_interval=ping_interval) as (client, wire):
        await client.send("never acknowledged")
        wire.say(Bye(1000))
        await client.wait_closed()
        assert now() == 3
        with pytest.raises(SessionClosedError):
            await client.recv()


async def test_a_peer_that_takes_nothing_is_cut_off_in_time() -> None:
    async with session_pair(close_timeout=3) as (client, _, link):
        link.stall()
        receipts = await send_all(client, ["x" * 100_000] * 20)
        await client.close()
        assert now() == 3
        assert client.close_code == 1006
        for receipt in receipts:
            with pytest.raises(SessionClosedError):
                await receipt


async def test_a_peer_that_hangs_up_right_behind_its_goodbye_still_gets_its_answers() -> None:
    async with raw_server() as (client, wire):
        wire.say(*[TextPost(number, "x") for number in range(1, 101)], Bye(1000))
        wire.writer.write_eof()
        assert (await wire.read_bye()).code == 1000
        wire.heard.append(await wire.expect(Ack))
        assert Ack(100) in wire.heard
        await client.wait_closed()
        assert client.close_code == 1000


async def test_text_behind_a_goodbye_is_an_error_of_the_other_side() -> None:
    async with raw_server() as (client, wire):
        wire.say(TextPost(1, "before"), Bye(1000), TextPost(2, "behind"))
        assert (await wire.read_bye()).code == 1002
        assert await receive(client, 1) == ["before"]
        with pytest.raises(SessionClosedError) as caught:
            await client.recv()
        assert caught.value.code == 1002
        assert isinstance(caught.value.__cause__, RemoteProtocolError)


# With an application that does not read


async def test_what_was_acknowledged_can_be_read_after_the_end() -> None:
    async with session_pair() as (client, server, _):
        await send_all(client, TEXTS[:100])
        await client.close()
        await server.wait_closed()
        assert await receive_all(server) == TEXTS[:100]


@pytest.mark.parametrize("closing", ["close_timeout=3", "close_timeout=300"])
async def test_closing_waits_for_an_application_that_reads_late_and_no_longer(closing: str) -> None:
    seconds = float(closing.partition("=")[2])
    async with session_pair(
        stream_pair(limit=1000), max_queue=(4, 1), close_timeout=seconds, ping_interval=None
    ) as (client, server, _):
        receipts = await send_all(client, ["x" * 1000] * 100)
        task = asyncio.create_task(client.close())
        await asyncio.sleep(30)
        assert task.done() is (seconds < 30)
        received = await receive_all(server)
        await task
        if seconds < 30:
            assert client.close_code == server.close_code == 1006
            failed = [receipt for receipt in receipts if receipt.error is not None]
            # What it has not told us that it holds, it may hold all the same.
            assert 100 - len(failed) <= len(received) < 100
        else:
            assert client.close_code == server.close_code == 1000
            assert len(received) == 100


async def test_one_that_leaves_without_reading_tells_what_it_did_not_take() -> None:
    async with session_pair(
        stream_pair(limit=1000), max_queue=(4, 1), server={"close_timeout": 50}
    ) as (client, server, _):
        receipts = await send_all(client, ["x" * 1000] * 100)
        await asyncio.sleep(1)
        await server.close()
        await client.wait_closed()
        assert now() < 2
        held = [receipt.error is None for receipt in receipts]
        assert held == sorted(held, reverse=True)
        assert 4 <= sum(held) < 100
        assert len(await receive_all(server)) == sum(held)
        with pytest.raises(SessionClosedError) as caught:
            await client.flush()
        assert caught.value.code == 1000


# In no order


async def test_an_abort_ends_both_sides_at_once_and_the_receipts_say_so() -> None:
    async with session_pair() as (client, server, link):
        link.stall()
        receipt = await client.send("hello")
        client.abort()
        assert client.state is SessionState.CLOSED
        with pytest.raises(SessionClosedError, match="cut off on this side"):
            await receipt
        await client.wait_closed()
        client.abort()
        link.resume()
        await server.wait_closed()
        assert (client.close_code, server.close_code) == (1006, 1006)


@pytest.mark.parametrize("reset", [True, False])
async def test_a_link_that_breaks_without_a_goodbye_ends_a_session_that_cannot_be_resumed(
    reset: bool,
) -> None:
    async with session_pair() as (client, server, link):
        link.cut(reset=reset)
        for end in (client, server):
            with pytest.raises(SessionClosedError, match="received no goodbye; sent no goodbye; "):
                await end.recv()
            assert end.close_code == CloseCode.ABNORMAL
            assert end.state is SessionState.CLOSED


async def test_flush_fails_when_the_session_ends_first_and_also_afterwards() -> None:
    async with session_pair() as (client, _, link):
        link.stall()
        await send_all(client, "abc")
        flushing = asyncio.create_task(client.flush())
        await turns()
        link.cut()
        with pytest.raises(SessionClosedError):
            await flushing
        with pytest.raises(SessionClosedError):
            await client.flush()


@pytest.mark.parametrize("end", [End.NEAR, End.FAR])
async def test_a_link_that_breaks_while_both_say_goodbye_ends_both(end: End) -> None:
    async with session_pair(stream_pair(latency=1.0), close_timeout=3) as (client, server, link):
        start = now()
        closing = asyncio.gather(client.close(), server.close())
        await asyncio.sleep(0.5)
        link.half_open(end)
        await closing
        assert now() == start + 3


async def test_a_driver_that_is_cancelled_ends_the_session() -> None:
    async with session_pair() as (client, server, _):
        assert client._driver is not None
        client._driver.cancel()
        await client.wait_closed()
        assert client.close_code == 1006
        with pytest.raises(SessionClosedError):
            await server.recv()


async def test_a_driver_that_is_cancelled_while_it_closes_the_link_holds_up_nobody() -> None:
    async with raw_server(close_timeout=1000) as (client, wire):
        wire.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await client.send("x" * 300_000)
        wire.say(Ack(1), Bye(1000))
        await turns()
        assert client.close_code == 1000
        waiting = asyncio.create_task(client.wait_closed())
        assert client._driver is not None
        client._driver.cancel()
        await waiting
        assert now() == 0
