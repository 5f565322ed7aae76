"""How fast two programs talk over one link: socketchat beside the other Python ways to do it.

Run from the top of the repository, with the extra ``bench`` installed::

    python -m tests.benchmarks.links                      # everything, about two minutes
    python -m tests.benchmarks.links --only socketchat,picows --rounds 3
    python -m tests.benchmarks.links --loop asyncio --no-tls --cores any --json figures.json

All contestants are measured in one run over 127.0.0.1, server and client each in a process of its
own, both on the same kind of event loop, encrypted with TLS 1.3 and a certificate made for the run
(pyzmq, which has no TLS: CURVE). The rounds are interleaved and begin with a different contestant
each, so that what else the machine does hits all alike. What is measured is said in `workload`, how
each library is used in `contestants`; `runner` runs the processes, `peer` is one of them, `report`
writes the table, `bystanders` tells whether the machine was idle, as it has to be.

Where the system can do it, servers are pinned to one core and clients to another. Left to the
scheduler, both processes sometimes share a core, which no one decides and which changes every
figure by up to three times: a wake-up on the same core costs far less than one across cores, above
all in a virtual machine.

What to know when reading the figures: a text that is acknowledged by socketchat survives a lost
link and arrives once; the other contestants' confirmations only tell the sender that a text
arrived. pyzmq encrypts in a thread of its own, which shares its process's core here (``--cores
any`` changes its figures by about a twentieth). Loopback hides what a network would add to every
round trip.

Exit status: 0, 1 if a contestant failed, 2 for wrong usage, 130 if interrupted.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import bystanders, certificate, contestants, peer, report, runner


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.links",
        description="Measure socketchat beside other ways to exchange messages, on one machine.",
    )
    parser.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument(
        "--messages", type=positive, default=200_000, help="one way, a round (default: %(default)s)"
    )
    parser.add_argument(
        "--round-trips", type=positive, default=5_000, help="a round (default: %(default)s)"
    )
    parser.add_argument("--only", type=names, default=contestants.NAMES, metavar="NAME,NAME,...")
    loops = tuple(peer.LOOPS)
    parser.add_argument("--loop", choices=loops, default=loops[-1], help="default: %(default)s")
    parser.add_argument("--no-tls", action="store_true", help="plain TCP for all, no CURVE either")
    parser.add_argument(
        "--cores",
        type=cores,
        default=default_cores(),
        metavar="SERVER,CLIENT",
        help="pin the processes, or 'any' (default: the first and the last usable core)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """Read a number of times."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def names(text: str) -> tuple[str, ...]:
    """Read a list of contestants."""
    chosen = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in chosen if name not in contestants.NAMES]:
        known = ", ".join(contestants.NAMES)
        raise argparse.ArgumentTypeError(f"no contestant {unknown[0]!r}: there are {known}")
    return chosen


def cores(text: str) -> tuple[int, int] | None:
    """Read the cores of server and client."""
    if text == "any":
        return None
    server, client = map(int, text.split(","))
    return server, client


def default_cores() -> tuple[int, int] | None:
    """Return the first and the last usable core: neighbours may be two threads of one."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def installed(chosen: Sequence[str]) -> dict[str, str]:
    """Return what each contestant that can run says about itself; name the others on stderr."""
    about = {}
    for name in chosen:
        try:
            about[name] = contestants.load(name).describe()
        except ImportError as exc:
            say(f"{name} is left out: {exc}")
    return about


def say(line: str) -> None:
    """Tell how things go, beside the result on stdout."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    chosen = options(arguments)
    about = installed(chosen.only)
    if not about:
        return 1
    with tempfile.TemporaryDirectory() as folder:
        certificate.make(Path(folder))
        plan = runner.Plan(
            names=tuple(about),
            rounds=chosen.rounds,
            messages=chosen.messages,
            round_trips=chosen.round_trips,
            loop=chosen.loop,
            folder=None if chosen.no_tls else Path(folder),
            cores=chosen.cores,
        )
        others = bystanders.Bystanders()
        results = asyncio.run(runner.run(plan, say))
        share = others.share()
    around = report.surroundings(plan, about, share)
    print(report.text(around, results))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report.document(around, results), indent=2) + "\n")
    return 1 if any(series.failure for series in results.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
