"""Claims about `socketchat.chat.sqlite_log`: what holds for the embedded engine alone.

What happens when the disk fails is in `test_sqlite_log_faults.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from socketchat import LogUnavailable
from socketchat.chat import sqlite_queries as queries
from socketchat.chat.log import LANE_LIFETIME, READ_SIZE, Draft, Entry, Log, Span
from socketchat.chat.records import unpack
from socketchat.chat.sqlite_log import SQLiteLog
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

looks_at_files = pytest.mark.may_block("the test itself looks at files")

#: Seconds for which entries are kept by the logs of these tests, where they are not kept for ever.
RETAIN = 100


@asynccontextmanager
async def opened(
    directory: Path, clock: Callable[[], int] | None = None, *, retain: float | None = None
) -> AsyncIterator[SQLiteLog]:
    log = SQLiteLog(directory, retain=retain, clock=clock or Clock())
    await log.open()
    try:
        yield log
    finally:
        await log.close()


def ask(directory: Path, statement: str) -> object:
    """Return the first value that a statement brings, over a connection of its own."""
    with closing(sqlite3.connect(directory / "log.db", isolation_level=None)) as connection:
        row = connection.execute(statement).fetchone()
        return row and row[0]


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the database, as another program may, so that the log cannot write."""
    with closing(sqlite3.connect(directory / "log.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def until_taken(log: SQLiteLog) -> None:
    """Wait until the writer has begun with all that was asked of it."""
    assert log._writer is not None
    async with asyncio.timeout(60):
        while not log._writer._asked.empty():  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.001)


async def until(directory: Path, statement: str, expected: object) -> None:
    """Wait until a statement brings what is expected."""
    async with asyncio.timeout(60):
        while await asyncio.to_thread(ask, directory, statement) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class TestConformance(LastingLogConformance):
    #: Names of directories that are not there yet.
    directories: Iterator[Path]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _directories(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        root = tmp_path_factory.mktemp("logs")
        cls.directories = (root / str(number) for number in itertools.count())

    @asynccontextmanager
    async def place(self, clock: Clock) -> AsyncIterator[Opener]:
        directory = next(self.directories)
        yield lambda: opened(directory, clock, retain=RETAIN)

    async def break_down(self, log: Log) -> None:
        assert isinstance(log, SQLiteLog)
        assert log._writing is not None
        await asyncio.to_thread(log._writing.execute, "DROP TABLE rooms")

    async def forget(self, log: Log, room: str, clock: Clock) -> None:
        assert isinstance(log, SQLiteLog)
        clock.now += RETAIN * 1_000_000 // 2
        await log.append(room, ADA, drafts(21, 25))
        clock.now += RETAIN * 1_000_000 // 2 + 1
        await log.prune()


# The directory


@looks_at_files
async def test_only_the_owner_can_read_what_is_kept(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    async with opened(directory) as log:
        await log.append("lobby", ADA, drafts(1, 1))
        files = {each.name: each.stat().st_mode & 0o777 for each in os.scandir(directory)}
        assert directory.stat().st_mode & 0o777 == 0o700
        assert files.keys() >= {"log.db", "log.db-wal", "log.db-shm"}
        assert set(files.values()) == {0o600}


@looks_at_files
async def test_a_second_server_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append("lobby", ADA, drafts(1, 1))
        second = SQLiteLog(tmp_path)
        with pytest.raises(OSError, match="in use by another server") as raised:
            await second.open()
        assert raised.value.filename == str(tmp_path)
        await second.close()
        assert await log.append("lobby", ADA, drafts(2, 2)) == 2
    async with opened(tmp_path) as log:
        assert (await log.span("lobby")).head == 2


@looks_at_files
async def test_a_newer_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    ask(tmp_path, "PRAGMA user_version = 1000")
    before = (tmp_path / "log.db").read_bytes()
    with pytest.raises(OSError, match="newer version of socketchat: update"):
        async with opened(tmp_path):
            pass
    assert (tmp_path / "log.db").read_bytes() == before
    ask(tmp_path, "PRAGMA user_version = 1")
    async with opened(tmp_path):  # the directory is not locked
        pass


@looks_at_files
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"What is this?" * 1000)
    with pytest.raises(OSError, match="not a database") as raised:
        async with opened(tmp_path):
            pass
    assert raised.value.filename == str(tmp_path / "log.db")


@looks_at_files
async def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|exists"):
        async with opened(tmp_path / "file" / "data"):
            pass


@looks_at_files
async def test_after_closing_nothing_is_left_open_and_one_file_is_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await say(log, 10)
    assert sorted(each.name for each in os.scandir(tmp_path)) == ["log.db", "server.lock"]
    assert ask(tmp_path, "PRAGMA integrity_check") == "ok"


async def test_a_closed_log_refuses(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        pass
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: log.append("lobby", ADA, drafts(1, 1)),
        lambda: log.span("lobby"),
        lambda: log.read("lobby", 0),
        log.prune,
    ]
    for ask_it in asks:
        with pytest.raises(LogUnavailable, match="closed"):
            await ask_it()
    await log.close()


async def test_a_log_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    await SQLiteLog(tmp_path).close()


async def test_reads_under_way_are_finished_by_closing(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append("lobby", ADA, drafts(1, 500))
        reads = [asyncio.create_task(log.read("lobby", 0)) for _ in range(20)]
        await asyncio.sleep(0)
    assert [len(await read) for read in reads] == [500] * 20


async def test_a_read_that_a_thread_has_just_taken_up_is_finished_by_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_up, closing = threading.Event(), threading.Event()

    class Idle(queue.SimpleQueue[sqlite3.Connection]):
        """Gives no connection before the log is being closed."""

        def get(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
            taken_up.set()
            closing.wait()
            return super().get(*args, **kwargs)

    log = SQLiteLog(tmp_path)
    log._idle = Idle()
    shut_down = log._threads.shutdown

    def shutdown() -> None:
        closing.set()
        shut_down()

    monkeypatch.setattr(log._threads, "shutdown", shutdown)
    await log.open()
    await log.append("lobby", ADA, drafts(1, 500))
    reading = asyncio.create_task(log.read("lobby", 0))
    await asyncio.to_thread(taken_up.wait)
    await log.close()
    assert len(await reading) == 500


async def test_an_opening_that_is_cancelled_leaves_the_directory_free(tmp_path: Path) -> None:
    opening = asyncio.create_task(SQLiteLog(tmp_path).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with opened(tmp_path):
        pass


def test_a_loop_that_ends_without_closing_the_log_hangs_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        log = SQLiteLog(tmp_path)
        await log.open()
        log.append("lobby", ADA, drafts(1, 1))

    asyncio.run(main())


# Appending


@pytest.mark.parametrize(
    "wrong",
    [Draft(2**63, "text"), Draft(1, "\ud800"), Draft(1, "", "\ud800"), Draft(1, "", to="\ud800")],
)
async def test_what_no_database_can_hold_is_refused_before_others_suffer(
    tmp_path: Path, wrong: Draft
) -> None:
    async with opened(tmp_path) as log:
        before = log.append("lobby", ADA, drafts(1, 1))
        with pytest.raises(ValueError, match=r"too great|surrogates"):
            log.append("lobby", BOB, [wrong])
        assert await before == 1
        assert log.error is None


@looks_at_files
async def test_what_queued_up_is_one_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        news: list[int] = []
        log.watch("lobby", lambda entries: news.append(len(entries)))
        with held(tmp_path):
            calls = [log.append("lobby", ADA, [draft(1)])]
            await until_taken(log)
            calls += [log.append("lobby", ADA, [draft(number)]) for number in range(2, 1001)]
        assert await asyncio.gather(*calls) == list(range(1, 1001))
        assert news == [1, 999]


async def test_an_append_that_is_cancelled_is_made_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        cancelled = log.append("lobby", ADA, drafts(1, 1))
        cancelled.cancel()
        assert await log.append("lobby", ADA, drafts(1, 2)) == 2
        assert numbers(await everything(log)) == [1, 2]


async def test_more_rooms_and_lanes_than_are_remembered_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.chat.sqlite_batch._MAX_REMEMBERED", 3)
    async with opened(tmp_path) as log:
        for number in range(1, 4):
            for name in range(10):
                room, lane = f"room {name}", bytes([name]) * 16
                said = log.append(room, lane, drafts(1, number), after=number - 1)
                assert await said == number
        assert [(await log.span(f"room {name}")).head for name in range(10)] == [3] * 10


@looks_at_files
async def test_what_is_committed_reaches_the_database_without_being_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.chat.sqlite_writer._CHECKPOINT_SIZE", 2**16)
    async with opened(tmp_path) as log:
        for number in range(1, 101):
            await log.append("lobby", ADA, [draft(number, "x" * 10_000)])
        assert (tmp_path / "log.db").stat().st_size > 500_000
        assert (tmp_path / "log.db-wal").stat().st_size < 500_000


# Letting go


async def test_what_is_too_old_is_let_go(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock, retain=RETAIN) as log:
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
    tmp_path: Path,
) -> None:
    while_ = int(LANE_LIFETIME * 1_000_000)
    clock = Clock()
    async with opened(tmp_path, clock, retain=RETAIN) as log:
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
    async with opened(tmp_path, clock, retain=4 * LANE_LIFETIME) as log:
        await log.append("lobby", ADA, drafts(1, 5))
        clock.now += 3 * while_
        await log.prune()
        assert await log.mark("lobby", ADA) == 5
        assert await log.mark("lobby", CYD) == 0


@looks_at_files
async def test_any_number_of_lanes_is_let_go(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock, retain=RETAIN) as log:
        lanes = [bytes([high, low]) * 8 for high in range(4) for low in range(256)]
        await asyncio.gather(*(log.append("lobby", lane, drafts(1, 1)) for lane in lanes))
        clock.now += 2 * int(LANE_LIFETIME * 1_000_000)
        await log.prune()
        assert ask(tmp_path, "SELECT count(*) FROM lanes") == 0


async def test_a_room_of_which_all_is_let_go_keeps_its_place(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock, retain=RETAIN) as log:
        await say(log, 10)
        clock.now += 2 * RETAIN * 1_000_000
        await log.prune()
        assert await log.span("lobby") == Span(11, 10, 1_000_000)
        assert await log.before("lobby", clock.now) == 10
    clock.now = 0
    async with opened(tmp_path, clock, retain=RETAIN) as log:
        assert await log.append("lobby", BOB, drafts(1, 1)) == 1
        assert await log.span("lobby") == Span(11, 11, 1_000_000)


async def test_what_is_too_old_is_let_go_at_the_opening(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as log:
        await log.append("lobby", ADA, drafts(1, 5000))
        await log.append("other", ADA, drafts(1, 5))
        clock.now += 2 * RETAIN * 1_000_000
        await log.append("lobby", ADA, drafts(5001, 5002))
    async with opened(tmp_path, clock, retain=RETAIN):
        await until(tmp_path, "SELECT count(*) FROM entries", 2)
        await until(tmp_path, "SELECT sum(floor) FROM rooms", 5001 + 6)


async def test_a_log_that_keeps_all_lets_nothing_go(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as log:
        await say(log, 3)
        clock.now = 2**60
        await log.prune()
        assert await log.span("lobby") == Span(1, 3, 1_000_000)


async def test_chores_take_up_little_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def noting(count: int, records: bytes) -> list[Entry]:
        sizes.append(len(records))
        return unpack(count, records)

    monkeypatch.setattr("socketchat.chat.sqlite_chores._MIN_STEP", 2048)
    monkeypatch.setattr("socketchat.chat.sqlite_chores.unpack", noting)
    async with opened(tmp_path, clock := Clock(), retain=RETAIN) as log:
        for first in range(1, 1001, 100):
            long = [draft(number, "x" * 2**15) for number in range(first, first + 100)]
            await log.append("lobby", ADA, long)
        clock.now += 2 * RETAIN * 1_000_000
        await log.prune()
        assert (await log.span("lobby")).floor == 1001
    assert sum(sizes) > 1000 * 2**15
    assert max(sizes) <= 2**22


# Reading


class Watched(sqlite3.Connection):
    """Notes how many bytes each statement brings, and does something behind it."""

    brought: list[int]
    then: Callable[[], object]

    def execute(self, *args: Any) -> Any:
        rows = super().execute(*args).fetchall()
        self.brought.append(sum(len(each) for each in rows[0] if isinstance(each, bytes)))
        self.then()
        return SimpleNamespace(fetchone=lambda: rows[0])


@contextmanager
def watched(directory: Path, then: Callable[[], object]) -> Iterator[Watched]:
    with closing(sqlite3.connect(directory / "log.db", factory=Watched)) as connection:
        connection.brought, connection.then = [], then
        yield connection


@looks_at_files
async def test_a_page_has_no_gap_when_entries_are_let_go_between_its_statements(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as log:
        await log.append("lobby", ADA, drafts(1, 3000))

    def let_go() -> None:
        ask(tmp_path, "DELETE FROM entries WHERE id < (SELECT id << 40 | 2000 FROM rooms)")

    with watched(tmp_path, let_go) as connection:
        assert numbers(queries.read(connection, "lobby", 0, 3000, 2**20)) == list(range(1, 1025))
        page = queries.read(connection, "lobby", 1024, 3000, 2**20)
        assert numbers(page) == list(range(2000, 3001))


@looks_at_files
async def test_a_page_takes_no_more_memory_than_it_has_room_for(tmp_path: Path) -> None:
    big = 2**14
    async with opened(tmp_path) as log:
        await log.append("lobby", ADA, [draft(n, "short") for n in range(1, 321)])
        await log.append("lobby", ADA, [draft(n, "x" * big) for n in range(321, 1101)])
        await log.append("lobby", ADA, [draft(n, "x" * 500) for n in range(1101, 2001)])
        await log.append("lobby", ADA, [draft(2001, "x" * 2**20)])
        await log.append("lobby", ADA, [draft(n, "short") for n in range(2002, 3001)])
    after = 0
    most = READ_SIZE + 1024 * queries.OVERHEAD + big
    with watched(tmp_path, lambda: None) as connection:
        while page := queries.read(connection, "lobby", after, 1024, READ_SIZE):
            bodies = [len(entry.body) for entry in page]
            assert len(bodies) == 1024 or sum(bodies) >= READ_SIZE or page[-1].number == 3000
            assert sum(bodies[:-1]) < READ_SIZE
            if 2001 not in numbers(page):
                assert max(connection.brought) <= most
            connection.brought.clear()
            after = page[-1].number
    assert after == 3000


@looks_at_files
async def test_a_page_of_short_entries_takes_one_statement(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append("lobby", ADA, drafts(1, 2000))
    with watched(tmp_path, lambda: None) as connection:
        for after in (0, 976, 1800):
            connection.brought.clear()
            queries.read(connection, "lobby", after, 1024, READ_SIZE)
            assert len(connection.brought) == 1
