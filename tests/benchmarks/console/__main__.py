"""Typing while 10,000 lines arrive: ``python -m tests.benchmarks.console``.

Run from the top of the repository, on Linux, with the extra ``bench`` installed::

    python -m tests.benchmarks.console                     # both, 10 rounds each; a few minutes
    python -m tests.benchmarks.console --only flood --rounds 3

In each round there are a server, ``socketchat serve --headless --rate 0``, a console,
``socketchat connect`` on a pseudo-terminal of 80 columns and 24 rows, and (`sender`) a session that
says the lines as fast as the server takes them, all processes of their own, with TLS, a log on disk
and an outbox in a file, as people have it. Meanwhile this process (`recording`) types a key every
20 to 60 ms, and notes when it has read what. Only when the round is over is that played to a
terminal in memory (`replay`), frame by frame:

- a key's *echo* is there when the frame has been read that has all that was typed by then behind
  the prompt;
- the lines are *on the screen* with the frame that has the last of them. ``flood`` counts from the
  moment in which the sender is told to begin, ``backlog`` from the start of the client's process
  with ``--history 10000``, so with all that it takes until it is connected;
- every line must then stand there once, in order, and no key in any of them.

Exit status: 0, 1 above the bounds (99 of 100 echoes, over all rounds, within 50 ms, and in each
round the last line within 3 s) or if anything is wrong, 2 for wrong usage, 130 if interrupted.
"""

import argparse
import math
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence

from tests.benchmarks.bystanders import Bystanders
from tests.benchmarks.console.recording import Failed
from tests.benchmarks.console.replay import Findings
from tests.benchmarks.console.rounds import backlog, flood
from tests.benchmarks.report import markdown

#: The bounds: of the 99th of 100 echoes, and until all lines are on the screen; in seconds.
MAX_ECHO = 0.050
MAX_SECONDS = 3.0

Round = Callable[[int, int], Findings]
KINDS: dict[str, Round] = {"flood": flood, "backlog": backlog}


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.console",
        description="Measure the echo of keys while very much arrives.",
    )
    parser.add_argument("--rounds", type=positive, default=10, help="default: %(default)s")
    parser.add_argument("--lines", type=positive, default=10_000, help="default: %(default)s")
    parser.add_argument("--only", choices=tuple(KINDS), help="default: both")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """Read a number of things."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def say(line: str) -> None:
    """Tell how things go, beside the result on stdout."""
    print(line, file=sys.stderr, flush=True)


def measure(kind: str, rounds: int, lines: int) -> list[Findings]:
    """Do all rounds of a kind."""
    found = []
    for number in range(1, rounds + 1):
        one = KINDS[kind](lines, number)
        say(f"{kind} {number}: {', '.join(cells([one])[1:])}")
        for fault in one.faults[:10]:
            say(f"  {fault}")
        found.append(one)
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least of the values that so many of 100 are not above."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def cells(found: Sequence[Findings]) -> list[str]:
    """Return what the rounds gave: keys; echoes in ms, p50, p99, most; seconds."""
    echoes = [echo for one in found for echo in one.echoes]
    spread = [percentile(echoes, 50), percentile(echoes, 99), max(echoes)] if echoes else ()
    seconds = sorted(one.seconds for one in found)
    middle = f"{statistics.median(seconds):.2f}"
    return [
        f"{len(echoes):,}",
        *([f"{1e3 * echo:.1f}" for echo in spread] or ["-", "-", "-"]),
        middle if len(found) == 1 else f"{middle} ({seconds[0]:.2f} - {seconds[-1]:.2f})",
    ]


def above(kind: str, found: Sequence[Findings]) -> Iterator[str]:
    """Say which bounds do not hold."""
    echoes = [echo for one in found for echo in one.echoes]
    if not echoes:
        yield f"{kind}: no key was typed"
    elif percentile(echoes, 99) > MAX_ECHO:
        yield f"{kind}: the p99 of the echoes is above {1e3 * MAX_ECHO:.0f} ms"
    if max(one.seconds for one in found) > MAX_SECONDS:
        yield f"{kind}: it took more than {MAX_SECONDS:.0f} s"
    for fault in [fault for one in found for fault in one.faults][:10]:
        yield f"{kind}: {fault}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    chosen = options(arguments)
    others = Bystanders()
    rows = [["", "keys", "echo, median ms", "p99 ms", "most ms", "all on the screen, s"]]
    wrong: list[str] = []
    for kind in [chosen.only] if chosen.only else KINDS:
        try:
            found = measure(kind, chosen.rounds, chosen.lines)
        except Failed as exc:
            say(f"failed: {exc}")
            return 1
        rows.append([kind, *cells(found)])
        wrong += above(kind, found)
    share = others.share()
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()},"
        f" {os.cpu_count()} cores. {chosen.rounds} rounds of {chosen.lines:,} lines."
    )
    known = "an unknown part" if share is None else f"{share:.0%}"
    print(f"Other programs used {known} of the machine meanwhile.\n")
    print("\n".join([*markdown(rows), *wrong]))
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
