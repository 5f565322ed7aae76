"""Claims about `socketchat.chat.redis_log` with replicas: `wait`, and what a failover leaves."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from socketchat import LogUnavailable
from socketchat.chat.neighbours import News, Seat, ShowOut
from socketchat.chat.redis_facts import RedisFacts
from socketchat.chat.redis_link import RedisStore
from socketchat.chat.redis_log import RedisLog
from socketchat.chat.redis_neighbours import RedisNeighbours
from tests.chat.log_conformance import ADA, BOB, CYD, draft, drafts, everything, numbers, say
from tests.chat.redis_logs import (
    ask,
    author,
    have_patience,
    opened,
    redis_is_missing,
    running,
    until,
    watched,
)
from tests.redis_server import RedisServer

pytestmark = redis_is_missing


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing logged: pytest would write it to a file, which blocks."""
    logger = logging.getLogger("socketchat")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])


class Pair(NamedTuple):
    """A master and its replica."""

    master: RedisServer
    replica: RedisServer

    async def replicated(self) -> None:
        """Wait until the replica has what the master has."""
        async with asyncio.timeout(60):
            while await self._offset(self.master) != await self._offset(self.replica):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    @staticmethod
    async def _offset(server: RedisServer) -> int:
        facts = await ask(server, "INFO", "replication")
        return int(facts["master_repl_offset"])


async def follow(replica: RedisServer, master: RedisServer) -> None:
    """Make a server a replica of another one, and wait until it is."""
    await ask(replica, "REPLICAOF", "127.0.0.1", master.port)
    await until_linked(replica)


async def until_linked(replica: RedisServer) -> None:
    """Wait until a replica is connected to its master, and has what it had."""
    async with asyncio.timeout(60):
        while (await ask(replica, "INFO", "replication")).get("master_link_status") != "up":  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def paired(directory: Path) -> AsyncIterator[Pair]:
    """Run a master and a replica."""
    for name in ("master", "replica"):
        await asyncio.to_thread((directory / name).mkdir)
    async with running(directory / "master") as master, running(directory / "replica") as replica:
        await follow(replica, master)
        yield Pair(master, replica)


async def test_what_replicas_have_not_is_neither_acknowledged_nor_seen_anywhere(
    tmp_path: Path,
) -> None:
    async with (
        paired(tmp_path) as pair,
        opened(pair.master, wait=1, patience=60) as one,
        opened(pair.master, wait=1, patience=60) as two,
    ):
        seen = [await watched(one), await watched(two)]
        await say(one, 3)
        for each in seen:
            await until(lambda: each.numbers == [1, 2, 3])  # noqa: B023
        have_patience(0.5, two)
        pair.replica.pause()
        call = one.append("lobby", ADA, drafts(4, 4), after=3)
        await until(lambda: "0 have" in one._writer._why)
        # The master has it, and nobody is told.
        assert await ask(pair.master, "XLEN", one._keys.room("lobby")[0]) == 4
        assert not call.done()
        assert [each.numbers for each in seen] == [[1, 2, 3]] * 2
        assert [numbers(await everything(log)) for log in (one, two)] == [[1, 2, 3]] * 2
        assert await two.at("lobby", 4) is None
        assert await two.before("lobby", 2**62) == 3
        for question in (two.span("lobby"), two.mark("lobby", ADA)):
            with pytest.raises(LogUnavailable, match="replicas"):
                await question
        with pytest.raises(LogUnavailable, match="replicas"):  # it is a repeat there
            await two.append("lobby", ADA, drafts(4, 4), after=3)
        assert [each.numbers for each in seen] == [[1, 2, 3]] * 2
        pair.replica.resume()
        assert await call == 4
        for each in seen:
            await until(lambda: each.numbers == [1, 2, 3, 4])  # noqa: B023
        have_patience(60, two)
        assert await two.mark("lobby", ADA) == 4


async def test_between_connections_that_are_no_use_longer_and_longer_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    def delays() -> Iterator[float]:
        for number in itertools.count():
            waits.append(number)
            yield 0.001

    monkeypatch.setattr("socketchat.chat.redis_writer.delays", delays)
    async with paired(tmp_path) as pair, opened(pair.master, wait=1, patience=60) as log:
        await say(log, 1)
        pair.replica.pause()
        call = log.append("lobby", ADA, drafts(2, 2), after=1)
        await until(lambda: "0 have" in log._writer._why)
        # Redis takes no more writes now, and so does not let it be seen.
        await ask(pair.master, "CONFIG", "SET", "maxmemory", 1)
        pair.replica.resume()
        await until(lambda: 3 in waits)
        await ask(pair.master, "CONFIG", "SET", "maxmemory", 0)
        assert await call == 2


async def test_what_a_server_appended_that_then_died_is_seen_once_replicas_have_it(
    tmp_path: Path,
) -> None:
    async with (
        paired(tmp_path) as pair,
        opened(pair.master, wait=1) as two,
    ):
        seen = await watched(two)
        async with opened(pair.master, wait=1, patience=60) as one:
            await say(one, 3)
            have_patience(0.5, one)
            pair.replica.pause()
            with pytest.raises(LogUnavailable, match="replicas"):
                await one.append("lobby", ADA, drafts(4, 5), after=3)
        await until(lambda: seen.numbers == [1, 2, 3])
        pair.replica.resume()
        await until(lambda: seen.numbers == [1, 2, 3, 4, 5])
        assert await two.mark("lobby", ADA) == 5


@pytest.mark.parametrize("given_up", [False, True], ids=["answered", "given up"])
async def test_a_question_that_is_cancelled_while_replicas_are_waited_for_ends_nothing_else(
    tmp_path: Path, given_up: bool
) -> None:
    async with paired(tmp_path) as pair, opened(pair.master, wait=1, patience=60) as log:
        await say(log, 1)
        pair.replica.pause()
        call = log.append("lobby", ADA, drafts(2, 2), after=1)
        await until(lambda: "0 have" in log._writer._why)
        asking = asyncio.create_task(log.span("lobby"))
        await until(lambda: bool(log._writer._queue))
        asking.cancel()
        await asyncio.wait([asking])
        if given_up:
            have_patience(0, log)
            with pytest.raises(LogUnavailable):
                await call
            have_patience(60, log)
        pair.replica.resume()
        if not given_up:
            assert await call == 2
        assert await log.append("lobby", ADA, drafts(2, 3), after=1) == 3
        assert (await log.span("lobby")).head == 3


async def test_a_promoted_replica_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        lanes = [bytes([number]) * 16 for number in range(20)]
        acknowledged = dict.fromkeys(lanes, 0)

        async def author(log: RedisLog, lane: bytes) -> None:
            with suppress(LogUnavailable):
                for number in range(1, 10_000):
                    said = log.append("lobby", lane, [draft(number)], after=number - 1)
                    acknowledged[lane] = await said

        async with (
            opened(pair.master, wait=1, patience=60) as one,
            opened(pair.master, wait=1, patience=60) as two,
        ):
            seen = await watched(two)
            authors = [
                asyncio.create_task(author(log, lane))
                for lane, log in zip(lanes, [one, two] * 10, strict=True)
            ]
            await until(lambda: sum(acknowledged.values()) > 300)
            have_patience(0.5, one, two)
            await asyncio.to_thread(pair.master.kill)
            await asyncio.gather(*authors)
        await ask(pair.replica, "REPLICAOF", "NO", "ONE")
        async with opened(pair.replica) as log:
            await log.span("lobby")  # what was not published yet is, when somebody asks
            entries = await everything(log)
            assert entries[: len(seen.entries)] == seen.entries
            for lane, mark in acknowledged.items():
                said = [entry.lane_number for entry in entries if entry.lane == lane]
                assert said == list(range(1, len(said) + 1))
                assert await log.mark("lobby", lane) == len(said) >= mark


async def test_a_failover_to_a_replica_that_has_everything_is_not_noticed(tmp_path: Path) -> None:
    async with (
        paired(tmp_path) as pair,
        opened(pair.master, wait=1, timeout=0.5, patience=60) as log,
    ):
        seen = await watched(log)
        await say(log, 5)
        await fail_over(pair)
        call = log.append("lobby", ADA, drafts(6, 6), after=5)
        await until(lambda: "0 have" in log._writer._why or call.done())
        assert not call.done()  # the new master has no replica yet
        await follow(pair.replica, pair.master)
        assert await call == 6
        assert seen.numbers == [1, 2, 3, 4, 5, 6]
        assert not seen.diverged


async def test_a_failover_to_a_replica_that_lacks_the_end_is_told(tmp_path: Path) -> None:
    async with (
        paired(tmp_path) as pair,
        opened(pair.master, timeout=0.5, patience=60) as log,
    ):
        seen = await watched(log)
        await say(log, 3)
        await pair.replicated()
        await ask(pair.replica, "REPLICAOF", "NO", "ONE")
        await say(log, 2, lane=BOB)
        assert seen.numbers == [1, 2, 3, 4, 5]
        await fail_over(pair)
        await until(lambda: seen.diverged == [3])
        assert (await log.span("lobby")).head == 3
        assert (await log.mark("lobby", ADA), await log.mark("lobby", BOB)) == (3, 0)
        assert await log.append("lobby", BOB, drafts(1, 2)) == 2
        assert seen.numbers == [4, 5]


@pytest.mark.parametrize("others", [0, 3], ids=["nothing instead", "others instead"])
async def test_an_append_that_a_failover_lost_before_it_was_told_is_given_up(
    tmp_path: Path, others: int
) -> None:
    async with (
        paired(tmp_path) as pair,
        opened(pair.master, timeout=0.5, patience=60) as one,
        opened(pair.master, timeout=0.5, patience=60) as two,
    ):
        seen = await watched(one)
        await say(one, 3)
        await pair.replicated()
        reads = read_no_more(one)
        await ask(pair.replica, "REPLICAOF", "NO", "ONE")
        await say(two, 1, lane=BOB)
        call = one.append("lobby", ADA, drafts(4, 4), after=3)
        await until(lambda: bool(one._rooms["lobby"].waiting))  # entry 5, and 4 is not told yet
        await fail_over(pair)
        if others:
            await say(two, others, lane=CYD)
        reads.set()
        with pytest.raises(LogUnavailable, match="not the one that it was"):
            await call
        assert await one.append("lobby", ADA, drafts(4, 4), after=3) == 4
        await until(lambda: seen.numbers[-1:] == [4 + others])
        assert await one.mark("lobby", ADA) == 4


def read_no_more(log: RedisLog) -> asyncio.Event:
    """Have a log find nothing of others until the event is set."""
    goes_on = asyncio.Event()
    follow = log._reader._follow

    async def later(*args: Any) -> None:
        await goes_on.wait()
        await follow(*args)

    log._reader._follow = later  # type: ignore[assignment, method-assign]
    return goes_on


async def fail_over(pair: Pair) -> None:
    """Replace the master, at its address, by one that has what the replica has."""
    await asyncio.to_thread(pair.master.kill)
    pair.replica.resume()
    await ask(pair.replica, "REPLICAOF", "NO", "ONE")
    pair.master.settings["replicaof"] = f"127.0.0.1 {pair.replica.port}"
    await asyncio.to_thread(pair.master.start)
    await until_linked(pair.master)
    await ask(pair.master, "REPLICAOF", "NO", "ONE")


async def swap(pair: Pair) -> None:
    """Have the replica be the master, and the master a replica, without cutting a connection."""
    await ask(pair.replica, "REPLICAOF", "NO", "ONE")
    await follow(pair.master, pair.replica)


async def test_after_a_failover_that_cuts_no_connection_servers_are_told_at_the_new_master(
    tmp_path: Path,
) -> None:
    class Hears:
        def __init__(self) -> None:
            self.told: list[News] = []

        def whole(self) -> list[tuple[str, Seat]]:
            return []

        def heard(self, _server: str, news: News) -> None:
            self.told.append(news)

        def present(self, _server: str, _seats: Sequence[tuple[str, Seat]]) -> None: ...

        def missed(self) -> None: ...

    async with paired(tmp_path) as pair:
        one = RedisNeighbours(pair.master.url, beat=0.2)
        two = RedisNeighbours(pair.replica.url, beat=0.2)
        await one.open(Hears())
        await swap(pair)
        ears = Hears()
        await two.open(ears)
        await until(lambda: two._has_heard)  # it is not waited for as long as a busy machine takes
        one._store = two._store  # as a Sentinel would say
        async with asyncio.timeout(60):
            while True:
                with suppress(LogUnavailable):
                    await one.order(ShowOut("eve", b"", "noise"))
                    break
                await asyncio.sleep(0.01)
        await until(lambda: ears.told == [ShowOut("eve", b"", "noise")])
        await one.close()
        await two.close()


async def test_after_a_failover_that_cuts_no_connection_the_new_master_is_read(
    tmp_path: Path,
) -> None:
    async with paired(tmp_path) as pair, opened(pair.master) as log:
        facts = RedisFacts(pair.master.url)
        await facts.open()
        await facts.put("topic", "lobby", "tea")
        await say(log, 3)
        await pair.replicated()
        await swap(pair)
        await ask(pair.master, "REPLICAOF", "127.0.0.1", 1)  # it hears nothing of the new master
        for caller in (facts._caller, log._caller):
            assert caller is not None
            caller._store = RedisStore(pair.replica.url)  # as a Sentinel would say
        async with opened(pair.replica) as there:
            await author(there, BOB, 1)
        await ask(pair.replica, "HSET", facts._keys.facts("topic"), "lobby", "coffee")
        async with asyncio.timeout(60):
            while await facts.get("topic", "lobby") != "coffee":  # noqa: ASYNC110 - of two servers
                await asyncio.sleep(0.05)
            while await log.at("lobby", 4) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await facts.close()


async def test_a_replica_is_refused(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        with pytest.raises(OSError, match="it is a replica: name the master"):
            await RedisLog(pair.replica.url).open()


async def test_a_fact_that_too_few_replicas_have_is_not_said_to_be_kept(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        facts = RedisFacts(pair.master.url, wait=1)
        await facts.open()
        assert await facts.add("name", "ada", "one") == "one"
        assert await ask(pair.replica, "HLEN", facts._keys.facts("name")) == 1
        pair.replica.pause()
        with pytest.raises(LogUnavailable, match="replicas"):
            await facts.put("name", "ada", "two")
        with pytest.raises(LogUnavailable, match="replicas"):  # nor what is only found
            await facts.add("name", "ada", "three")
        pair.replica.resume()
        assert await facts.add("name", "ada", "three") == "two"
        assert await facts.remove("name", "ada")
        await facts.close()
