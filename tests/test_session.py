"""Claims about `socketchat.session`: two ends talk, in both directions, over any streams.

How a session ends is told in `test_session_closing.py`, what it bounds and whom it gives up in
`test_session_bounds.py`, how it outlives its links in `test_resume.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from socketchat import (
    ConcurrencyError,
    Joined,
    Left,
    LocalProtocolError,
    MessageRejected,
    MessageTooBig,
    Receipt,
    Rejected,
    Session,
    SessionState,
    Side,
    Typing,
)
from socketchat.messages import Reject, TextPost
from socketchat.testing import stream_pair
from tests.sessions import (
    Wire,
    raw_server,
    receive,
    receive_all,
    send_all,
    session_pair,
    turns,
)

virtual_time = pytest.mark.virtual_time


# What an end knows of the other


@virtual_time
async def test_both_ends_know_who_and_where_the_other_is() -> None:
    async with session_pair(nick="ada") as (client, server, _):
        assert (client.nick, server.nick) == ("ada", "ada")
        assert (client.side, server.side) == (Side.CLIENT, Side.SERVER)
        assert (client.peer.nick, client.peer.address) == ("server", "192.0.2.2:7625")
        assert (server.peer.nick, server.peer.address) == ("ada", "192.0.2.1:50000")
        assert client.id == server.id
        assert len(bytes.fromhex(client.id)) == 16


@virtual_time
async def test_a_client_asks_for_a_room() -> None:
    with stream_pair() as link:
        client, server = await asyncio.gather(
            Session.from_streams(*link.near, side=Side.CLIENT, room="lobby"),
            Session.from_streams(*link.far, side=Side.SERVER),
        )
        assert (client.room, server.room) == ("lobby", "lobby")
        await asyncio.gather(client.close(), server.close())


@virtual_time
async def test_a_client_asks_for_the_history_of_a_room() -> None:
    with stream_pair() as link:
        wire = Wire(*link.far)
        client, hello = await asyncio.gather(
            Session.from_streams(*link.near, side=Side.CLIENT, room="lobby", history=3),
            wire.greet_back(),
        )
        assert (hello.room, hello.history, hello.after) == ("lobby", 3, (0, 0))
        client.abort()
        await client.wait_closed()


@virtual_time
async def test_an_open_session_says_so() -> None:
    async with session_pair() as (client, server, _):
        for session in (client, server):
            assert session.state is SessionState.OPEN
            assert session.close_code is None
            assert session.close_reason == ""
            assert session.latency == 0.0
            assert session.unacknowledged == 0


@virtual_time
async def test_a_session_logs_where_it_is_told_to_and_never_what_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("elsewhere")
    async with session_pair(logger=logger) as (client, server, _):
        await client.send("a secret")
        await client.close(4000, "enough")
        await server.wait_closed()
    assert {record.name for record in caplog.records} <= {"elsewhere", "asyncio"}
    assert "4000" in caplog.text
    assert "secret" not in caplog.text


# Messages


@virtual_time
async def test_a_text_arrives_as_text_and_data_as_data() -> None:
    async with session_pair() as (client, server, _):
        await send_all(client, ["häl\0lo", b"\xff\0", "", b""])
        text, data, no_text, no_data = [await server.recv() for _ in range(4)]
        assert (text.text, data.data, no_text.text, no_data.data) == ("häl\0lo", b"\xff\0", "", b"")
        with pytest.raises(TypeError, match=r"use \.text"):
            _ = text.data
        with pytest.raises(TypeError, match=r"use \.data"):
            _ = no_data.text


@virtual_time
async def test_a_message_tells_who_said_it_when_and_in_which_place() -> None:
    async with session_pair(nick="ada") as (client, server, _):
        before = datetime.now(UTC)
        await client.send("one")
        await client.send("two", to="babbage")
        first, second = await server.recv(), await server.recv()
        assert [(m.sender, m.number, m.to) for m in (first, second)] == [
            ("ada", 1, ""),
            ("ada", 2, "babbage"),
        ]
        assert before <= first.time <= second.time <= datetime.now(UTC)
        assert not first.replayed
        assert not first.own


@virtual_time
async def test_a_server_may_pass_on_what_another_said_and_a_client_may_not() -> None:
    async with session_pair(nick="ada") as (client, server, _):
        await server.send("hello", sender="babbage")
        await server.send("hello")
        assert [(await client.recv()).sender for _ in range(2)] == ["babbage", "server"]
        await client.send("hello", sender="babbage")
        assert (await server.recv()).sender == "ada"


@virtual_time
async def test_what_a_client_calls_a_post_of_the_server_is_a_message_like_any_other() -> None:
    with stream_pair() as link:
        wire = Wire(*link.near)
        server, _ = await asyncio.gather(
            Session.from_streams(*link.far, side=Side.SERVER), wire.greet()
        )
        wire.say(TextPost(1, "hello", own=5))
        message = await server.recv()
        assert (message.text, message.own, message.replayed) == ("hello", False, False)
        server.abort()
        await server.wait_closed()


@virtual_time
@pytest.mark.parametrize("name", ["to", "sender"])
async def test_a_name_that_is_too_long_is_refused_here(name: str) -> None:
    async with session_pair() as (client, server, _):
        await client.send("fits", **{name: "x" * 64})
        with pytest.raises(ValueError, match="at most 64 characters"):
            await client.send("does not", **{name: "x" * 65})
        await client.send("goes on")
        assert await receive(server, 2) == ["fits", "goes on"]


@virtual_time
async def test_a_message_that_is_too_big_for_the_other_side_is_refused_here() -> None:
    async with session_pair(server={"max_size": 5000}) as (client, server, _):
        with pytest.raises(MessageTooBig, match="the other side at most 5000") as caught:
            await client.send("x" * 5000)
        assert caught.value.size > caught.value.max_size == 5000
        await client.send("x" * 4980)
        await server.send("x" * 50_000)
        assert len((await server.recv()).text) == 4980
        assert len((await client.recv()).text) == 50_000


@virtual_time
@pytest.mark.parametrize("body", [None, 7, 1.5, ["hello"], object()])
async def test_what_is_neither_text_nor_data_is_refused_here(body: Any) -> None:
    async with session_pair() as (client, server, _):
        with pytest.raises(TypeError):
            await client.send(body)
        await client.send(bytearray(b"goes"))
        await client.send(memoryview(b"on"))
        assert await receive(server, 2) == [b"goes", b"on"]


@virtual_time
async def test_text_that_is_no_text_is_refused_here() -> None:
    async with session_pair() as (client, server, _):
        with pytest.raises(ValueError, match="surrogates"):
            await client.send("\ud800")
        receipt = await client.send("goes on")
        assert receipt.number == 1
        assert await receive(server, 1) == ["goes on"]


# Receipts and flush


@virtual_time
async def test_a_receipt_is_done_when_the_other_side_holds_the_message() -> None:
    async with session_pair(stream_pair(latency=1.0)) as (client, server, _):
        start = asyncio.get_running_loop().time()
        receipt = await client.send("hello")
        assert client.unacknowledged == 1
        assert not receipt.done
        await receipt
        assert asyncio.get_running_loop().time() == start + 2.0
        assert client.unacknowledged == 0
        assert await receive(server, 1) == ["hello"]


@virtual_time
async def test_flush_waits_for_all_that_was_sent_before_it() -> None:
    async with session_pair(stream_pair(latency=1.0)) as (client, _, _):
        receipts = await send_all(client, ["a", "b", "c"])
        flushing = asyncio.create_task(client.flush())
        await asyncio.sleep(0.5)
        later = await client.send("d")
        await flushing
        assert all(receipt.done for receipt in receipts)
        assert not later.done
        await client.flush()
        assert later.done
        await client.flush()


@virtual_time
async def test_a_cancelled_flush_harms_nobody() -> None:
    async with session_pair(stream_pair(latency=1.0)) as (client, server, _):
        receipts = await send_all(client, "abc")
        flushing = asyncio.create_task(client.flush())
        await asyncio.sleep(0.5)
        flushing.cancel()
        await client.flush()
        assert all(receipt.error is None for receipt in receipts)
        assert await receive(server, 3) == ["a", "b", "c"]


@virtual_time
async def test_a_rejected_message_tells_its_receipt_and_the_events_and_the_session_goes_on() -> (
    None
):
    async with raw_server() as (client, wire):
        receipts = await send_all(client, ["bad", "good"])
        await wire.expect(TextPost)
        wire.say(Reject(1, 1008, "muted"))
        with pytest.raises(MessageRejected, match=r"message 1 was rejected: .*muted"):
            await receipts[0]
        await client.send("further")
        event = await anext(client.events())
        assert event == Rejected(1, 1008, "muted")
        assert not receipts[1].done


@virtual_time
async def test_flush_takes_a_rejection_as_an_answer() -> None:
    async with raw_server() as (client, wire):
        await client.send("bad")
        wire.say(Reject(1, 1008, "muted"))
        await client.flush()
        assert client.unacknowledged == 0


# Receiving


@virtual_time
async def test_iterating_gives_every_message_and_ends_with_the_session() -> None:
    async with session_pair() as (client, server, _):
        await send_all(client, "abc")
        closing = asyncio.create_task(client.close())
        assert [message.body async for message in server] == ["a", "b", "c"]
        await closing


@virtual_time
async def test_two_who_receive_at_once_are_an_error_and_the_first_one_goes_on() -> None:
    async with session_pair() as (client, server, _):
        receiving = asyncio.create_task(server.recv())
        await turns()
        with pytest.raises(ConcurrencyError):
            await server.recv()
        with pytest.raises(ConcurrencyError):
            await anext(server)
        with pytest.raises(ConcurrencyError):
            await anext(server.events())
        await client.send("hello")
        assert (await receiving).text == "hello"


@virtual_time
@pytest.mark.parametrize("seed", range(2))
async def test_recv_cancelled_thousands_of_times_loses_nothing_and_keeps_the_order(
    seed: int,
) -> None:
    rng = random.Random(seed)
    link = stream_pair(latency=0.001)
    link.deliver_chunks(rng)
    async with session_pair(link) as (client, server, _):

        async def send() -> None:
            for number in range(400):
                await client.send(str(number))
                await asyncio.sleep(rng.choice([0, 0.0001, 0.0005]))

        sending = asyncio.create_task(send())
        received: list[str] = []
        cancelled = 0
        while len(received) < 400:
            receiving = asyncio.create_task(server.recv())
            await asyncio.sleep(rng.choice([0, 0, 0, 0.0001]))
            receiving.cancel()
            await asyncio.wait([receiving])
            if receiving.cancelled():
                cancelled += 1
            else:
                received.append(receiving.result().text)
        await sending
        assert received == list(map(str, range(400)))
        assert cancelled > 1000


@virtual_time
async def test_events_that_were_given_up_lose_nothing() -> None:
    async with session_pair(stream_pair(latency=0.01)) as (client, server, _):
        sending = asyncio.create_task(send_all(client, map(str, range(100))))
        received: list[str | bytes] = []
        while len(received) < 100:
            try:
                async with asyncio.timeout(0.003):
                    async for event in server.events():
                        assert not isinstance(event, Joined | Left | Typing)
                        received.append(event.body)  # type: ignore[union-attr]
                        await asyncio.sleep(0.001)
            except TimeoutError:
                pass
        await sending
        assert received == list(map(str, range(100)))


# Events that pass


@virtual_time
async def test_events_come_in_order_among_the_messages_and_recv_passes_them_over() -> None:
    told: list[Joined | Left | Typing] = [
        Joined("bob", "192.0.2.7:1"),
        Left("bob", "192.0.2.7:1"),
        Typing("eve"),
    ]
    async with session_pair() as (client, server, _):
        for _ in range(2):
            assert all(server.tell(event) for event in told)
            await server.send("hello")
        assert (await client.recv()).text == "hello"
        events = client.events()
        assert [await anext(events) for _ in told] == told
        assert (await anext(events)).body == "hello"  # type: ignore[union-attr]
        await events.aclose()


@virtual_time
async def test_events_that_pass_are_dropped_when_too_many_wait_and_messages_are_not() -> None:
    async with session_pair() as (client, server, link):
        link.stall()
        await server.send("x" * 200_000)
        await turns()
        told = sum(server.tell(Typing("bob")) for _ in range(100_000))
        assert told == 1024
        await server.send("behind them")
        link.resume()
        assert len((await client.recv()).text) == 200_000
        assert (await client.recv()).text == "behind them"


@virtual_time
async def test_an_event_about_a_name_that_is_too_long_is_refused_here() -> None:
    async with session_pair() as (client, server, _):
        with pytest.raises(ValueError, match="at most 64 characters"):
            server.tell(Typing("x" * 65))
        with pytest.raises(ValueError, match="at most 64 characters"):
            server.tell(Joined("bob", "x" * 65))
        await server.send("goes on")
        assert (await client.recv()).text == "goes on"


# Sending from many tasks


@virtual_time
async def test_what_many_tasks_send_arrives_in_the_order_of_the_calls() -> None:
    async with session_pair(max_unacked=(3, 2**20)) as (client, server, _):
        calls: list[str] = []

        async def send(name: int) -> None:
            for number in range(50):
                calls.append(f"{name}.{number}")
                await client.send(calls[-1])

        sending = [asyncio.create_task(send(name)) for name in range(20)]
        assert await receive(server, 1000) == calls
        await asyncio.gather(*sending)


@virtual_time
async def test_a_cancelled_send_sends_nothing_and_harms_no_other() -> None:
    async with session_pair(max_unacked=(1, 2**20)) as (client, server, link):
        link.stall()
        await client.send("first")
        sending = [asyncio.create_task(client.send(str(n))) for n in range(100)]
        await turns()
        for task in sending[::3]:
            task.cancel()
        await turns()
        link.resume()
        expected = ["first", *(str(n) for n in range(100) if n % 3)]
        assert await receive(server, 67) == expected
        await client.flush()
        done, _ = await asyncio.wait(sending)
        assert sum(task.cancelled() for task in done) == 34
        await client.close()
        assert await receive_all(server) == []


@virtual_time
@pytest.mark.parametrize("seed", range(8))
async def test_sends_cancelled_at_any_moment_are_either_sent_whole_or_not_at_all(seed: int) -> None:
    rng = random.Random(seed)
    async with session_pair(stream_pair(latency=0.001), max_unacked=(4, 2**20)) as (
        client,
        server,
        _,
    ):
        receiving = asyncio.create_task(receive_all(server))
        sending: list[asyncio.Task[Receipt]] = []
        for number in range(300):
            sending.append(asyncio.create_task(client.send(str(number))))
            if rng.random() < 0.5:
                rng.choice(sending).cancel()
            await asyncio.sleep(rng.choice([0, 0, 0.001]))
        await asyncio.wait(sending)
        await client.close()
        assert await receiving == [str(n) for n, t in enumerate(sending) if not t.cancelled()]


# Pings


@virtual_time
async def test_a_ping_takes_the_time_there_and_back() -> None:
    async with session_pair(stream_pair(latency=0.25)) as (client, server, _):
        assert await client.ping() == 0.5
        assert client.latency == 0.5
        assert server.latency == 0.0


@virtual_time
async def test_pings_at_once_are_all_answered_and_one_cancelled_harms_no_other() -> None:
    async with session_pair(stream_pair(latency=0.25)) as (client, _, _):
        pinging = [asyncio.create_task(client.ping()) for _ in range(5)]
        await turns()
        pinging[2].cancel()
        await asyncio.wait(pinging)
        assert [task.cancelled() or task.result() for task in pinging] == [0.5, 0.5, True, 0.5, 0.5]


@virtual_time
async def test_ever_so_many_pings_at_once_are_an_error_here() -> None:
    async with session_pair(stream_pair(latency=0.25)) as (client, _, _):
        pings = [client.ping() for _ in range(1025)]
        *answers, last = await asyncio.gather(*pings, return_exceptions=True)
        assert set(answers) == {0.5}
        assert isinstance(last, LocalProtocolError)
        assert await client.ping() == 0.5
