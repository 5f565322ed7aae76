"""The test with real processes, as long as is wanted: ``python -m tests.chaos``.

Run from the top of the repository, on Linux or macOS. The long one takes twelve minutes::

    python -m tests.chaos --server-kills 200 --client-kills 100 --cuts 1000 --delays 500 \
        --slow-commits 200 --clients 50 --per-process 5 --rooms 4 \
        --messages 50000 --seconds 700 --seed 1

With ``--servers`` several servers share a Redis, which is killed too, or replaced by its replica::

    python -m tests.chaos --servers 3 --server-kills 100 --client-kills 20 --cuts 500 --delays 150 \
        --slow-commits 60 --redis-kills 20 --redis-cuts 30 --outage 3 --clients 30 \
        --per-process 10 --rooms 3 --messages 21000 --seconds 420
    python -m tests.chaos --servers 2 --failovers 5 --redis-wait 1 --seconds 30
    python -m tests.chaos --servers 2 --failovers 1  # finds what a failover loses: exit status 1

Exit status: 0 if every promise was kept, 1 if one was broken, 2 for wrong usage, 130 if
interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.checker import Kind
from tests.chaos.harness import run
from tests.chaos.plan import Outcome, Plan
from tests.proxy import Fault

#: Seconds from the last fault until everything must be at rest: of one server, and of several, of
#: which clients that called in vain while none could let them in wait for up to 20 seconds.
TO_REST = 10.0, 30.0
#: Violations that are shown.
SHOWN = 50


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kill servers and clients, and cut their links."
    )
    for option in dataclasses.fields(Plan):
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            type=type(option.default),
            default=option.default,
            help="default: %(default)s",
        )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and journals there")
    given = parser.parse_args(arguments)
    asked = (given.redis_kills, given.redis_cuts, given.failovers, given.redis_wait)
    if any(asked) and not given.servers:
        parser.error("what is done to Redis goes with --servers")
    if given.redis_wait not in (0, 1):
        parser.error("--redis-wait is 0 or 1: there is one replica")
    return given


def table(plan: Plan, outcome: Outcome) -> list[str]:
    """Put into words what has happened."""
    rows = [
        ("seed", plan.seed),
        ("clients, processes, rooms", f"{plan.clients}, {processes(plan)}, {plan.rooms}"),
        (
            "servers killed",
            f"{outcome.server_kills}, of these {outcome.young_kills} while starting",
        ),
        ("client processes killed", f"{outcome.client_kills}, {plan.per_process} clients each"),
        ("links harmed", counted(outcome.faults)),
        ("links lost, as clients noticed", outcome.links),
        ("commits held up", plan.slow_commits),
        *(redis_rows(plan, outcome) if plan.servers else ()),
        ("messages accepted", outcome.accepted),
        ("messages in the log", outcome.logged),
        ("messages shown", outcome.shown),
        ("delivered from outboxes of killed clients", outcome.leftovers),
        *((kind.value, sum(one.kind is kind for one in outcome.violations)) for kind in Kind),
        ("clients told that the log is another one", outcome.told),
        ("integrity of the log", outcome.integrity),
        ("tracebacks in the servers' logs", outcome.tracebacks),
        ("seconds", f"{outcome.seconds:.1f}"),
        ("seconds from the last fault to rest", f"{outcome.to_rest:.2f}"),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def redis_rows(plan: Plan, outcome: Outcome) -> list[tuple[str, object]]:
    """Say what has happened to the Redis of several servers."""
    return [
        ("servers over one Redis", plan.servers),
        ("Redis killed", f"{outcome.redis_kills}, away for {plan.outage:g} s at most"),
        ("Redis killed, and its replica promoted", outcome.failovers),
        ("replicas waited for", plan.redis_wait),
        ("links to Redis harmed", counted(outcome.redis_faults)),
    ]


def counted(faults: Counter[Fault]) -> str:
    """Say how often which fault has struck."""
    kinds = ", ".join(f"{count} {fault.value}" for fault, count in faults.most_common())
    return f"{faults.total()}: {kinds}" if kinds else "0"


async def _run(plan: Plan, directory: Path) -> Outcome:
    """Run it, until a SIGTERM: then whatever was started is ended, as after Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(plan, directory)


def processes(plan: Plan) -> int:
    """Return how many processes the clients live in."""
    return -(-plan.clients // plan.per_process)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it once, and say what has happened."""
    given = vars(options(arguments))
    keep: Path | None = given.pop("keep")
    plan = Plan(**given)
    with tempfile.TemporaryDirectory() as temporary:
        directory = keep.absolute() if keep else Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            outcome = asyncio.run(_run(plan, directory))
        except (KeyboardInterrupt, asyncio.CancelledError):
            return 130
    print(*table(plan, outcome), sep="\n")
    for violation in outcome.violations[:SHOWN]:
        print(f"{violation.kind.value}: {violation.what}")
    is_sound = outcome.integrity == "ok" and not outcome.tracebacks
    kept = not outcome.violations and is_sound and outcome.to_rest <= TO_REST[plan.servers > 0]
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
