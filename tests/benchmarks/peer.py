"""One process of a measurement: ``python -m tests.benchmarks.peer JOB``, started by the runner.

It does one `Job` with one contestant on one event loop and writes one line of JSON: a server its
port and key once it is ready (it is ended from outside), a client its figures. When its stdin ends,
so does it: no peer outlives the runner, however that one was ended.
"""

import asyncio
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import contestants
from tests.benchmarks.workload import TEXT, Contestant, Kind, Place, Work

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is to do, and the core it has to stay on. A server has no port yet."""

    contestant: str
    loop: str
    kind: Kind
    warm_up: int
    count: int
    folder: str | None
    port: int = 0
    key: str = ""
    core: int | None = None

    def to_json(self) -> str:
        """Return it as it goes onto a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Return what `to_json` was made from."""
        fields = json.loads(text)
        return cls(**{**fields, "kind": Kind(fields["kind"])})


def report(figures: dict[str, Any]) -> None:
    """Write one line for the runner."""
    print(json.dumps(figures), flush=True)


async def serve(contestant: Contestant, work: Work, place: Place) -> None:
    """Be the server."""
    await contestant.serve(work, place, lambda port, key: report({"port": port, "key": key}))


async def call(contestant: Contestant, work: Work, place: Place) -> None:
    """Be the client, and measure."""
    async with contestant.connect(place) as link:
        match work.kind:
            case Kind.ONE_WAY:
                await link.send_all(TEXT, work.warm_up)
                start = time.perf_counter_ns()
                await link.send_all(TEXT, work.count)
                seconds = (time.perf_counter_ns() - start) / 1e9
                report({"rate": work.count / seconds})
            case Kind.ROUND_TRIP:
                await link.round_trips(TEXT, work.warm_up)
                took = await link.round_trips(TEXT, work.count)
                p99 = statistics.quantiles(took, n=100)[98]
                report({"median_us": statistics.median(took) / 1e3, "p99_us": p99 / 1e3})


def end_with_stdin() -> None:
    """End this process, whatever it is doing, when its stdin is at its end."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing is ever written to it
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Do the job of the command line."""
    end_with_stdin()
    job = Job.from_json(sys.argv[1])
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})
    contestant = contestants.load(job.contestant)
    work = Work(job.kind, job.warm_up, job.count)
    place = Place(None if job.folder is None else Path(job.folder), job.port, job.key)
    part = call if job.port else serve
    with asyncio.Runner(loop_factory=LOOPS[job.loop]) as runner:
        runner.run(part(contestant, work, place))


if __name__ == "__main__":
    main()
