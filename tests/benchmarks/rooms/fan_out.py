"""`fan-out` and `latency`: what one member says, to all the others of a room.

In the generator's process, `generate`; in that of the command, `run_fan_out` and `run_latency`.
"""

import argparse
import statistics
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.report import markdown
from tests.benchmarks.rooms import wires
from tests.benchmarks.rooms.contestants import Contestant, Missing, contestants
from tests.benchmarks.rooms.crowd import Crowd
from tests.benchmarks.rooms.processes import Cores, Failed, cpu_seconds, serving
from tests.benchmarks.rooms.processes import generate as measure
from tests.benchmarks.rooms.surroundings import brief, say
from tests.benchmarks.rooms.workload import Figures, Job, text

#: Seconds that the first, untimed burst takes.
WARM_UP = 0.5
#: Seconds until a contestant is given up: to let all members in, above all.
LIMIT = 120.0


# In the generator


def generate(job: Job) -> Figures:
    """Do both kinds of work, as far as the options ask for them."""
    options = job.options
    senders = max(options["senders"])
    crowd = Crowd(wires.load(job.wire), [job.port], options["members"], senders)
    try:
        crowd.gather(text(0))
        if options["messages"]:
            return one_by_one(crowd, options["messages"])
        return {"bursts": [_burst(crowd, job, count) for count in options["senders"]]}
    finally:
        crowd.close()


def _burst(crowd: Crowd, job: Job, senders: int) -> Figures:
    chosen, window = crowd.senders[:senders], job.options["window"]
    crowd.burst(chosen, text(1), WARM_UP, window)
    before = cpu_seconds(job.pid)
    burst = crowd.burst(chosen, text(2), job.options["seconds"], window)
    return {
        "rate": burst.delivered / burst.seconds,
        "lost": burst.lost,
        "closed": crowd.closed,
        "members_busy": burst.busy,
        "server_busy": (cpu_seconds(job.pid) - before) / burst.seconds,
    }


def one_by_one(crowd: Crowd, messages: int) -> Figures:
    """Measure how long a message takes to the last member that nothing is sent beside."""
    crowd.one_by_one(text(1), messages // 10 + 1)
    took = crowd.one_by_one(text(2), messages)
    if took is None:
        return {"failure": "a message did not reach all"}
    return {
        "median_ms": statistics.median(took) * 1e3,
        "p99_ms": statistics.quantiles(took, n=100)[98] * 1e3,
    }


# In the command


def run_fan_out(options: argparse.Namespace, cores: Cores) -> list[str]:
    """Measure all contestants, and return the lines of a table."""
    found = _rounds(options, cores, messages=0, senders=options.senders)
    heads = ["server", "version", "on disk before it is seen"]
    for count in options.senders:
        heads += [f"deliveries/s, {count} sending", "socketchat is"]
    rows = [(*heads, "server busy", "members busy")]
    base = found.get("socketchat", [])
    notes = []
    for name, series in found.items():
        contestant = contestants()[name]
        row = [name, contestant.describe(), contestant.keeps]
        for index in range(len(options.senders)):
            rates = [round_["bursts"][index]["rate"] for round_ in series]
            ours = [round_["bursts"][index]["rate"] for round_ in base]
            row.append(brief(rates, "{:,.0f}"))
            row.append("" if name == "socketchat" else _times(ours, rates))
        bursts = [burst for round_ in series for burst in round_["bursts"]]
        row += [_share(bursts, "server_busy"), _share(bursts, "members_busy")]
        rows.append(tuple(row))
        notes += _losses(name, bursts)
    words = (
        f"{options.members} members listen, others send; at most {options.window} messages are on"
        f" their way. Median of {options.rounds} rounds of {options.seconds:g} s."
    )
    return [words, "", *markdown(rows), *notes]


def run_latency(options: argparse.Namespace, cores: Cores) -> list[str]:
    """Measure all contestants, and return the lines of a table."""
    found = _rounds(options, cores, messages=options.messages, senders=[1])
    rows: list[Sequence[str]] = [
        ("server", "version", "to the last member, median ms", "p99 ms", "socketchat takes")
    ]
    base = found.get("socketchat")
    for name, series in found.items():
        medians = [round_["median_ms"] for round_ in series]
        p99 = [round_["p99_ms"] for round_ in series]
        row = [brief(medians, "{:.2f}"), brief(p99, "{:.2f}")]
        row.append("" if name == "socketchat" else _part(base, medians))
        rows.append((name, contestants()[name].describe(), *row))
    words = (
        f"{options.members} members listen; one message at a time."
        f" Median of {options.rounds} rounds of {options.messages} messages."
    )
    return [words, "", *markdown(rows)]


def _rounds(options: argparse.Namespace, cores: Cores, **work: Any) -> dict[str, list[Figures]]:
    """Measure every contestant in every round, each round beginning with another one.

    Whoever is not installed or fails is named on stderr, and left out.

    Raises:
        Failed: Nobody is left.
    """
    chosen = _installed(options.only)
    found: dict[str, list[Figures]] = {one.name: [] for one in chosen}
    failed: set[str] = set()
    for number in range(options.rounds):
        shift = number % max(1, len(chosen))
        for one in (*chosen[shift:], *chosen[:shift]):
            if one.name in failed:
                continue
            try:
                figures = _measure(one, options, cores, work)
            except Failed as exc:
                say(f"{one.name} failed: {exc}")
                failed.add(one.name)
                continue
            found[one.name].append(figures)
            say(f"round {number + 1}/{options.rounds}  {one.name:<18}{_brief(figures)}")
    if not any(found.values()):
        raise Failed("there are no figures")
    return {name: series for name, series in found.items() if series}


def _measure(
    one: Contestant, options: argparse.Namespace, cores: Cores, work: dict[str, Any]
) -> Figures:
    size = {"members": options.members, "seconds": options.seconds, "window": options.window}
    with serving(one, cores.server) as server:
        return measure("fan_out", one, server, cores.members, LIMIT, **size, **work)


def _installed(names: Sequence[str]) -> list[Contestant]:
    there = []
    for name in names:
        one = contestants()[name]
        try:
            one.describe()
        except Missing as exc:
            say(f"{name} is left out: {exc}")
        else:
            there.append(one)
    return there


def _brief(figures: Figures) -> str:
    if "bursts" in figures:
        return "".join(f"{burst['rate']:>14,.0f}/s" for burst in figures["bursts"])
    return f"{figures['median_ms']:>10.2f} ms"


def _part(ours: Sequence[Figures] | None, theirs: Sequence[float]) -> str:
    if not ours:
        return "-"
    times = statistics.median(round_["median_ms"] for round_ in ours) / statistics.median(theirs)
    return f"{times:.2f} times as long"


def _times(ours: Sequence[float], theirs: Sequence[float]) -> str:
    if not ours:
        return "-"
    return f"{statistics.median(ours) / statistics.median(theirs):.1f} times as fast"


def _share(bursts: Sequence[Figures], key: str) -> str:
    return f"{statistics.median(burst[key] for burst in bursts):.0%}"


def _losses(name: str, bursts: Sequence[Figures]) -> list[str]:
    """Return what has to be said of a contestant that did not deliver everything."""
    lost = sum(burst["lost"] for burst in bursts)
    closed = max(burst["closed"] for burst in bursts)
    if not lost and not closed:
        return []
    return [
        "",
        f"{name} lost {lost:,} deliveries and closed {closed} connections: see its rate so.",
    ]
