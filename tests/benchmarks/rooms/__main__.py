"""The benchmarks of a room: ``python -m tests.benchmarks.rooms BENCHMARK``.

Run from the top of the repository, on Linux, with the extra ``bench`` installed::

    python -m tests.benchmarks.rooms fan-out --members 500    # deliveries/s, beside other servers
    python -m tests.benchmarks.rooms latency --members 500    # one message, until the last has it

Servers that are not installed are left out, with a word on how to get them; those from Debian need
``apt-get install ngircd inspircd mosquitto nats-server``. Each benchmark prints a table in Markdown
to stdout and says on stderr how things go.

All servers speak plain TCP over 127.0.0.1. Each runs on one core, and all members of the room are
raw sockets in one process on another (`crowd`), the same for all but for what their protocols ask
for (`wires`): so what is measured is the server. How each is set up stands in `contestants`.

Exit status: 0, 1 if there are no figures, 2 for wrong usage, 130 if interrupted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from tests.benchmarks.bystanders import Bystanders
from tests.benchmarks.rooms import fan_out
from tests.benchmarks.rooms.contestants import contestants
from tests.benchmarks.rooms.processes import Cores, Failed, default_cores, end_by_signal
from tests.benchmarks.rooms.surroundings import preamble, say
from tests.benchmarks.rooms.workload import WINDOW

Run = Callable[[argparse.Namespace, Cores], list[str]]


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.rooms", description="Measure rooms, on one machine."
    )
    parser.add_argument(
        "--cores",
        type=cores,
        default=default_cores(),
        metavar="SERVER,MEMBERS",
        help="pin the processes, or 'any' (default: the first and the last usable core)",
    )
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    compared = argparse.ArgumentParser(add_help=False)
    compared.add_argument("--members", type=positive, default=500, help="default: %(default)s")
    compared.add_argument("--rounds", type=positive, default=3, help="default: %(default)s")
    compared.add_argument("--only", type=names, default=tuple(contestants()), metavar="NAME;NAME")
    add_fan_out(commands.add_parser("fan-out", parents=[compared]))
    add_latency(commands.add_parser("latency", parents=[compared]))
    return parser.parse_args(arguments)


def add_fan_out(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fan-out`."""
    parser.add_argument("--senders", type=numbers, default=[1, 8], help="default: 1,8")
    parser.add_argument("--seconds", type=float, default=2.0, help="default: %(default)s")
    parser.add_argument(
        "--window", type=positive, default=WINDOW, help="messages on their way (%(default)s)"
    )
    parser.set_defaults(run=fan_out.run_fan_out)


def add_latency(parser: argparse.ArgumentParser) -> None:
    """Add the options of `latency`."""
    parser.add_argument("--messages", type=positive, default=300, help="default: %(default)s")
    parser.set_defaults(run=fan_out.run_latency, seconds=0.0, window=WINDOW)


def positive(text: str) -> int:
    """Read a number of things."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def numbers(text: str) -> list[int]:
    """Read several of them."""
    return [positive(part) for part in text.split(",")]


def names(text: str) -> tuple[str, ...]:
    """Read a list of contestants: parted by semicolons, since there are commas in names."""
    chosen = tuple(dict.fromkeys(text.split(";")))
    if unknown := [name for name in chosen if name not in contestants()]:
        known = "; ".join(contestants())
        raise argparse.ArgumentTypeError(f"no contestant {unknown[0]!r}: there are {known}")
    return chosen


def cores(text: str) -> Cores:
    """Read the cores of server and members."""
    if text == "any":
        return Cores(None, None)
    server, members = map(int, text.split(","))
    return Cores(server, members)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    chosen = options(arguments)
    end_by_signal()
    others = Bystanders()
    run: Run = chosen.run
    try:
        table = run(chosen, chosen.cores)
    except Failed as exc:
        say(f"failed: {exc}")
        return 1
    print("\n".join([*preamble(chosen.cores, others.share()), *table]))
    return 0 if len(table) > 2 else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
