"""Claims about `conftest.py`: which tests fail that would otherwise pass."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError
from hypothesis import given
from hypothesis import strategies as st

from socketchat.testing import DeadlockError, VirtualTimeLoop
from tests import conftest

Test = Callable[[], Coroutine[Any, Any, None]]


def failure_of(test: Test, factory: conftest.LoopFactory = asyncio.new_event_loop) -> str:
    """Return the message with which the supervision fails a test that passes by itself."""
    with pytest.raises(pytest.fail.Exception) as caught:
        conftest.run_supervised(test, factory)
    return str(caught.value)


async def forever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


async def breaks() -> None:
    """Fail."""
    raise OSError("the disk is gone")


# Loops


async def test_an_async_test_runs_on_asyncios_own_loop_in_debug_mode() -> None:
    loop = asyncio.get_running_loop()
    assert type(loop).__module__.startswith("asyncio.")
    assert loop.get_debug()


@pytest.mark.virtual_time
async def test_a_marked_test_runs_on_virtual_time() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    assert loop.get_debug()
    await asyncio.sleep(3600.0)


@pytest.mark.both_loops
async def test_a_test_for_both_loops_runs_on_each(loop_name: str) -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith(loop_name)


@pytest.mark.both_loops
async def test_a_test_for_both_loops_need_not_ask_which() -> None:
    assert asyncio.get_running_loop().is_running()


@pytest.mark.parametrize("number", [1, 2])
async def test_parameters_and_fixtures_reach_an_async_test(number: int, tmp_path: Path) -> None:
    assert number in {1, 2}
    assert tmp_path.name


class TestInAClass:
    """Tests may be methods."""

    async def test_a_method_is_run_with_its_object(self) -> None:
        assert isinstance(self, TestInAClass)
        assert asyncio.get_running_loop().is_running()


@pytest.mark.both_loops
@given(number=st.integers())
async def test_every_example_of_a_property_has_a_loop_of_its_own(
    loop_name: str, number: int
) -> None:
    loop = asyncio.get_running_loop()
    assert type(loop).__module__.startswith(loop_name)
    assert not hasattr(asyncio.current_task(), "seen")
    assert number == await asyncio.to_thread(lambda: number)


@pytest.mark.virtual_time
@given(data=st.data())
async def test_a_property_may_draw_while_it_runs(data: st.DataObject) -> None:
    delay = data.draw(st.floats(0.0, 100.0))
    start = asyncio.get_running_loop().time()
    await asyncio.sleep(delay)
    assert asyncio.get_running_loop().time() == start + delay


# What fails a test


def test_a_task_left_running_fails_the_test_and_is_named() -> None:
    async def leaks() -> None:
        asyncio.create_task(forever(), name="the forgotten one")  # noqa: RUF006

    message = failure_of(leaks)
    assert message.startswith("left running: <Task pending name='the forgotten one'")
    assert "forever" in message


def test_a_task_cancelled_but_not_awaited_is_still_running() -> None:
    async def leaks() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()

    assert "left running" in failure_of(leaks)


def test_an_exception_that_nobody_retrieves_fails_the_test() -> None:
    async def forgets() -> None:
        await asyncio.wait([asyncio.create_task(breaks())])

    message = failure_of(forgets)
    assert "Task exception was never retrieved" in message
    assert "OSError: the disk is gone" in message


def test_an_exception_that_only_the_collector_finds_fails_the_test() -> None:
    async def forgets() -> None:
        task = asyncio.create_task(breaks())
        cycle: list[object] = [task]
        cycle.append(cycle)
        await asyncio.wait([task])

    assert "Task exception was never retrieved" in failure_of(forgets)


def test_an_exception_in_a_callback_fails_the_test() -> None:
    async def calls() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(0)

    message = failure_of(calls)
    assert "Exception in callback" in message
    assert "ZeroDivisionError" in message


def test_a_deadlock_on_virtual_time_fails_the_test() -> None:
    with pytest.raises(DeadlockError, match="forever"):
        conftest.run_supervised(forever, conftest.make_virtual_loop)


def test_a_test_that_only_timers_keep_alive_fails() -> None:
    async def pings() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(conftest.MAX_VIRTUAL_TIME + 1))

    with pytest.raises(DeadlockError, match="max_time"):
        conftest.run_supervised(pings, conftest.make_virtual_loop)


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_the_loop_makes_no_difference_to_the_supervision(name: str) -> None:
    if name == "uvloop":
        pytest.importorskip("uvloop")

    async def leaks_and_forgets() -> None:
        asyncio.create_task(forever())  # noqa: RUF006
        await asyncio.wait([asyncio.create_task(breaks())])

    message = failure_of(leaks_and_forgets, conftest.loop_factory(name))
    assert "left running" in message
    assert "the disk is gone" in message


def test_a_failing_test_fails_as_itself_with_the_findings_as_notes() -> None:
    async def fails() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "an omen", "future": 1})
        raise LookupError("the test's own")

    with pytest.raises(LookupError, match="the test's own") as caught:
        conftest.run_supervised(fails, asyncio.new_event_loop)
    assert caught.value.__notes__ == [
        "the loop's exception handler was called: an omen\nfuture: 1",
    ]


def test_a_test_may_skip_itself() -> None:
    async def skips() -> None:
        pytest.skip("not today")

    with pytest.raises(pytest.skip.Exception):
        conftest.run_supervised(skips, asyncio.new_event_loop)


def test_an_async_generator_that_was_dropped_is_closed_and_not_a_leak() -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(10):
                yield number
        finally:
            await asyncio.sleep(0.01)
            closed.append(True)

    async def drops() -> None:
        async for number in numbers():
            if number == 3:
                break

    conftest.run_supervised(drops, asyncio.new_event_loop)
    assert closed == [True]


# Blocking calls


def block_for_a_moment() -> None:
    """Block."""
    time.sleep(0.001)


def test_a_blocking_call_fails_the_test() -> None:
    async def blocks() -> None:
        block_for_a_moment()

    with pytest.raises(BlockingError, match=r"time\.sleep"):
        conftest.run_supervised(blocks, asyncio.new_event_loop)


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_a_blocking_call_whose_error_is_swallowed_fails_the_test_too(name: str) -> None:
    if name == "uvloop":
        pytest.importorskip("uvloop")

    async def blocks() -> None:
        with contextlib.suppress(Exception):  # as the boundary of a handler would
            block_for_a_moment()

    message = failure_of(blocks, conftest.loop_factory(name))
    assert message.startswith("Blocking call to time.sleep")
    assert "block_for_a_moment" in message


@pytest.mark.parametrize(
    "call",
    [
        lambda path: path.write_text("x"),
        lambda path: path.exists(),
        lambda path: list(path.parent.iterdir()),
        lambda _: held_lock().acquire(timeout=0.001),
    ],
    ids=["write", "stat", "listdir", "lock"],
)
def test_files_and_locks_block(call: Callable[[Path], object], tmp_path: Path) -> None:
    async def blocks() -> None:
        call(tmp_path / "file")

    with pytest.raises(BlockingError):
        conftest.run_supervised(blocks, asyncio.new_event_loop)


def held_lock() -> threading.Lock:
    """Return a lock that someone else has."""
    lock = threading.Lock()
    lock.acquire()
    return lock


async def test_what_blocks_may_be_done_in_a_thread(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "file").write_text, "x")
    await asyncio.to_thread(block_for_a_moment)


@pytest.mark.may_block(reason="it is the subject")
async def test_a_test_so_marked_may_block() -> None:
    block_for_a_moment()


@pytest.mark.virtual_time
async def test_on_virtual_time_blocking_holds_up_nobody() -> None:
    block_for_a_moment()


def test_outside_of_a_loop_blocking_is_allowed() -> None:
    block_for_a_moment()


@pytest.mark.both_loops
async def test_asyncio_itself_may_do_what_it_does(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()
        answered.set()

    answered = asyncio.Event()
    for number in range(2):
        answered.clear()
        if number:
            server = await asyncio.start_unix_server(answer, tmp_path / "socket")
            reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
        else:
            server = await asyncio.start_server(answer, "localhost", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"hello\n")
        assert await reader.read() == b"hello\n"
        writer.close()
        await writer.wait_closed()
        await answered.wait()
        server.close()
        await server.wait_closed()


async def test_a_subprocess_may_be_started() -> None:
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0


@pytest.fixture
def new_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a module that can be imported, and return its name."""
    (tmp_path / "written_a_moment_ago.py").write_text("NUMBER = 7")
    monkeypatch.syspath_prepend(tmp_path)
    return "written_a_moment_ago"


async def test_an_import_in_a_test_is_allowed(new_module: str) -> None:
    assert importlib.import_module(new_module).NUMBER == 7


@given(data=st.data())
async def test_hypothesis_may_read_its_tables(data: st.DataObject) -> None:
    data.draw(st.text(st.characters(categories=["Lu"])))
    data.draw(st.from_regex(r"\w+"))


# All of it, as pytest runs it


def test_the_hook_passes_and_fails_whole_tests(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(Path(conftest.__file__).read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import asyncio, time, pytest
        from hypothesis import given, strategies as st

        async def forever():
            await asyncio.Event().wait()

        async def test_good():
            await asyncio.sleep(0)

        async def test_leak():
            asyncio.create_task(forever())

        @pytest.mark.virtual_time
        async def test_deadlock():
            await forever()

        async def test_context():
            asyncio.get_running_loop().call_soon(lambda: 1 // 0)
            await asyncio.sleep(0)

        async def test_blocking():
            time.sleep(0.001)

        async def test_never_awaited():
            forever()

        @given(st.integers())
        async def test_property(number):
            assert number < 100

        @pytest.mark.both_loops
        async def test_both():
            await asyncio.sleep(0)

        async def test_skipped():
            pytest.skip("not today")
        """
    )
    result = pytester.runpytest_inprocess("-W", "error", "-p", "no:asyncio", "-rA")
    passed = ["test_good", "test_both[[]asyncio]", "test_both[[]uvloop]"]
    failed = {
        "test_leak": "left running: <Task pending",
        "test_deadlock": "DeadlockError",
        "test_context": "ZeroDivisionError",
        "test_blocking": "Blocking call to time.sleep",
        "test_never_awaited": "coroutine 'forever' was never awaited",
        "test_property": "number=100",
    }
    result.assert_outcomes(passed=len(passed), failed=len(failed), skipped=1)
    result.stdout.fnmatch_lines_random([f"PASSED *::{name}" for name in passed])
    result.stdout.fnmatch_lines_random([f"FAILED *::{name} - *" for name in failed])
    result.stdout.fnmatch_lines_random([f"*{reason}*" for reason in failed.values()])
