"""Claims about the simulated log: a log like any other, as long as nothing goes wrong; and then?"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from socketchat import LogFailed, LogUnavailable
from socketchat.chat.log import Log
from tests.chat.log_conformance import (
    ADA,
    Clock,
    LastingLogConformance,
    Opener,
    draft,
    drafts,
    numbers,
)
from tests.sessions import now, turns
from tests.simulation.engine import Disk, SimulatedLog
from tests.simulation.history import History


def new_disk(clock: Clock | None = None, seed: int = 1) -> Disk:
    return Disk(random.Random(seed), History(now), clock=clock)


@pytest.mark.virtual_time
class TestConformance(LastingLogConformance):
    @asynccontextmanager
    async def place(self, clock: Clock) -> AsyncIterator[Opener]:
        disk = new_disk(clock)

        @asynccontextmanager
        async def opener() -> AsyncIterator[Log]:
            log = SimulatedLog(disk)
            await log.open()
            yield log
            await log.close()

        yield opener

    async def break_down(self, log: Log) -> None:
        assert isinstance(log, SimulatedLog)
        log.disk.breaking = True

    async def forget(self, log: Log, room: str, clock: Clock) -> None:
        assert isinstance(log, SimulatedLog)
        log.disk.trim(room, 10)


pytestmark = pytest.mark.virtual_time


async def test_what_is_not_committed_dies_with_its_process_and_nobody_is_told() -> None:
    disk = new_disk()
    log = SimulatedLog(disk)
    first = log.append("lobby", ADA, drafts(1, 1))
    await first
    calls = [log.append("lobby", ADA, [draft(number)]) for number in range(2, 30)]
    log.die()
    await asyncio.sleep(10)
    assert not any(call.done() for call in calls)
    held = numbers(await SimulatedLog(disk).read("lobby", 0))
    assert 1 <= len(held) < 29
    assert held == list(range(1, len(held) + 1))


async def test_a_commit_under_way_may_outlive_its_process() -> None:
    lived = set()
    for seed in range(20):
        disk = new_disk(seed=seed)
        log = SimulatedLog(disk)
        call = log.append("lobby", ADA, drafts(1, 1))
        await turns()
        log.die()
        lived.add((await SimulatedLog(disk).span("lobby")).head)
        assert not call.done()
    assert lived == {0, 1}


async def test_a_full_disk_leaves_undone_what_it_refuses() -> None:
    disk = new_disk()
    disk.fullness = 1.0
    log = SimulatedLog(disk)
    with pytest.raises(LogUnavailable):
        await log.append("lobby", ADA, drafts(1, 1))
    disk.heal()
    with pytest.raises(LogUnavailable):
        await log.append("lobby", ADA, drafts(2, 2), after=1)
    assert await log.append("lobby", ADA, drafts(1, 2)) == 2


async def test_of_a_log_that_fails_nobody_knows_what_it_has_done() -> None:
    held = set()
    for seed in range(20):
        disk = new_disk(seed=seed)
        disk.breaking = True
        log = SimulatedLog(disk)
        for _ in range(2):
            with pytest.raises(LogFailed):
                await log.append("lobby", ADA, drafts(1, 1))
        with pytest.raises(LogFailed):
            await log.span("lobby")
        held.add((await SimulatedLog(disk).span("lobby")).head)
    assert held == {0, 1}
