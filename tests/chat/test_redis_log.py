"""Claims about `socketchat.chat.redis_log`, against real servers of Redis."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from redis.crc import key_slot

from socketchat import LogFailed, LogUnavailable
from socketchat.chat.log import LANE_LIFETIME, Draft, LaneTaken, Log, Span
from socketchat.chat.redis_log import RedisLog
from tests.chat.log_conformance import (
    ADA,
    BOB,
    CYD,
    Clock,
    LastingLogConformance,
    Opener,
    draft,
    drafts,
    everything,
    numbers,
    say,
)
from tests.chat.redis_logs import (
    Seen,
    ask,
    author,
    opened,
    prefixes,
    redis_is_missing,
    running,
    until,
    watched,
)
from tests.redis_server import RedisServer

pytestmark = redis_is_missing

#: Seconds for which entries are kept by the logs of these tests, where they are not kept for ever.
RETAIN = 100


class TestConformance(LastingLogConformance):
    server: ClassVar[RedisServer]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _server(cls, redis_server: RedisServer) -> None:
        cls.server = redis_server

    @asynccontextmanager
    async def place(self, clock: Clock) -> AsyncIterator[Opener]:
        prefix = next(prefixes)
        yield lambda: opened(self.server, prefix=prefix, clock=clock, retain=RETAIN)

    async def break_down(self, log: Log) -> None:
        assert isinstance(log, RedisLog)
        for key in log._keys.room("lobby"):
            await asyncio.to_thread(self.server.ask, "SET", key, "something else")

    async def forget(self, log: Log, room: str, clock: Clock) -> None:
        assert isinstance(log, RedisLog)
        clock.now += RETAIN * 1_000_000 // 2
        await log.append(room, ADA, drafts(21, 25))
        clock.now += RETAIN * 1_000_000 // 2 + 1
        await log.prune()


# Opening


async def refused(url: str) -> OSError:
    """Return with what a log does not open."""
    log = RedisLog(url, timeout=5)
    with pytest.raises(OSError) as raised:  # noqa: PT011 - its text is for the caller to look at
        await log.open()
    await log.close()
    assert "\n" not in str(raised.value)
    return raised.value


async def test_a_server_that_is_not_there_is_an_error_that_names_it() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error = await refused(f"redis://ada:secret@127.0.0.1:{port}/3?protocol=2")
    assert "cannot be reached" in str(error)
    assert error.filename == f"redis://127.0.0.1:{port}/3"
    assert "secret" not in str(error)


async def test_a_socket_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    error = await refused(f"unix://{tmp_path}/redis.sock")
    assert "cannot be reached" in str(error)
    assert error.filename == f"unix://{tmp_path}/redis.sock"


@pytest.mark.parametrize(
    "url", ["http://secret.example.org", "redis://h:secret", "secret", "redis://[secret", ""]
)
def test_what_is_no_url_of_redis_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="a URL of Redis looks like") as raised:
        RedisLog(url)
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_may_drop_what_is_said_is_refused(tmp_path: Path, policy: str) -> None:
    async with running(tmp_path, maxmemory_policy=policy) as server:
        error = await refused(server.url)
    assert error.errno == errno.ENOTSUP
    assert f"maxmemory-policy is {policy}, and must be noeviction" in str(error)


async def test_a_server_that_lets_nobody_look_at_its_settings_is_taken(tmp_path: Path) -> None:
    async with running(tmp_path, rename_command="CONFIG ''") as server, opened(server) as log:
        await say(log, 3)


@pytest.mark.may_block("what is logged here, pytest writes to a file")
async def test_a_server_that_tells_nothing_about_itself_is_taken_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, rename_command="INFO ''") as server, opened(server) as log:
        await say(log, 3)
    assert "does not tell about itself" in caplog.text


async def test_a_cluster_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, cluster_enabled="yes") as server:
        error = await refused(server.url)
    assert "Redis Cluster is not supported" in str(error)


async def test_a_wrong_password_is_an_error_without_it(tmp_path: Path) -> None:
    async with running(tmp_path, requirepass="open-sesame") as server:
        where = f"127.0.0.1:{server.port}/0"
        for url in (f"redis://{where}", f"redis://:secret@{where}", f"redis://ada:secret@{where}"):
            error = await refused(url)
            assert error.filename == f"redis://{where}"
            assert "secret" not in str(error)
        async with opened(f"redis://:open-sesame@{where}") as log:
            await say(log, 3)


async def test_what_a_newer_version_wrote_is_refused_and_left_as_it_is(
    redis_server: RedisServer,
) -> None:
    prefix = next(prefixes)
    await ask(redis_server, "SET", f"{prefix}:version", "1000")
    with pytest.raises(OSError, match="newer version of socketchat: update") as raised:
        await RedisLog(redis_server.url, prefix=prefix).open()
    assert raised.value.filename == redis_server.url
    assert await ask(redis_server, "KEYS", f"{prefix}:*") == [f"{prefix}:version".encode()]


async def test_a_key_of_another_type_is_an_error_in_one_line(redis_server: RedisServer) -> None:
    prefix = next(prefixes)
    await ask(redis_server, "LPUSH", f"{prefix}:version", "1")
    with pytest.raises(OSError, match="WRONGTYPE") as raised:
        await RedisLog(redis_server.url, prefix=prefix).open()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("which", range(4))
async def test_a_room_whose_keys_hold_something_else_fails_the_log(
    redis_server: RedisServer, which: int
) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        key = log._keys.room("lobby")[which]
        await ask(redis_server, "SET", key, "something else")
        with pytest.raises(LogFailed, match="WRONGTYPE"):
            await log.append("lobby", ADA, drafts(1, 1))
        assert isinstance(await log.failed(), LogFailed)


async def test_what_the_chores_find_wrong_fails_the_log_in_words(
    redis_server: RedisServer,
) -> None:
    prefix = next(prefixes)
    await ask(redis_server, "SET", f"{prefix}:rooms", "something else")
    async with opened(redis_server, prefix=prefix, retain=RETAIN) as log:
        async with asyncio.timeout(60):
            error = await log.failed()
        assert str(error).startswith("the log has failed: Redis says: WRONGTYPE")


async def test_a_record_that_is_none_fails_the_log(redis_server: RedisServer) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        await say(log, 1)
        stream, head, _, _ = log._keys.room("lobby")
        await ask(redis_server, "XADD", stream, "2-0", "s", "1", "r", "no record at all " * 3)
        await ask(redis_server, "HSET", head, "head", 2, "held", 2)
        with pytest.raises(LogFailed, match="what is no entry"):
            await log.read("lobby", 0)
        assert isinstance(await log.failed(), LogFailed)


@pytest.mark.parametrize("which", ["Writer", "Reader", "Chores"])
async def test_a_task_that_is_cancelled_while_the_log_is_open_fails_it(
    redis_server: RedisServer, which: str
) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        (task,) = (each for each in log._tasks if f"{which}.run" in repr(each))
        task.cancel()
        async with asyncio.timeout(60):
            assert isinstance(await log.failed(), LogFailed)
        with pytest.raises(LogFailed):
            await log.append("lobby", ADA, drafts(1, 1))


async def test_a_closed_log_refuses(redis_server: RedisServer) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        pass
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: log.append("lobby", ADA, drafts(1, 1)),
        lambda: log.span("lobby"),
        lambda: log.mark("lobby", ADA),
        lambda: log.read("lobby", 0),
        log.prune,
    ]
    for ask_it in asks:
        with pytest.raises(LogUnavailable, match="closed"):
            await ask_it()
    await log.close()


async def test_a_log_that_was_never_opened_can_be_closed() -> None:
    await RedisLog("redis://127.0.0.1").close()


async def test_reads_under_way_are_finished_by_closing(redis_server: RedisServer) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        await log.append("lobby", ADA, drafts(1, 500))
        reads = [asyncio.create_task(log.read("lobby", 0)) for _ in range(20)]
        await asyncio.sleep(0)
    assert [len(await read) for read in reads] == [500] * 20


async def test_an_opening_that_is_cancelled_leaves_nothing_open(redis_server: RedisServer) -> None:
    for turns in range(100):
        log = RedisLog(redis_server.url, prefix=next(prefixes))
        opening = asyncio.create_task(log.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await log.close()
            break


def test_a_loop_that_ends_without_closing_the_log_hangs_nobody(redis_server: RedisServer) -> None:
    async def main() -> None:
        log = RedisLog(redis_server.url, prefix=next(prefixes))
        await log.open()
        log.append("lobby", ADA, drafts(1, 1))

    asyncio.run(main())


# Several servers


async def test_two_servers_see_the_same_order_and_each_others_entries(
    redis_server: RedisServer,
) -> None:
    prefix = next(prefixes)
    async with (
        opened(redis_server, prefix=prefix) as one,
        opened(redis_server, prefix=prefix) as two,
    ):
        seen = [await watched(one), await watched(two)]
        lanes = [bytes([number]) * 16 for number in range(20)]
        await asyncio.gather(
            *(author(log, lane, 10) for lane, log in zip(lanes, [one, two] * 10, strict=True))
        )
        for each in seen:
            await until(lambda: len(each.entries) == 200)  # noqa: B023
        assert seen[0].entries == seen[1].entries == await everything(two)
        assert seen[0].numbers == list(range(1, 201))
        times = [entry.at for entry in seen[0].entries]
        assert times == sorted(times)
        assert await two.mark("lobby", lanes[0]) == 10


async def test_a_lane_goes_on_at_another_server(redis_server: RedisServer) -> None:
    prefix = next(prefixes)
    async with (
        opened(redis_server, prefix=prefix) as one,
        opened(redis_server, prefix=prefix) as two,
    ):
        first = one.append("lobby", ADA, drafts(1, 5))
        second = two.append("lobby", ADA, drafts(3, 8))  # its link was lost
        assert {await first, await second} <= {5, 8}
        assert [each.lane_number for each in await everything(one)] in (
            [1, 2, 3, 4, 5, 6, 7, 8],
            [3, 4, 5, 6, 7, 8],  # the second one was quicker, and nothing was known of the first
        )
        with pytest.raises(LogUnavailable):
            await one.append("lobby", ADA, drafts(10, 10), after=9)


async def test_what_a_server_still_says_for_a_lane_that_is_elsewhere_by_now_is_refused(
    redis_server: RedisServer,
) -> None:
    prefix = next(prefixes)
    async with (
        opened(redis_server, prefix=prefix) as one,
        opened(redis_server, prefix=prefix) as two,
    ):
        assert await one.mark("lobby", ADA) == 0
        assert await one.append("lobby", ADA, drafts(1, 2)) == 2
        assert await two.mark("lobby", ADA) == 2
        with pytest.raises(LaneTaken):
            await one.append("lobby", ADA, drafts(3, 3), after=2)  # two may refuse it
        assert await one.append("lobby", BOB, drafts(1, 1)) == 1
        assert await two.append("lobby", ADA, drafts(4, 4)) == 4
        assert await one.mark("lobby", ADA) == 4
        assert await one.append("lobby", ADA, drafts(5, 5), after=4) == 5


async def test_rooms_that_are_added_while_it_waits_are_followed_too(
    redis_server: RedisServer,
) -> None:
    prefix = next(prefixes)
    async with (
        opened(redis_server, prefix=prefix) as one,
        opened(redis_server, prefix=prefix) as two,
    ):
        for number in range(30):
            room = f"room {number}"
            seen = await watched(one, room)
            assert await two.append(room, ADA, drafts(1, 3)) == 3
            await until(lambda: seen.numbers == [1, 2, 3])  # noqa: B023
            if number % 2:
                seen.stop()
        assert len(one._rooms) == 15


async def test_more_than_a_page_of_anothers_is_told(redis_server: RedisServer) -> None:
    prefix = next(prefixes)
    async with (
        opened(redis_server, prefix=prefix) as one,
        opened(redis_server, prefix=prefix) as two,
    ):
        seen = await watched(one)
        for first in range(1, 3001, 500):
            long = [draft(number, "x" * (number % 500)) for number in range(first, first + 500)]
            await two.append("lobby", ADA, long)
        await until(lambda: len(seen.entries) == 3000)
        assert seen.entries == await everything(two)


async def test_what_waits_for_one_room_is_appended_and_told_at_once(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        await say(log, 2)
        told: list[list[int]] = []
        log.watch("lobby", lambda entries: told.append(numbers(entries)))
        await log.span("lobby")
        before = log.commits
        appended = [
            log.append("lobby", ADA, drafts(2, 4), after=1),  # of which one is a repeat
            log.append("lobby", BOB, drafts(1, 1)),
            log.append("elsewhere", BOB, drafts(1, 2)),
            log.append("lobby", CYD, drafts(6, 6), after=5),  # which is not there
            log.append("lobby", ADA, drafts(5, 5), after=4),
            log.append("lobby", BOB, drafts(1, 1)),
            log.append("lobby", CYD, []),
        ]
        *marks, refused = await asyncio.gather(
            *appended[:3], *appended[4:], appended[3], return_exceptions=True
        )
        assert marks == [4, 1, 2, 5, 1, 0]
        assert isinstance(refused, LogUnavailable)
        assert told == [[3, 4, 5, 6]]
        assert log.commits == before + 2  # one for each room
        entries = await everything(log)
        assert [(entry.lane, entry.lane_number) for entry in entries] == [
            *((ADA, number) for number in range(1, 5)),
            (BOB, 1),
            (ADA, 5),
        ]
        assert await log.mark("lobby", ADA) == 5
        assert await log.mark("lobby", BOB) == 1
        assert await log.mark("lobby", CYD) == 0


async def test_who_begins_to_watch_between_two_appends_is_told_of_the_second(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        await say(log, 1)
        first = log.append("lobby", BOB, drafts(1, 2))
        seen = Seen(log)
        second = log.append("lobby", CYD, drafts(1, 2))
        await asyncio.gather(first, second)
        assert seen.numbers == [4, 5]


async def test_a_call_takes_so_many_drafts_and_goes_on_with_another(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.chat.redis_batch._MAX_CALL", 4)
    async with opened(redis_server, prefix=next(prefixes)) as log:
        seen = await watched(log)
        calls = [log.append("lobby", lane, drafts(1, 3)) for lane in (ADA, BOB, CYD)]
        assert await asyncio.gather(*calls) == [3, 3, 3]
        assert log.commits == 2
        assert seen.numbers == list(range(1, 10))


@pytest.mark.parametrize("name", ["lobby", "a{b}c", "}", "{", "{}", "%7B", "a b", "caf\u00e9", ""])
async def test_the_keys_of_a_room_are_in_one_slot_and_its_own(
    redis_server: RedisServer, name: str
) -> None:
    prefix = next(prefixes)
    async with opened(redis_server, prefix=prefix) as log:
        assert await log.append(name, ADA, drafts(1, 2)) == 2
        assert await log.append(name + "x", ADA, drafts(1, 1)) == 1
        assert (await log.span(name)).head == 2
        keys = log._keys.room(name)
        assert len({key_slot(key.encode()) for key in keys}) == 1
        assert not set(keys) & set(log._keys.room(name + "x"))
        assert await ask(redis_server, "EXISTS", *keys) == 4
        rooms = await ask(redis_server, "SMEMBERS", log._keys.rooms)
        assert {room.decode() for room in rooms} == {name, name + "x"}


# Appending


@pytest.mark.parametrize(
    "wrong",
    [Draft(2**63, "text"), Draft(1, "\ud800"), Draft(1, "", "\ud800"), Draft(1, "", to="\ud800")],
)
async def test_what_cannot_be_held_is_refused_before_others_suffer(
    redis_server: RedisServer, wrong: Draft
) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        before = log.append("lobby", ADA, drafts(1, 1))
        with pytest.raises(ValueError, match=r"too great|surrogates"):
            log.append("lobby", BOB, [wrong])
        assert await before == 1
        assert log.error is None


async def test_an_append_that_is_cancelled_is_made_all_the_same(redis_server: RedisServer) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        cancelled = log.append("lobby", ADA, drafts(1, 1))
        cancelled.cancel()
        assert await log.append("lobby", ADA, drafts(1, 2)) == 2
        assert numbers(await everything(log)) == [1, 2]


async def test_time_is_that_of_redis(redis_server: RedisServer) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        before = await ask(redis_server, "TIME")
        await say(log, 1)
        after = await ask(redis_server, "TIME")
        at = await log.at("lobby", 1)
        assert at is not None
        assert before <= divmod(at, 1_000_000) <= after


async def test_the_key_of_the_first_entry_owns_a_lane(redis_server: RedisServer) -> None:
    async with opened(redis_server, prefix=next(prefixes)) as log:
        assert await log.owner("lobby", ADA) == b""
        await log.append("lobby", ADA, [Draft(1, "one", key=b"\0" * 31 + b"k")])
        await log.append("lobby", ADA, [Draft(2, "two", key=b"x" * 32)])
        assert await log.owner("lobby", ADA) == b"\0" * 31 + b"k"


# Letting go


async def test_what_is_too_old_is_let_go(redis_server: RedisServer) -> None:
    clock = Clock()
    async with opened(redis_server, prefix=next(prefixes), clock=clock, retain=RETAIN) as log:
        await log.append("lobby", BOB, drafts(1, 10))
        clock.now += RETAIN * 1_000_000
        await log.append("lobby", ADA, drafts(1, 5))
        await log.prune()
        assert (await log.span("lobby")).floor == 1  # it is just old enough to stay
        clock.now += 1
        await log.prune()
        assert await log.span("lobby") == Span(11, 15, clock.now - 1)
        assert numbers(await everything(log)) == [11, 12, 13, 14, 15]


async def test_a_lane_is_remembered_for_a_while_after_its_last_entry_and_while_one_is_held(
    redis_server: RedisServer,
) -> None:
    while_ = int(LANE_LIFETIME * 1_000_000)
    clock, prefix = Clock(), next(prefixes)
    async with opened(redis_server, prefix=prefix, clock=clock, retain=RETAIN) as log:
        await log.append("lobby", BOB, [Draft(1, "one", key=b"k" * 32)])
        clock.now += 2 * RETAIN * 1_000_000
        await log.append("lobby", CYD, drafts(1, 5))
        await log.prune()
        assert await log.span("lobby") == Span(2, 6, clock.now)
        assert (await log.mark("lobby", BOB), await log.owner("lobby", BOB)) == (1, b"k" * 32)
        clock.now = 1_000_000 + while_
        await log.prune()
        assert await log.mark("lobby", BOB) == 1
        clock.now += 1
        await log.prune()  # nothing is left but lanes
        assert await log.mark("lobby", BOB) == 0
        assert await log.mark("lobby", CYD) == 5
    async with opened(redis_server, prefix=prefix, clock=clock, retain=4 * LANE_LIFETIME) as log:
        await log.append("lobby", ADA, drafts(1, 5))
        clock.now += 3 * while_
        await log.prune()
        assert await log.mark("lobby", ADA) == 5
        assert await log.mark("lobby", CYD) == 0


async def test_any_number_of_lanes_and_entries_is_let_go(redis_server: RedisServer) -> None:
    clock = Clock()
    async with opened(redis_server, prefix=next(prefixes), clock=clock, retain=RETAIN) as log:
        lanes = [bytes([high, low]) * 8 for high in range(4) for low in range(256)]
        await asyncio.gather(*(log.append("lobby", lane, drafts(1, 10)) for lane in lanes))
        clock.now += 2 * int(LANE_LIFETIME * 1_000_000)
        await log.prune()
        stream, _, marks, _ = log._keys.room("lobby")
        assert await ask(redis_server, "XLEN", stream) == 0
        assert await ask(redis_server, "HLEN", marks) == 0


async def test_a_room_of_which_all_is_let_go_keeps_its_place(redis_server: RedisServer) -> None:
    clock, prefix = Clock(), next(prefixes)
    async with opened(redis_server, prefix=prefix, clock=clock, retain=RETAIN) as log:
        seen = await watched(log)
        await say(log, 10)
        clock.now += 2 * RETAIN * 1_000_000
        await log.prune()
        assert await log.span("lobby") == Span(11, 10, 1_000_000)
        assert await log.before("lobby", clock.now) == 10
    clock.now = 0
    async with opened(redis_server, prefix=prefix, clock=clock, retain=RETAIN) as log:
        assert await log.append("lobby", BOB, drafts(1, 1)) == 1
        assert await log.span("lobby") == Span(11, 11, 1_000_000)
    assert not seen.diverged


async def test_who_was_told_what_is_then_let_go_is_told_on(redis_server: RedisServer) -> None:
    clock, prefix = Clock(), next(prefixes)
    async with (
        opened(redis_server, prefix=prefix, clock=clock, retain=RETAIN) as one,
        opened(redis_server, prefix=prefix, clock=clock) as two,
    ):
        seen = await watched(one)
        await say(two, 10)
        await until(lambda: len(seen.entries) == 10)
        clock.now += 2 * RETAIN * 1_000_000
        await one.prune()
        await say(two, 3, lane=BOB)
        await until(lambda: len(seen.entries) == 13)
        assert not seen.diverged


async def test_a_log_that_keeps_all_lets_nothing_go(redis_server: RedisServer) -> None:
    clock = Clock()
    async with opened(redis_server, prefix=next(prefixes), clock=clock) as log:
        await say(log, 3)
        clock.now = 2**52
        await log.prune()
        assert await log.span("lobby") == Span(1, 3, 1_000_000)


async def test_what_is_too_old_is_let_go_at_the_opening(redis_server: RedisServer) -> None:
    clock, prefix = Clock(), next(prefixes)
    async with opened(redis_server, prefix=prefix, clock=clock) as log:
        await log.append("lobby", ADA, drafts(1, 5000))
        await log.append("other", ADA, drafts(1, 5))
        clock.now += 2 * RETAIN * 1_000_000
        await log.append("lobby", ADA, drafts(5001, 5002))
    async with opened(redis_server, prefix=prefix, clock=clock, retain=RETAIN) as log:
        async with asyncio.timeout(60):
            while [(await log.span(room)).floor for room in ("lobby", "other")] != [5001, 6]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
