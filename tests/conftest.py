"""How the tests are run: every `async def` test on a loop of its own that forgives nothing.

Such a test runs under `asyncio.Runner(debug=True)` and fails when

- a task is still running at its end,
- the loop's exception handler was called: an exception that nobody retrieved, a task destroyed
  while pending, an error in a protocol or a callback,
- it blocked the loop: library or test code called something that waits for a disk, a lock, a
  socket or a clock, even when the error which that raises was caught.

Marks, for a test or (as `pytestmark`) a module:

- `virtual_time`: on a `VirtualTimeLoop`, where nothing waits and a deadlock is an error. Blocking
  calls are allowed there, since nothing else could run in the meantime.
- `both_loops`: twice, on asyncio's own loop and on uvloop.
- `may_block(reason)`: blocking calls are allowed.

Hypothesis' `@given` may stand on an `async def` test: each example gets a loop of its own. Async
fixtures there are none; use an async context manager in the test.

The file knows the library by `VirtualTimeLoop` alone. What it promises is tested in
`test_conftest.py`.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib.util
import inspect
import os
import re
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import blockbuster
import pytest
from hypothesis import settings

from socketchat.testing import VirtualTimeLoop

pytest_plugins = ["pytester"]

# A busy machine is not a bug: pytest-timeout guards against what hangs.
settings.register_profile("socketchat", settings(), deadline=None)
settings.load_profile("socketchat")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

#: Virtual seconds after which a test that only its periodic timers keep alive has failed: a week.
MAX_VIRTUAL_TIME = 7 * 24 * 3600.0


# Marks and parameters


#: So many characters of base64 in a row.
_LIKE_A_KEY = re.compile(r"[A-Za-z0-9+/_-]{20}")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known, and keep the options out that whoever runs the tests has in a file."""
    os.environ["SOCKETCHAT_CONFIG"] = os.devnull
    for mark in (
        "virtual_time: run this async test on a VirtualTimeLoop",
        "both_loops: run this async test on asyncio's loop and on uvloop",
        "may_block(reason): let this async test block the loop",
    ):
        config.addinivalue_line("markers", mark)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a parameter by its place that may be another one at each run: a key, an address.

    Every worker must know a test by the same name.
    """
    if isinstance(val, bytes):
        return argname if len(val) >= 16 else None
    return argname if _LIKE_A_KEY.search(str(val)) or " at 0x" in str(val) else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked `both_loops` twice."""
    if metafunc.definition.get_closest_marker("both_loops") is None:
        return
    missing = importlib.util.find_spec("uvloop") is None
    skip = pytest.mark.skipif(missing, reason="uvloop is not installed")
    metafunc.fixturenames.append("loop_name")
    metafunc.parametrize("loop_name", ["asyncio", pytest.param("uvloop", marks=skip)])


def pytest_collection_finish() -> None:
    """Take what is loaded by now out of the collector's sight: it runs after every async test."""
    gc.collect()
    gc.freeze()


# Running a test


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let pytest, or Hypothesis, find a plain function where an `async def` test stands."""
    given = getattr(pyfuncitem.obj, "hypothesis", None)
    owner, name = (pyfuncitem, "obj") if given is None else (given, "inner_test")
    test = getattr(owner, name)
    if not inspect.iscoroutinefunction(test):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, _supervised(test, pyfuncitem))
        return (yield)


def _supervised(
    test: Callable[..., Coroutine[Any, Any, None]], item: pytest.Function
) -> Callable[..., None]:
    """Make an `async def` test a plain function that runs it as its marks say."""
    virtual = item.get_closest_marker("virtual_time") is not None
    may_block = virtual or item.get_closest_marker("may_block") is not None
    callspec = getattr(item, "callspec", None)
    name = "asyncio" if callspec is None else callspec.params.get("loop_name", "asyncio")

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        factory = make_virtual_loop if virtual else loop_factory(name)
        run_supervised(lambda: test(*args, **kwargs), factory, may_block=may_block)

    return run


def make_virtual_loop() -> VirtualTimeLoop:
    """Make a loop on which a test cannot run for ever."""
    return VirtualTimeLoop(max_time=MAX_VIRTUAL_TIME)


def loop_factory(name: str) -> LoopFactory:
    """Return what makes a loop, by the name that `both_loops` gives it."""
    if name == "uvloop":
        import uvloop  # noqa: PLC0415 - there is none for Windows

        return uvloop.new_event_loop
    return asyncio.new_event_loop


def run_supervised(
    test: Callable[[], Awaitable[None]], factory: LoopFactory, *, may_block: bool = False
) -> None:
    """Run a coroutine function on a new loop, and fail if it leaves anything behind.

    An exception of the test itself stays what it is; what the supervision found is added as notes.
    """
    complaints: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(describe(context)))
        await test()
        running = [task for task in _other_tasks() if inspect.iscoroutine(task.get_coro())]
        complaints.extend(f"left running: {task!r}" for task in running)
        await _settle_async_generators()

    try:
        with (
            nullcontext() if may_block else blocking_forbidden(complaints),
            asyncio.Runner(debug=True, loop_factory=factory) as runner,
        ):
            runner.run(main())
        # An exception never retrieved, a task destroyed, a writer not closed show when they are
        # collected; it shall be now, and not in a test that has nothing to do with it.
        gc.collect()
    except Exception as exc:
        for complaint in complaints:
            exc.add_note(complaint)
        raise
    if complaints:
        pytest.fail("\n\n".join(complaints), pytrace=False)


def _other_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def _settle_async_generators() -> None:
    """Wait for the tasks with which a loop itself closes the async generators a test dropped."""
    await asyncio.sleep(0)  # they are made a turn after the drop
    if closing := [task for task in _other_tasks() if not inspect.iscoroutine(task.get_coro())]:
        await asyncio.wait(closing)


def describe(context: dict[str, Any]) -> str:
    """Put into words what a loop's exception handler was called with."""
    lines = [f"the loop's exception handler was called: {context['message']}"]
    for key, value in context.items():
        match key:
            case "message":
                continue
            case "exception":
                lines.extend(traceback.format_exception(value))
            case "source_traceback" | "handle_traceback":
                lines.extend([f"{key}:", *traceback.format_list(value)])
            case _:
                lines.append(f"{key}: {value!r}")
    return "\n".join(line.rstrip() for line in lines)


# Blocking calls


def _folders(*names: str) -> tuple[str, ...]:
    """Return the folders of those modules that are installed."""
    specs = filter(None, map(importlib.util.find_spec, names))
    return tuple(str(Path(spec.origin).parent) + os.sep for spec in specs if spec.origin)


_SUPERVISOR = __file__
_OURS = (*_folders("socketchat"), str(Path(__file__).parent) + os.sep)
_TOOLS = _folders("asyncio", "_pytest", "hypothesis", "coverage")


def _called_by_a_tool() -> bool:
    """Return whether a call comes from asyncio or a test tool, rather than from our code.

    Whichever of the two is met first on the way outward answers for it.
    """
    files = (frame.f_code.co_filename for frame, _ in traceback.walk_stack(inspect.currentframe()))
    answerable = (f for f in files if f != _SUPERVISOR and f.startswith((*_TOOLS, *_OURS)))
    return next(answerable, "").startswith(_TOOLS)


@contextmanager
def blocking_forbidden(complaints: list[str]) -> Iterator[None]:
    """Let blocking calls from our code raise `BlockingError`, and be noted besides."""

    class NotedError(blockbuster.BlockingError):
        def __init__(self, func: str) -> None:
            super().__init__(func)
            stack = traceback.format_stack(limit=8)[:-2]
            complaints.append("".join([f"{self}\n", *stack]).rstrip())

    guard = _blockbuster()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("blockbuster.blockbuster.BlockingError", NotedError)
        guard.activate()
        try:
            yield
        finally:
            guard.deactivate()


@functools.cache
def _blockbuster() -> blockbuster.BlockBuster:
    guard = blockbuster.BlockBuster()
    # An outbox in a file costs microseconds: nothing is flushed to the disk.
    guard.functions["sqlite3.Connection.execute"].can_block_in(
        "socketchat/file_outbox.py", {"append", "_forget"}
    )

    def allow_tools(allowed: Callable[..., bool]) -> Callable[..., bool]:
        return lambda *args, **kwargs: allowed(*args, **kwargs) or _called_by_a_tool()

    for function in guard.functions.values():
        function.can_block_predicate = allow_tools(function.can_block_predicate)
    return guard
