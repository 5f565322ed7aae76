"""Claims about `socketchat.chat.redis_log` when Redis is away, or comes back without what it had.

Each test has servers of its own, which it kills, stops and starts again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from socketchat import LogUnavailable, Message, Restarted, Session
from socketchat.chat import ChatServer
from socketchat.chat.log import Span
from socketchat.chat.redis_link import Command, RedisLink
from socketchat.chat.redis_log import RedisLog
from socketchat.chat.redis_rooms import Followed
from socketchat.chat.redis_scripts import APPEND
from tests.chat import chatting
from tests.chat.chatting import FREE
from tests.chat.log_conformance import ADA, BOB, CYD, draft, drafts, everything, numbers, say
from tests.chat.redis_logs import (
    ask,
    author,
    have_patience,
    opened,
    redis_is_missing,
    until,
    watched,
)
from tests.proxy import FaultyProxy
from tests.redis_server import RedisServer, serving
from tests.sessions import MemoryNetwork

pytestmark = redis_is_missing

#: What a server needs that is to have all after a kill.
LASTING = {"appendonly": "yes", "appendfsync": "always"}
#: A log that soon takes a connection for lost.
QUICK = {"timeout": 0.3, "patience": 60.0}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing logged: pytest would write it to a file, which blocks."""
    logger = logging.getLogger("socketchat")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[RedisServer]:
    """Return a server that has all after a restart."""
    with serving(tmp_path / "lasting", **LASTING) as server:
        yield server


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[RedisServer]:
    """Return a server that has nothing after a restart."""
    with serving(tmp_path / "forgetful") as server:
        yield server


# Away


async def test_cut_connections_lose_and_double_nothing(forgetful: RedisServer) -> None:
    lanes = [bytes([number]) * 16 for number in range(20)]
    async with opened(forgetful) as one, opened(forgetful) as two:
        seen = [await watched(one), await watched(two)]
        authors = [
            asyncio.create_task(author(log, lane, 30))
            for lane, log in zip(lanes, [one, two] * 10, strict=True)
        ]
        cuts = 0
        while not all(task.done() for task in authors):
            await ask(forgetful, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            before, cuts = len(seen[0].entries), cuts + 1
            await until(lambda: len(seen[0].entries) > before or all(a.done() for a in authors))  # noqa: B023
        await asyncio.gather(*authors)
        assert cuts > 1
        entries = await everything(one)
        assert numbers(entries) == list(range(1, 601))
        for lane in lanes:
            said = [entry.lane_number for entry in entries if entry.lane == lane]
            assert said == list(range(1, 31))
        for each in seen:
            await until(lambda: len(each.entries) == 600)  # noqa: B023
            assert each.entries == entries
            assert not each.diverged


async def test_while_it_is_away_nothing_is_acknowledged_and_then_everything_goes_on(
    lasting: RedisServer,
) -> None:
    async with opened(lasting, patience=60) as one, opened(lasting, patience=60) as two:
        seen = [await watched(one), await watched(two)]
        await say(one, 3)
        await asyncio.to_thread(lasting.kill)
        calls = [one.append("lobby", ADA, [draft(number)], after=number - 1) for number in (4, 5)]
        calls.append(two.append("lobby", BOB, drafts(1, 3)))
        reading = asyncio.create_task(one.span("lobby"))
        await until(lambda: all("reached" in log._writer._why for log in (one, two)))
        assert not any(call.done() for call in calls)
        assert not reading.done()
        await asyncio.to_thread(lasting.start)
        assert await asyncio.gather(*calls) == [4, 5, 3]
        assert (await reading).head >= 3
        for each in seen:
            await until(lambda: len(each.entries) == 8)  # noqa: B023
            assert each.entries == await everything(one)
            assert not each.diverged


async def test_a_server_that_hangs_and_goes_on_has_everything_once(
    forgetful: RedisServer,
) -> None:
    async with opened(forgetful, **QUICK) as log:
        seen = await watched(log)
        await say(log, 3)
        forgetful.pause()
        calls = [log.append("lobby", ADA, [draft(n)], after=n - 1) for n in range(4, 14)]
        await until(lambda: not log._writer._certain.is_set())
        assert not any(call.done() for call in calls)
        forgetful.resume()
        # Where it was done before the connection was lost, the mark is that of all.
        for number, mark in enumerate(await asyncio.gather(*calls), 4):
            assert number <= mark <= 13
        assert [each.lane_number for each in await everything(log)] == list(range(1, 14))
        assert seen.numbers == list(range(1, 14))


async def test_a_server_that_is_busy_for_a_while_has_everything_once(
    forgetful: RedisServer,
) -> None:
    async with opened(forgetful, **QUICK) as log:
        forgetful.pause()
        authors = [asyncio.create_task(author(log, lane, 20)) for lane in (ADA, BOB, CYD)]
        await until(lambda: bool(log._writer._why))  # its connection was given up
        forgetful.resume()
        await asyncio.gather(*authors)
        entries = await everything(log)
        assert numbers(entries) == list(range(1, 61))


async def test_what_waits_too_long_is_given_up_and_what_is_given_up_is_not_made_later(
    forgetful: RedisServer,
) -> None:
    async with opened(forgetful, **QUICK) as log:
        seen = await watched(log)
        await say(log, 3)
        have_patience(0.5, log)
        forgetful.pause()
        calls = [log.append("lobby", ADA, [draft(n)], after=n - 1) for n in (4, 5)]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, LogUnavailable)
        with pytest.raises(LogUnavailable):
            await log.mark("lobby", ADA)
        forgetful.resume()
        have_patience(60, log)
        mark = await log.mark("lobby", ADA)
        # Done or not, the mark says so, and it stays so.
        assert mark in (3, 4, 5)
        assert await log.append("lobby", ADA, drafts(4, 6), after=3) == 6
        assert [each.lane_number for each in await everything(log)] == [1, 2, 3, 4, 5, 6]
        await until(lambda: len(seen.entries) == 6)


async def test_an_append_behind_one_that_was_given_up_is_refused(
    lasting: RedisServer,
) -> None:
    async with opened(lasting, **QUICK) as log:
        await say(log, 1)
        have_patience(0.5, log)
        await asyncio.to_thread(lasting.kill)
        with pytest.raises(LogUnavailable):
            await log.append("lobby", ADA, [draft(2)], after=1)
        behind = log.append("lobby", ADA, [draft(3)], after=2)
        await asyncio.to_thread(lasting.start)
        with pytest.raises(LogUnavailable):
            await behind
        have_patience(60, log)
        assert await log.mark("lobby", ADA) == 1


async def test_a_mark_is_told_only_once_it_is_certain_what_became_of_what_was_given_up(
    forgetful: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(forgetful, patience=60) as log:
        await say(log, 1)
        goes_on = asyncio.Event()
        ask_link = RedisLink.ask

        async def ask_later(
            link: RedisLink, commands: Sequence[Command], **options: Any
        ) -> list[Any]:
            if any(len(command) > 2 and command[1] == APPEND.sha for command in commands):
                await goes_on.wait()  # it is slow, and not lost
            return await ask_link(link, commands, **options)

        monkeypatch.setattr(RedisLink, "ask", ask_later)
        given_up = log.append("lobby", ADA, drafts(2, 2), after=1)
        await until(lambda: bool(log._writer._under_way))
        have_patience(0, log)
        with pytest.raises(LogUnavailable):
            await given_up
        have_patience(60, log)
        # Its author comes back; what it said might still be made, and be refused before.
        marking = asyncio.create_task(log.mark("lobby", ADA))
        others = await log.mark("lobby", BOB)
        assert others == 0
        assert not marking.done()
        goes_on.set()
        assert await marking == 2


async def test_an_author_waits_so_long_for_what_others_said_before_to_be_told(
    forgetful: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(forgetful) as one, opened(forgetful, patience=60) as two:
        seen = await watched(two)
        goes_on = asyncio.Event()

        async def follow(*_: object) -> None:
            await goes_on.wait()

        with monkeypatch.context() as patch:
            patch.setattr(two._reader, "_follow", follow)
            await say(one, 1)
            behind = two.append("lobby", BOB, drafts(1, 1))
            await until(lambda: len(two._rooms["lobby"].waiting) == 1)
            have_patience(0.1, two)
            with pytest.raises(LogUnavailable, match="said before"):
                await behind
            assert seen.numbers == []
        have_patience(60, two)
        goes_on.set()
        await until(lambda: seen.numbers == [1, 2])
        assert await two.append("lobby", BOB, drafts(1, 2)) == 2
        assert seen.numbers == [1, 2, 3]


async def test_what_waits_is_bounded(
    forgetful: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.chat.redis_writer._MAX_QUEUED", 100_000)
    async with opened(forgetful, **QUICK) as log:
        await say(log, 1)
        forgetful.pause()
        calls = [
            log.append("lobby", ADA, [draft(n, "x" * 1000)], after=n - 1) for n in range(2, 200)
        ]
        refused = [call for call in calls if call.done()]
        assert len(refused) > 100
        for call in refused:
            with pytest.raises(LogUnavailable, match="too much waits"):
                await call
        forgetful.resume()
        held = await asyncio.gather(*(call for call in calls if call not in refused))
        assert await log.mark("lobby", ADA) == held[-1] == len(held) + 1


async def test_a_log_can_be_closed_while_it_is_away(forgetful: RedisServer) -> None:
    async with opened(forgetful, timeout=0.2, patience=0.5) as log:
        await asyncio.to_thread(forgetful.kill)
        call = log.append("lobby", ADA, drafts(1, 1))
    with pytest.raises(LogUnavailable):
        await call
    assert await log.failed() is None


async def test_scripts_that_the_server_has_forgotten_are_given_to_it_again(
    forgetful: RedisServer,
) -> None:
    async with opened(forgetful) as log:
        seen = await watched(log)
        for number in range(1, 6):
            await log.append("lobby", ADA, [draft(number)])
            await ask(forgetful, "SCRIPT", "FLUSH")
            assert (await log.span("lobby")).head == number
            await ask(forgetful, "SCRIPT", "FLUSH")
        assert seen.numbers == [1, 2, 3, 4, 5]


async def test_a_server_without_memory_refuses_until_there_is_some(
    forgetful: RedisServer,
) -> None:
    async with opened(forgetful) as log:
        await say(log, 3)
        await ask(forgetful, "CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(LogUnavailable, match="memory"):
            await log.append("lobby", ADA, [draft(4)], after=3)
        assert await log.mark("lobby", ADA) == 3
        await ask(forgetful, "CONFIG", "SET", "maxmemory", 0)
        assert await log.append("lobby", ADA, [draft(4)], after=3) == 4


# Back without what it had


async def test_a_restart_without_data_is_told_to_all_who_watch(forgetful: RedisServer) -> None:
    async with opened(forgetful) as one, opened(forgetful) as two:
        seen = [await watched(one), await watched(two)]
        await say(one, 5)
        for each in seen:
            await until(lambda: len(each.entries) == 5)  # noqa: B023
        await asyncio.to_thread(forgetful.restart)
        for each in seen:
            await until(lambda: bool(each.diverged))  # noqa: B023
        assert [each.diverged for each in seen] == [[0], [0]]
        assert await one.span("lobby") == Span(1, 0, 0)
        await say(two, 3, lane=BOB)
        for each in seen:
            await until(lambda: each.numbers == [1, 2, 3])  # noqa: B023
            assert len(each.diverged) == 1


async def test_entries_that_took_the_places_of_lost_ones_are_not_taken_for_them(
    forgetful: RedisServer,
) -> None:
    async with opened(forgetful, **QUICK) as one:
        seen = await watched(one)
        await say(one, 5)
        old = await everything(one)
        # Another server of ours is quicker, and makes it longer than it was.
        blocked = asyncio.Event()
        connect = one._store.connect

        async def connect_later() -> object:
            await blocked.wait()
            return await connect()

        one._store.connect = connect_later  # type: ignore[method-assign,assignment]
        await asyncio.to_thread(forgetful.restart)
        async with opened(forgetful) as two:
            await say(two, 9, lane=BOB)
            blocked.set()
            await until(lambda: bool(seen.diverged))
            assert seen.diverged == [9]
            assert await one.at("lobby", 5) != old[4].at
            await say(one, 2, lane=CYD)
            assert seen.numbers == [10, 11]


async def test_an_append_into_a_log_that_lost_its_end_is_not_taken_for_one_of_before(
    forgetful: RedisServer,
) -> None:
    async with opened(forgetful) as log:
        seen = await watched(log)
        await say(log, 5)
        await asyncio.to_thread(forgetful.restart)
        with pytest.raises(LogUnavailable, match=r"message 5 is not|not the one"):
            await log.append("lobby", ADA, [draft(6)], after=5)
        await until(lambda: bool(seen.diverged))
        assert seen.entries == []


async def test_what_is_emptied_under_open_connections_is_told_too(forgetful: RedisServer) -> None:
    async with opened(forgetful) as log:
        seen = await watched(log)
        await say(log, 5)
        await ask(forgetful, "FLUSHALL")
        await until(lambda: seen.diverged == [0])
        assert await log.append("lobby", ADA, drafts(6, 7)) == 7
        await until(lambda: seen.numbers == [1, 2])


@asynccontextmanager
async def held_back(log: RedisLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Have a log's reader tell nothing for a while, as if it were slow."""
    goes_on = asyncio.Event()
    follow = log._reader._follow

    async def follow_later(link: RedisLink, rooms: Iterable[Followed]) -> None:
        await goes_on.wait()
        await follow(link, rooms)

    monkeypatch.setattr(log._reader, "_follow", follow_later)
    yield
    goes_on.set()


def kept(server: RedisServer, log: RedisLog) -> list[bytes | None]:
    """Return what a server holds of the room: what a replica of it has just now."""
    return [server.ask("DUMP", key) for key in log._keys.room("lobby")]


def put_back(server: RedisServer, log: RedisLog, dumps: list[bytes | None]) -> None:
    """Have a server hold what it did: a replica was promoted."""
    for key, dump in zip(log._keys.room("lobby"), dumps, strict=True):
        assert dump is not None
        server.ask("RESTORE", key, 0, dump, "REPLACE")


@pytest.mark.parametrize("by", ["others", "us", "nobody"])
async def test_an_author_is_not_told_of_an_entry_that_was_lost_before_those_who_watch_were(
    forgetful: RedisServer, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    async with opened(forgetful) as one, opened(forgetful) as two:
        seen = await watched(one)
        await say(one, 1)
        before = await asyncio.to_thread(kept, forgetful, one)
        async with held_back(one, monkeypatch):
            await say(two, 1, lane=BOB)
            lost = one.append("lobby", ADA, drafts(2, 2), after=1)
            await until(lambda: len(one._rooms["lobby"].waiting) == 1)
            await asyncio.to_thread(put_back, forgetful, one, before)
            if by == "others":
                await say(two, 3, lane=CYD)
            elif by == "us":
                later = one.append("lobby", CYD, drafts(1, 3))
                await until(lambda: len(one._rooms["lobby"].waiting) == 2)
        with pytest.raises(LogUnavailable):
            await lost
        await until(lambda: len(seen.diverged) == 1)
        if by == "us":
            with pytest.raises(LogUnavailable):
                await later
            assert await one.mark("lobby", CYD) == 3  # its client comes back, and learns so
        assert await one.mark("lobby", ADA) == 1
        assert await one.append("lobby", ADA, drafts(2, 2), after=1) == 2


async def test_with_a_clock_that_is_behind_no_two_entries_have_the_same_number_and_time(
    forgetful: RedisServer,
) -> None:
    future = 2**52
    async with opened(forgetful) as log:
        await say(log, 1)
        await ask(forgetful, "HSET", log._keys.room("lobby")[1], "at", future, "held_at", future)
        before = await asyncio.to_thread(kept, forgetful, log)
        times: list[list[int]] = []
        for _ in range(8):
            await log.append("lobby", ADA, drafts(2, 2))
            await log.append("lobby", ADA, drafts(3, 3))
            times.append([entry.at for entry in (await everything(log))[1:]])
            await asyncio.to_thread(put_back, forgetful, log, before)
        for one in times:
            assert future < one[0] < one[1] <= future + 512
        # A few times of eight may be the same by chance; not all.
        assert len({one[0] for one in times}) > 2
        assert len({tuple(one) for one in times}) > 2


@pytest.mark.parametrize("asked", ["span", "at", "read", "mark"])
@pytest.mark.parametrize("more", [1, 5])
async def test_what_a_caller_was_told_and_was_lost_before_those_who_watch_heard_it_is_missed(
    forgetful: RedisServer, monkeypatch: pytest.MonkeyPatch, asked: str, more: int
) -> None:
    async with opened(forgetful) as one, opened(forgetful) as two:
        seen = await watched(one)
        await say(one, 1)
        before = await asyncio.to_thread(kept, forgetful, one)
        async with held_back(one, monkeypatch):
            await say(two, 2, lane=BOB)
            match asked:
                case "span":
                    assert (await one.span("lobby")).head == 3
                case "at":
                    assert await one.at("lobby", 3)
                case "read":
                    assert len(await one.read("lobby", 1)) == 2
                case "mark":
                    assert await one.mark("lobby", BOB) == 2
            await asyncio.to_thread(put_back, forgetful, one, before)
            await say(two, more, lane=CYD)
        await until(lambda: len(seen.diverged) == 1)


# What members notice


@asynccontextmanager
async def seated(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> AsyncIterator[tuple[Session, Session]]:
    """Seat two members at two servers that share one room."""
    async with AsyncExitStack() as stack:
        members = []
        for nick in ("ada", "bob"):
            network = MemoryNetwork(monkeypatch)
            log = RedisLog(server.url, timeout=1, patience=5)
            await stack.enter_async_context(network.serve(ChatServer(log, rules=FREE)))
            members.append(await stack.enter_async_context(network.connect(nick=nick)))
        yield members[0], members[1]


async def test_members_of_two_servers_talk_and_go_on_after_an_outage(
    lasting: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seated(monkeypatch, lasting) as (ada, bob):
        await chatting.say(ada, "one")
        await chatting.say(bob, "two")
        assert [(await bob.recv()).text, (await ada.recv()).text] == ["one", "two"]
        await asyncio.to_thread(lasting.kill)
        receipts = [await ada.send("three"), await bob.send("four")]
        await asyncio.to_thread(lasting.start)
        await asyncio.gather(*receipts)
        assert [(await bob.recv()).text, (await ada.recv()).text] == ["three", "four"]


async def test_members_are_told_that_redis_came_back_without_its_data(
    forgetful: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seated(monkeypatch, forgetful) as (ada, bob):
        await chatting.say(ada, "one", "two")
        assert [(await bob.recv()).text for _ in range(2)] == ["one", "two"]
        await asyncio.to_thread(forgetful.restart)
        for member in (ada, bob):
            async for event in member.events():
                if isinstance(event, Restarted):
                    break
        await chatting.say(ada, "three")
        async for event in bob.events():
            if isinstance(event, Message):
                assert (event.number, event.text) == (1, "three")
                break


@pytest.mark.both_loops
async def test_a_reset_of_connections_that_nobody_uses_just_then_is_an_outage_too(
    lasting: RedisServer,
) -> None:
    async with (
        FaultyProxy(lasting.port, random.Random(1)) as proxy,
        opened(f"redis://127.0.0.1:{proxy.port}/0", **QUICK) as log,
    ):
        await say(log, 1)
        for number in range(2, 7):
            links = proxy.links
            proxy.reset()
            # Those that wait for something notice it, and connect anew.
            await until(lambda: proxy.links > links)  # noqa: B023
            call = log.append("lobby", ADA, drafts(number, number), after=number - 1)
            assert await log.mark("lobby", BOB) == 0
            assert await call == number
        assert log.error is None
