"""Claims about `socketchat.chat.server`: the way from a caller's greeting to its seat in a room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from socketchat import HandshakeRefused, Joined, Left, Message, Session
from socketchat.chat import ChatServer, Rules
from socketchat.chat.roster import LINGER
from socketchat.errors import LogUnavailable
from socketchat.messages import (
    Bye,
    Present,
    Refused,
    TextPost,
    Welcome,
)
from tests.chat.chatting import Chat, acknowledged, chat, posts, unread, waiting
from tests.chat.slow_log import SlowLog
from tests.sessions import (
    next_events,
    receive,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time

OTHER_LANE = bytes(16)


# Coming in


async def test_a_newer_link_of_the_same_lane_takes_the_seat_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        older, _ = await it.wire("ada")
        await next_events(bob, 1)
        newer, welcome = await it.wire("ada")
        assert welcome.nick == "ada"
        with pytest.raises(ConnectionResetError):
            await older.read_bye()
        newer.say(*posts(1, 1))
        assert await receive(bob, 1) == ["line 1"]
        await asyncio.sleep(2 * LINGER)
        assert waiting(bob) == 0  # neither a leave nor a join
        assert len(it.listener.sessions) == 2


async def test_the_latest_of_several_links_gets_the_seat_however_the_log_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        it.log.readable.clear()
        wires = [await it.ask(nick) for nick in ("ada", "bob", "cleo")]
        await turns()
        it.log.readable.set()
        for wire in wires[:-1]:
            refused = await wire.expect(Refused)
            assert (refused.code, refused.reason) == (1013, "a newer link has come")
        assert (await wires[-1].expect(Welcome)).nick == "cleo"
        await turns()
        # Of the others no name is held.
        for nick in ("ada", "bob"):
            assert (await it.call(nick)).nick == nick
        assert (await it.call("cleo")).nick == "cleo-2"


async def test_one_that_vanishes_while_its_place_is_looked_for_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        it.log.readable.clear()
        wire = await it.ask("ada")
        await turns()
        wire.reset()
        await turns()
        it.log.readable.set()
        await asyncio.sleep(2 * LINGER)
        assert [one.nick for one in it.listener.sessions] == ["bob"]
        assert (await it.call("ada")).nick == "ada"
        assert [type(event) for event in await next_events(bob, 1)] == [Joined]


async def test_one_that_the_log_keeps_waiting_too_long_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, open_timeout=5) as it:
        it.log.readable.clear()
        wire = await it.ask("ada")
        assert await wire.read_bye() == Bye(1008, "the greeting took too long")
        await turns()
        assert not it.server._rooms
        assert not it.server._opening
        assert not it.log._rooms
        it.log.readable.set()
        assert (await it.call("ada")).nick == "ada"


async def test_when_the_log_cannot_be_read_one_may_come_back_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        it.log.unreadable = LogUnavailable("the store is away")
        with pytest.raises(HandshakeRefused, match="the store is away") as caught:
            await it.call("ada")
        assert caught.value.code == 1013
        assert not it.server._rooms
        assert not it.log._rooms
        it.log.unreadable = None
        assert (await it.call("ada")).nick == "ada"


# Between the greeting and the seat


class Usher(ChatServer):
    """Lets nobody to a seat before the test says so: usually that takes a turn of the loop."""

    def __init__(self, log: SlowLog) -> None:
        super().__init__(log, rules=Rules(rate=None))
        self.seats_ready = asyncio.Event()
        self.seats_ready.set()

    async def __call__(self, session: Session) -> None:
        await self.seats_ready.wait()
        await super().__call__(session)


@asynccontextmanager
async def ushered(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Chat, asyncio.Event]]:
    """Open a chat server whose callers can be held up on the way to their seats."""
    async with chat(monkeypatch) as it:
        it.server = it.listener._handler = usher = Usher(it.log)
        yield it, usher.seats_ready


async def test_one_that_vanishes_before_it_is_seated_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        seats_ready.clear()
        wire, _ = await it.wire("ada")
        wire.reset()
        await turns()
        seats_ready.set()
        await turns()
        assert not it.server._rooms
        assert not it.listener.sessions


async def test_a_newer_link_that_comes_before_the_older_is_seated_keeps_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        seats_ready.clear()
        await it.wire("ada")
        newer, _ = await it.wire("ada")
        seats_ready.set()
        await turns()
        newer.say(*posts(1, 1))
        await acknowledged(newer, 1)
        assert (await it.call("ada")).nick == "ada-2"
        newer.reset()
        await asyncio.sleep(2 * LINGER)
        assert (await it.call("ada")).nick == "ada"


async def test_of_a_newer_link_under_another_name_no_older_name_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        seats_ready.clear()
        await it.wire("ada")
        await it.wire("eve")
        seats_ready.set()
        await turns()
        assert (await it.call("ada")).nick == "ada"
        assert (await it.call("eve")).nick == "eve-2"


async def test_the_name_of_one_that_is_about_to_be_back_is_not_given_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        older, _ = await it.wire("ada")
        older.reset()
        await turns()
        seats_ready.clear()
        await it.wire("ada")
        stranger, welcome = await it.wire("ada", lane=OTHER_LANE)
        assert welcome.nick == "ada-2"
        seats_ready.set()
        assert (await stranger.expect(Present)).nicks == ("ada",)


async def test_one_that_is_about_to_be_back_is_not_counted_as_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        bob = await it.call("bob")
        older, _ = await it.wire("ada")
        older.reset()
        await asyncio.sleep(LINGER - 0.1)
        seats_ready.clear()
        newer, _ = await it.wire("ada")
        await asyncio.sleep(1)
        seats_ready.set()
        newer.say(*posts(1, 1))
        await acknowledged(newer, 1)
        assert (await it.call("ada")).nick == "ada-2"
        assert [type(event) for event in unread(bob)] == [Joined, Message, Joined]


async def test_one_that_was_about_to_be_back_and_is_lost_again_is_gone_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        bob = await it.call("bob")
        older, _ = await it.wire("ada")
        older.reset()
        await asyncio.sleep(LINGER - 0.1)
        seats_ready.clear()
        newer, _ = await it.wire("ada")
        newer.reset()
        await asyncio.sleep(1)
        seats_ready.set()
        await asyncio.sleep(2 * LINGER)
        assert await next_events(bob, 2) == [Joined("ada"), Left("ada")]
        assert (await it.call("ada")).nick == "ada"


async def test_until_then_it_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        older, _ = await it.wire("ada")
        older.reset()
        await turns()
        seats_ready.clear()
        newer, _ = await it.wire("ada")
        newer.reset()
        await turns()
        seats_ready.set()
        await asyncio.sleep(LINGER - 1)
        assert set(it.server._rooms) == {"lobby"}
        await asyncio.sleep(2)
        assert not it.server._rooms


async def test_what_one_says_before_it_is_seated_is_taken_in_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        seats_ready.clear()
        wire, _ = await it.wire()
        wire.say(*posts(1, 3))
        await turns()
        assert it.log.bodies() == []
        seats_ready.set()
        wire.say(*posts(4, 5))
        await acknowledged(wire, 5)
        assert it.log.bodies() == [f"line {number}" for number in range(1, 6)]


async def test_one_that_is_cut_off_for_what_it_said_before_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ushered(monkeypatch) as (it, seats_ready):
        seats_ready.clear()
        wire, _ = await it.wire()
        wire.say(*(TextPost(number, "\n" * 200) for number in range(1, 10_000)))
        await turns(100)
        seats_ready.set()  # it reads none of its refusals
        await until(lambda: not it.listener.sessions)
        await until(lambda: not it.server._rooms)


async def test_one_that_comes_back_with_its_name_in_other_letters_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        older, _ = await it.wire("ada")
        older.reset()
        await turns()
        newer, welcome = await it.wire("ADA")
        assert welcome.nick == "ADA"
        assert (await it.call("ada")).nick == "ada-2"
        newer.say(*posts(1, 1))
        assert (await bob.recv()).sender == "ADA"
