"""Claims about the embedded log on disks that fail, and in processes that are killed.

Whatever happens, what was acknowledged is in the log afterwards, and once. A program of its own
(`log_appender.py`) appends and says what was acknowledged; when it has ended, a healthy process
looks at what is there. Faults come from the kernel, which can be told to refuse calls (seccomp).

With `SOCKETCHAT_TEST_FAULTS=1` in the environment the same is claimed on a real disk that is full,
a small tmpfs, and with Debian's `fiu-run`. It takes `apt-get install fiu-utils`, and the right to
mount in a namespace of one's own: root's, or anybody's where the system allows it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from socketchat import LogFailed, LogUnavailable
from socketchat.chat.log import Entry
from tests.chat.log_appender import FAILED
from tests.chat.log_conformance import (
    ADA,
    BOB,
    Clock,
    draft,
    drafts,
    everything,
    numbers,
)
from tests.chat.test_sqlite_log import ask, held, looks_at_files, opened, until_taken

PROGRAM = Path(__file__).parent / "log_appender.py"
AUTHORS = 8

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the faults are Linux's")


# In one process


@looks_at_files
async def test_what_a_full_disk_refuses_can_be_said_again_when_there_is_room(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as log:
        assert log._writing is not None
        await log.append("lobby", ADA, drafts(1, 3))
        seen: list[Entry] = []
        log.watch("lobby", seen.extend)
        log._writing.execute("PRAGMA max_page_count = 1")
        big = "x" * 10_000
        with pytest.raises(LogUnavailable, match="full"):
            await log.append("lobby", ADA, [draft(4, big)])
        assert (await log.span("lobby")).head == 3
        with pytest.raises(LogUnavailable):  # it would take the place of what was refused
            await log.append("lobby", ADA, drafts(5, 5), after=4)
        log._writing.execute("PRAGMA max_page_count = 100000")
        assert await log.append("lobby", ADA, [draft(4, big)], after=3) == 4
        assert await log.append("lobby", ADA, drafts(5, 5), after=4) == 5
        assert numbers(seen) == [4, 5]
        assert seen == await log.read("lobby", 3)
        assert log.error is None


@looks_at_files
async def test_one_transaction_is_refused_as_a_whole_and_shown_to_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        assert log._writing is not None
        seen: list[Entry] = []
        log.watch("lobby", seen.extend)
        log._writing.execute("PRAGMA max_page_count = 1")
        with held(tmp_path):
            calls = [log.append("lobby", ADA, [draft(1, "x" * 10_000)])]
            await until_taken(log)
            calls += [log.append("lobby", BOB, drafts(1, 1))]
            calls += [log.append("new", BOB, [draft(1, "x" * 10_000)])]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {LogUnavailable}
        assert len({id(outcome) for outcome in outcomes}) == 3
        assert not seen
        log._writing.execute("PRAGMA max_page_count = 100000")
        assert await log.append("new", BOB, drafts(1, 1)) == 1


@looks_at_files
async def test_a_database_that_another_program_holds_is_a_matter_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.chat.sqlite_schema.BUSY_TIMEOUT", 0.01)
    async with opened(tmp_path) as log:
        with held(tmp_path):
            with pytest.raises(LogUnavailable, match="held by another program"):
                await log.append("lobby", ADA, drafts(1, 1))
            assert await log.read("lobby", 0) == []
        assert await log.append("lobby", ADA, drafts(1, 1)) == 1


@looks_at_files
async def test_pruning_says_that_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.chat.sqlite_schema.BUSY_TIMEOUT", 0.01)
    async with opened(tmp_path, clock := Clock(), retain=1) as log:
        await log.append("lobby", ADA, drafts(1, 1))
        clock.now += 10**9
        with held(tmp_path), pytest.raises(LogUnavailable):
            await log.prune()
        await log.prune()
        assert (await log.span("lobby")).floor == 2


@looks_at_files
@pytest.mark.parametrize(
    ("damage", "asks"),
    [
        ("DROP TABLE lanes", "append"),
        ("DROP TABLE rooms", "span"),
        ("UPDATE entries SET record = x'00'", "read"),
    ],
)
async def test_after_any_other_failure_nothing_is_acknowledged(
    tmp_path: Path, damage: str, asks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else the writer finds it while it indexes.
    monkeypatch.setattr("socketchat.chat.sqlite_writer._QUIET", 3600.0)
    async with opened(tmp_path) as log:
        await log.append("lobby", BOB, drafts(1, 1))
        seen: list[Entry] = []
        log.watch("lobby", seen.extend)
        ask(tmp_path, damage)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "append": lambda: log.append("lobby", ADA, drafts(1, 1)),
            "span": lambda: log.span("lobby"),
            "read": lambda: log.read("lobby", 0),
        }
        with pytest.raises(LogFailed):
            await calls.pop(asks)()
        error = await log.failed()
        for call in calls.values():
            with pytest.raises(LogFailed, match=re.escape(str(error))):
                await call()
        with pytest.raises(LogFailed):
            await log.prune()
        assert not seen


@looks_at_files
async def test_what_was_called_for_before_a_failure_fails_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        ask(tmp_path, "DROP TABLE lanes")
        with held(tmp_path):
            calls = [log.append("lobby", ADA, drafts(1, 1))]
            await until_taken(log)
            calls += [log.append("lobby", BOB, drafts(1, n)) for n in range(1, 10)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {LogFailed}


@looks_at_files
async def test_those_who_wait_for_a_failure_may_give_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for _ in range(2):
            waiting = asyncio.create_task(log.failed())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
        waiting = asyncio.create_task(log.failed())
        assert log.error is None
        ask(tmp_path, "DROP TABLE lanes")
        with pytest.raises(LogFailed):
            await log.append("lobby", ADA, drafts(1, 1))
        assert await waiting is log.error


async def test_a_checkpoint_that_fails_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("socketchat.chat.sqlite_writer._CHECKPOINT_SIZE", 1)
    monkeypatch.setattr("socketchat.chat.sqlite_writer.checkpoint", fail)
    async with opened(tmp_path) as log:
        await log.append("lobby", ADA, drafts(1, 1))  # it was committed before
        assert "disk I/O error" in str(await log.failed())
        with pytest.raises(LogFailed):
            await log.append("lobby", ADA, drafts(2, 2))


# Programs that fail


class Outcome:
    """What a program said before it ended."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status = status
        self.errors = errors
        self.failed = False
        self.refused = 0
        #: How often something was acknowledged.
        self.acks = 0
        #: The highest number of each author that was acknowledged.
        self.acked: Counter[int] = Counter()
        for line in output.splitlines(keepends=True):
            match line.split():
                case ["acked", author, number] if line.endswith("\n"):
                    self.acked[int(author)] = int(number)
                    self.acks += 1
                case ["refused", *_]:
                    self.refused += 1
                case ["failed"]:
                    self.failed = True


def command(directory: Path, *args: object) -> list[str]:
    return [sys.executable, str(PROGRAM), str(directory), str(AUTHORS), *map(str, args)]


def run(*args: str) -> Outcome:
    done = subprocess.run(args, capture_output=True, text=True, timeout=100, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def check(directory: Path, acked: Counter[int]) -> Counter[int]:
    """See that what was acknowledged is there, once and in order, whoever sends it again.

    Returns:
        The last number of each author that the log holds.
    """
    assert ask(directory, "PRAGMA integrity_check") == "ok"
    marks, entries = asyncio.run(_resend(directory))
    assert numbers(entries) == list(range(1, len(entries) + 1))
    for author in range(AUTHORS):
        said = [entry for entry in entries if entry.lane == bytes([author]) * 16]
        assert [entry.lane_number for entry in said] == list(range(1, marks[author] + 1))
        assert all(str(entry.body).startswith(f"{entry.lane_number} ") for entry in said)
    assert marks >= acked
    return marks


async def _resend(directory: Path) -> tuple[Counter[int], list[Entry]]:
    """Send again all that the log holds, and return its marks and entries after that."""
    marks: Counter[int] = Counter()
    async with opened(directory) as log:
        for author in range(AUTHORS):
            lane = bytes([author]) * 16
            marks[author] = await log.mark("lobby", lane)
            again = drafts(1, marks[author])
            assert await log.append("lobby", lane, again) == marks[author]
        return marks, await everything(log)


@on_linux
@pytest.mark.parametrize("fault", ["fsync:EIO", "write:EIO"])
def test_what_is_not_on_the_disk_is_not_acknowledged_and_the_log_fails_for_good(
    tmp_path: Path, fault: str
) -> None:
    acked: Counter[int] = Counter()
    for after in (1, 100, 777):
        outcome = run(*command(tmp_path, 10**6, fault, after))
        assert (outcome.status, outcome.failed) == (FAILED, True), outcome.errors
        assert after <= outcome.acks < after + AUTHORS  # each had one under way
        acked = check(tmp_path, outcome.acked | acked)


@on_linux
def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    acked: Counter[int] = Counter()
    for after in (1, 100, 777):
        outcome = run(*command(tmp_path, 10**6, "write:ENOSPC", after))
        assert (outcome.status, outcome.refused) == (0, AUTHORS), outcome.errors
        assert after <= outcome.acks < after + AUTHORS
        acked = check(tmp_path, outcome.acked | acked)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acked: Counter[int] = Counter()
    for lines in (1, 50, 500, 1000):
        with subprocess.Popen(
            command(tmp_path, 10**6), stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            output = "".join(program.stdout.readline() for _ in range(lines))
            program.kill()
            output += program.stdout.read()
        assert program.returncode == -signal.SIGKILL
        acked = check(tmp_path, Outcome(0, output, "").acked | acked)


# What takes more than Python

#: In a namespace of its own: fills a small disk, makes some room, fills it again, and brings out
#: what is on it.
SMALL_DISK = """
set -e
mount -t tmpfs -o size=16m tmpfs "$1"
head -c 8000000 /dev/zero > "$1/ballast"
shift 2
"$@"
rm "$DISK/ballast"
"$@"
cp "$DISK"/log.db* "$OUT"
"""

if os.environ.get("SOCKETCHAT_TEST_FAULTS"):

    def tool(name: str, package: str) -> str:
        path = shutil.which(name)
        assert path is not None, f"{name} is not here: apt-get install -y {package}"
        return path

    @pytest.mark.parametrize(
        "point", ["posix/io/sync/*", "posix/io/sync/fdatasync", "posix/io/rw/pwrite"]
    )
    def test_under_fiu_run_what_was_acknowledged_is_there(tmp_path: Path, point: str) -> None:
        fiu_run = [tool("fiu-run", "fiu-utils"), "-x", "-f", ""]
        acked: Counter[int] = Counter()
        for after in (1, 100, 777):
            outcome = run(*fiu_run, *command(tmp_path, 10**6, f"fiu:{point}", after))
            assert (outcome.status, outcome.failed) == (FAILED, True), outcome.errors
            assert after <= outcome.acks < after + AUTHORS
            acked = check(tmp_path, outcome.acked | acked)

    @pytest.mark.parametrize("point", ["posix/io/sync/*", "posix/io/rw/pwrite"])
    def test_under_fiu_run_faults_at_any_time_lose_nothing(tmp_path: Path, point: str) -> None:
        fault = f"enable_random name={point},probability=0.01"
        fiu_run = [tool("fiu-run", "fiu-utils"), "-x", "-f", "", "-c", fault]
        acked = check(tmp_path, Counter())
        for _ in range(10):
            outcome = run(*fiu_run, *command(tmp_path, 10**6))
            # Maybe when it was opened; or it was told that the disk is full.
            assert outcome.status != 0 or outcome.refused == AUTHORS
            acked = check(tmp_path, outcome.acked | acked)
        assert acked.total() > 0

    def test_on_a_full_disk_what_was_acknowledged_is_there(tmp_path: Path) -> None:
        disk, out = tmp_path / "disk", tmp_path / "out"
        disk.mkdir()
        out.mkdir()
        namespace = [tool("unshare", "util-linux"), "--mount"]
        if os.geteuid() != 0:
            namespace.append("--map-root-user")
        script = SMALL_DISK.replace("$DISK", str(disk)).replace("$OUT", str(out))
        outcome = run(*namespace, "sh", "-c", script, "sh", str(disk), "--", *command(disk, 10**6))
        assert outcome.status == 0, f"no small disk could be mounted, or so: {outcome.errors}"
        assert outcome.refused == 2 * AUTHORS
        assert check(out, outcome.acked).total() > 1000
