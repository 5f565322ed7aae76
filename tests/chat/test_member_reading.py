"""Claims about `socketchat.chat.member`: how a member reads, however slowly, and what that costs.

A stalled link in memory stands for one that does not read: there is no kernel that takes a little
more, so every byte that waits for it is counted.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from socketchat import (
    Event,
    Gap,
    LinkLost,
    Message,
    Restarted,
    Session,
    SessionClosedError,
    SessionState,
)
from socketchat.chat import Rules
from socketchat.chat.log import READ_SIZE, Entry, lane_name
from socketchat.chat.room import MAX_RECENT, MAX_RECENT_SIZE
from socketchat.errors import LogError, LogUnavailable
from socketchat.link import HIGH_WATER
from socketchat.messages import TextPost
from socketchat.testing import End
from tests.chat.chatting import chat, found, new_log, posts, say, texts
from tests.chat.slow_log import SlowLog
from tests.sessions import now, receive, send_all, turns, until

pytestmark = pytest.mark.virtual_time

#: Above what a slow member may have waiting for it: what fills its transport, one piece, and the
#: frames around all that.
BOUND = HIGH_WATER + 2 * READ_SIZE


def lines(first: int, last: int, size: int = 100) -> list[str]:
    """Return numbered lines that are so long."""
    return [f"{number:<{size}}" for number in range(first, last + 1)]


async def messages(session: Session, count: int) -> list[Message]:
    """Return the next messages, one's own among them."""
    got: list[Message] = []
    async for event in session.events():
        if isinstance(event, Message):
            got.append(event)
            if len(got) == count:
                break
    return got


@pytest.fixture
def forgetful_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rooms remember little, so that members are soon behind that."""
    monkeypatch.setattr("socketchat.chat.room.MAX_RECENT", 100)


# One that does not read


async def test_one_that_does_not_read_costs_its_transport_and_a_piece_and_delays_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob, slow, ada = await it.call("bob"), await it.call("slow"), await it.call("ada")
        it.stall(slow)
        said = lines(1, 2500)
        reading = asyncio.create_task(receive(bob, len(said)))
        for line in said:
            await ada.send(line)
            await asyncio.sleep(0)
            assert it.buffered("slow") < BOUND
        assert await reading == said
        assert now() == 0
        assert it.buffered("slow") > HIGH_WATER


async def test_it_reads_on_out_of_what_the_room_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        it.stall(slow)
        said = lines(1, 1500, 500)  # many times what a transport takes
        assert len(said) < MAX_RECENT
        assert 500 * len(said) < MAX_RECENT_SIZE
        await say(ada, *said)
        it.resume(slow)
        assert await receive(slow, len(said)) == said
        assert it.log.reads == 0


async def test_it_reads_on_out_of_the_log_where_the_room_remembers_no_more(
    monkeypatch: pytest.MonkeyPatch, forgetful_room: None
) -> None:
    async with chat(monkeypatch) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        it.stall(slow)
        said = lines(1, 2000)
        await say(ada, *said)
        it.resume(slow)
        got = await messages(slow, len(said))
        assert [message.text for message in got] == said
        assert [message.number for message in got] == list(range(1, len(said) + 1))
        assert it.log.reads > 1


async def test_what_is_said_while_it_reads_on_comes_in_its_turn(
    monkeypatch: pytest.MonkeyPatch, forgetful_room: None
) -> None:
    async with chat(monkeypatch) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        it.stall(slow)
        said = lines(1, 2000)
        await say(ada, *said)
        it.log.readable.clear()  # it has begun to read the log
        it.resume(slow)
        await until(lambda: it.log.reads)
        more = lines(len(said) + 1, len(said) + 500)
        await say(ada, *more)
        it.log.readable.set()
        assert await receive(slow, len(said) + 500) == said + more


async def test_an_entry_bigger_than_a_piece_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules(rate=None, max_size=2**20)
    async with chat(monkeypatch, rules=rules) as it:
        bob, slow, ada = await it.call("bob"), await it.call("slow"), await it.call("ada")
        it.stall(slow)
        said = [bytes([number]) * (READ_SIZE * number) for number in range(1, 9)]
        await say(ada, *said)
        assert await receive(bob, len(said)) == said
        assert it.buffered("slow") < BOUND + READ_SIZE  # the first two
        it.resume(slow)
        assert await receive(slow, len(said)) == said


async def test_what_is_committed_at_once_is_given_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        bob, slow, ada = await it.call("bob"), await it.call("slow"), await it.call("ada")
        it.stall(slow)
        said = lines(1, 1000, 1000)  # a mebibyte, about
        receipts = await send_all(ada, said)
        await until(lambda: len(it.log.under_way) == 1000)
        it.log.commit()
        await asyncio.gather(*receipts)
        assert it.buffered("slow") < BOUND
        it.resume(slow)
        for session in (bob, slow):
            assert await receive(session, 1000) == said


async def test_however_short_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        slow = await it.call("slow")
        wire, _ = await it.wire()
        it.stall(slow)
        wire.say(*posts(1, 10_000, ""))
        await until(lambda: len(it.log.under_way) == 10_000)
        it.log.commit()
        await turns()
        assert it.buffered("slow") < BOUND
        it.resume(slow)
        assert await receive(slow, 10_000) == [""] * 10_000


async def test_history_is_given_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        said = lines(1, 3000)
        await say(ada, *said)
        it.network.prepare = lambda link: link.deliver_chunks([4096] * 20, sender=End.FAR)
        wire, _ = await it.wire("slow", history=3000)
        await turns(100)
        assert it.buffered("slow") < BOUND
        got = [(await wire.expect(TextPost)).body for _ in said]
        assert got == said


async def test_many_that_do_not_read_cost_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        bob, ada = await it.call("bob"), await it.call("ada")
        slow = [await it.call(f"slow {number}") for number in range(10)]
        it.stall(*slow)
        said = lines(1, 1500)
        reading = asyncio.create_task(receive(bob, len(said)))
        await say(ada, *said)
        assert await reading == said
        assert all(it.buffered(session.nick) < BOUND for session in slow)
        it.resume(*slow)
        for session in slow:
            assert await receive(session, len(said)) == said


async def test_one_whose_program_does_not_read_gets_everything_when_it_does(
    monkeypatch: pytest.MonkeyPatch, forgetful_room: None
) -> None:
    async with chat(monkeypatch) as it:
        slow, ada = await it.call("slow", max_queue=(8, 4)), await it.call("ada")
        said = lines(1, 2000)
        await say(ada, *said)
        assert it.buffered("slow") < BOUND
        assert await receive(slow, len(said)) == said


async def test_two_who_talk_as_fast_as_they_can_lose_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, max_unacked=(64, 2**20)) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        said = lines(1, 1500)

        async def read(session: Session) -> list[str]:
            read = []
            for _ in said:
                read.append((await session.recv()).text)
                await asyncio.sleep(0)  # it has other things to do
            return read

        _, _, by_ada, by_bob = await asyncio.gather(
            send_all(ada, said), send_all(bob, said), read(ada), read(bob)
        )
        assert by_ada == by_bob == said


async def test_an_author_that_reads_slowly_is_acknowledged_and_gets_its_own_words_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        coming_back = asyncio.create_task(messages(slow, 1501))
        await turns()
        it.stall(slow)
        await say(ada, *lines(1, 1500))
        receipt = await slow.send("mine")
        await until(lambda: it.log.bodies()[-1] == "mine")
        it.resume(slow)
        await receipt
        last = (await coming_back)[-1]
        assert (last.text, last.own, last.number) == ("mine", True, 1501)


async def test_presence_and_acknowledgements_do_not_gather_for_one_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await it.wire("slow")
        ada = await it.call("ada")
        await say(ada, *lines(1, 3000))
        await turns()
        clogged = it.buffered("slow")
        assert clogged > HIGH_WATER
        for number in range(1, 500):
            wire.say(*posts(number, number))
            await turns(3)
        await it.call("bob")
        assert len(it.log.bodies()) == 3000 + 499
        assert it.buffered("slow") < clogged + 100


@pytest.mark.parametrize("seed", range(12))
async def test_however_links_stall_and_are_cut_each_gets_all_that_is_for_it_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The room remembers little, so that every way of reading is taken."""
    rng = random.Random(seed)
    monkeypatch.setattr("socketchat.chat.room.MAX_RECENT", rng.choice([1, 20, 2048]))
    log = new_log(slow=True)
    async with chat(monkeypatch, log) as it:
        people = [await it.call(nick) for nick in "abcde"]
        reading = {one: asyncio.create_task(read_to_the_end(one)) for one in people}
        for number in range(120):
            author = rng.choice(people)
            to = rng.choice(["", "", "", *"abcde"])
            for part in range(rng.randint(1, 12)):
                body = f"{number}.{part} " + "x" * rng.choice([1, 100, 10_000])
                await author.send(body, to=to)
            link = rng.choice(it.network.links[-8:])
            rng.choice([link.stall, link.resume, link.resume, lambda: None])()
            if rng.random() < 0.05:
                link.cut()
            log.commit(rng.randint(0, 3))
            await asyncio.sleep(rng.choice([0, 0, 0.1, 1]))
        for link in it.network.links:
            link.resume()
        log.speed_up()
        await found(*people)
        await asyncio.gather(*(session.flush() for session in people))
        await say(people[0], "end")
        for session, task in reading.items():
            got = await task
            lane = lane_name(session._lanes.lane)
            theirs = [
                (entry.number, entry.body, entry.lane == lane)
                for entry in log._rooms["lobby"].entries
                if not entry.to or lane in (entry.lane, entry.to_id)
            ]
            assert [(one.number, one.body, one.own) for one in got] == theirs


async def read_to_the_end(session: Session) -> list[Message]:
    """Return the messages up to the one that says it is the last."""
    got: list[Message] = []
    async for event in session.events():
        if isinstance(event, Message):
            got.append(event)
            if event.body == "end":
                break
    return got


# When the log has not got it


async def test_one_that_lags_behind_what_the_log_keeps_comes_back_and_is_told_the_gap(
    monkeypatch: pytest.MonkeyPatch, forgetful_room: None
) -> None:
    async with chat(monkeypatch, new_log(max_entries=500)) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        it.stall(slow)
        said = lines(1, 2000)
        await say(ada, *said)
        first_held = (await it.log.span("lobby")).floor
        it.resume(slow)
        numbers: list[int] = []
        gaps: list[Gap] = []
        async for event in slow.events():
            if isinstance(event, Message):
                numbers.append(event.number)
            if isinstance(event, Gap):
                gaps.append(event)
            assert not isinstance(event, Restarted)
            if numbers and numbers[-1] == len(said):
                break
        (gap,) = gaps
        assert gap.last == first_held - 1
        before, behind = range(1, gap.first), range(gap.last + 1, len(said) + 1)
        assert numbers == [*before, *behind]


async def test_one_for_whom_the_log_cannot_be_read_comes_back_and_misses_nothing(
    monkeypatch: pytest.MonkeyPatch, forgetful_room: None
) -> None:
    async with chat(monkeypatch) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        it.stall(slow)
        said = lines(1, 2000)
        await say(ada, *said)
        it.log.unreadable = LogUnavailable("the store is away")
        it.resume(slow)
        told: list[Event] = []
        async for event in slow.events():
            told.append(event)
            if isinstance(event, LinkLost):
                it.log.unreadable = None
            if texts(told[-1:]) == said[-1:]:
                break
        assert [one for one in told if isinstance(one, LinkLost)] == [
            LinkLost("the store is away", 1013)
        ]
        assert texts(told) == said
        assert ada.state is SessionState.OPEN


async def test_one_that_goes_while_it_reads_the_log_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, forgetful_room: None
) -> None:
    async with chat(monkeypatch) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        it.stall(slow)
        await say(ada, *lines(1, 2000))
        it.log.readable.clear()
        it.resume(slow)
        await until(lambda: it.log.reads)
        tasks = len(asyncio.all_tasks())
        slow.abort()
        await slow.wait_closed()
        await turns()
        assert len(asyncio.all_tasks()) < tasks
        assert [one.nick for one in it.listener.sessions] == ["ada"]


async def test_a_server_that_is_closed_waits_for_who_still_reads_the_log(
    monkeypatch: pytest.MonkeyPatch, forgetful_room: None
) -> None:
    class SlowToGiveUp(SlowLog):
        ended = 0

        async def read(self, *args: Any, **kwargs: Any) -> list[Entry]:
            try:
                return await super().read(*args, **kwargs)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
                self.ended += 1
                raise

    log = SlowToGiveUp()
    async with chat(monkeypatch, log) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        it.stall(slow)
        await say(ada, *lines(1, 2000))
        log.readable.clear()
        it.resume(slow)
        await until(lambda: log.reads)
        slow.abort()
        await turns()
        await it.listener.close()
        assert log.ended == 1


async def test_an_error_that_nobody_expected_is_logged_and_ends_the_session_of_one_who_reads(
    monkeypatch: pytest.MonkeyPatch, forgetful_room: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with chat(monkeypatch) as it:
        slow, ada = await it.call("slow"), await it.call("ada")
        it.stall(slow)
        await say(ada, *lines(1, 2000))
        it.log.unreadable = cast("LogError", ZeroDivisionError("a bug"))
        it.resume(slow)
        with pytest.raises(SessionClosedError):
            await read_to_the_end(slow)
        assert (slow.close_code, slow.close_reason) == (1011, "internal error")
        (record,) = (one for one in caplog.records if one.exc_info)
        assert isinstance(record.exc_info, tuple)
        assert isinstance(record.exc_info[1], ZeroDivisionError)
        assert ada.state is SessionState.OPEN
        assert it.server.failure is None
