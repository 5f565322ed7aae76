"""The benchmarks of a room: ``python -m tests.benchmarks.rooms BENCHMARK``.

Run from the top of the repository, on Linux, with the extra ``bench`` installed::

    python -m tests.benchmarks.rooms fan-out --members 500    # deliveries/s, beside other servers
    python -m tests.benchmarks.rooms latency --members 500    # one message, until the last has it
    python -m tests.benchmarks.rooms commit                   # messages/s that are on disk
    python -m tests.benchmarks.rooms commit --engines sqlite,redis-everysec,redis-always
    python -m tests.benchmarks.rooms servers                  # one room at several servers
    python -m tests.benchmarks.rooms history                  # a million entries, to a new member
    python -m tests.benchmarks.rooms comeback                 # 1,000 sessions, a restarted server
    python -m tests.benchmarks.rooms slow                     # members that never read

The first two measure other servers as well, the others socketchat alone. Redis is the system's, or
the one that comes with the extra `test`.
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
from tests.benchmarks.rooms import comeback, commit, fan_out, history, several, slow
from tests.benchmarks.rooms.contestants import contestants
from tests.benchmarks.rooms.engines import ENGINES
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
    for name, add in OWN.items():
        own = commands.add_parser(name)
        own.add_argument("--rounds", type=positive, default=3, help="default: %(default)s")
        add(own)
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


def add_commit(parser: argparse.ArgumentParser) -> None:
    """Add the options of `commit`."""
    parser.add_argument("--senders", type=numbers, default=[1, 100, 1000], help="1,100,1000")
    parser.add_argument(
        "--in-flight", type=numbers, default=[1, 64], help="messages on their way from each (1,64)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="default: %(default)s")
    parser.add_argument(
        "--engines", type=engines, default=["sqlite"], help=f"{','.join(ENGINES)} (sqlite)"
    )
    parser.set_defaults(run=commit.run)


def add_history(parser: argparse.ArgumentParser) -> None:
    """Add the options of `history`."""
    parser.add_argument("--entries", type=positive, default=1_000_000, help="default: %(default)s")
    parser.set_defaults(run=history.run)


def add_comeback(parser: argparse.ArgumentParser) -> None:
    """Add the options of `comeback`."""
    parser.add_argument("--clients", type=positive, default=1000, help="default: %(default)s")
    parser.set_defaults(run=comeback.run)


def add_slow(parser: argparse.ArgumentParser) -> None:
    """Add the options of `slow`."""
    parser.add_argument("--members", type=positive, default=500, help="default: %(default)s")
    parser.add_argument("--stuck", type=positive, default=100, help="of them (%(default)s)")
    parser.add_argument("--size", type=size, default=100_000_000, help="to send (100M)")
    parser.add_argument("--text", type=positive, default=16_000, help="characters (%(default)s)")
    parser.set_defaults(run=slow.run)


def add_servers(parser: argparse.ArgumentParser) -> None:
    """Add the options of `servers`."""
    parser.add_argument("--servers", type=numbers, default=[1, 2, 3], help="on Redis (1,2,3)")
    parser.add_argument("--members", type=positive, default=500, help="default: %(default)s")
    parser.add_argument("--senders", type=numbers, default=[1, 8], help="default: 1,8")
    parser.add_argument("--windows", type=numbers, default=[64, WINDOW], help=f"64,{WINDOW}")
    parser.add_argument("--seconds", type=float, default=1.5, help="default: %(default)s")
    parser.add_argument("--messages", type=positive, default=150, help="default: %(default)s")
    parser.add_argument(
        "--authors", type=numbers, default=[1, 100, 1000], help="of the log alone (1,100,1000)"
    )
    parser.add_argument(
        "--engines", type=engines, default=list(ENGINES), help=f"likewise ({','.join(ENGINES)})"
    )
    parser.set_defaults(run=several.run)


OWN = {
    "commit": add_commit,
    "servers": add_servers,
    "history": add_history,
    "comeback": add_comeback,
    "slow": add_slow,
}


def size(text: str) -> int:
    """Read a number of bytes, in millions if it ends with an M."""
    return positive(text[:-1]) * 1_000_000 if text.endswith("M") else positive(text)


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


def engines(text: str) -> list[str]:
    """Read a list of engines."""
    chosen = text.split(",")
    if unknown := [name for name in chosen if name not in ENGINES]:
        raise argparse.ArgumentTypeError(f"no engine {unknown[0]!r}: there are {','.join(ENGINES)}")
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
    others = Bystanders()
    run: Run = chosen.run
    try:
        table = run(chosen, chosen.cores)
    except Failed as exc:
        say(f"failed: {exc}")
        return 1
    print("\n".join([*preamble(chosen.cores, others.share()), *table]))
    return 0


if __name__ == "__main__":
    end_by_signal()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
