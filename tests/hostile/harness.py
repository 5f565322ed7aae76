"""Runs an attack, while a good member takes the time, and says what became of both."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.attack import Attack, Size
from tests.hostile.good import INTERVAL
from tests.hostile.target import DEVELOPMENT, Target
from tests.processes import DEADLINE, Program, start

__all__ = ["RSS_CAP", "GoodMember", "Outcome", "good_member", "run"]

#: The most memory that a server may hold, in bytes, under any of these attacks and after all of
#: them. The most costly one has 100 members hold back the end of a frame of 1 MiB each.
RSS_CAP = 512 * 2**20
#: Seconds between two looks at the memory.
_GLANCE = 0.05
#: Answers that the good member must get when the attack is over.
_ANSWERS_AFTER = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it.

    Attributes:
        attack: Its name.
        done: What was done, in words.
        seconds: How long it took.
        pings: How long each answer to the good member took, in seconds, sorted.
        sent: How long its messages took to be acknowledged, likewise.
        rss: The server's memory before, in bytes,
        peak: and at most; 0 if it is not ours.
        turned_away: How many callers the server has turned away, by reason, as far as it said so.
        violations: What must not be.
    """

    attack: str
    done: str
    seconds: float
    pings: Sequence[float]
    sent: Sequence[float]
    rss: int
    peak: int
    turned_away: Counter[str]
    violations: Sequence[str]


class GoodMember:
    """The process of the good member, and what it has measured."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._read = 0

    async def go_on(self, answers: int) -> bool:
        """Wait until it has got so many more answers; False if it has ended."""
        wanted = len(self.program.stdout) + answers
        try:
            async with asyncio.timeout(DEADLINE):
                while len(self.program.stdout) < wanted:
                    if self.lost:
                        return False
                    await asyncio.sleep(_GLANCE)
        except TimeoutError:
            return False
        return True

    @property
    def lost(self) -> str:
        """Why its session has ended; empty while it has not."""
        if self.program.stdout and self.program.stdout[-1].startswith("lost"):
            return self.program.stdout[-1]
        return "it has ended" if self.program.process.returncode is not None else ""

    def take(self) -> tuple[list[float], list[float]]:
        """Return how long pings and messages took since the last call, sorted."""
        lines = [line.split() for line in self.program.stdout[self._read :]]
        self._read += len(lines)
        pings = [float(line[1]) for line in lines if line[0] == "ping"]
        sent = [float(line[1]) for line in lines if line[0] == "sent"]
        return sorted(uncoordinated(pings)), sorted(sent)


def uncoordinated(pings: Sequence[float]) -> list[float]:
    """Add the pings that were not made because the one before them took so long."""
    made: list[float] = []
    for seconds in pings:
        made.append(seconds)
        missed = math.floor(seconds / INTERVAL)
        made.extend(seconds - INTERVAL * number for number in range(1, missed))
    return made


@asynccontextmanager
async def good_member(
    target: Target, directory: Path, *, python: Sequence[str] = DEVELOPMENT
) -> AsyncIterator[GoodMember]:
    """Have a good member come in, in a process of its own."""
    host, port = target.address
    program = Path(__file__).with_name("good.py")
    async with start(program, host, str(port), target.trust, cwd=directory, python=python) as good:
        await good.prints("^ready$")
        yield GoodMember(good)


async def run(attack: Attack, target: Target, good: GoodMember, size: Size) -> Outcome:
    """Make one attack, and look around."""
    violations: list[str] = []
    rss = peak = target.rss
    good.take()
    begun = time.monotonic()
    attacking = asyncio.ensure_future(attack.run(target, size))  # noqa: TID251 - an Awaitable
    while not attacking.done():
        await asyncio.wait([attacking], timeout=_GLANCE)
        peak = max(peak, target.rss)
    seconds = time.monotonic() - begun
    error = attacking.exception()
    if error is not None:
        violations.append(f"the attack failed: {error!r}")
    if not await good.go_on(_ANSWERS_AFTER):
        violations.append(f"the good member is not served: {good.lost or 'no answers'}")
    if not target.alive:
        violations.append("the server has ended")
    bad, turned_away = target.news()
    violations += bad[:20]
    if peak > RSS_CAP:
        violations.append(f"the server held {peak / 2**20:.0f} MiB")
    pings, sent = good.take()
    return Outcome(
        attack=attack.name,
        done="" if error is not None else attacking.result(),
        seconds=seconds,
        pings=pings,
        sent=sent,
        rss=rss,
        peak=peak,
        turned_away=turned_away,
        violations=violations,
    )
