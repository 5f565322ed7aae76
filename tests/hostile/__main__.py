"""All attacks, and how long the good member waited: ``python -m tests.hostile``.

Run from the top of the repository, on Linux. With ``--long`` it takes about half an hour::

    python -m tests.hostile --long
    python -m tests.hostile --target 192.0.2.1:7625     # any server that runs

Servers of our own are started for it, one that speaks TLS and one that does not, and the attacks
are made one after the other. Exit status: 0 if all is as it should be, 1 if not, 130 if
interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.hostile.attack import LONG, SHORT, Attack, Size
from tests.hostile.attacks import ATTACKS
from tests.hostile.harness import Outcome, good_member, run
from tests.hostile.identity import ATTACKS as IDENTITY_ATTACKS
from tests.hostile.target import VARIABLE, external, serving, target_named

#: Seconds within which the good member must be answered, 99 times out of 100.
MAX_P99 = 0.25
#: How servers and members run here: as users run them.
PLAIN_PYTHON = (sys.executable,)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile", description="Attack a server, and time a good member."
    )
    parser.add_argument("--long", action="store_true", help="everything at full size")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this attack")
    parser.add_argument("--target", metavar="HOST:PORT", help=f"as {VARIABLE}")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    return parser.parse_args(arguments)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many of the sorted values are; 0 of none."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else 0.0


def milliseconds(values: Sequence[float]) -> str:
    """Return p50, p99 and the longest."""
    picked = (percentile(values, 50), percentile(values, 99), percentile(values, 100))
    return "".join(f"{1000 * value:8.1f}" for value in picked)


HEAD = (
    f"{'':<38}{'s':>7}  {'ping p50':>8}{'p99':>8}{'max':>8}  {'sent p50':>8}{'p99':>8}{'max':>8}"
    f"{'MiB':>7}{'peak':>6}  what was done, and who was turned away"
)


def row(outcome: Outcome) -> str:
    """Put into a line what has happened."""
    turned = ", ".join(f"{count} {why}" for why, count in outcome.turned_away.most_common())
    return (
        f"{outcome.attack:<38}{outcome.seconds:7.1f}  {milliseconds(outcome.pings)}"
        f"  {milliseconds(outcome.sent)}{outcome.rss >> 20:7}{outcome.peak >> 20:6}"
        f"  {outcome.done}" + (f"; turned away: {turned}" if turned else "")
    )


def violations(outcome: Outcome) -> list[str]:
    """Return what is not as it should be."""
    found = list(outcome.violations)
    # Pings and messages together: of messages alone there are too few for a percentile.
    if (p99 := percentile(sorted([*outcome.pings, *outcome.sent]), 99)) > MAX_P99:
        found.append(f"the good member's p99 was {1000 * p99:.0f} ms")
    return found


async def attack_all(
    attacks: Sequence[Attack], size: Size, directory: Path, named: tuple[str, int] | None
) -> bool:
    """Make these attacks on one server, and return whether all is as it should be."""
    tls = attacks[0].tls
    async with AsyncExitStack() as stack:
        if named is not None:
            target = await external(named)
        else:
            server = serving(directory, tls=tls, python=PLAIN_PYTHON)
            target = await stack.enter_async_context(server)
        clean = True
        for attack in attacks:
            if attack.tls is not target.tls:
                continue
            async with good_member(target, directory, python=PLAIN_PYTHON) as good:
                outcome = await run(attack, target, good, size)
            print(row(outcome), flush=True)
            for violation in violations(outcome):
                clean = False
                print(f"    {violation}", flush=True)
        return clean


async def main_(given: argparse.Namespace) -> bool:
    """Do what is asked for."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    size = dataclasses.replace(LONG if given.long else SHORT, seed=given.seed)
    known = (*ATTACKS, *IDENTITY_ATTACKS)
    wanted = [attack for attack in known if attack.name in (given.only or [attack.name])]
    if given.target:
        os.environ[VARIABLE] = given.target
    print(HEAD)
    clean = True
    for tls in (True, False):
        attacks = [attack for attack in wanted if attack.tls is tls]
        with tempfile.TemporaryDirectory() as directory:
            if attacks:
                clean &= await attack_all(attacks, size, Path(directory), target_named())
    return clean


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it once."""
    try:
        return 0 if asyncio.run(main_(options(arguments))) else 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
