"""Claims about `socketchat.logged`: what the keeper holds is acknowledged, and nothing else.

The keeper is played by the test, over a link in memory; time is virtual. How such a session ends is
told in `test_logged_closing.py`, how it comes about in `test_server_logged.py`, and what rooms make
of it in `tests/chat/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from socketchat import LocalProtocolError, MessageRejected, SessionState, Typing
from socketchat.link import HIGH_WATER
from socketchat.logged import LoggedSession, LogPlace
from socketchat.messages import Ack, Bye, Event, Ping, Pong, Post, Present, Reject, TextPost, encode
from socketchat.protocol import MAX_WAITING_ANSWERS
from tests.logged import (
    Keeper,
    acknowledged,
    clog,
    in_order,
    logged,
    stop_reading,
    until_the_end,
    with_client,
)
from tests.sessions import LANE, send_all, turns, until

pytestmark = pytest.mark.virtual_time


# Coming in


async def test_welcome_tells_the_client_its_place_and_its_mark() -> None:
    place = LogPlace(session=b"", mark=7, floor=3, head=50, after=(48, 7_000))
    async with logged(place) as ends:
        told = ends.welcome
        assert (told.mark, told.floor, told.head, told.after) == (7, 3, 50, (48, 7_000))
        assert (told.nick, told.room) == ("ada", "lobby")
        assert told.session == bytes.fromhex(ends.session.id)
        assert ends.session.lane == LANE
        assert ends.session.state is SessionState.OPEN


async def test_a_session_whose_place_is_known_keeps_its_name_and_any_other_gets_a_new_one() -> None:
    name = bytes(range(16))
    async with logged(LogPlace(name, 0, 1, 41, (41, 7_000))) as ends:
        assert ends.welcome.session == name
    async with logged() as one, logged() as other:
        assert len({one.welcome.session, other.welcome.session, name}) == 3


# What comes


def heard_in(messages: list[object]) -> list[object]:
    return [message for message in messages if isinstance(message, Ack)]


async def test_what_came_before_there_was_a_keeper_is_given_to_it_in_order() -> None:
    async with logged() as ends:
        ends.wire.say(TextPost(1, "one"), TextPost(2, "two"))
        await turns()
        ends.wire.say(TextPost(3, "three"))
        await turns()
        keeper = ends.keep()
        ends.wire.say(TextPost(4, "four"))
        await until(lambda: keeper.numbers == [1, 2, 3, 4])


async def test_while_there_is_no_keeper_nothing_more_is_read() -> None:
    async with logged() as ends:
        for number in range(1, 1001):
            ends.wire.say(TextPost(number, "x" * 1000))
        await turns()
        assert ends.session._early == []
        keeper = ends.keep()
        await until(lambda: keeper.numbers == list(range(1, 1001)))


async def test_nothing_is_acknowledged_before_it_is_held() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.wire.say(TextPost(1, "one"), TextPost(2, "two"), TextPost(3, "three"))
        await until(lambda: keeper.numbers == [1, 2, 3])
        assert heard_in(await in_order(ends.wire)) == []
        ends.session.hold(2)
        assert heard_in(await in_order(ends.wire)) == [Ack(2)]
        ends.session.hold(3)
        assert heard_in(await in_order(ends.wire)) == [Ack(3)]


async def test_what_is_held_already_is_not_acknowledged_once_more() -> None:
    async with logged() as ends:
        ends.keep()
        ends.wire.say(TextPost(1, "one"))
        await turns()
        ends.session.hold(1)
        await acknowledged(ends.wire, 1)
        ends.session.hold(1)
        ends.session.hold(0)
        assert heard_in(await in_order(ends.wire)) == []


async def test_a_repeat_of_what_is_not_held_yet_is_dropped_and_acknowledges_nothing() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.wire.say(TextPost(1, "one"), TextPost(1, "one"))
        assert heard_in(await in_order(ends.wire)) == [Ack(0)]
        assert keeper.numbers == [1]


async def test_what_the_log_has_already_is_not_given_to_the_keeper() -> None:
    async with logged(LogPlace(b"", 2, 1, 41, (41, 7_000))) as ends:
        keeper = ends.keep()
        ends.wire.say(TextPost(1, "one"), TextPost(2, "two"), TextPost(3, "three"))
        await until(lambda: keeper.posts)
        assert keeper.numbers == [3]


async def test_a_commit_that_an_older_link_began_counts_on_the_newer_one() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.session.hold(2)  # what the older link had brought is in the log now
        await acknowledged(ends.wire, 2)
        ends.wire.say(TextPost(1, "one"), TextPost(2, "two"), TextPost(3, "three"))
        await until(lambda: keeper.posts)
        assert keeper.numbers == [3]


async def test_what_passes_is_told_to_the_keeper_and_who_is_there_is_not_for_a_client_to_say() -> (
    None
):
    async with logged() as ends:
        keeper = ends.keep()
        ends.wire.say(Present(("mallory",)), Event("typing", "ada"))
        await until(lambda: keeper.events)
        assert keeper.events == [Event("typing", "ada")]


async def test_a_keeper_may_stop_reading_and_read_on() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.session.pause_reading()
        ends.wire.say(TextPost(1, "one"))
        await asyncio.sleep(3600)
        assert (keeper.numbers, ends.session.state) == ([], SessionState.OPEN)
        ends.session.resume_reading()
        await until(lambda: keeper.numbers == [1])


# What is refused


async def test_a_refused_post_is_told_and_counts_once_it_is_held() -> None:
    async with with_client() as (session, client):
        keeper = Keeper()
        session.keep(keeper)
        receipts = await send_all(client, ["one", "two", "three"])
        await until(lambda: keeper.numbers == [1, 2, 3])
        session.reject(2, 1008, "not that")
        with pytest.raises(MessageRejected, match="not that"):
            await receipts[1]
        assert not receipts[0].done
        session.hold(3)
        await receipts[0]
        await receipts[2]
        assert client.unacknowledged == 0


async def test_what_came_before_an_error_may_be_refused_though_nobody_hears_of_it() -> None:
    async with logged() as ends:
        keeper = Keeper()

        def refuse(posts: Sequence[Post]) -> None:
            for post in posts:
                ends.session.reject(post.number, 1008, "no")

        keeper.take = refuse  # type: ignore[method-assign]
        ends.session.keep(keeper)
        ends.wire.say_bytes(encode(TextPost(1, "one")) + b"\xff" * 8)
        (bye,) = await until_the_end(ends.wire)
        assert isinstance(bye, Bye)
        await ends.driver
        assert ends.session.close_code == bye.code == 1009
        assert keeper.ends == [True]


async def test_any_number_may_be_refused_in_one_turn_if_the_client_reads() -> None:
    count = 3 * MAX_WAITING_ANSWERS
    async with logged() as ends:
        keeper = ends.keep()
        ends.wire.say(*(TextPost(number, "x") for number in range(1, count + 1)))
        await until(lambda: len(keeper.numbers) == count)
        for number in keeper.numbers:
            ends.session.reject(number, 1008, "no")
        ends.session.hold(count)
        *rejections, held = await in_order(ends.wire)
        assert rejections == [Reject(number, 1008, "no") for number in range(1, count + 1)]
        assert held == Ack(count)


async def test_a_flood_of_what_must_be_refused_is_cut_off_when_nobody_reads() -> None:
    async with logged(ping_interval=None) as ends:
        keeper = ends.keep()
        stop_reading(ends.wire)
        await clog(ends)
        ends.wire.say(*(TextPost(number, "x") for number in range(1, MAX_WAITING_ANSWERS + 2)))
        await until(lambda: len(keeper.numbers) == MAX_WAITING_ANSWERS + 1)
        for number in keeper.numbers[:-1]:
            ends.session.reject(number, 1008, "no")
        assert ends.session.state is SessionState.OPEN
        ends.session.reject(keeper.numbers[-1], 1008, "no")
        assert ends.session.close_code == 1006
        assert keeper.ends == [True]
        ends.session.reject(1, 1008, "no")  # and that is no error


async def test_a_keeper_learns_when_the_client_has_read_that_a_post_was_refused() -> None:
    async with logged(ping_interval=None) as ends:
        keeper = ends.keep()
        heard: list[int] = []
        ends.wire.say(TextPost(1, "one"), TextPost(2, "two"))
        await until(lambda: keeper.numbers == [1, 2])
        ends.session.reject(1, 1008, "no")
        ends.session.ask_heard(lambda: heard.append(1))
        ping = await ends.wire.expect(Ping)
        assert ends.wire.heard[-1] == Reject(1, 1008, "no")
        await asyncio.sleep(3600)
        assert heard == []
        ends.wire.say(Pong(ping.number))
        await until(lambda: heard)
        assert heard == [1]


async def test_a_client_of_this_library_answers_that_it_has_read_it() -> None:
    async with with_client() as (session, client):
        keeper = Keeper()
        session.keep(keeper)
        receipt = await client.send("one")
        await until(lambda: keeper.numbers == [1])
        session.reject(1, 1008, "no")
        refused: list[bool] = []
        session.ask_heard(lambda: refused.append(receipt.done))
        await until(lambda: refused)
        assert refused == [True]


@pytest.mark.parametrize("how", ["cut", "abort"])
async def test_of_a_link_that_is_lost_nobody_learns_that_it_was_read(how: str) -> None:
    async with logged(ping_interval=None) as ends:
        ends.keep()
        heard: list[int] = []
        ends.session.ask_heard(lambda: heard.append(1))
        await ends.wire.expect(Ping)
        if how == "cut":
            ends.between.cut()
        else:
            ends.session.abort()
        await ends.driver
        await turns()
        assert heard == []


async def test_a_client_is_asked_behind_its_goodbye_too() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.wire.say(TextPost(1, "one"), TextPost(2, "two"), Bye(1000))
        await ends.wire.read_bye()
        assert keeper.numbers == [1, 2]
        ends.session.reject(1, 1008, "no")
        ends.session.ask_heard(lambda: ends.session.hold(2))
        ends.wire.say(Pong((await ends.wire.expect(Ping)).number))
        await acknowledged(ends.wire, 2)
        await ends.driver
        assert keeper.ends == [False]


# What goes out


async def test_what_is_given_is_written_as_it_is() -> None:
    async with logged() as ends:
        ends.keep()
        frames = [encode(TextPost(number, f"{number}", 8_000, "bob")) for number in (42, 44)]
        ends.session.give(b"".join(frames), 45)
        assert await in_order(ends.wire) == [
            TextPost(42, "42", 8_000, "bob"),
            TextPost(44, "44", 8_000, "bob"),
        ]
        # Also an entry that was not for it may be acknowledged: its number is no lie.
        ends.wire.say(Ack(45))
        assert await in_order(ends.wire) == []


async def test_a_post_is_given_before_the_acknowledgement_that_the_same_turn_brings() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.wire.say(TextPost(1, "one"))
        await until(lambda: keeper.numbers == [1])
        ends.session.hold(1)
        ends.session.give(encode(TextPost(42, "one", 8_000, "ada", own=1)), 42)
        assert await in_order(ends.wire) == [TextPost(42, "one", 8_000, "ada", own=1), Ack(1)]


async def test_a_client_may_say_again_that_it_holds_its_place() -> None:
    async with logged() as ends:
        ends.keep()
        ends.wire.say(Ack(41))
        assert await in_order(ends.wire) == []
        assert ends.session.state is SessionState.OPEN


async def test_acknowledging_what_was_never_given_is_an_error() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.wire.say(Ack(42))
        assert (await ends.wire.read_bye()).code == 1002
        await until(lambda: keeper.ends)
        assert keeper.ends == [True]


async def test_passing_events_are_dropped_when_too_many_wait() -> None:
    async with logged(ping_interval=None) as ends:
        ends.keep()
        transport = stop_reading(ends.wire)
        await clog(ends)
        frame = encode(Event("typing", "bob"))
        for _ in range(3 * MAX_WAITING_ANSWERS):
            ends.session.pass_frames(frame, 1)
        transport.resume_reading()
        messages = await in_order(ends.wire)
        events = [message for message in messages if isinstance(message, Event)]
        assert len(events) == MAX_WAITING_ANSWERS


async def test_a_client_that_does_not_read_is_said_to_take_no_more_until_it_has_caught_up() -> None:
    async with logged(ping_interval=None) as ends:
        keeper = ends.keep()
        assert ends.session.takes_more
        transport = stop_reading(ends.wire)
        await clog(ends)
        await asyncio.sleep(3600)
        assert (ends.session.takes_more, keeper.drains) == (False, 0)
        written = ends.session._link._transport.get_write_buffer_size()  # type: ignore[union-attr]
        assert written < 2 * HIGH_WATER
        transport.resume_reading()
        await in_order(ends.wire)
        assert (ends.session.takes_more, keeper.drains) == (True, 1)


async def test_what_is_given_while_the_link_takes_no_more_is_written_when_it_does() -> None:
    # The keeper should not, but nothing is lost if it does: a goodbye waits behind it.
    async with logged(ping_interval=None) as ends:
        ends.keep()
        transport = stop_reading(ends.wire)
        await clog(ends)
        ends.session.give(encode(TextPost(5000, "late", 9_000)), 5000)
        transport.resume_reading()
        posts = [message for message in await in_order(ends.wire) if isinstance(message, TextPost)]
        assert posts[-1].body == "late"
        numbers = [post.number for post in posts]
        assert numbers == [*range(42, 42 + len(posts) - 1), 5000]


# What is not its own to do


@pytest.mark.parametrize(
    "call",
    [
        lambda session: session.send("hello"),
        lambda session: session.flush(),
        lambda session: session.tell(Typing("ada")),
        lambda session: session.recv(),
        lambda session: session.events(),
        lambda session: session.command("kick", "bob"),
        lambda session: session.ping(),
    ],
)
async def test_what_a_log_does_cannot_be_done_through_the_session(
    call: Callable[[LoggedSession], object],
) -> None:
    async with logged() as ends:
        ends.keep()
        with pytest.raises(LocalProtocolError, match="log"):
            call(ends.session)
        assert await in_order(ends.wire) == []


async def test_its_messages_are_not_to_be_iterated_over() -> None:
    async with logged() as ends:
        ends.keep()
        with pytest.raises(LocalProtocolError, match="log"):
            async for _ in ends.session:
                pass
