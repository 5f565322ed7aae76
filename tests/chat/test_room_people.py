"""Claims about `socketchat.chat.room`: who has which name, and who is told of whom."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat import (
    Joined,
    Left,
    LinkRestored,
    Message,
    Present,
    SessionState,
)
from socketchat.chat.names import candidates, name_key, nick_of
from socketchat.chat.roster import LINGER, Roster
from socketchat.messages import MAX_NAME, TextPost
from socketchat.messages import Present as WirePresent
from socketchat.testing import End
from socketchat.text import NAME_COLUMNS, clean_name, width
from tests.chat.chatting import chat, found, posts, say, unread, waiting
from tests.sessions import (
    lost_and_found,
    next_events,
    now,
    receive,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


# Names


async def test_a_name_that_is_taken_gets_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        nicks = [(await it.call(nick)).nick for nick in ("ada", "Ada", "ADA", "ada-2", "bob")]
        assert nicks == ["ada", "Ada-2", "ADA-3", "ada-2-2", "bob"]


async def test_a_name_is_taken_in_one_room_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        assert [(await it.call("ada", room)).nick for room in ("", "red")] == ["ada", "ada"]


async def test_a_name_is_free_again_when_its_owner_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        first, second = await it.call("ada"), await it.call("ada")
        await first.close()
        assert (await it.call("ADA")).nick == "ADA"
        await second.close()
        assert (await it.call("ada")).nick == "ada-2"


async def test_one_that_comes_back_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        await it.call("ada")
        second = await it.call("ada")
        for _ in range(3):
            it.network.cut()
            await lost_and_found(second)
            assert second.nick == "ada-2"


async def test_the_name_of_one_whose_link_is_lost_is_given_to_whoever_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob, ada = await it.call("bob"), await it.call("ada")
        await it.cut(ada)
        assert (await it.call("ADA")).nick == "ADA"
        await until(lambda: ada.state is SessionState.OPEN)
        assert ada.nick == "ada-2"
        await turns()
        assert unread(bob) == [Joined("ada"), Left("ada"), Joined("ADA"), Joined("ada-2")]


async def test_one_that_comes_back_under_another_name_has_left_under_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        older, _ = await it.wire("ada")
        older.reset()
        await turns()
        await it.wire("eve")
        assert unread(bob) == [Joined("ada"), Left("ada"), Joined("eve")]
        assert (await it.call("ada")).nick == "ada"


async def test_one_whose_link_is_dead_without_anybody_noticing_keeps_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        it.link(ada).half_open(End.NEAR)
        await lost_and_found(ada)
        assert ada.nick == "ada"
        assert len(it.listener.sessions) == 1


async def test_who_gives_no_name_is_a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        assert [(await it.call()).nick for _ in range(3)] == ["guest", "guest-2", "guest-3"]


@pytest.mark.parametrize(
    ("asked", "given"), [("\x1b[2Jroot", "␛[2Jroot"), ("bob: I quit", "bob_ I quit")]
)
async def test_a_hostile_name_becomes_a_harmless_one(
    monkeypatch: pytest.MonkeyPatch, asked: str, given: str
) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        mallory = await it.call(asked)
        assert mallory.nick == given
        await mallory.send("hello")
        joined, message = await next_events(bob, 2)
        assert joined == Joined(given)
        assert isinstance(message, Message)
        assert message.sender == given


async def test_names_that_are_long_or_many_can_all_be_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        for nick in ("n" * MAX_NAME, "日" * MAX_NAME, "a\u0301" * 32):
            nicks = [(await it.call(nick)).nick for _ in range(12)]
            assert len({clean_name(name) for name in nicks}) == 12


@given(st.lists(st.text(max_size=MAX_NAME), min_size=1, max_size=20))
def test_whatever_names_are_asked_for_no_two_get_the_same(asked: list[str]) -> None:
    roster = Roster(lambda _: None)
    names: list[str] = []
    for number, nick in enumerate(asked * 2):
        key = bytes([number] * 32) if number % 3 else b""
        wanted = (roster.reserve(name, bytes([number])) for name in candidates(nick_of(nick), key))
        names.append(next(name for name in wanted if name is not None))
    assert len({name_key(name) for name in names}) == len(names)
    for name in names:
        assert 0 < len(name) <= MAX_NAME
        assert width(name) <= NAME_COLUMNS
        assert clean_name(name) == name


# Who is told of whom


async def test_all_are_told_who_comes_and_goes_and_newcomers_who_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        bob = await it.call("bob")
        cleo = await it.call("cleo")
        await bob.close()
        await turns()
        assert unread(ada) == [Joined("bob"), Joined("cleo"), Left("bob")]
        assert unread(bob) == [Present(("ada",)), Joined("cleo")]
        assert unread(cleo) == [Present(("ada", "bob")), Left("bob")]


async def test_the_first_one_is_told_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        assert unread(ada) == []


async def test_who_comes_together_is_told_of_each_other_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        people = await asyncio.gather(*(it.call(nick) for nick in "abcdefgh"))
        for session in people:
            told: list[str] = []
            for event in unread(session):
                assert isinstance(event, Present | Joined)
                assert not isinstance(event, Joined) or event.address == ""
                told += event.nicks if isinstance(event, Present) else [event.nick]
            assert sorted(told) == sorted(other.nick for other in people if other is not session)


async def test_a_newcomer_is_told_of_everybody_in_a_big_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = 30
    monkeypatch.setattr("socketchat.chat.passing.MAX_PRESENT", most)
    async with chat(monkeypatch) as it:
        for number in range(most + 10):
            await it.call(f"member {number}")
        wire, _ = await it.wire()
        wire.say(*posts(1, 1))
        await wire.expect(TextPost)
        told = [one.nicks for one in wire.heard if isinstance(one, WirePresent)]
        assert [len(nicks) for nicks in told] == [most, 10]
        assert {nick for nicks in told for nick in nicks} == {
            f"member {number}" for number in range(most + 10)
        }


async def test_the_host_alone_is_told_from_where(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        ada = await it.call("ada")
        bob = await it.call("bob")
        await bob.close()
        await turns()
        where = "192.0.2.1:50000"
        assert unread(host) == [Joined("ada", where), Joined("bob", where), Left("bob", where)]
        assert unread(ada) == [Present(("host",)), Joined("bob"), Left("bob")]


async def test_the_host_talks_as_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host, ada = await it.host(), await it.call("ada")
        await say(host, "welcome")
        await say(ada, "thank you")
        assert await receive(ada, 1) == ["welcome"]
        assert await receive(host, 1) == ["thank you"]
        await host.close()
        await turns()
        assert unread(ada) == [Left("host")]


async def test_a_short_cut_is_told_neither_as_a_leave_nor_as_a_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        unread(ada)
        unread(bob)
        await it.cut(bob)
        await found(bob)
        await asyncio.sleep(2 * LINGER)
        assert unread(ada) == []
        assert unread(bob)[1:] == [LinkRestored(), Present(("ada",))]
        assert bob.nick == "bob"


async def test_one_that_does_not_come_back_for_a_while_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await it.call("bob", reconnect=False)
        unread(ada)
        it.network.cut()
        await turns()
        cleo = await it.call("cleo")
        assert unread(cleo) == [Present(("ada", "bob"))]  # it still counts as present
        before = now()
        await until(lambda: waiting(ada) == 2)
        assert now() - before == pytest.approx(LINGER, abs=0.1)
        assert unread(ada) == [Joined("cleo"), Left("bob")]
        assert unread(cleo) == [Left("bob")]
        assert (await it.call("bob")).nick == "bob"


async def test_one_that_comes_back_after_that_has_joined_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        unread(ada)
        there, it.network.server = it.network.server, None
        await it.cut(bob)
        await asyncio.sleep(LINGER + 1)
        it.network.server = there
        await until(lambda: bob.state is SessionState.OPEN)
        await turns()
        assert unread(ada) == [Left("bob"), Joined("bob")]


async def test_presence_is_lost_without_harm_by_one_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        it.stall(bob)
        await say(ada, *("x" * 10_000 for _ in range(20)))
        clogged = it.buffered("bob")
        for number in range(50):
            cleo = await it.call(f"cleo {number}")
            await cleo.close()
        assert it.buffered("bob") == clogged
        it.resume(bob)
        await receive(bob, 20)
