"""What an attack is, and how many things are done at once in one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from tests.hostile.target import Target

__all__ = ["LONG", "SHORT", "Attack", "Size", "all_of", "in_turns"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything there is.

    Attributes:
        frames: Frames that are spoilt or made up.
        stride: Of so many wrong messages one is sent.
        waiting: Callers that make the server wait.
        deaf: Members that never read,
        lines: and how much each of some others says meanwhile, in messages of 2,000 characters.
        rapid: Callers that come and go.
        bombs: Members that hold back the end of a long frame.
        floods: Members that send without end, small frames,
        flood: and how much each of them sends, in bytes.
        repeats: How often the rest is done.
        seed: What decides everything that is random.
    """

    frames: int
    stride: int
    waiting: int
    deaf: int
    lines: int
    rapid: int
    bombs: int
    floods: int
    flood: int
    repeats: int
    seed: int = 1


SHORT = Size(
    frames=2_000,
    stride=20,
    waiting=500,
    deaf=100,
    lines=30,
    rapid=500,
    bombs=100,
    floods=5,
    flood=2**19,
    repeats=1,
)
LONG = Size(
    frames=1_000_000,
    stride=1,
    waiting=500,
    deaf=100,
    lines=200,
    rapid=10_000,
    bombs=100,
    floods=10,
    flood=2**23,
    repeats=5,
)


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to do harm.

    Attributes:
        name: For people to read.
        run: Does it, and returns in words how much was done.
        tls: Whether it is for servers that speak TLS, or for those that do not.
    """

    name: str
    run: Callable[[Target, Size], Awaitable[str]]
    tls: bool = True


async def all_of(tasks: Iterable[Awaitable[T]]) -> list[T]:
    """Do everything at once, and let one failure end all.

    Raises:
        Exception: The first one, out of its group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            started = [group.create_task(_as_coroutine(task)) for task in tasks]
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from group_error
    return [task.result() for task in started]


async def _as_coroutine(task: Awaitable[T]) -> T:
    return await task


async def in_turns(
    one: Callable[[T], Awaitable[object]], items: Iterable[T], *, at_once: int = 32
) -> int:
    """Do something with each item, so many at once, and return how many there were."""
    left = iter(items)
    done = 0

    async def work() -> None:
        nonlocal done
        for item in left:
            await one(item)
            done += 1

    await all_of([work() for _ in range(at_once)])
    return done
