"""How long a start takes, beside the modules that no start of this kind can do without.

    python -m tests.benchmarks.start --rounds 40

Each command is a new interpreter. They take turns, each round in another order, so that what else
the machine does meets all of them alike; the medians of all rounds are compared. It exits with 1 if
a ratio is above its bound.

The byte code of all modules is there, as where the package is installed: a first round, which does
not count, writes it. What is *not* loaded, `tests/test_imports.py` claims without a clock.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Start:
    """One way of starting.

    Attributes:
        arguments: What the interpreter is given.
        beside: What it is compared with; empty is nothing.
        bound: The most that it may take, times that; 0 is any time.
    """

    arguments: tuple[str, ...]
    beside: str = ""
    bound: float = 0.0


STARTS = {
    "nothing": Start(("-c", "pass")),
    "import asyncio, ssl": Start(("-c", "import asyncio, ssl")),
    "import asyncio, ssl, msgspec": Start(("-c", "import asyncio, ssl, msgspec")),
    "socketchat --help": Start(("-m", "socketchat", "--help"), "import asyncio, ssl", 1.5),
    "socketchat --version": Start(("-m", "socketchat", "--version")),
    "socketchat serve --frob": Start(("-m", "socketchat", "serve", "--frob")),
    "import socketchat": Start(("-c", "import socketchat"), "import asyncio, ssl, msgspec", 1.3),
    # What `import socketchat` puts off.
    "from socketchat import connect": Start(
        ("-c", "from socketchat import connect"), "import asyncio, ssl, msgspec"
    ),
}


def seconds_to_start(arguments: Sequence[str]) -> float:
    """Return how long a new interpreter takes, from its birth to its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=False,
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin


def measure(rounds: int) -> dict[str, float]:
    """Return the median of each start, in seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    order = list(STARTS)
    for number in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            took = seconds_to_start(STARTS[name].arguments)
            if number:
                seconds[name].append(took)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(medians: dict[str, float]) -> list[str]:
    """Print the table; return the names of those above their bounds."""
    above = []
    print("| a new interpreter | median ms | times | of this | at most |")
    print("| --- | ---: | ---: | --- | ---: |")
    for name, start in STARTS.items():
        cells = ["", "", ""]
        if start.beside:
            ratio = medians[name] / medians[start.beside]
            cells = [f"{ratio:.2f}", f"`{start.beside}`", f"{start.bound or ''}"]
            if start.bound and ratio > start.bound:
                above.append(name)
        print(f"| `{name}` | {1000 * medians[name]:.1f} | {' | '.join(cells)} |")
    return above


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.start")
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args(arguments).rounds
    print(f"{platform.python_implementation()} {platform.python_version()}, {rounds} rounds\n")
    above = report(measure(rounds))
    for name in above:
        print(f"{name} takes more than {STARTS[name].bound} times {STARTS[name].beside}")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
