"""Run seeds from the command line: `python -m tests.simulation --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.redis_planted import ALL_PLANTED
from tests.simulation.runner import Outcome, run_seed


def main() -> int:
    """Run what is asked for; the exit status is 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--seeds", metavar="FIRST:END", help="run these, and print a summary")
    parser.add_argument("--verbose", action="store_true", help="print the story of each")
    parser.add_argument("--length", type=float, default=1.0, help="how long each is (1)")
    parser.add_argument(
        "--servers", type=int, choices=range(4), help="servers that share a Redis; 0 has a disk (0)"
    )
    parser.add_argument("--plant", choices=sorted(ALL_PLANTED), help="plant this fault in the code")
    parser.add_argument("--until-found", action="store_true", help="stop at the first violation")
    options = parser.parse_args()
    if (options.seed is None) is (options.seeds is None):
        parser.error("either --seed or --seeds")
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    else:
        first, _, end = options.seeds.partition(":")
        seeds = range(int(first), int(end))
    planted = ALL_PLANTED[options.plant] if options.plant else None
    plant = planted.plant if planted else None
    servers = options.servers
    if servers is None:
        servers = planted.servers if planted else 0
    outcomes = []
    begun = time.perf_counter()
    for seed in seeds:
        outcome = run_seed(seed, plant, servers=servers, length=options.length)
        outcomes.append(outcome._replace(story=[]))
        if options.verbose:
            print(f"seed {seed}")
            print(*outcome.story, sep="\n")
        for violation in outcome.violations:
            print(f"seed {seed}: {violation}", flush=True)
        if outcome.violations and options.until_found:
            break
    print(summary(outcomes, time.perf_counter() - begun))
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def summary(outcomes: list[Outcome], seconds: float) -> str:
    """Say what came of many runs."""
    faults: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for outcome in outcomes:
        faults.update({fault.value: count for fault, count in outcome.faults.items()})
        kinds.update({violation.kind.value for violation in outcome.violations})
    bad = sum(1 for outcome in outcomes if outcome.violations)
    lines = [
        f"{len(outcomes)} seeds in {seconds:.1f} s",
        f"{sum(outcome.messages for outcome in outcomes)} messages",
        f"{faults.total()} faults: " + ", ".join(f"{n} {k}" for k, n in faults.most_common()),
        f"{bad} seeds with violations: " + (", ".join(f"{n} {k}" for k, n in kinds.items()) or "-"),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
