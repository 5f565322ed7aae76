"""Runs one seed: the real code in a simulated world, with every source of chance in its hands."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import itertools
import logging
import os
import random
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import pytest

from socketchat.testing import VirtualTimeLoop
from tests.simulation.checker import Kind, Violation, check
from tests.simulation.engine import EPOCH
from tests.simulation.faults import Fault
from tests.simulation.history import Record
from tests.simulation.world import World

__all__ = ["Outcome", "run_seed"]

#: What a fault is planted with: it is given what to substitute things with.
Plant = Callable[[pytest.MonkeyPatch], object]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

#: Where outboxes cost nothing, if there is such a place.
_MEMORY = "/dev/shm"


class Outcome(NamedTuple):
    """What came of a run."""

    seed: int
    story: list[Record]
    messages: int
    faults: dict[Fault, int]
    violations: list[Violation]


def run_seed(
    seed: int, plant: Plant | None = None, *, servers: int = 0, length: float = 1.0
) -> Outcome:
    """Run one seed, with a fault planted in the code or without, and check its history.

    Args:
        seed: What decides everything.
        plant: Plants a fault.
        servers: How many servers share a Redis; 0 is one server that has a disk of its own.
        length: How long the run is, and how much happens in it; 1 is about 80 messages.
    """
    complaints: list[str] = []
    parent = _MEMORY if Path(_MEMORY).is_dir() else None
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="simulation-", dir=parent) as directory,
        _errors_logged(complaints),
        asyncio.Runner(loop_factory=_make_loop, debug=False) as runner,
    ):
        if plant is not None:
            plant(patch)
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(str(context)))

        async def main() -> tuple[World, list[Record]]:
            world = World(str(seed), patch, Path(directory), servers=servers, length=length)
            _tame(patch, loop, seed)
            return world, await world.run()

        world, records = runner.run(main())
    found = check(records)
    found += [Violation(Kind.BROKEN, text) for text in complaints + world.complaints]
    return Outcome(seed, world.history.records, world.messages, world.faults.counts, found)


def _tame(patch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop, seed: int) -> None:
    """Have chance decided by the seed, and small numbers where the code has large ones."""
    rng = random.Random(f"{seed}/code")
    patch.setattr(os, "urandom", rng.randbytes)
    patch.setattr("socketchat.client.random.uniform", rng.uniform)
    patch.setattr("time.time_ns", lambda: EPOCH * 1000 + int(loop.time() * 1_000_000_000))
    # The package redis reads it from the disk for every connection.
    patch.setattr("importlib.metadata.version", _version)
    # Nothing is gained by waiting for a lock that somebody in this very process holds.
    patch.setattr("socketchat.file_outbox._PATIENCE", 0.0)
    # So that few messages are enough to clog a link, and to be more than a room remembers.
    patch.setattr("socketchat.link.HIGH_WATER", 1024)
    patch.setattr("socketchat.chat.room.MAX_RECENT", 8)
    # Servers do not last long here: hardly anything for somebody who is not there would be refused.
    patch.setattr("socketchat.chat.server.RETURNING", rng.choice([0.0, 0.5, 10.0]))


_version = functools.cache(importlib.metadata.version)


class _Task(asyncio.Task[Any]):
    """A task by whose hash sets are in the same order at every run."""

    _numbers = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class _Loop(VirtualTimeLoop):
    """A loop without threads: what they would do is done at once, in the same order every time."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001 - it is the caller's
            future.set_exception(exc)
        return future


def _make_loop() -> VirtualTimeLoop:
    loop = _Loop(max_time=10_000)
    _Task._numbers = itertools.count()

    def make_task(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> asyncio.Task[Any]:
        return _Task(coroutine, loop=loop, **kwargs)

    loop.set_task_factory(make_task)  # type: ignore[arg-type]
    return loop


class _Errors(logging.Handler):
    """Notes the errors that the code logs with a traceback: those that it did not expect."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._complaints.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def _errors_logged(complaints: list[str]) -> Iterator[None]:
    """Note errors that are logged, and have nothing else logged."""
    logger = logging.getLogger("socketchat")
    handler, before = _Errors(complaints), (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
