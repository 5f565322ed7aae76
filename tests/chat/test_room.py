"""Claims about `socketchat.chat.room`: who is given what, and from which place in the log on.

Who has which name in a room, and who is told of whom, is claimed in `test_room_people.py`; what one
says on its way to the log in `test_member.py`; how members read slowly in `test_member_reading.py`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from socketchat import (
    Gap,
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
from socketchat.errors import LogUnavailable
from socketchat.messages import TextPost
from tests.chat.chatting import chat, found, new_log, say, texts, unread, waiting
from tests.sessions import (
    next_events,
    receive,
    send_all,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


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
            for message in messages:
                assert message.own is (message.sender == session.nick)


async def test_a_room_holds_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        members = [await it.call() for _ in range(40)]
        assert len({member.nick for member in members}) == 40
        await asyncio.gather(*(send_all(member, [member.nick]) for member in members))
        for member in members:
            heard = set(await receive(member, 39))
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


async def test_a_newcomer_begins_with_what_there_is_left_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(max_entries=3)) as it:
        ada = await it.call("ada")
        await say(ada, *(f"line {number}" for number in range(9)))
        await ada.close()  # the room itself remembers no more than the log
        bob = await it.call("bob", history=5)
        await turns()
        assert texts(unread(bob)) == ["line 6", "line 7", "line 8"]


@pytest.mark.parametrize("history", [0, 1, 9])
async def test_a_newcomer_that_was_quicker_than_the_logs_word_gets_each_entry_once(
    monkeypatch: pytest.MonkeyPatch, history: int
) -> None:
    async with chat(monkeypatch, new_log(quiet=True)) as it:
        ada = await it.call("ada")
        await send_all(ada, ["one", "two"])
        await turns()
        bob = await it.call("bob", history=history)
        await send_all(ada, ["three"])
        await turns()
        it.log.tell()  # of all three at once
        await ada.flush()
        await turns()
        earlier = ["one", "two"][max(2 - history, 0) :]
        assert texts(unread(bob)) == [*earlier, "three"]
        it.log.quiet = False
        await say(ada, "four")
        assert await receive(bob, 1) == ["four"]


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


async def test_one_whose_place_goes_while_it_is_looked_for_is_told_the_gap_and_no_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(max_entries=3)) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await say(ada, "line 1")
        await it.cut(bob)
        await say(ada, "line 2")
        unread(bob)
        read_at = it.log.at

        async def forget_and_read_at(room: str, number: int) -> int | None:
            monkeypatch.setattr(it.log, "at", read_at)
            it.log.append(
                room, bytes(16), [Draft(number, f"line {number}") for number in (3, 4, 5)]
            )
            return await read_at(room, number)

        monkeypatch.setattr(it.log, "at", forget_and_read_at)
        told = await next_events(bob, 6)
        assert told[:2] == [LinkRestored(), Gap(2, 2)]
        assert texts(told) == ["line 3", "line 4", "line 5"]


async def test_one_that_comes_back_only_to_say_goodbye_is_told_the_gap_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(max_entries=3)) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        unread(bob)
        await say(ada, "line 1")
        await it.cut(bob)
        await say(ada, *(f"line {number}" for number in range(2, 10)))
        last_words = await bob.send("goodbye")
        await bob.close()
        assert last_words.done
        told = [event async for event in bob.events() if isinstance(event, Message | Gap)]
        assert [one for one in told if isinstance(one, Gap)] == [Gap(2, 6)]
        assert isinstance(told[1], Gap)
        assert texts(told)[:4] == ["line 1", "line 7", "line 8", "line 9"]


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
        told = unread(bob)
        assert told[:3] == [LinkLost("", 1012), Restarted(), LinkRestored()]
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


async def test_a_place_that_is_gone_may_have_been_in_this_log_unless_it_is_of_a_later_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(max_entries=3)) as it:
        ada = await it.call("ada")
        for number in range(9):
            await say(ada, f"line {number}")
            await asyncio.sleep(1)
        last = (await it.log.span("lobby")).at
        name = b"n" * 16
        for at, goes_on in ((1_000_000, True), (last, True), (last + 1, False)):
            wire, welcome = await it.wire(session=name, after=(2, at))
            assert (welcome.session == name) is goes_on
            assert (welcome.floor, welcome.after) == (7, (6, 0))
            wire.reset()
            await turns()
