"""Claims about `socketchat.testing.clock`: time jumps, and what waits for ever is an error."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time

import pytest

from socketchat.testing import DeadlockError
from tests.testing.helpers import now, run, turns

pytestmark = pytest.mark.virtual_time


def test_time_starts_at_zero_and_jumps_to_each_timer_exactly() -> None:
    async def main() -> None:
        assert now() == 0.0
        for delay in (0.1, 0.2, 1e-6, 3600.0, 1e9, 0.3):
            due = now() + delay
            await asyncio.sleep(delay)
            assert now() == due

    run(main())


async def test_time_stands_still_while_something_is_ready() -> None:
    await turns(1000)
    assert now() == 0.0


async def test_a_week_takes_no_time() -> None:
    start = time.monotonic()
    await asyncio.gather(*(asyncio.sleep(day * 86_400.0) for day in range(8)))
    assert now() == 7 * 86_400.0
    assert time.monotonic() - start < 60.0


async def test_timers_fire_in_the_order_of_their_times() -> None:
    loop = asyncio.get_running_loop()
    fired: list[float] = []
    delays = [3.0, 1.0, 2.0, 0.5]
    for delay in delays:
        loop.call_later(delay, fired.append, delay)
    loop.call_later(0.7, fired.append, 0.7).cancel()
    await asyncio.sleep(4.0)
    assert fired == sorted(delays)


async def test_a_timeout_is_met_at_its_time() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(20.0):
            await asyncio.Event().wait()
    assert now() == 20.0


def test_waiting_for_what_never_comes_is_an_error_that_says_where() -> None:
    async def waits_for_ever() -> None:
        await asyncio.sleep(5.0)
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError) as caught:
        run(waits_for_ever())
    message = str(caught.value)
    assert message.startswith("at 5 s of virtual time nothing is ready and no timer is set")
    assert "waits_for_ever" in message
    assert "Event.wait" in message
    assert __file__ in message


def test_a_timer_that_is_never_due_is_a_deadlock_too() -> None:
    with pytest.raises(DeadlockError, match="no timer is set"):
        run(asyncio.sleep(math.inf))


def test_the_tasks_of_a_deadlock_are_cancelled_and_cleaned_up() -> None:
    cleaned: list[bool] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1.0)
            cleaned.append(True)

    with pytest.raises(DeadlockError):
        run(waits())
    assert cleaned == [True]


def test_periodic_timers_alone_are_an_error_after_max_time() -> None:
    async def pings_for_ever() -> None:
        for _ in itertools.count():
            await asyncio.sleep(20.0)

    with pytest.raises(DeadlockError, match="max_time=3600 is reached"):
        run(pings_for_ever(), max_time=3600.0)


async def test_a_job_in_a_thread_is_waited_for_while_time_stands_still() -> None:
    timer = asyncio.create_task(asyncio.sleep(1.0))
    release = threading.Event()
    job = asyncio.create_task(asyncio.to_thread(release.wait))
    await turns()
    threading.Timer(0.05, release.set).start()
    assert await job is True
    assert now() == 0.0
    await timer
    assert now() == 1.0


async def test_a_job_that_raises_and_one_that_is_cancelled_let_time_go_on() -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 // 0)
    release = threading.Event()
    job = asyncio.create_task(asyncio.to_thread(release.wait))
    await turns()
    job.cancel()
    await asyncio.sleep(1.0)
    release.set()
    assert job.cancelled()


def test_a_deadlock_after_a_job_in_a_thread_is_still_an_error() -> None:
    async def main() -> None:
        await asyncio.to_thread(lambda: None)
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run(main())


async def test_there_is_no_real_io() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(NotImplementedError):
        loop.add_reader(0, print)
    with pytest.raises(NotImplementedError):
        await asyncio.open_connection("127.0.0.1", 9)
