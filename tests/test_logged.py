"""Claims about `socketchat.logged`: what the keeper holds is acknowledged, and nothing else.

The keeper is played by the test, over a link in memory; time is virtual. What rooms make of it is
told in `tests/chat/`, how such a session comes about in `test_server_logged.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from socketchat import MessageRejected, Options, Session, SessionClosed, SessionState, Side
from socketchat.link import HIGH_WATER, Link
from socketchat.logged import LoggedSession, LogPlace
from socketchat.messages import (
    VERSION,
    Ack,
    Bye,
    Event,
    Greeting,
    Hello,
    Ping,
    Pong,
    Post,
    Present,
    Reject,
    TextPost,
    Welcome,
    encode,
)
from socketchat.protocol import MAX_WAITING_ANSWERS, Protocol
from socketchat.testing import MemoryLink, stream_pair
from tests.sessions import LANE, Wire, directed, now, send_all, turns, until

pytestmark = pytest.mark.virtual_time

PLACE = LogPlace(session=b"", mark=0, floor=1, head=41, after=(41, 7_000))


class Keeper:
    """Keeps what a session gives it, and notes what it is told.

    Attributes:
        posts: What the client posted.
        events: What passed.
        drains: How often it was told that the link takes more again.
        ends: Whether the link was lost, for each time that it was told of the end.
        holds: A session that it acknowledges everything to at once, if any.
    """

    def __init__(self, holds: LoggedSession | None = None) -> None:
        self.posts: list[Post] = []
        self.events: list[Event] = []
        self.drains = 0
        self.ends: list[bool] = []
        self.holds = holds

    @property
    def numbers(self) -> list[int]:
        return [post.number for post in self.posts]

    def take(self, posts: Sequence[Post]) -> None:
        self.posts += posts
        if self.holds is not None:
            self.holds.hold(posts[-1].number)

    def hear(self, event: Event) -> None:
        self.events.append(event)

    def drained(self) -> None:
        self.drains += 1

    def ended(self, *, lost: bool) -> None:
        self.ends.append(lost)


@dataclass
class Ends:
    """A logged session that was welcomed and has no keeper yet, and the client's end of its link.

    Attributes:
        session: The session under test.
        wire: The client, which does as it is told.
        welcome: How it was let in.
        between: The link.
        driver: What drives the session.
    """

    session: LoggedSession
    wire: Wire
    welcome: Welcome
    between: MemoryLink
    driver: asyncio.Task[None]

    def keep(self) -> Keeper:
        """Give the session a keeper."""
        keeper = Keeper()
        self.session.keep(keeper)
        return keeper


async def welcome(
    session: LoggedSession, between: MemoryLink, hello: Hello | None = None
) -> tuple[Wire, Welcome]:
    """Let a client in, at the near end of a link, and have nobody drive the session yet."""
    greeting = Greeting(VERSION, bytes(32), "server")
    protocol = Protocol(Side.SERVER, session._options, now(), greeting=greeting)
    link = Link(*directed(between.far), protocol)
    wire = Wire(*between.near)
    wire.say(hello or Hello(VERSION, LANE, "ada", "lobby"))
    session.welcome(link, await link.greet_client(), "ada", "lobby")
    return wire, await wire.expect(Welcome)


@asynccontextmanager
async def logged(
    place: LogPlace = PLACE, hello: Hello | None = None, **options: float | None
) -> AsyncIterator[Ends]:
    """Open a logged session; at the end it is aborted."""
    session = LoggedSession(Options(**options), lane=LANE, place=place)  # type: ignore[arg-type]
    with stream_pair() as between:
        wire, welcomed = await welcome(session, between, hello)
        assert session._link is not None
        driver = asyncio.create_task(session.drive(session._link))
        try:
            yield Ends(session, wire, welcomed, between, driver)
        finally:
            session.abort()
            await asyncio.wait([driver])


@asynccontextmanager
async def with_client() -> AsyncIterator[tuple[LoggedSession, Session]]:
    """Open a logged session whose other end is a client of this library."""
    session = LoggedSession(Options(), lane=LANE, place=PLACE)
    with stream_pair() as between:
        greeting = Greeting(VERSION, bytes(32), "server")
        protocol = Protocol(Side.SERVER, Options(), now(), greeting=greeting)
        link = Link(*between.far, protocol)

        async def let_in() -> None:
            session.welcome(link, await link.greet_client(), "ada", "lobby")

        client, _ = await asyncio.gather(
            Session.from_streams(*between.near, side=Side.CLIENT), let_in()
        )
        driver = asyncio.create_task(session.drive(link))
        try:
            yield session, client
        finally:
            for end in (session, client):
                end.abort()
                await end.wait_closed()
            await driver


async def acknowledged(wire: Wire, number: int) -> None:
    """Wait until everything up to a number is acknowledged, and nothing above it was."""
    while (ack := await wire.expect(Ack)) != Ack(number):
        assert ack.number < number


def heard(wire: Wire, kind: type) -> list[object]:
    return [message for message in wire.heard if isinstance(message, kind)]


async def in_order(wire: Wire) -> list[object]:
    """Return all that the client is told, up to the answer to a ping."""
    wire.heard.clear()
    wire.say(Ping(2**40))
    await wire.expect(Pong)
    return list(wire.heard)


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


async def test_what_came_before_there_was_a_keeper_is_given_to_it_in_order() -> None:
    async with logged() as ends:
        ends.wire.say(TextPost(1, "one"), TextPost(2, "two"))
        await turns()
        ends.wire.say(TextPost(3, "three"))
        await turns()
        keeper = ends.keep()
        assert keeper.numbers == [1, 2, 3]
        ends.wire.say(TextPost(4, "four"))
        await until(lambda: keeper.numbers == [1, 2, 3, 4])


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


def heard_in(messages: list[object]) -> list[object]:
    return [message for message in messages if isinstance(message, Ack)]


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
        ends.wire.say(Event("typing", "ada"))  # nobody listens yet, and no harm is done
        await turns()
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
        assert (await ends.wire.read_bye()).code == 1009
        await ends.driver
        assert ends.session.close_code == 1009
        assert keeper.ends == [True]
        assert heard(ends.wire, Reject) == []


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
        transport = ends.wire.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
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


async def clog(ends: Ends) -> None:
    """Give more than the link takes."""
    number = 41
    while ends.session.takes_more:
        number += 1
        ends.session.give(encode(TextPost(number, "x" * 10_000, 7_000)), number)
        await turns()
        assert number < 1000


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
        transport = ends.wire.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
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
        transport = ends.wire.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
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
        transport = ends.wire.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        await clog(ends)
        ends.session.give(encode(TextPost(5000, "late", 9_000)), 5000)
        transport.resume_reading()
        posts = [message for message in await in_order(ends.wire) if isinstance(message, TextPost)]
        assert posts[-1].body == "late"
        numbers = [post.number for post in posts]
        assert numbers == [*range(42, 42 + len(posts) - 1), 5000]


# The end


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
        assert keeper.ends == [False]


async def test_what_comes_from_one_that_was_turned_away_is_not_taken() -> None:
    async with logged() as ends:
        keeper = ends.keep()
        ends.session.turn_away(1013, "x" * 1000)
        ends.session.turn_away(1013, "once more")
        ends.wire.say(TextPost(1, "one"), Bye(1013))
        bye = await ends.wire.read_bye()
        assert (bye.code, bye.reason) == (1013, "x" * 500)
        await ends.wire.read_end()
        await ends.driver
        assert ends.session.close_reason == "x" * 500
        assert keeper.numbers == []
        assert heard(ends.wire, Ack) == heard(ends.wire, Reject) == []


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
