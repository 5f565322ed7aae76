"""What every engine of the log is held to: the claims of `socketchat.chat.log.Log`.

An engine's tests derive a class from `LogConformance`, and say how a log is made. Engines that last
longer than their process derive from `LastingLogConformance` too. What only one engine has is
tested beside it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socketchat import LogFailed, LogUnavailable
from socketchat.chat.log import READ_SIZE, Draft, Entry, Log, Span

__all__ = [
    "ADA",
    "BOB",
    "CYD",
    "Clock",
    "LastingLogConformance",
    "LogConformance",
    "draft",
    "drafts",
    "everything",
    "numbers",
    "say",
]

ADA = b"a" * 16
BOB = b"b" * 16
CYD = b"c" * 16


class Clock:
    """A clock that the test sets, in microseconds."""

    def __init__(self, now: int = 1_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def draft(number: int, body: str | bytes = "") -> Draft:
    return Draft(number, body or f"text {number}", "ada")


def drafts(first: int, last: int) -> list[Draft]:
    return [draft(number) for number in range(first, last + 1)]


def numbers(entries: Sequence[Entry]) -> list[int]:
    return [entry.number for entry in entries]


async def everything(log: Log, room: str = "lobby", after: int = 0) -> list[Entry]:
    """Read all that a room's log holds behind a place, page by page."""
    read: list[Entry] = []
    while page := await log.read(room, read[-1].number if read else after):
        read.extend(page)
    return read


async def say(log: Log, count: int, *, room: str = "lobby", lane: bytes = ADA) -> None:
    """Append messages 1 to `count` of a lane, one by one."""
    for number in range(1, count + 1):
        assert await log.append(room, lane, [draft(number)], after=number - 1) == number


class LogConformance(ABC):
    """The claims that hold for every engine."""

    @abstractmethod
    def made(self, clock: Clock) -> AbstractAsyncContextManager[Log]:
        """Return what makes a log, empty and open, and closes it at the end."""

    @abstractmethod
    async def forget(self, log: Log, room: str, clock: Clock) -> None:
        """Have a log let go of a room's oldest entries, whatever that takes; some must be left."""

    # Appending

    async def test_a_room_that_nobody_wrote_to_is_empty(self) -> None:
        async with self.made(Clock()) as log:
            assert await log.span("lobby") == Span(floor=1, head=0, at=0)
            assert await log.mark("lobby", ADA) == 0
            assert await log.at("lobby", 1) is None
            assert await log.before("lobby", 10**18) == 0
            assert await log.read("lobby", 0) == []

    async def test_an_entry_is_what_was_said_with_its_place(self) -> None:
        async with self.made(Clock(5)) as log:
            text = Draft(7, "caf\u00e9 \0 \U0001f600", "ada", "bob", BOB)
            data = Draft(9, b"\x00\xff", "ada", key=b"k" * 32)
            assert await log.append("lobby", ADA, [text, data]) == 9
            assert await log.read("lobby", 0) == [
                Entry(1, 5, ADA, 7, "caf\u00e9 \0 \U0001f600", "ada", "bob", BOB),
                Entry(2, 5, ADA, 9, b"\x00\xff", "ada", key=b"k" * 32),
            ]

    async def test_empty_bodies_stay_what_they_are(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, [Draft(1, ""), Draft(2, b"")])
            assert [entry.body for entry in await log.read("lobby", 0)] == ["", b""]

    async def test_the_greatest_number_of_the_wire_is_taken(self) -> None:
        async with self.made(Clock()) as log:
            assert await log.append("lobby", ADA, [draft(2**63 - 1)]) == 2**63 - 1
            assert (await log.read("lobby", 0))[0].lane_number == 2**63 - 1

    async def test_a_big_body_is_taken(self) -> None:
        async with self.made(Clock()) as log:
            body = bytes(2**20)
            await log.append("lobby", ADA, [draft(1, body)])
            assert [entry.body for entry in await log.read("lobby", 0)] == [body]

    async def test_what_is_appended_at_once_is_numbered_in_the_order_of_the_calls(self) -> None:
        async with self.made(Clock()) as log:
            calls = [(lane, number) for number in range(1, 51) for lane in (ADA, BOB)]
            marks = await asyncio.gather(
                *(log.append("lobby", lane, [draft(number)]) for lane, number in calls)
            )
            assert marks == [number for _, number in calls]
            entries = await log.read("lobby", 0)
            assert numbers(entries) == list(range(1, 101))
            assert [(entry.lane, entry.lane_number) for entry in entries] == calls

    async def test_rooms_are_apart(self) -> None:
        async with self.made(Clock()) as log:
            await say(log, 3, room="one")
            await say(log, 2, room="two")
            await say(log, 1, room="One")
            spans = [(await log.span(room)).head for room in ("one", "two", "One", "on")]
            assert spans == [3, 2, 1, 0]
            assert [await log.mark(room, ADA) for room in ("one", "two", "on")] == [3, 2, 0]
            assert numbers(await log.read("two", 0)) == [1, 2]

    async def test_many_authors_at_once_lose_nothing(self) -> None:
        async with self.made(Clock()) as log:
            lanes = [bytes([number]) * 16 for number in range(50)]
            await asyncio.gather(*(say(log, 20, lane=lane) for lane in lanes))
            assert await log.span("lobby") == Span(1, 1000, 1_000_000)
            entries = await everything(log)
            assert numbers(entries) == list(range(1, 1001))
            for lane in lanes:
                said = [entry.lane_number for entry in entries if entry.lane == lane]
                assert said == list(range(1, 21))

    # Repeats

    async def test_a_repeat_is_left_out_and_told_the_mark(self) -> None:
        async with self.made(Clock()) as log:
            assert await log.append("lobby", ADA, drafts(1, 3)) == 3
            assert await log.append("lobby", ADA, drafts(1, 3)) == 3
            assert await log.append("lobby", ADA, [draft(2)]) == 3
            assert (await log.span("lobby")).head == 3

    async def test_what_is_new_among_repeats_is_appended(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, drafts(1, 3))
            assert await log.append("lobby", ADA, drafts(2, 5)) == 5
            assert [each.lane_number for each in await log.read("lobby", 0)] == [1, 2, 3, 4, 5]

    async def test_a_repeat_of_what_is_not_committed_yet_is_left_out(self) -> None:
        async with self.made(Clock()) as log:
            calls = [log.append("lobby", ADA, drafts(1, 2)) for _ in range(3)]
            assert await asyncio.gather(*calls) == [2, 2, 2]
            assert (await log.span("lobby")).head == 2

    async def test_nothing_appended_changes_nothing(self) -> None:
        async with self.made(Clock()) as log:
            assert await log.append("lobby", ADA, []) == 0
            assert await log.append("lobby", ADA, drafts(1, 2)) == 2
            assert await log.append("lobby", ADA, []) == 2
            assert await log.span("lobby") == Span(1, 2, 1_000_000)

    async def test_another_lane_with_the_same_numbers_is_no_repeat(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, drafts(1, 2))
            assert await log.append("lobby", BOB, drafts(1, 2)) == 2
            assert (await log.span("lobby")).head == 4

    async def test_the_mark_is_committed_with_the_entries(self) -> None:
        async with self.made(Clock()) as log:
            calls = [log.append("lobby", ADA, [draft(number)]) for number in range(1, 101)]
            for number, call in enumerate(calls, 1):
                await call
                assert await log.mark("lobby", ADA) >= number
                assert (await log.span("lobby")).head >= number
            assert await log.mark("lobby", BOB) == 0

    async def test_an_append_behind_one_that_is_missing_is_refused(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, drafts(1, 3))
            with pytest.raises(LogUnavailable):
                await log.append("lobby", ADA, drafts(6, 7), after=5)
            with pytest.raises(LogUnavailable):
                await log.append("lobby", BOB, drafts(2, 2), after=1)
            assert (await log.span("lobby")).head == 3
            assert await log.append("lobby", ADA, drafts(6, 7), after=3) == 7

    async def test_a_refused_append_is_not_another_ones(self) -> None:
        async with self.made(Clock()) as log:
            before = log.append("lobby", ADA, drafts(1, 1))
            refused = log.append("lobby", BOB, drafts(2, 2), after=1)
            behind = log.append("lobby", ADA, drafts(2, 2), after=1)
            with pytest.raises(LogUnavailable):
                await refused
            assert (await before, await behind) == (1, 2)
            assert [entry.lane for entry in await log.read("lobby", 0)] == [ADA, ADA]

    # Time

    async def test_time_does_not_go_back_with_the_clock(self) -> None:
        clock = Clock()
        async with self.made(clock) as log:
            for clock.now in (100, 200, 150, 200, 300):
                number = (await log.span("lobby")).head + 1
                await log.append("lobby", ADA, [draft(number)])
            times = [entry.at for entry in await log.read("lobby", 0)]
            assert times == [100, 200, 200, 200, 300]
            assert [await log.at("lobby", number) for number in range(7)] == [None, *times, None]
            assert (await log.span("lobby")).at == 300

    async def test_before_is_the_last_entry_that_is_older(self) -> None:
        clock = Clock()
        async with self.made(clock) as log:
            for number, clock.now in enumerate((100, 200, 200, 300), 1):
                await log.append("lobby", ADA, [draft(number)])
            asked = {0: 0, 100: 0, 101: 1, 200: 1, 201: 3, 300: 3, 301: 4, 2**63: 4}
            assert {at: await log.before("lobby", at) for at in asked} == asked

    # Reading

    async def test_a_page_begins_behind_its_place(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, drafts(1, 5))
            await log.append("next", ADA, drafts(1, 5))
            assert numbers(await log.read("lobby", 2)) == [3, 4, 5]
            for beyond in (5, 6, 2**40 - 2, 2**40 - 1, 2**40, 2**62):
                assert await log.read("lobby", beyond) == []
                assert await log.at("lobby", beyond + 1) is None

    async def test_a_page_ends_at_its_limit(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, drafts(1, 1500))
            for limit in (1, 2, 63, 64, 65, 1024, 1025, 1500):
                page = await log.read("lobby", 0, limit=limit)
                assert numbers(page) == list(range(1, limit + 1))
            assert numbers(await log.read("lobby", 0)) == list(range(1, 1025))
            assert numbers(await log.read("lobby", 1400)) == list(range(1401, 1501))

    async def test_a_page_ends_with_the_entry_that_fills_it(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, [draft(n, "x" * 100) for n in range(1, 201)])
            for size, expected in {1: 1, 100: 1, 101: 2, 1000: 10, 10_001: 101}.items():
                assert len(await log.read("lobby", 0, size=size)) == expected

    async def test_a_page_holds_at_least_one_entry_however_big(self) -> None:
        async with self.made(Clock()) as log:
            bodies: list[str | bytes] = ["x" * (READ_SIZE + 1), b"y" * (READ_SIZE * 3), "z"]
            await log.append("lobby", ADA, [draft(n, body) for n, body in enumerate(bodies, 1)])
            assert [numbers(await log.read("lobby", after)) for after in range(4)] == [
                [1],
                [2],
                [3],
                [],
            ]

    async def test_page_by_page_everything_is_read_once(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, [draft(n, "x" * (n % 300)) for n in range(1, 1001)])
            read: list[Entry] = []
            while page := await log.read("lobby", len(read), limit=100, size=5000):
                read.extend(page)
            assert numbers(read) == list(range(1, 1001))

    # Watching

    async def test_a_watcher_is_called_before_the_author_is_told(self) -> None:
        async with self.made(Clock()) as log:
            seen: list[Entry] = []
            log.watch("lobby", seen.extend)
            told_after: list[int] = []
            calls = [log.append("lobby", ADA, [draft(number)]) for number in range(1, 21)]
            for call in calls:
                call.add_done_callback(lambda call: told_after.append(len(seen) - call.result()))
            await asyncio.gather(*calls)
            await asyncio.sleep(0)  # those that were done when they were asked tell it now
            assert min(told_after) >= 0
            assert seen == await log.read("lobby", 0)

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            ("fox", [1, 3, 4]),
            ("quick FOX", [1, 3]),
            ("cafe", [2]),
            ("well-known", [3]),
            ("quick cat", []),
            ('fox" OR "cafe', []),
            ("", [1, 2, 3, 4, 6]),
        ],
    )
    async def test_texts_with_all_words_are_found(self, words: str, found: list[int]) -> None:
        texts: list[str | bytes] = [
            "the quick fox",
            "caf\u00e9",
            "a Quick, well-known fox",
            "fox",
            b"fox",
            "foxes",
        ]
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, [draft(n, text) for n, text in enumerate(texts, 1)])
            await log.append("other", ADA, [draft(1, "fox")])
            hits = await log.search("lobby", words, lambda _: True, limit=10)
            assert numbers(hits) == found
            newest = await log.search("lobby", words, lambda _: True, limit=2)
            assert numbers(newest) == found[-2:]

    async def test_only_what_may_be_seen_is_found(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, drafts(1, 9))
            seen = await log.search("lobby", "text", lambda it: it.number % 2 == 0, limit=3)
            assert numbers(seen) == [4, 6, 8]
            assert await log.search("nowhere", "text", lambda _: True, limit=3) == []

    async def test_what_a_watcher_is_told_can_be_read(self) -> None:
        async with self.made(Clock()) as log:
            news: asyncio.Queue[Entry] = asyncio.Queue()
            log.watch("lobby", lambda entries: list(map(news.put_nowait, entries)))
            calls = [log.append("lobby", ADA, [draft(number)]) for number in range(1, 21)]
            for number in range(1, 21):
                entry = await news.get()
                assert entry.number == number
                assert await log.read("lobby", number - 1, limit=1) == [entry]
            await asyncio.gather(*calls)

    async def test_watchers_see_their_room_without_gaps_and_repeats(self) -> None:
        async with self.made(Clock()) as log:
            seen: dict[str, list[Entry]] = {"one": [], "two": []}
            for room, entries in seen.items():
                log.watch(room, entries.extend)
            calls = [
                log.append(room, ADA, drafts(1, number))
                for number in range(1, 31)
                for room in ("one", "two", "three")
            ]
            await asyncio.gather(*calls)
            for entries in seen.values():
                assert numbers(entries) == list(range(1, 31))

    async def test_a_watcher_that_comes_later_sees_what_is_new(self) -> None:
        async with self.made(Clock()) as log:
            await log.append("lobby", ADA, drafts(1, 3))
            seen: list[Entry] = []
            log.watch("lobby", seen.extend)
            await log.append("lobby", ADA, drafts(2, 5))
            assert numbers(seen) == [4, 5]

    async def test_a_watcher_that_was_stopped_sees_nothing(self) -> None:
        async with self.made(Clock()) as log:
            first: list[Entry] = []
            second: list[Entry] = []
            stop = log.watch("lobby", first.extend)
            log.watch("lobby", second.extend)
            await log.append("lobby", ADA, [draft(1)])
            stop()
            await log.append("lobby", ADA, [draft(2)])
            assert (numbers(first), numbers(second)) == ([1], [1, 2])

    async def test_a_watcher_may_stop_itself(self) -> None:
        async with self.made(Clock()) as log:
            seen: list[Entry] = []

            def once(entries: Sequence[Entry]) -> None:
                seen.extend(entries)
                stop()

            stop = log.watch("lobby", once)
            others: list[Entry] = []
            log.watch("lobby", others.extend)
            await log.append("lobby", ADA, [draft(1)])
            await log.append("lobby", ADA, [draft(2)])
            assert (numbers(seen), numbers(others)) == ([1], [1, 2])

    async def test_an_error_in_a_watcher_is_told_to_the_loop_and_is_nobody_elses(self) -> None:
        error = RuntimeError("a bug")
        told: list[object] = []
        seen: list[Entry] = []
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        async with self.made(Clock()) as log:
            loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))

            def fail(_: Sequence[Entry]) -> None:
                raise error

            log.watch("lobby", fail)
            log.watch("lobby", seen.extend)
            assert await log.append("lobby", ADA, drafts(1, 2)) == 2
            assert numbers(seen) == [1, 2]
            loop.set_exception_handler(handler)
            assert told == [error]

    async def test_a_refused_append_is_no_news(self) -> None:
        async with self.made(Clock()) as log:
            seen: list[Entry] = []
            log.watch("lobby", seen.extend)
            with pytest.raises(LogUnavailable):
                await log.append("lobby", ADA, [draft(2)], after=1)
            await log.append("lobby", ADA, [draft(1)])
            await log.append("lobby", ADA, [draft(1)])
            assert numbers(seen) == [1]

    # Letting go

    async def test_below_the_floor_nothing_is_held_and_a_page_begins_at_it(self) -> None:
        clock = Clock()
        async with self.made(clock) as log:
            await say(log, 20)
            await self.forget(log, "lobby", clock)
            head = (await log.span("lobby")).head
            floor = (await log.span("lobby")).floor
            assert 1 < floor <= head
            assert await log.at("lobby", floor - 1) is None
            assert await log.at("lobby", floor) is not None
            for after in (0, floor - 2, floor - 1):
                assert numbers(await log.read("lobby", after, limit=3)) == [
                    floor,
                    floor + 1,
                    floor + 2,
                ]
            assert numbers(await everything(log)) == list(range(floor, head + 1))
            assert await log.before("lobby", 0) == floor - 1
            assert await log.before("lobby", 2**62) == head

    async def test_numbers_and_times_go_on_whatever_was_let_go(self) -> None:
        clock = Clock()
        async with self.made(clock) as log:
            await say(log, 20)
            await self.forget(log, "lobby", clock)
            before = await log.span("lobby")
            clock.now = 0
            await log.append("lobby", CYD, [draft(1)])
            after = await log.span("lobby")
            assert (after.head, after.at) == (before.head + 1, before.at)

    async def test_a_mark_is_kept_as_long_as_an_entry_of_its_lane(self) -> None:
        clock = Clock()
        async with self.made(clock) as log:
            await say(log, 20)
            await self.forget(log, "lobby", clock)
            held = {entry.lane: entry.lane_number for entry in await everything(log)}
            for lane, mark in held.items():
                assert await log.mark("lobby", lane) == mark
                assert await log.append("lobby", lane, [draft(mark)]) == mark

    async def test_a_repeat_of_what_was_let_go_is_left_out(self) -> None:
        clock = Clock()
        async with self.made(clock) as log:
            await say(log, 2, lane=CYD)
            await say(log, 20)
            await self.forget(log, "lobby", clock)
            span = await log.span("lobby")
            assert span.floor > 2
            assert await log.mark("lobby", CYD) == 2
            assert await log.append("lobby", CYD, drafts(1, 2)) == 2
            assert await log.span("lobby") == span

    # Failing

    async def test_a_log_that_is_closed_has_not_failed(self) -> None:
        async with self.made(Clock()) as log:
            given_up = asyncio.create_task(log.failed())
            waiting = asyncio.create_task(log.failed())
            await say(log, 3)
            given_up.cancel()
            await asyncio.wait([given_up])
            await say(log, 3, lane=BOB)
            assert not waiting.done()
        assert await waiting is await log.failed() is None

    # Everything at once

    # Each engine runs it by a class of its own; over a socket a story takes long.
    @settings(max_examples=40, suppress_health_check=[HealthCheck.differing_executors])
    @given(data=st.data())
    async def test_it_does_as_a_list_and_a_dict_would(self, data: st.DataObject) -> None:
        clock = Clock()
        model: dict[str, list[Entry]] = {"one": [], "two": []}
        marks: dict[tuple[str, bytes], int] = {}
        seen: dict[str, list[Entry]] = {"one": [], "two": []}
        async with self.made(clock) as log:
            for room, entries in seen.items():
                log.watch(room, entries.extend)
            for _ in range(data.draw(st.integers(1, 6))):
                clock.now += data.draw(st.integers(-5, 5))
                calls = []
                for _ in range(data.draw(st.integers(1, 6))):
                    room = data.draw(st.sampled_from(["one", "two"]))
                    lane = data.draw(st.sampled_from([ADA, BOB]))
                    first = data.draw(st.integers(1, 8))
                    after = data.draw(st.integers(0, first - 1))
                    said = drafts(first, first + data.draw(st.integers(0, 3)))
                    call = log.append(room, lane, said, after=after)
                    calls.append(
                        (call, expected(model[room], marks, clock, room, lane, said, after))
                    )
                outcomes = await asyncio.gather(*(c for c, _ in calls), return_exceptions=True)
                for outcome, (_, mark) in zip(outcomes, calls, strict=True):
                    if mark is None:
                        assert isinstance(outcome, LogUnavailable)
                    else:
                        assert outcome == mark
            assert seen == model
            for room, entries in model.items():
                assert await log.read(room, 0) == entries
                for lane in (ADA, BOB):
                    assert await log.mark(room, lane) == marks.get((room, lane), 0)


def expected(
    entries: list[Entry],
    marks: dict[tuple[str, bytes], int],
    clock: Clock,
    room: str,
    lane: bytes,
    said: list[Draft],
    after: int,
) -> int | None:
    """Append to a model of a room; return the mark, or None if it is to be refused."""
    mark = marks.get((room, lane), 0)
    if mark < after:
        return None
    for each in said:
        if each.number > mark:
            mark = each.number
            at = max(clock.now, entries[-1].at if entries else 0)
            entries.append(Entry(len(entries) + 1, at, lane, mark, each.body, each.sender))
    marks[room, lane] = mark
    return mark


#: Opens a log, always the same one.
Opener = Callable[[], AbstractAsyncContextManager[Log]]


class LastingLogConformance(LogConformance):
    """The claims that hold besides for engines that outlive their process."""

    @abstractmethod
    def place(self, clock: Clock) -> AbstractAsyncContextManager[Opener]:
        """Return what makes a place for one log, and gives what opens and closes it there."""

    @asynccontextmanager
    async def made(self, clock: Clock) -> AsyncIterator[Log]:
        async with self.place(clock) as opener, opener() as log:
            yield log

    @abstractmethod
    async def break_down(self, log: Log) -> None:
        """Have a log fail for good, by itself or by what it is asked next."""

    async def test_a_log_that_has_failed_says_so_and_refuses(self) -> None:
        async with self.made(Clock()) as log:
            waiting = asyncio.create_task(log.failed())
            await say(log, 3)
            await self.break_down(log)
            with pytest.raises(LogFailed):
                await log.append("lobby", ADA, drafts(4, 4))
            error = await waiting
            assert isinstance(error, LogFailed)
            for ask in (log.span("lobby"), log.mark("lobby", ADA), log.read("lobby", 0)):
                with pytest.raises(LogFailed):
                    await ask
        assert await log.failed() is error

    async def test_a_log_fails_though_nothing_is_appended(self) -> None:
        async with self.made(Clock()) as log:
            await say(log, 3)
            await self.break_down(log)
            with suppress(LogFailed):
                await log.span("lobby")
            assert isinstance(await log.failed(), LogFailed)

    async def test_opened_again_it_holds_what_it_held(self) -> None:
        async with self.place(Clock()) as opener:
            async with opener() as log:
                await log.append("lobby", ADA, [*drafts(1, 3), draft(4, b"\0")])
                await log.append("other", BOB, drafts(7, 8))
                entries = await log.read("lobby", 0), await log.read("other", 0)
            async with opener() as log:
                assert (await log.read("lobby", 0), await log.read("other", 0)) == entries
                assert await log.span("lobby") == Span(1, 4, 1_000_000)
                assert await log.mark("lobby", ADA) == 4
                assert await log.append("other", BOB, drafts(7, 9), after=6) == 9
                assert numbers(await log.read("other", 0)) == [1, 2, 3]

    async def test_what_was_called_for_before_closing_is_committed(self) -> None:
        async with self.place(Clock()) as opener:
            async with opener() as log:
                calls = [log.append("lobby", ADA, [draft(number)]) for number in range(1, 101)]
            assert await asyncio.gather(*calls) == list(range(1, 101))
            async with opener() as log:
                assert (await log.span("lobby")).head == 100

    async def test_time_does_not_go_back_over_a_restart(self) -> None:
        clock = Clock(1000)
        async with self.place(clock) as opener:
            async with opener() as log:
                await log.append("lobby", ADA, drafts(1, 1))
            clock.now = 500
            async with opener() as log:
                await log.append("lobby", ADA, drafts(2, 2))
                assert await log.at("lobby", 2) == 1000
