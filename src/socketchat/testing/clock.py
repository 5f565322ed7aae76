"""An event loop whose time is virtual: nothing waits, and what would wait for ever is an error.

It knows asyncio's `BaseEventLoop` and nothing else, least of all what runs on it. Its neighbour is
`streams`, which needs no real I/O and therefore runs here.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

__all__ = ["DeadlockError", "VirtualTimeLoop"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class DeadlockError(RuntimeError):
    """A `VirtualTimeLoop` has nothing left to do while something still waits.

    The message names the tasks that wait, and where each of them does.
    """


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """An event loop on which time jumps to the next timer whenever nothing else is ready.

    `time()` starts at 0.0 and moves only in these jumps, each exactly to the time a timer was set
    for; so nothing ever waits, and a test takes the same course every time. Where an ordinary loop
    would hang, because nothing is ready and no timer is set, this one raises `DeadlockError` out
    of `run_until_complete`.

    There is no I/O: no sockets, signals, pipes or subprocesses (`NotImplementedError`). A job of
    `run_in_executor` or `asyncio.to_thread` runs in its thread as ever, and virtual time stands
    still until it is done. Of other threads the loop cannot know: they need an ordinary loop.

    Pass the class as `loop_factory` to `asyncio.Runner`.

    Args:
        max_time: Virtual seconds after which `DeadlockError` is raised too, for the case that only
            periodic timers are left running; infinite by default.
    """

    # What BaseEventLoop asks of a subclass: the same from 3.11 to 3.14, though nowhere documented.
    _selector: _TimeMachine
    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float

    def __init__(self, *, max_time: float = math.inf) -> None:
        super().__init__()
        self._selector = _TimeMachine(self._advance)
        self._set_time(0.0)
        self._max_time = max_time
        self._jobs = 0  # in threads; while there are any, time stands still
        self._woken = threading.Event()

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """Run a function in a thread, while virtual time stands still."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._job_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """End the threads of the default executor, which report back from a thread too."""
        self._jobs += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._jobs -= 1

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    def _advance(self) -> None:
        """Wait for a thread, else move time to the next timer, else raise."""
        if self._jobs:
            self._woken.wait()
            self._woken.clear()
            return
        when = self._scheduled[0].when() if self._scheduled else math.inf
        if math.isinf(when):
            raise DeadlockError(self._explain("nothing is ready and no timer is set"))
        if when > self._max_time:
            raise DeadlockError(self._explain(f"max_time={self._max_time:g} is reached"))
        self._set_time(when)

    def _set_time(self, now: float) -> None:
        self._now = now
        # Timers before now + resolution are due: exactly those that are not later than now. With a
        # fixed resolution, from some time on the sum would be `now` itself, and none ever be due.
        self._clock_resolution = math.ulp(now)

    def _explain(self, why: str) -> str:
        waiting = sorted(
            f"{task.get_name()}: {_place_of(task)}" for task in asyncio.all_tasks(self)
        )
        return "\n  ".join([f"at {self._now:g} s of virtual time {why}; still waiting:", *waiting])

    def _write_to_self(self) -> None:
        self._woken.set()

    def _process_events(self, event_list: list[Any]) -> None:
        pass


class _TimeMachine:
    """Stands where a loop has its selector: there others wait, here time is moved."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self._advance = advance

    def select(self, timeout: float | None) -> list[Any]:
        if timeout != 0:
            self._advance()
        return []


def _place_of(task: asyncio.Task[Any]) -> str:
    """Return where a task waits: its coroutine, the one that awaits, and so on inward."""
    places: list[str] = []
    coro: Any = task.get_coro()
    while (frame := getattr(coro, "cr_frame", None)) is not None:
        code = frame.f_code
        places.append(f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})")
        coro = coro.cr_await
    return " > ".join(places) or repr(coro)
