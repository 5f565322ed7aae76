"""Starts the two processes of each measurement, in rounds, and collects their figures.

It loads no library that is measured. Each measurement gets a fresh server and a fresh client; both
are ended by their process id when it is over, fails, takes too long or is interrupted.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.peer import Job
from tests.benchmarks.workload import Kind

WARM_UP = {Kind.ONE_WAY: 20_000, Kind.ROUND_TRIP: 1_000}
READY_TIMEOUT = 20.0
ENDED_TIMEOUT = 5.0
LEAST_RATE = 1_000  # texts or round trips a second below which a measurement is given up


class PeerError(Exception):
    """A process ended, or was ended, without its figures."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, how often and where.

    `folder` holds the certificate; `None` is without encryption. `cores` are those of server and
    client; `None` leaves that to the operating system.
    """

    names: Sequence[str]
    rounds: int
    messages: int
    round_trips: int
    loop: str
    folder: Path | None
    cores: tuple[int, int] | None


@dataclass(slots=True)
class Series:
    """One contestant's figures, one of each a round; `failure` says why there are fewer."""

    rate: list[float] = field(default_factory=list)
    median_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    failure: str = ""


async def run(plan: Plan, say: Callable[[str], None]) -> dict[str, Series]:
    """Measure every contestant in every round, each round beginning with another one.

    A contestant that fails is left out of the rounds to come; `say` is told how things go.
    """
    results = {name: Series() for name in plan.names}
    for number in range(plan.rounds):
        shift = number % len(plan.names)
        for name in (*plan.names[shift:], *plan.names[:shift]):
            series = results[name]
            if series.failure:
                continue
            try:
                one_way = await measure(plan, name, Kind.ONE_WAY, plan.messages)
                trips = await measure(plan, name, Kind.ROUND_TRIP, plan.round_trips)
            except PeerError as exc:
                series.failure = str(exc)
                say(f"{name}: {exc}")
                continue
            series.rate.append(one_way["rate"])
            series.median_us.append(trips["median_us"])
            series.p99_us.append(trips["p99_us"])
            say(
                f"round {number + 1}/{plan.rounds}  {name:<12}{one_way['rate']:>12,.0f}/s"
                f"{trips['median_us']:>10.1f} us"
            )
    return results


async def measure(plan: Plan, name: str, kind: Kind, count: int) -> dict[str, Any]:
    """Start a server, then its client, and return the client's figures."""
    folder = None if plan.folder is None else str(plan.folder)
    server_core, client_core = plan.cores or (None, None)
    job = Job(name, plan.loop, kind, WARM_UP[kind], count, folder, core=server_core)
    async with peer(job) as server:
        place = await first_line(server, READY_TIMEOUT)
        job = replace(job, port=place["port"], key=place["key"], core=client_core)
        async with peer(job) as client:
            figures = await first_line(client, READY_TIMEOUT + (job.warm_up + count) / LEAST_RATE)
            await ended(client)  # it says goodbye, so that no server complains of a lost link
            return figures


async def first_line(process: asyncio.subprocess.Process, limit: float) -> dict[str, Any]:
    """Return what `process` has to say, within `limit` seconds."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit):
            line = await process.stdout.readline()
    except TimeoutError:
        raise PeerError(f"no answer in {limit:.0f} s") from None
    if not line:
        raise PeerError("a process ended without an answer")
    answer: dict[str, Any] = json.loads(line)
    return answer


@asynccontextmanager
async def peer(job: Job) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process for `job` and end it at exit.

    It has a session of its own, so that Ctrl-C reaches this process alone, and a stdin that ends
    with this process.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.peer",
        job.to_json(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        if not await ended(process):
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process) -> bool:
    """Give `process` some time to end, and return whether it has."""
    try:
        async with asyncio.timeout(ENDED_TIMEOUT):
            await process.wait()
    except TimeoutError:
        return False
    return True
