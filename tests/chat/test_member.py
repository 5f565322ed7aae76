"""Claims about `socketchat.chat.member`: what one says on its way to the log, and how fast.

How members read, slowly or not, is claimed in `test_member_reading.py`.
"""

from __future__ import annotations

import asyncio

import pytest

from socketchat import LinkLost, MessageRejected, Rejected, SessionState
from socketchat.chat import Rate, Rules
from socketchat.chat.member import MAX_UNCOMMITTED
from socketchat.errors import LogUnavailable
from socketchat.framing import FrameDecoder
from socketchat.messages import Ack, Bye, Event, Ping, Pong, Reject, TextPost, Welcome, decode
from socketchat.protocol import MAX_WAITING_ANSWERS
from tests.chat.chatting import acknowledged, chat, found, new_log, posts, waiting
from tests.sessions import Wire, next_events, now, receive, send_all, turns, until

pytestmark = pytest.mark.virtual_time

FULL = LogUnavailable("the disk is full")


# Committed first


async def test_nothing_is_acknowledged_or_shown_before_the_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        bob, ada = await it.call("bob"), await it.call("ada")
        await next_events(bob, 1)  # ada has come
        receipt = await ada.send("hello")
        await asyncio.sleep(5)
        assert it.log.under_way == ["hello"]
        assert not receipt.done
        assert waiting(bob) == 0
        it.log.commit()
        await receipt
        assert await receive(bob, 1) == ["hello"]


async def acks_behind_own_posts(wire: Wire, last: int) -> None:
    """Hear acknowledgements up to the last post, each behind what it acknowledges."""
    number = 0
    while number < last:
        number = (await wire.expect(Ack)).number
        come_back = [post.own for post in wire.heard if isinstance(post, TextPost)]
        assert come_back[-1] >= number


async def test_an_acknowledgement_comes_behind_the_message_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        for run in ([1], [2, 3, 7]):
            wire.say(*(TextPost(number, f"line {number}") for number in run))
            await turns()
            it.log.commit()
            await acks_behind_own_posts(wire, run[-1])
        own = [(post.number, post.own) for post in wire.heard if isinstance(post, TextPost)]
        assert own == [(1, 1), (2, 2), (3, 3), (4, 7)]


async def test_it_does_so_however_much_is_committed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socketchat.link.HIGH_WATER", 2**20)  # as if a kernel took so much
    rules = Rules(rate=None, max_size=2**20)
    async with chat(monkeypatch, new_log(slow=True), rules=rules) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 10, "{:50000}"))
        await until(lambda: len(it.log.under_way) == 10)
        it.log.commit()
        await acks_behind_own_posts(wire, 10)


async def test_the_two_go_out_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 1))
        await turns()
        it.log.commit()
        frames = FrameDecoder(2**20).frames(await wire.reader.read(2**16))
        assert [type(decode(frame)) for frame in frames] == [TextPost, Ack]


async def test_a_receipt_tells_the_messages_place_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob, ada = await it.call("bob"), await it.call("ada")
        await (await bob.send("one"))
        receipt = await ada.send("two")
        await receipt
        assert receipt.entry == 2
        assert receipt.at == await it.log.at("lobby", 2)


# Lost links


async def test_what_was_on_its_way_to_the_log_when_the_link_was_cut_is_there_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        ada = await it.call("ada")
        lines = [f"line {number}" for number in range(10)]
        receipts = await send_all(ada, lines[:6])
        await turns()
        await it.cut(ada)
        receipts += await send_all(ada, lines[6:])
        await asyncio.sleep(5)
        assert it.log.under_way == lines[:6]
        it.log.commit()
        await found(ada)
        await turns()
        assert it.log.under_way == lines[6:]
        it.log.commit()
        await asyncio.gather(*receipts)
        assert it.log.bodies() == lines


async def test_a_greeting_waits_for_what_is_under_way_and_tells_what_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        first, _ = await it.wire()
        first.say(*posts(1, 2))
        await turns()
        it.log.commit()
        first.say(*posts(3, 4))
        await turns()
        second = it.listener.call_raw()
        greeting = asyncio.create_task(second.greet())
        await turns()
        assert not greeting.done()
        it.log.commit()
        assert (await greeting).mark == 4
        second.say(*posts(3, 5))
        await turns()
        it.log.commit()
        await acknowledged(second, 5)
        assert it.log.bodies() == [f"line {number}" for number in range(1, 6)]


async def test_repeats_alone_are_acknowledged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        first, _ = await it.wire()
        first.say(*posts(1, 3))
        await acknowledged(first, 3)
        second, welcome = await it.wire()
        assert welcome.mark == 3
        second.say(*posts(1, 3))
        await acknowledged(second, 3)
        assert len(it.log.bodies()) == 3


# A log that fails


async def hear_to_the_end(wire: Wire) -> None:
    """Hear all that is said until the other side hangs up."""
    with pytest.raises(EOFError):
        await wire.expect(Welcome)


async def test_an_append_that_fails_acknowledges_nothing_and_closes_with_1013(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        bob = await it.call("bob")
        wire.say(*posts(1, 3))
        await turns()
        it.log.fail(LogUnavailable("the disk is full"))
        wire.say(*posts(4, 5))  # nothing of that may get anywhere
        assert await wire.read_bye() == Bye(1013, "the disk is full")
        wire.say(Bye(1013))
        await hear_to_the_end(wire)
        assert not [one for one in wire.heard if isinstance(one, Ack | TextPost)]
        assert it.log.bodies() == it.log.under_way == []
        assert bob.state is SessionState.OPEN


async def test_after_a_failure_its_author_comes_back_and_all_is_in_the_log_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        ada = await it.call("ada")
        receipts = []
        for number in range(3):  # three appends are under way
            receipts.append(await ada.send(f"line {number}"))
            await turns()
        it.log.fail(LogUnavailable("the disk is full"))
        it.log.speed_up()  # the two behind it get their turn
        assert it.log.bodies() == []
        receipts.append(await ada.send("line 3"))
        await asyncio.gather(*receipts)
        assert it.log.bodies() == [f"line {number}" for number in range(4)]
        assert LinkLost("the disk is full", 1013) in await next_events(ada, 2)


async def test_what_was_refused_does_not_acknowledge_what_failed_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = Rules(rate=Rate(burst=2, per_second=10), max_size=100)
    async with chat(monkeypatch, new_log(slow=True), rules=rules) as it:
        wire, _ = await it.wire()
        wire.say(TextPost(1, "fine"), TextPost(2, "x" * 101), *posts(3, 9))
        assert (await wire.expect(Reject)).number == 2
        it.log.fail(LogUnavailable("the disk is full"))
        await wire.read_bye()
        await asyncio.sleep(5)  # it takes its time to answer
        wire.say(Bye(1013))
        await hear_to_the_end(wire)
        assert not [one for one in wire.heard if isinstance(one, Ack)]
        assert it.log.under_way == []


async def test_what_waits_for_its_turn_behind_a_failure_is_not_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = Rules(rate=Rate(burst=2, per_second=10))
    async with chat(monkeypatch, new_log(slow=True), rules=rules) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 9))
        await turns()
        it.log.fail(LogUnavailable("the disk is full"))
        await asyncio.sleep(5)
        assert it.log.under_way == []


# Refusing


async def test_a_refusal_in_the_middle_is_told_and_the_rest_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=Rules(rate=None)) as it:
        ada = await it.call("ada")
        bodies: list[str | bytes] = [
            "one",
            "x" * 16_385,
            "two",
            "\n" * 200,
            "three",
            b"x" * 16_385,
            "four",
        ]
        receipts = await send_all(ada, bodies)
        for receipt in receipts[1::2]:
            with pytest.raises(MessageRejected, match="a message has at most") as caught:
                await receipt
            assert caught.value.code == 1009
        await asyncio.gather(*receipts[::2])
        assert it.log.bodies() == ["one", "two", "three", "four"]
        assert ada.unacknowledged == 0
        told = [event for event in await next_events(ada, 3) if isinstance(event, Rejected)]
        assert [event.number for event in told] == [2, 4, 6]


async def test_a_refusal_is_acknowledged_once_everything_before_it_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = Rules(rate=None, max_size=100)
    async with chat(monkeypatch, new_log(slow=True), rules=rules) as it:
        wire, _ = await it.wire()
        wire.say(TextPost(1, "fine"), TextPost(2, "x" * 101))
        await turns()
        wire.say(TextPost(3, "x" * 101))
        for _ in range(2):  # it is asked again, for what was refused since
            wire.say(Pong((await wire.expect(Ping)).number))
        wire.say(TextPost(4, "fine as well"))
        await turns()
        wire.say(TextPost(5, "x" * 101))
        while (await wire.expect(Reject)).number < 5:
            pass
        it.log.commit(1)
        await acknowledged(wire, 1)
        await turns()
        assert it.far("mallory")._lanes.committed == 1
        it.log.commit(1)
        await acknowledged(wire, 5)


async def test_refusals_alone_are_acknowledged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, rules=Rules(rate=None, max_size=100)) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 3, "{:101}"))
        await acknowledged(wire, 3)


async def test_any_number_of_messages_can_be_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await it.wire()
        count = 3 * MAX_WAITING_ANSWERS
        wire.say(*(TextPost(number, "psst", to="nobody") for number in range(1, count + 1)))
        await acknowledged(wire, count)
        refused = [one.number for one in wire.heard if isinstance(one, Reject)]
        assert refused == list(range(1, count + 1))


async def test_who_reads_none_of_its_refusals_is_cut_off_and_leaves_its_seat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await it.wire()
        bob = await it.call("bob")
        count = 10 * MAX_WAITING_ANSWERS
        wire.say(*(TextPost(number, "psst", to="nobody") for number in range(1, count + 1)))
        wire.say(TextPost(count + 1, "after all that"))
        await until(lambda: len(it.listener.sessions) == 1)
        assert it.log.bodies() == []
        assert (await it.call("mallory")).nick == "mallory"
        assert bob.state is SessionState.OPEN


# The rate


async def test_the_rate_delays_and_keeps_the_order_and_drops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=Rules(rate=Rate(burst=5, per_second=10))) as it:
        bob, ada = await it.call("bob"), await it.call("ada")
        lines = [f"line {number}" for number in range(25)]
        receipts = await send_all(ada, lines)
        await receipts[4]
        assert now() < 0.1
        assert not receipts[5].done
        await asyncio.gather(*receipts)
        assert now() == pytest.approx(2, abs=0.1)
        assert await receive(bob, 25) == lines


async def test_one_that_speaks_too_fast_is_not_read_and_the_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=Rules(rate=Rate(burst=5, per_second=10))) as it:
        wire, _ = await it.wire()
        bob, ada = await it.call("bob"), await it.call("ada")
        wire.say(*posts(1, 100))
        await turns()
        assert len(it.log.bodies()) == 5
        assert not it.is_read("mallory")
        wire.say(*posts(101, 5000))  # that stays on the wire
        await asyncio.sleep(1)
        assert 13 <= len(it.log.bodies()) <= 17
        assert len(it.far("mallory")._keeper._waiting) < 100  # type: ignore[union-attr]
        await (await ada.send("meanwhile"))
        assert "meanwhile" in await receive(bob, 20)
        assert now() < 3


async def test_one_that_has_waited_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, rules=Rules(rate=Rate(burst=5, per_second=10))) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 15))
        await turns()
        assert not it.is_read("mallory")
        await acknowledged(wire, 15)
        assert it.is_read("mallory")


async def test_one_with_too_much_under_way_is_not_read_until_some_of_it_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        most = MAX_UNCOMMITTED[0]
        wire.say(*posts(1, most))
        await until(lambda: len(it.log.under_way) == most)
        assert it.is_read("mallory")
        wire.say(*posts(most + 1, most + 1))
        await until(lambda: not it.is_read("mallory"))
        wire.say(*posts(most + 2, 2 * most))
        await turns()
        assert len(it.log.under_way) == most + 1
        it.log.speed_up()
        await acknowledged(wire, 2 * most)
        assert it.is_read("mallory")


async def test_one_with_too_many_bytes_under_way_is_not_read_until_some_of_it_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most, size = MAX_UNCOMMITTED[1], 16_000
    count = 2 * most // size
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, count, f"{{:{size}}}"))
        # Reading stops for a while before that too, while a long read is looked at in turns.
        await until(lambda: sum(map(len, it.log.under_way)) > most)
        await until(lambda: not it.is_read("mallory"))
        await turns()
        under_way = sum(map(len, it.log.under_way))
        assert most < under_way < most + 2**19  # the rest is what one read brought
        it.log.commit(1)
        await turns()
        assert not it.is_read("mallory")
        it.log.speed_up()
        await acknowledged(wire, count)
        assert it.is_read("mallory")


# Typing


async def test_typing_is_passed_on_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        listener, _ = await it.wire("listener", lane=bytes(16))
        typist, _ = await it.wire("typist")
        for _ in range(40):  # four seconds
            typist.say(Event("typing", "somebody else"))
            await asyncio.sleep(0.1)
        typist.say(*posts(1, 1))
        await listener.expect(TextPost)
        typing = [one for one in listener.heard if isinstance(one, Event) and one.kind == "typing"]
        assert typing == [Event("typing", "typist")] * 4


async def test_no_other_event_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        liar, _ = await it.wire()
        await next_events(bob, 1)  # it has come
        liar.say(Event("left", "ada"), Event("joined", "root", "127.0.0.1"), *posts(1, 1))
        await acknowledged(liar, 1)
        assert waiting(bob) == 1


# The end


async def test_what_one_said_before_its_goodbye_is_committed_and_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, rules=Rules(rate=Rate(burst=5, per_second=10))) as it:
        ada = await it.call("ada")
        lines = [f"line {number}" for number in range(20)]
        receipts = await send_all(ada, lines)
        await ada.close()
        assert all(receipt.done and receipt.error is None for receipt in receipts)
        assert it.log.bodies() == lines


async def test_one_that_is_gone_says_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, rules=Rules(rate=Rate(burst=5, per_second=10))) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 10))
        await turns()
        wire.reset()
        await asyncio.sleep(5)
        assert len(it.log.bodies()) == 5  # the others come again, if their author does
