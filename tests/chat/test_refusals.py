"""Claims about refused messages: their authors hear of it, though links and greetings come between.

A mark that a greeting tells covers all that stands before it. So nothing that stands behind a
refused message may be in the log before its author has heard that it was refused.
"""

from __future__ import annotations

import asyncio

import pytest

from socketchat import MessageRejected, SessionState
from socketchat.chat import Rules
from socketchat.chat import member as members
from socketchat.chat.roster import LINGER
from socketchat.messages import Bye, Ping, Pong, Reject, TextPost
from tests.chat.chatting import acknowledged, chat, new_log, posts, texts, unread
from tests.sessions import now, receive, send_all, turns, until

pytestmark = pytest.mark.virtual_time

STRICT = Rules(rate=None, max_size=100)
LONG = "x" * 101


async def test_a_refusal_that_was_lost_with_its_link_is_told_over_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=STRICT) as it:
        ada = await it.call("ada")
        it.stall(ada)  # it does not hear of the refusal
        before, refused, behind = await send_all(ada, ["before", LONG, "behind"])
        await turns()
        assert it.log.bodies() == ["before"]
        await it.cut(ada)
        await until(lambda: ada.state is SessionState.OPEN)
        with pytest.raises(MessageRejected):
            await refused
        await before
        await behind
        assert it.log.bodies() == ["before", "behind"]


async def test_what_stands_behind_a_refused_message_waits_until_that_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=STRICT) as it:
        wire, _ = await it.wire()
        wire.say(TextPost(1, LONG), TextPost(2, "two"))
        ping = await wire.expect(Ping)
        assert [one.number for one in wire.heard if isinstance(one, Reject)] == [1]
        wire.say(TextPost(3, LONG), TextPost(4, "four"))
        await turns()
        assert it.log.bodies() == []
        wire.say(Pong(ping.number))
        ping = await wire.expect(Ping)
        assert it.log.bodies() == ["two"]
        wire.say(Pong(ping.number))
        await acknowledged(wire, 4)
        assert it.log.bodies() == ["two", "four"]


async def test_any_number_of_refusals_in_a_row_is_asked_about_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=STRICT) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 50, "{:101}"), TextPost(51, "fine"))
        ping = await wire.expect(Ping)
        assert len([one for one in wire.heard if isinstance(one, Reject)]) == 50
        wire.say(Pong(ping.number))
        await acknowledged(wire, 51)
        assert not [one for one in wire.heard if isinstance(one, Ping)]


async def test_what_is_said_behind_a_refused_message_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "MAX_BEHIND", (10, 900))
    async with chat(monkeypatch, rules=STRICT) as it:
        for lane, flood in ((bytes(16), posts(2, 12)), (bytes(15) + b"1", posts(2, 11, "{:100}"))):
            wire, _ = await it.wire(lane=lane)
            wire.say(TextPost(1, LONG))
            await wire.expect(Ping)
            wire.say(*flood)
            assert (await wire.read_bye()).code == 1013
            wire.say(Bye(1013))
            await wire.read_end()
        assert it.log.bodies() == []


async def test_one_that_says_goodbye_right_behind_is_asked_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=STRICT) as it:
        wire, _ = await it.wire()
        wire.say(TextPost(1, LONG), TextPost(2, "two"), Bye(1000))
        await wire.read_bye()
        ping = await wire.expect(Ping)
        assert it.log.bodies() == []
        wire.say(Pong(ping.number))
        await acknowledged(wire, 2)
        assert it.log.bodies() == ["two"]


async def test_a_session_that_closes_at_once_loses_nothing_behind_what_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=STRICT) as it:
        ada = await it.call("ada")
        refused, behind = await send_all(ada, [LONG, "behind"])
        await ada.close()
        assert isinstance(refused.error, MessageRejected)
        assert behind.done
        assert behind.error is None
        assert it.log.bodies() == ["behind"]


async def test_what_stands_behind_a_refused_message_comes_again_if_the_server_says_goodbye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=STRICT) as it:
        ada = await it.call("ada")
        it.stall(ada)  # it hears neither of the goodbye nor of the refusal
        far = it.far("ada")
        closing = asyncio.create_task(far.close(1012))
        await turns()
        refused, behind = await send_all(ada, [LONG, "behind"])
        await turns()
        assert it.log.bodies() == []
        it.link(ada).cut()
        await closing
        with pytest.raises(MessageRejected):
            await refused
        await behind
        assert it.log.bodies() == ["behind"]


async def test_what_is_on_its_way_to_the_log_is_not_refused_when_it_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        receipt = await ada.send("psst", to="bob")
        await turns()
        await it.cut(ada)
        await bob.close()  # so nobody is called that, when it comes again
        await asyncio.sleep(1)
        it.log.commit()
        await receipt
        assert it.log.bodies() == ["psst"]


async def test_a_server_that_says_goodbye_takes_what_stands_behind_once_that_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=STRICT) as it:
        wire, _ = await it.wire()
        closing = asyncio.create_task(it.far("mallory").close(1012))
        await wire.read_bye()
        wire.say(TextPost(1, "one"), TextPost(2, LONG), TextPost(3, "three"), Bye(1012))
        wire.say(Pong((await wire.expect(Ping)).number))
        await acknowledged(wire, 3)
        await closing
        assert it.log.bodies() == ["one", "three"]


# Whom it is for may still be on its way


async def test_what_is_for_somebody_who_is_not_back_yet_waits_with_all_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await it.wire()
        wire.say(TextPost(1, "one"), TextPost(2, "psst", to="bob"), *posts(3, 4))
        await acknowledged(wire, 1)
        await asyncio.sleep(LINGER / 2)
        assert it.log.bodies() == ["one"]
        bob = await it.call("bob")
        await acknowledged(wire, 4)
        assert it.log.bodies() == ["one", "psst", "line 3", "line 4"]
        assert texts(unread(bob)) == ["psst", "line 3", "line 4"]
        assert it.is_read("mallory")


async def test_it_is_refused_when_who_was_there_before_would_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await it.wire()
        before = now()
        wire.say(TextPost(1, "psst", to="bob"), TextPost(2, "two"))
        assert (await wire.expect(Reject)).number == 1
        assert now() - before == pytest.approx(LINGER, abs=0.5)
        wire.say(Pong((await wire.expect(Ping)).number))
        await acknowledged(wire, 2)
        before = now()
        wire.say(TextPost(3, "psst", to="bob"))
        assert (await wire.expect(Reject)).number == 3
        assert now() == before
        assert it.log.bodies() == ["two"]


async def test_a_restart_refuses_nothing_that_was_for_one_who_comes_back_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await asyncio.sleep(2 * LINGER)
        await it.listener.close(1012)
        receipt = await ada.send("psst", to="bob")
        await it.open(it.log)
        await receipt
        assert await receive(bob, 1) == ["psst"]


async def test_one_that_goes_while_it_waits_takes_it_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await it.wire()
        wire.say(TextPost(1, "psst", to="bob"))
        await turns()
        wire.reset()
        await turns()
        await it.call("bob")
        await asyncio.sleep(2 * LINGER)
        assert it.log.bodies() == []
