"""Claims about `socketchat.chat.room`: who is given what, in which order, and what slowness costs.

A room needs little of a session, so that most of it stands in for one here: `Seat`. With real
sessions the same is claimed in `test_server.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from socketchat import Close, Joined, Left, Message, MessageTooBig, Session, SessionClosedError
from socketchat.chat import room
from socketchat.chat.room import MAX_SIZE, Member, Room
from socketchat.session import Peer
from tests.sessions import now, turns

pytestmark = pytest.mark.virtual_time


class Seat:
    """What a room needs of a session: here it is blocked and released by the test."""

    def __init__(self, nick: str) -> None:
        self.nick = nick
        self.peer = Peer(nick, address=f"192.0.2.{len(nick)}:50000")
        self.got: list[tuple[str, str | bytes]] = []
        self.addressed: list[str] = []
        self.seen: list[object] = []
        self.goodbye: tuple[int, str] | None = None
        self.max_size = 2**20
        #: How many messages it takes until it is blocked.
        self.credit = asyncio.Semaphore(2**40)
        self.ended = False

    async def send(self, body: str | bytes, *, sender: str, to: str = "") -> None:
        if self.ended:
            raise SessionClosedError(Close(1006, "gone"))
        if len(body) > self.max_size:
            raise MessageTooBig(len(body), self.max_size)
        await self.credit.acquire()
        self.got.append((sender, body))
        self.addressed.append(to)
        self.seen.append(body)

    def tell(self, event: Joined | Left) -> bool:
        self.seen.append(event)
        return True

    async def close(self, code: int, reason: str) -> None:
        self.goodbye = code, reason

    def block(self) -> None:
        self.credit = asyncio.Semaphore(0)

    def take(self, count: int) -> None:
        for _ in range(count):
            self.credit.release()

    @property
    def bodies(self) -> list[str | bytes]:
        return [body for _, body in self.got]


class Seats:
    """A room with people in it, each with a task that feeds it."""

    def __init__(self) -> None:
        self.room = Room("lobby")
        self.members: dict[str, Member] = {}
        self.feeders: dict[str, asyncio.Task[None]] = {}

    def enter(self, nick: str, *, is_host: bool = False) -> Seat:
        seat = Seat(nick)
        member = self.room.enter(cast("Session", seat), is_host=is_host)
        self.members[nick] = member
        self.feeders[nick] = asyncio.create_task(self.room.feed(member))
        return seat

    def leave(self, nick: str) -> None:
        self.feeders[nick].cancel()
        self.room.leave(self.members[nick])

    def say(self, nick: str, body: str | bytes, *, to: str = "") -> None:
        self.room.say(self.members[nick], Message(body, nick, 1, 0, to))

    async def say_at_pace(self, nick: str, body: str | bytes) -> None:
        self.say(nick, body)
        await self.room.keep_pace()
        await asyncio.sleep(0)


@asynccontextmanager
async def seats() -> AsyncIterator[Seats]:
    it = Seats()
    try:
        yield it
    finally:
        for feeder in it.feeders.values():
            feeder.cancel()
        await asyncio.gather(*it.feeders.values(), return_exceptions=True)


# Who is given what


async def test_each_line_goes_to_all_others_in_order_and_not_to_its_author() -> None:
    async with seats() as it:
        people = {nick: it.enter(nick) for nick in ("ada", "bob", "cleo")}
        said = [(nick, f"{nick} {n}") for n in range(50) for nick in ("ada", "cleo", "bob")]
        for nick, body in said:
            it.say(nick, body)
        await turns()
        for nick, seat in people.items():
            assert seat.got == [(sender, body) for sender, body in said if sender != nick]


async def test_a_member_is_given_what_is_said_once_it_is_there() -> None:
    async with seats() as it:
        it.enter("ada")
        it.say("ada", "before")
        bob = it.enter("bob")
        it.say("ada", "after")
        await turns()
        assert bob.bodies == ["after"]


async def test_data_stays_data() -> None:
    async with seats() as it:
        it.enter("ada")
        bob = it.enter("bob")
        it.say("ada", b"\0\xff")
        it.say("ada", "")
        await turns()
        assert bob.bodies == [b"\0\xff", ""]


async def test_what_names_somebody_is_for_that_one_alone() -> None:
    async with seats() as it:
        people = {nick: it.enter(nick) for nick in ("ada", "Bob", "cleo")}
        for to in ("bob", "ada", "dora", ""):
            it.say("ada", f"to {to}", to=to)
        await turns()
        assert people["ada"].got == []
        assert people["Bob"].bodies == ["to bob", "to "]
        assert people["Bob"].addressed == ["bob", ""]
        assert people["cleo"].bodies == ["to "]


# Coming and going


async def test_all_are_told_who_comes_and_goes_and_the_host_alone_from_where() -> None:
    async with seats() as it:
        host, ada = it.enter("host", is_host=True), it.enter("ada")
        it.enter("bob")
        it.leave("bob")
        await turns()
        where = "192.0.2.3:50000"
        assert host.seen == [Joined("ada", where), Joined("bob", where), Left("bob", where)]
        assert ada.seen == [Joined("bob"), Left("bob")]


async def test_nobody_is_told_of_itself() -> None:
    async with seats() as it:
        ada = it.enter("ada")
        it.leave("ada")
        it.enter("bob")
        await turns()
        assert ada.seen == []


async def test_one_who_leaves_has_said_everything_before() -> None:
    async with seats() as it:
        it.enter("ada")
        bob = it.enter("bob")
        bob.block()
        it.say("ada", "one")
        it.say("ada", "two")
        it.leave("ada")
        it.enter("cleo")
        await turns()
        bob.take(2)
        await turns()
        assert bob.seen == ["one", "two", Left("ada"), Joined("cleo")]


# Slowness


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rooms keep less, so that tests take less."""
    monkeypatch.setattr(room, "MAX_ENTRIES", 1024)


async def test_one_who_takes_nothing_delays_nobody_and_loses_nothing(small_room: None) -> None:
    async with seats() as it:
        it.enter("ada")
        bob, cleo = it.enter("bob"), it.enter("cleo")
        await turns()
        bob.block()
        lines = [f"line {n}" for n in range(room.MAX_ENTRIES)]
        for line in lines:
            it.say("ada", line)
        await turns()
        assert cleo.bodies == lines
        assert bob.bodies == []
        bob.take(len(lines))
        await turns()
        assert bob.bodies == lines
        assert bob.goodbye is None


async def test_one_who_is_further_behind_than_the_room_keeps_entries_is_told() -> None:
    async with seats() as it:
        it.enter("ada")
        bob = it.enter("bob")
        bob.block()
        for number in range(1 + room.MAX_ENTRIES + 2):
            it.say("ada", f"line {number}")
            if not number:
                await turns()  # this one is in its hands
        assert len(it.room._entries) == room.MAX_ENTRIES
        bob.take(room.MAX_ENTRIES)
        await it.feeders["bob"]
        assert bob.bodies == ["line 0"]
        assert bob.goodbye == (1013, "2 messages behind what the room keeps")


async def test_one_who_is_further_behind_than_the_room_keeps_bytes_is_told() -> None:
    async with seats() as it:
        it.enter("ada")
        bob, cleo = it.enter("bob"), it.enter("cleo")
        await turns()
        bob.block()
        body = b"x" * 2**20
        count = MAX_SIZE // len(body)
        for _ in range(1 + count + 2):
            it.say("ada", body)
            await asyncio.sleep(0)
        await turns()
        assert len(cleo.got) == 1 + count + 2
        assert sum(len(cast("bytes", entry.said)) for entry in it.room._entries) == MAX_SIZE
        bob.take(count)
        await it.feeders["bob"]
        assert len(bob.got) == 1
        assert bob.goodbye == (1013, "2 messages behind what the room keeps")


async def test_a_message_beyond_the_bound_is_passed_on_all_the_same() -> None:
    async with seats() as it:
        it.enter("ada")
        bob = it.enter("bob")
        bob.max_size = 2**30
        it.say("ada", "small")
        await turns()
        it.say("ada", b"x" * (MAX_SIZE + 1))
        await turns()
        assert [len(body) for body in bob.bodies] == [5, MAX_SIZE + 1]
        assert bob.goodbye is None


async def test_the_host_is_told_and_keeps_its_seat(small_room: None) -> None:
    async with seats() as it:
        it.enter("ada")
        host = it.enter("host", is_host=True)
        host.block()
        for number in range(1 + room.MAX_ENTRIES + 2):
            it.say("ada", f"line {number}")
            if not number:
                await turns()  # this one is in its hands
        host.take(2 * room.MAX_ENTRIES)
        await turns()
        assert host.goodbye is None
        assert host.bodies[0] == "line 0"
        assert "2 messages behind" in str(host.bodies[1])
        assert host.bodies[2:] == [f"line {number}" for number in range(3, room.MAX_ENTRIES + 3)]


async def test_one_whose_session_has_ended_is_fed_no_more() -> None:
    async with seats() as it:
        it.enter("ada")
        bob = it.enter("bob")
        bob.ended = True
        it.say("ada", "hello")
        with pytest.raises(SessionClosedError):
            await it.feeders["bob"]


async def test_a_message_too_big_for_one_member_is_left_out_for_it_alone_and_said_to_be() -> None:
    async with seats() as it:
        it.enter("ada")
        bob, cleo = it.enter("bob"), it.enter("cleo")
        bob.max_size = 100
        for body in ("before", b"x" * 101, "after"):
            it.say("ada", body)
        await turns()
        assert cleo.bodies == ["before", b"x" * 101, "after"]
        assert bob.bodies[::2] == ["before", "after"]
        assert "too big" in str(bob.bodies[1])
        assert {sender for sender, _ in bob.got} == {"ada"}


# Keeping pace


async def test_who_talks_faster_than_the_others_take_is_slowed_down(small_room: None) -> None:
    async with seats() as it:
        it.enter("ada")
        bob = it.enter("bob")
        bob.block()
        lines = [str(number) for number in range(5 * room.MAX_ENTRIES)]

        async def read_slowly() -> None:
            while len(bob.got) < len(lines):
                bob.take(room.MAX_ENTRIES // 32)
                await asyncio.sleep(room.PAUSE)

        reading = asyncio.create_task(read_slowly())
        for line in lines:
            await it.say_at_pace("ada", line)
        await reading
        assert bob.bodies == lines
        assert bob.goodbye is None


async def test_who_sends_much_is_slowed_down_too() -> None:
    async with seats() as it:
        it.enter("ada")
        bob = it.enter("bob")
        bob.block()

        async def read_slowly() -> None:
            while len(bob.got) < 64:
                bob.take(1)
                await asyncio.sleep(room.PAUSE)

        reading = asyncio.create_task(read_slowly())
        for _ in range(64):
            await it.say_at_pace("ada", b"x" * 2**20)
        await reading
        assert bob.goodbye is None


async def test_two_who_speak_pause_together(small_room: None) -> None:
    async with seats() as it:
        it.enter("ada")
        it.enter("cleo")
        it.enter("bob").block()

        async def talk(nick: str) -> None:
            for number in range(room.MAX_ENTRIES // 2):
                await it.say_at_pace(nick, str(number))

        await asyncio.gather(talk("ada"), talk("cleo"))
        assert now() == pytest.approx(32 * room.PAUSE, abs=2 * room.PAUSE)


async def test_a_member_that_stands_still_slows_a_flood_down_once(small_room: None) -> None:
    async with seats() as it:
        it.enter("ada")
        bob, cleo = it.enter("bob"), it.enter("cleo")
        await turns()
        bob.block()
        for number in range(room.MAX_ENTRIES // 2):
            await it.say_at_pace("ada", str(number))
        assert now() == 0
        for number in range(5 * room.MAX_ENTRIES):
            await it.say_at_pace("ada", str(number))
        await turns()
        assert now() == pytest.approx(32 * room.PAUSE, abs=2 * room.PAUSE)
        assert len(cleo.got) == 5.5 * room.MAX_ENTRIES
