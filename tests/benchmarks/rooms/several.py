"""`servers`: one room at one, two and three servers on one Redis, beside one server on SQLite.

All servers, and Redis, share one core, and the members have another: so the rates tell what the
work of all of them together costs, and cannot grow with the number of servers. What they would do
on machines of their own follows from what each process takes of that core for a message, which is
measured beside it: whichever takes most is what bounds the room.

The log alone is measured too (`appends.py`), with Redis on one core and who appends on the other.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.report import markdown
from tests.benchmarks.rooms import wires
from tests.benchmarks.rooms.contestants import contestants
from tests.benchmarks.rooms.crowd import Crowd
from tests.benchmarks.rooms.engines import ENGINES, redis_of
from tests.benchmarks.rooms.fan_out import one_by_one
from tests.benchmarks.rooms.processes import (
    Cores,
    Server,
    cpu_seconds,
    generating,
    next_figures,
    pin,
    resident_bytes,
)
from tests.benchmarks.rooms.surroundings import brief, say
from tests.benchmarks.rooms.workload import Figures, Job, text

#: Seconds that the first, untimed burst of each load takes.
WARM_UP = 0.3
LIMIT = 120.0
#: What the servers on Redis keep is as safe as what the one on SQLite does.
FSYNC = "redis-always"


# In the generator


def generate(job: Job) -> Figures:
    """Say one message at a time, and then as many as are passed on, with each load."""
    options = job.options
    senders = max(options["senders"])
    crowd = Crowd(wires.load(job.wire), options["ports"], options["members"], senders)
    try:
        crowd.gather(text(0))
        memory = max(map(resident_bytes, options["pids"]))
        latency = one_by_one(crowd, options["messages"])
        bursts = [
            _burst(crowd, job, window, count)
            for window in options["windows"]
            for count in options["senders"]
        ]
        return {**latency, "bursts": bursts, "memory": memory}
    finally:
        crowd.close()


def _burst(crowd: Crowd, job: Job, window: int, senders: int) -> Figures:
    chosen, pids = crowd.senders[:senders], (*job.options["pids"], *job.options["store"])
    crowd.burst(chosen, text(1), WARM_UP, window)
    before = [cpu_seconds(pid) for pid in pids]
    burst = crowd.burst(chosen, text(2), job.options["seconds"], window)
    used = [cpu_seconds(pid) - cpu for pid, cpu in zip(pids, before, strict=True)]
    servers = len(job.options["pids"])
    return {
        "rate": burst.delivered / burst.seconds,
        "sent": burst.sent,
        "seconds": burst.seconds,
        "lost": burst.lost,
        "closed": crowd.closed,
        "busiest": max(used[:servers]),
        "servers": sum(used[:servers]),
        "store": sum(used[servers:]),
        "members": burst.busy * burst.seconds,
    }


# In the command


@dataclass(frozen=True, slots=True)
class _Setup:
    """Where the room is: so many servers on Redis, or, if there are none, one on SQLite.

    Attributes:
        servers: How many there are on Redis.
        found: The figures of each round.
    """

    servers: int
    found: list[Figures] = field(default_factory=list)

    @property
    def name(self) -> str:
        if not self.servers:
            return "one on SQLite"
        return f"{self.servers} on Redis"


def run(options: argparse.Namespace, cores: Cores) -> list[str]:
    """Measure everything in turns, and return the lines of three tables."""
    setups = [_Setup(0), *map(_Setup, options.servers)]
    alone: dict[str, list[Figures]] = {name: [] for name in options.engines}
    todo = [partial(_serve, one, options, cores) for one in setups]
    todo += [partial(_append, *each, options, cores) for each in alone.items()]
    for number in range(options.rounds):
        say(f"round {number + 1}/{options.rounds}")
        shift = number % len(todo)
        for measure in (*todo[shift:], *todo[:shift]):
            measure()
    loads = [(window, count) for window in options.windows for count in options.senders]
    return [
        (
            f"socketchat {contestants()['socketchat'].describe()}; Redis {_version()},"
            f" {ENGINES[FSYNC].removeprefix('Redis, ')}. {options.members} members listen, spread"
            f" evenly over the servers. Median of {options.rounds} rounds of {options.seconds:g} s,"
            f" or {options.messages} messages one at a time."
        ),
        "",
        *markdown(list(_rate_rows(setups, loads))),
        "",
        (
            "CPU time in us for a message. If each process had a core of its own, the one that"
            " takes most would bound the rate:"
        ),
        "",
        *markdown(list(_cost_rows(setups, loads, options.members))),
        *_losses(setups),
        "",
        "The log alone: authors with one draft on its way each, all in one room.",
        "",
        *markdown(list(_log_rows(alone))),
    ]


def _version() -> str:
    with redis_of(FSYNC) as redis:
        info = redis.ask("INFO", "server")
    found: str = info["redis_version"]
    return found


def _serve(setup: _Setup, options: argparse.Namespace, cores: Cores) -> None:
    """Measure a room at so many servers."""
    one = contestants()["socketchat"]
    with ExitStack() as stack:
        store: list[int] = []
        if setup.servers:
            redis = stack.enter_context(redis_of(FSYNC))
            pin(redis.pid, cores.server)
            store, url, plain = [redis.pid], redis.url, one.command
            one = replace(one, command=lambda *at: (*plain(*at), "--redis", url))
        servers = []
        for _ in range(setup.servers or 1):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            servers.append(Server(one, Path(folder), cores.server))
            stack.callback(servers[-1].stop)
        names = ("members", "senders", "windows", "seconds", "messages")
        work: dict[str, Any] = {name: getattr(options, name) for name in names}
        work |= {"ports": [each.port for each in servers], "store": store}
        work["pids"] = [each.pid for each in servers]
        job = Job("several", one.wire, servers[0].port, servers[0].pid, cores.members, work)
        process = stack.enter_context(generating(job))
        figures = next_figures(process, servers[0], LIMIT)
    setup.found.append(figures)
    rates = "".join(f"{burst['rate']:>13,.0f}/s" for burst in figures["bursts"])
    say(f"  {setup.name:<16}{figures['median_ms']:>8.2f} ms{rates}")


def _append(name: str, found: list[Figures], options: argparse.Namespace, cores: Cores) -> None:
    """Measure the log alone."""
    with ExitStack() as stack:
        url, pid = "", 0
        if name != "sqlite":
            redis = stack.enter_context(redis_of(name))
            pin(redis.pid, cores.server)
            url, pid = redis.url, redis.pid
        work = {"url": url, "authors": options.authors, "seconds": options.seconds}
        process = stack.enter_context(generating(Job("appends", "", 0, pid, cores.members, work)))
        figures = next_figures(process, None, LIMIT)
    found.append(figures)
    rates = "".join(f"{run['rate']:>13,.0f}/s" for run in figures["runs"])
    say(f"  {name:<16}{'':>11}{rates}")


# The tables


def _load(load: tuple[int, int]) -> str:
    window, senders = load
    return f"{senders} sending, {window} on the way"


def _rate_rows(
    setups: Sequence[_Setup], loads: Sequence[tuple[int, int]]
) -> Iterator[Sequence[str]]:
    heads = ["servers", "the biggest, MB", "to the last member, median ms", "p99 ms"]
    for load in loads:
        heads += [f"deliveries/s, {_load(load)}", "of SQLite's"]
    yield heads
    for setup in setups:
        took = [[round_[key] for round_ in setup.found] for key in ("median_ms", "p99_ms")]
        memory = statistics.median(round_["memory"] for round_ in setup.found)
        row = [setup.name, f"{memory / 1e6:.0f}", *(brief(values, "{:.2f}") for values in took)]
        for index in range(len(loads)):
            rates, base = (
                [round_["bursts"][index]["rate"] for round_ in one.found]
                for one in (setup, setups[0])
            )
            times = statistics.median(rates) / statistics.median(base)
            row += [brief(rates, "{:,.0f}"), f"{times:.2f}" if setup.servers else ""]
        yield row


def _cost_rows(
    setups: Sequence[_Setup], loads: Sequence[tuple[int, int]], members: int
) -> Iterator[Sequence[str]]:
    parts = ("busiest server", "all servers", "Redis", "all members")
    yield ("servers", "load", *parts, "their core busy", "bound by", "deliveries/s then")
    for setup in setups:
        for index, load in enumerate(loads):
            bursts = [round_["bursts"][index] for round_ in setup.found]
            server, servers, redis, crowd = (
                statistics.median(1e6 * burst[key] / burst["sent"] for burst in bursts)
                for key in ("busiest", "servers", "store", "members")
            )
            busy = statistics.median(
                (burst["servers"] + burst["store"]) / burst["seconds"] for burst in bursts
            )
            bound, most = ("Redis", redis) if redis > server else ("a server", server)
            shown = [f"{cost:,.1f}" for cost in (server, servers, redis, crowd)]
            carries = f"{members * 1e6 / most:,.0f}" if most else "-"
            yield (setup.name, _load(load), *shown, f"{busy:.0%}", bound, carries)


def _log_rows(alone: dict[str, list[Figures]]) -> Iterator[Sequence[str]]:
    yield (
        "engine",
        "authors",
        "appends/s",
        "us of CPU here",
        "us of Redis",
        "busy here",
        "Redis busy",
        "Redis alone, appends/s",
    )
    for name, found in alone.items():
        for runs in zip(*(round_["runs"] for round_ in found), strict=True):
            middle = {
                key: statistics.median(run[key] for run in runs)
                for key in ("rate", "busy", "store_busy")
            }
            redis = statistics.median(run["store_busy"] / run["rate"] for run in runs)
            here = statistics.median(run["busy"] / run["rate"] for run in runs)
            yield (
                name,
                f"{runs[0]['authors']:,}",
                brief([run["rate"] for run in runs], "{:,.0f}"),
                f"{1e6 * here:.1f}",
                f"{1e6 * redis:.1f}" if redis else "",
                f"{middle['busy']:.0%}",
                f"{middle['store_busy']:.0%}" if redis else "",
                f"{1 / redis:,.0f}" if redis else "",
            )


def _losses(setups: Sequence[_Setup]) -> list[str]:
    """Return what has to be said if not everything was delivered."""
    lines = []
    for setup in setups:
        bursts = [burst for round_ in setup.found for burst in round_["bursts"]]
        lost, closed = sum(burst["lost"] for burst in bursts), max(b["closed"] for b in bursts)
        if lost or closed:
            lines += ["", f"{setup.name} lost {lost:,} deliveries and closed {closed} connections."]
    return lines
