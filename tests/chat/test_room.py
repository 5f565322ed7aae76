"""Claims about `socketchat.chat.room`: who is given what, who has which name, who is told of whom.

Each runs over real sessions. What one says on its way to the log is claimed in `test_member.py`,
how members read slowly in `test_member_reading.py`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from socketchat import (
    Gap,
    Joined,
    Left,
    LinkLost,
    LinkRestored,
    Message,
    MessageRejected,
    Present,
    Restarted,
    Session,
    SessionState,
)
from socketchat.chat import Draft
from socketchat.chat.room import LINGER
from socketchat.errors import LogUnavailable
from socketchat.messages import MAX_NAME, MAX_PRESENT, TextPost
from socketchat.messages import Present as WirePresent
from socketchat.testing import End
from socketchat.text import clean_name
from tests.chat.chatting import chat, found, new_log, posts, texts, waiting
from tests.sessions import (
    lost_and_found,
    next_events,
    now,
    receive,
    send_all,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


async def say(session: Session, *bodies: str | bytes) -> None:
    """Say something, and wait until it is in the log."""
    await asyncio.gather(*await send_all(session, bodies))


def unread(session: Session) -> list[object]:
    """Return what a session was told and has not read."""
    told = list(session._inbox.items)
    session._inbox.items.clear()
    return told


# Who is given what


async def test_each_line_goes_to_all_others_in_order_and_not_to_its_author(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        people = [await it.call(nick) for nick in ("ada", "bob", "cleo")]
        lines = [f"line {number}" for number in range(300)]
        await asyncio.gather(*(send_all(session, lines) for session in people))
        for session in people:
            got = [await session.recv() for _ in range(600)]
            others = {other.nick for other in people if other is not session}
            assert {message.sender for message in got} == others
            for nick in others:
                assert [message.text for message in got if message.sender == nick] == lines
        await asyncio.gather(*(session.flush() for session in people))


async def test_all_are_given_the_same_order_their_own_messages_included(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        people = [await it.call(nick) for nick in ("ada", "bob", "cleo")]

        async def read(session: Session) -> list[Message]:
            read: list[Message] = []
            async for event in session.events():
                if isinstance(event, Message):
                    read.append(event)
                if len(read) == 150:
                    break
            return read

        async def talk(session: Session) -> None:
            for number in range(50):
                await session.send(f"{session.nick} {number}")
                await asyncio.sleep(0)

        reading = [asyncio.create_task(read(session)) for session in people]
        await asyncio.gather(*map(talk, people))
        read_by = await asyncio.gather(*reading)
        for session, messages in zip(people, read_by, strict=True):
            assert [message.body for message in messages] == it.log.bodies()
            assert [message.number for message in messages] == list(range(1, 151))
            assert all(message.own is (message.sender == session.nick) for message in messages)


async def test_a_room_holds_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        members = [await it.call() for _ in range(100)]
        assert len({member.nick for member in members}) == 100
        await asyncio.gather(*(send_all(member, [member.nick]) for member in members))
        for member in members:
            heard = set(await receive(member, 99))
            assert heard == {other.nick for other in members if other is not member}


async def test_data_stays_data(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await say(ada, b"\0\xff", "", b"", "text")
        cleo = await it.call("cleo", history=4)
        for session in (bob, cleo):
            assert await receive(session, 4) == [b"\0\xff", "", b"", "text"]


async def test_who_speaks_is_for_the_server_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        wire, _ = await it.wire()
        wire.say(TextPost(1, "I quit", 1, "ada", "", 7))
        message = await bob.recv()
        assert (message.sender, message.own, message.at) != ("ada", True, 1)
        assert message.sender == "mallory"


async def test_a_message_bears_the_time_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await ada.send("hello")
        message = await bob.recv()
        assert message.at == await it.log.at("lobby", message.number)


# Direct messages


async def test_what_names_somebody_is_for_its_two_ends_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob, cleo = [await it.call(nick) for nick in ("ada", "Bob", "cleo")]
        for session in (ada, bob, cleo):
            unread(session)
        coming_back = asyncio.create_task(next_events(ada, 2))
        await turns()
        for body, to in (("psst", "bob"), ("hello", "")):
            await ada.send(body, to=to)
        own = [(one.text, one.to, one.own) for one in await coming_back]  # type: ignore[union-attr]
        assert own == [("psst", "Bob", True), ("hello", "", True)]
        got = [await bob.recv(), await bob.recv()]
        assert [(one.text, one.to) for one in got] == [("psst", "Bob"), ("hello", "")]
        assert await receive(cleo, 1) == ["hello"]


async def test_it_is_so_too_for_what_is_read_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob, cleo = [await it.call(nick) for nick in ("ada", "bob", "cleo")]
        for number in range(3):
            await ada.send(f"psst {number}", to="bob")
            await say(ada, f"hello {number}")
        public = [f"hello {number}" for number in range(3)]
        newcomer = await it.call("dora", history=6)
        assert await receive(newcomer, 3) == public
        for session in (bob, cleo):
            unread(session)
            await it.cut(session)
        await say(ada, "again")
        await ada.send("psst again", to="bob")
        await found(bob, cleo)
        await say(ada, "the end")
        assert await receive(bob, 3) == ["again", "psst again", "the end"]
        assert await receive(cleo, 2) == ["again", "the end"]


async def test_it_is_for_the_one_who_had_the_name_and_not_for_who_has_it_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await (await ada.send("psst", to="bob"))
        await bob.close()
        other = await it.call("bob", history=10)
        assert other.nick == "bob"
        await say(ada, "hello")
        assert await receive(other, 1) == ["hello"]


async def test_one_to_somebody_who_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        bob = await it.call("bob", "elsewhere")
        receipt = await ada.send("psst", to="bob")
        with pytest.raises(MessageRejected, match="nobody here is called 'bob'") as caught:
            await receipt
        assert caught.value.code == 1008
        assert waiting(bob) == 0
        assert it.log.bodies() == []


async def test_one_to_somebody_whose_link_is_lost_waits_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        unread(bob)
        await it.cut(bob)
        await (await ada.send("psst", to="bob"))
        assert bob.state is SessionState.LOST
        assert await receive(bob, 1) == ["psst"]


async def test_one_to_oneself_comes_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await it.wire("me")
        wire.say(TextPost(1, "note", to="me"), TextPost(2, "done"))
        heard = [await wire.expect(TextPost), await wire.expect(TextPost)]
        assert [(post.body, post.own) for post in heard] == [("note", 1), ("done", 2)]


# From which place on


@pytest.mark.parametrize(("history", "count"), [(0, 0), (1, 1), (3, 3), (5, 5), (6, 5), (10**9, 5)])
async def test_a_newcomer_begins_with_as_much_history_as_it_wants(
    monkeypatch: pytest.MonkeyPatch, history: int, count: int
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        lines = [f"line {number}" for number in range(5)]
        await say(ada, *lines)
        bob = await it.call("bob", history=history)
        await say(ada, "new")
        got = [await bob.recv() for _ in range(count + 1)]
        assert [message.text for message in got] == [*lines[5 - count :], "new"]
        assert [message.replayed for message in got] == [True] * count + [False]


async def test_what_was_said_before_is_not_told_to_newcomers_that_do_not_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await say(ada, "before")
        bob = await it.call("bob")
        await ada.send("after")
        assert await receive(bob, 1) == ["after"]


@pytest.mark.parametrize(("seconds", "first"), [(-100, 0), (2, 2), (2.5, 3), (100, 5)])
async def test_a_newcomer_begins_with_what_was_said_since(
    monkeypatch: pytest.MonkeyPatch, seconds: float, first: int
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        times = []
        for number in range(5):
            receipt = await ada.send(f"line {number}")
            await receipt
            times.append(receipt.at)
            await asyncio.sleep(1)
        start = datetime.fromtimestamp(times[0] / 1_000_000, UTC)
        bob = await it.call("bob", since=start + timedelta(seconds=seconds))
        await say(ada, "new")
        lines = [f"line {number}" for number in range(first, 5)]
        assert await receive(bob, len(lines) + 1) == [*lines, "new"]


async def test_one_that_comes_back_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        unread(bob)
        await say(ada, "one", "two")
        await it.cut(bob)
        await say(ada, "three")
        await found(bob)
        await say(ada, "four")
        told = await next_events(bob, 7)
        assert texts(told) == ["one", "two", "three", "four"]
        assert [one for one in told if not isinstance(one, Message)] == [
            LinkLost("Connection reset by peer"),
            LinkRestored(),
            Present(("ada",)),
        ]


async def test_one_whose_place_is_gone_is_told_the_gap_and_goes_on_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(max_entries=3)) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        unread(bob)
        await say(ada, "line 1")
        await it.cut(bob)
        await say(ada, *(f"line {number}" for number in range(2, 10)))
        await found(bob)
        await say(ada, "new")
        told = await next_events(bob, 9)
        assert [one for one in told if isinstance(one, Gap)] == [Gap(2, 6)]
        assert texts(told) == ["line 1", "line 7", "line 8", "line 9", "new"]
        assert not [one for one in told if isinstance(one, Restarted)]


async def test_one_whose_next_entry_is_the_first_there_is_has_missed_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(max_entries=3)) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        unread(bob)
        await say(ada, "line 1")
        await it.cut(bob)
        await say(ada, "line 2", "line 3", "line 4")
        await found(bob)
        await say(ada, "new")
        told = await next_events(bob, 8)
        assert texts(told) == ["line 1", "line 2", "line 3", "line 4", "new"]
        assert not [one for one in told if isinstance(one, Gap | Restarted)]


async def test_one_that_holds_nothing_goes_on_with_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        unread(bob)
        await it.cut(bob)
        await say(ada, "one", "two")
        await found(bob)
        told = await next_events(bob, 5)
        assert texts(told) == ["one", "two"]
        assert not [one for one in told if isinstance(one, Restarted)]


@pytest.mark.parametrize("said_since", [0, 1, 2, 5])
async def test_in_another_log_one_that_comes_back_is_told_and_given_everything(
    monkeypatch: pytest.MonkeyPatch, said_since: int
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await say(ada, "old 1", "old 2")
        assert await receive(bob, 2) == ["old 1", "old 2"]
        await asyncio.sleep(1)  # the other one's entries are of other times
        another = new_log()
        lines = [f"line {number}" for number in range(said_since)]
        for number, line in enumerate(lines, 1):
            await another.append("lobby", b"z" * 16, [Draft(number, line, "zoe")])
        unread(bob)
        await it.restart(another)
        await until(lambda: bob.state is SessionState.LOST)
        await found(bob)
        await turns()
        received = bob._inbox.items
        told = [bob._message(one) if isinstance(one, TextPost) else one for one in received]
        assert told[:3] == [LinkLost("1012 (service restart)"), Restarted(), LinkRestored()]
        assert texts(told) == lines
        assert all(one.replayed for one in told if isinstance(one, Message))


async def test_what_was_not_acknowledged_goes_into_the_other_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await say(ada, "old 1", "old 2")
        it.log.slow = True
        receipt = await ada.send("new")
        await turns()
        it.log.fail(LogUnavailable("the disk is gone"))
        await it.restart(new_log())
        await receipt
        assert it.log.bodies() == ["new"]


async def test_a_session_goes_on_by_its_name_only_in_its_own_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await say(ada, "one", "two")
        at = [await it.log.at("lobby", number) for number in (1, 2)]
        name = b"n" * 16
        for after, goes_on in (
            ((2, at[1]), True),
            ((1, at[0]), True),
            ((0, 0), True),
            ((1, 5), False),
            ((3, at[1]), False),
        ):
            wire, welcome = await it.wire(session=name, after=after)
            assert (welcome.session == name) is goes_on
            assert welcome.after == (after if goes_on else (0, 0))
            wire.reset()
            await turns()


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
                told += event.nicks if isinstance(event, Present) else [event.nick]  # type: ignore[attr-defined]
            assert sorted(told) == sorted(other.nick for other in people if other is not session)


async def test_a_newcomer_is_told_of_everybody_in_a_big_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        for number in range(MAX_PRESENT + 10):
            await it.call(f"member {number}")
        wire, _ = await it.wire()
        wire.say(*posts(1, 1))
        await wire.expect(TextPost)
        told = [one.nicks for one in wire.heard if isinstance(one, WirePresent)]
        assert [len(nicks) for nicks in told] == [MAX_PRESENT, 10]
        assert {nick for nicks in told for nick in nicks} == {
            f"member {number}" for number in range(MAX_PRESENT + 10)
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
