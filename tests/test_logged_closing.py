"""Claims about how a session that a log keeps comes to its end, and who learns of it.

What it does before that is told in `test_logged.py`.
"""

from __future__ import annotations

import asyncio

import pytest

from socketchat import SessionClosed, SessionState
from socketchat.messages import Bye, Event, TextPost, encode
from tests.logged import Keeper, acknowledged, logged, until_the_end, with_client
from tests.sessions import now, send_all, turns, until

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_goodbye_waits_for_what_is_still_to_be_held(who: str) -> None:
    async with with_client() as (session, client):
        keeper = Keeper()
        session.keep(keeper)
        receipts = await send_all(client, ["one", "two"])
        await until(lambda: keeper.numbers == [1, 2])
        closing = asyncio.create_task((client if who == "client" else session).close(4000))
        await asyncio.sleep(5)
        assert not closing.done()
        assert session.linked
        session.hold(2)
        await closing
        await session.wait_closed()
        assert [receipt.error for receipt in receipts] == [None, None]
        assert (client.close_code, session.close_code) == (4000, 4000)
        assert keeper.ends == [False]


async def test_once_everything_is_held_after_both_goodbyes_the_link_is_closed_at_once() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.wire.say(TextPost(1, "one"), Bye(1000))
        await ends.wire.read_bye()
        await until(lambda: keeper.numbers == [1])
        start = now()
        ends.session.hold(1)
        await acknowledged(ends.wire, 1)
        await ends.wire.read_end()
        await ends.driver
        assert now() == start
        assert keeper.ends == [False]


async def test_a_goodbye_waits_no_longer_than_close_timeout_and_settles_nothing_else() -> None:
    async with with_client() as (session, client):
        keeper = Keeper()
        session.keep(keeper)
        receipt = await client.send("one")
        await until(lambda: keeper.numbers == [1])
        start = now()
        await session.close()
        await client.wait_closed()
        assert now() == start + 10
        with pytest.raises(SessionClosed):
            await receipt
        session.hold(1)  # too late, and no error


async def test_one_that_is_turned_away_keeps_what_is_not_held() -> None:
    async with with_client() as (session, client):
        keeper = Keeper()
        session.keep(keeper)
        receipts = await send_all(client, ["one", "two"])
        await until(lambda: keeper.numbers == [1, 2])
        session.hold(1)
        session.turn_away(1013, "the disk is full")
        session.hold(2)  # it may be in the log all the same; it is found there when it comes again
        start = now()
        await client.wait_closed()
        assert now() == start
        assert (client.close_code, client.close_reason) == (1013, "the disk is full")
        await receipts[0]
        with pytest.raises(SessionClosed):
            await receipts[1]
        assert keeper.ends == [True]


async def test_what_comes_from_one_that_was_turned_away_is_not_taken() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.session.turn_away(1013, "x" * 1000)
        ends.session.turn_away(1013, "once more")
        ends.wire.say(TextPost(1, "one"), Bye(1013))
        assert await until_the_end(ends.wire) == [Bye(1013, "x" * 500)]
        await ends.driver
        assert ends.session.close_reason == "x" * 500
        assert keeper.numbers == []


@pytest.mark.parametrize("how", ["cut", "abort", "goodbye", "error", "silence"])
async def test_a_keeper_is_told_of_the_end_exactly_once_and_whether_the_link_was_lost(
    how: str,
) -> None:
    async with logged() as ends:
        keeper = ends.keep()
        match how:
            case "cut":
                ends.between.cut()
            case "abort":
                ends.session.abort()
            case "goodbye":
                ends.wire.say(Bye(1000))
            case "error":
                ends.wire.say_bytes(b"\xff" * 8)
            case "silence":
                ends.between.stall()
        await ends.session.wait_closed()
        await ends.driver
        ends.session.abort()
        await ends.session.close()
        assert keeper.ends == [how != "goodbye"]


@pytest.mark.parametrize("code", [1000, 1008, 1011, 1012, 1013])
@pytest.mark.parametrize("how", ["turned away", "closed", "said goodbye before"])
async def test_one_that_is_sent_off_for_a_moment_counts_as_lost(how: str, code: int) -> None:
    async with logged() as ends:
        keeper = ends.keep()
        closing = None
        match how:
            case "turned away":
                ends.session.turn_away(code, "the disk is full")
                ends.wire.say(Bye(code))
            case "closed":
                closing = asyncio.create_task(ends.session.close(code))
                ends.wire.say(Bye(code))
            case _:
                ends.wire.say(TextPost(1, "one"), Bye(1000))
                await until(lambda: keeper.numbers == [1])
                ends.session.turn_away(code, "the disk is full")
        await ends.driver
        if closing is not None:
            await closing
        comes_back = how != "said goodbye before" and code in (1012, 1013)
        assert keeper.ends == [comes_back]


async def test_a_driver_that_is_cancelled_after_the_end_does_not_tell_of_it_once_more() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        await turns()
        ends.session.abort()
        ends.driver.cancel()
        await asyncio.wait([ends.driver])
        assert keeper.ends == [True]


async def test_a_lost_link_ends_the_session_and_it_takes_nothing_more() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.between.cut()
        await ends.driver
        assert ends.session.state is SessionState.CLOSED
        assert not ends.session.takes_more
        ends.session.give(encode(TextPost(42, "x")), 42)
        ends.session.pass_frames(encode(Event("typing")), 1)
        ends.session.reject(1, 1008, "no")
        ends.session.hold(1)
        ends.session.pause_reading()
        ends.session.resume_reading()
        ends.session.turn_away(1013, "")
        assert keeper.ends == [True]


async def test_a_session_that_has_ended_is_kept_by_nobody() -> None:
    async with logged() as ends:
        ends.between.cut()
        await ends.driver
        keeper = Keeper()
        with pytest.raises(SessionClosed):
            ends.session.keep(keeper)
        assert (keeper.posts, keeper.ends) == ([], [])


async def test_a_keeper_may_hold_what_it_takes_at_once_and_end_it_there() -> None:
    async with logged() as ends:
        ends.session.keep(Keeper(holds=ends.session))
        ends.wire.say(*(TextPost(number, "x") for number in range(1, 101)), Bye(1000))
        await acknowledged(ends.wire, 100)
        await ends.driver
        assert ends.session.close_code == 1000
