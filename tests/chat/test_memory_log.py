"""Claims about `socketchat.chat.memory_log`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from socketchat.chat.log import Draft, Log, Span
from socketchat.chat.memory_log import MemoryLog
from tests.chat.log_conformance import (
    ADA,
    BOB,
    CYD,
    Clock,
    LogConformance,
    draft,
    drafts,
    everything,
    numbers,
)

MAX_ENTRIES = 2000


class TestConformance(LogConformance):
    @asynccontextmanager
    async def made(self, clock: Clock) -> AsyncIterator[Log]:
        log = MemoryLog(max_entries=MAX_ENTRIES, clock=clock)
        await log.open()
        yield log
        await log.close()

    async def forget(self, log: Log, room: str, clock: Clock) -> None:
        await log.append(room, BOB, drafts(1, MAX_ENTRIES - 10))


async def test_it_keeps_the_last_entries_of_each_room() -> None:
    log = MemoryLog(max_entries=3, clock=Clock())
    await log.append("lobby", ADA, drafts(1, 5))
    await log.append("other", ADA, drafts(1, 2))
    assert await log.span("lobby") == Span(3, 5, 1_000_000)
    assert numbers(await everything(log)) == [3, 4, 5]
    assert numbers(await everything(log, "other")) == [1, 2]


async def test_it_keeps_so_many_characters_and_bytes_of_each_room() -> None:
    log = MemoryLog(max_size=100)
    for number in range(1, 6):
        await log.append("lobby", ADA, [draft(number, "x" * 40)])
    assert numbers(await everything(log)) == [4, 5]
    await log.append("lobby", ADA, [draft(6, bytes(99))])
    assert numbers(await everything(log)) == [6]


async def test_the_last_entry_is_kept_however_big() -> None:
    log = MemoryLog(max_size=100)
    await log.append("lobby", ADA, [draft(1), draft(2, "x" * 1000)])
    assert numbers(await everything(log)) == [2]


async def marks(log: MemoryLog, *lanes: bytes) -> list[int]:
    return [await log.mark("lobby", lane) for lane in lanes]


async def test_the_lanes_that_spoke_last_are_remembered_though_nothing_of_them_is_held() -> None:
    log = MemoryLog(max_entries=1, max_lanes=2)
    await log.append("lobby", ADA, [Draft(1, "one", key=b"k" * 32)])
    await log.append("lobby", BOB, drafts(1, 5))
    assert await marks(log, ADA, BOB) == [1, 5]
    await log.append("lobby", ADA, drafts(1, 2))
    await log.append("lobby", CYD, drafts(1, 3))
    assert await marks(log, ADA, BOB, CYD) == [2, 0, 3]
    assert await log.owner("lobby", ADA) == b"k" * 32


async def test_a_lane_of_which_something_is_held_is_remembered_however_many_there_are() -> None:
    log = MemoryLog(max_entries=3, max_lanes=1)
    for lane in (ADA, BOB, CYD):
        await log.append("lobby", lane, drafts(1, 1))
    assert await marks(log, ADA, BOB, CYD) == [1, 1, 1]
    await log.append("lobby", ADA, drafts(2, 3))
    assert await marks(log, ADA, BOB, CYD) == [3, 0, 1]
    await log.append("lobby", ADA, drafts(4, 4))
    assert await marks(log, ADA, BOB, CYD) == [4, 0, 0]
    assert len(log._rooms["lobby"].lanes) == 1


async def test_reading_a_room_does_not_make_it() -> None:
    log = MemoryLog()
    for number in range(100):
        await log.read(f"room {number}", 0)
        await log.span(f"room {number}")
        await log.mark(f"room {number}", ADA)
    assert not log._rooms


async def test_a_room_in_which_nothing_was_said_is_gone_when_nobody_watches_it() -> None:
    log = MemoryLog()
    for number in range(100):
        stops = [log.watch(f"room {number}", lambda _: None) for _ in range(2)]
        stops[0]()
        assert list(log._rooms) == [f"room {number}"]
        stops[1]()
    assert not log._rooms


async def test_a_room_in_which_something_was_said_stays_when_nobody_watches_it() -> None:
    log = MemoryLog()
    stop = log.watch("lobby", lambda _: None)
    await log.append("lobby", ADA, drafts(1, 1))
    stop()
    assert numbers(await everything(log)) == [1]
