"""`slow`: what members that never read cost the server, and those that do read.

One sends large messages, one at a time, each when all that read have the one before: first without,
then with the members that never read, in one run. At last these read too, and must get everything,
and the server's memory must have stayed under a bound; if not, it ends with an error.

For a while the kernel takes what is written to those that do not read, as if they did: so the first
quarter of the messages, in which its buffers fill, has a row of its own.
"""

import argparse
import re
import statistics
import time
from collections.abc import Iterator, Sequence

from tests.benchmarks.report import markdown
from tests.benchmarks.rooms import wires
from tests.benchmarks.rooms.contestants import contestants
from tests.benchmarks.rooms.crowd import Crowd, Member
from tests.benchmarks.rooms.processes import Cores, resident_bytes, serving
from tests.benchmarks.rooms.processes import generate as measure
from tests.benchmarks.rooms.workload import MARK, Figures, Job, text

LIMIT = 900.0
#: What the server may hold at most, in bytes (RSS).
MAX_MEMORY = 128_000_000
#: Seconds between two looks at the server's memory.
LOOK_EVERY = 0.05

_NUMBER = re.compile(re.escape(MARK) + rb"(\d{12})")
_OVERLAP = len(MARK) + 12 - 1


# In the generator


class _InOrder:
    """Looks at every message of a member that reads late: it must get each, once and in order."""

    def __init__(self, answer: wires.Answer, first: int) -> None:
        self._answer = answer
        self._tail = b""
        self.expected = first
        self.wrong = 0

    def __call__(self, buffer: bytearray, size: int, marks: int) -> bytes:
        """Look at the numbers, and answer as any member does."""
        heard = self._tail + buffer[:size]
        for number in map(int, _NUMBER.findall(heard)):
            self.wrong += number != self.expected
            self.expected = number + 1
        self._tail = bytes(heard[-_OVERLAP:])
        return self._answer(buffer, size, marks)


class _Memory:
    """What the server holds, over time."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._next = 0.0
        self.most = 0

    def look(self) -> int:
        """Return what it holds now."""
        now = resident_bytes(self._pid)
        self.most = max(self.most, now)
        return now

    def look_now_and_then(self) -> None:
        """Look, unless that was a moment ago."""
        if time.perf_counter() >= self._next:
            self._next = time.perf_counter() + LOOK_EVERY
            self.look()


class _Speaker:
    """Says messages with increasing numbers, and notes what each took to the last who reads."""

    def __init__(self, crowd: Crowd, memory: _Memory, size: int) -> None:
        self._crowd, self._memory, self._size = crowd, memory, size
        self.number = 0

    def say(self, count: int) -> list[float]:
        """Say so many.

        Raises:
            ConnectionError: One did not reach all that read.
        """
        took: list[float] = []
        for _ in range(count):
            self.number += 1
            one = self._crowd.one_by_one(text(self.number, self._size), 1)
            if one is None:
                raise ConnectionError(f"message {self.number} did not reach all that read")
            took += one
            self._memory.look_now_and_then()
        return took


def generate(job: Job) -> Figures:
    """Do all of it."""
    options, wire = job.options, wires.load(job.wire)
    memory = _Memory(job.pid)
    crowd = Crowd(wire, [job.port], options["members"] - options["stuck"], 1)
    speaker = _Speaker(crowd, memory, options["text"])
    total = options["size"] // options["text"]
    speaker.say(max(1, total // 100))  # the warm-up
    alone = speaker.say(max(1, total // 5))
    stuck = crowd.add(f"stuck{index}" for index in range(options["stuck"]))
    crowd.mute(stuck)
    first = speaker.number + 1
    held, took = [memory.look()], list[list[float]]()
    memory.most = 0
    for quarter in range(4):
        took.append(speaker.say((quarter + 1) * total // 4 - quarter * total // 4))
        held.append(memory.look())
    most = memory.most
    # Once more without them: they are there, but nothing is written to them any more.
    figures = _let_read(crowd, stuck, first, total, memory)
    again = speaker.say(max(1, total // 5))
    crowd.close()
    return {
        "without": _spread([*alone, *again]),
        "filling": _spread(took[0]),
        "with": _spread([one for quarter in took[1:] for one in quarter]),
        "held": held,
        "most": most,
        "sent": total,
        **figures,
    }


def _spread(took: Sequence[float]) -> Figures:
    cuts = statistics.quantiles(took, n=100)
    return {"median_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


def _let_read(
    crowd: Crowd, stuck: Sequence[Member], first: int, total: int, memory: _Memory
) -> Figures:
    """Let those read that did not, and look whether they get everything."""
    checks = []
    for member in stuck:
        assert member.answer is not None
        member.answer = check = _InOrder(member.answer, first)
        checks.append(check)
    memory.most = 0
    start = last = time.perf_counter()
    crowd.unmute(stuck)
    while any(check.expected < first + total for check in checks):
        if crowd.hear(0.1):
            last = time.perf_counter()
        elif time.perf_counter() > last + 10:
            break
        memory.look_now_and_then()
    return {
        "complete": sum(c.expected == first + total and not c.wrong for c in checks),
        "reading_seconds": last - start,
        "most_reading": memory.most,
    }


# In the command


def run(options: argparse.Namespace, cores: Cores) -> list[str]:
    """Measure, and return the lines of two tables."""
    one = contestants()["socketchat"]
    names = ("members", "stuck", "size", "text")
    with serving(one, cores.server) as server:
        work = {name: getattr(options, name) for name in names}
        figures = measure("slow", one, server, cores.members, LIMIT, **work)
    lines = [
        (
            f"socketchat {one.describe()}. {options.members} members, of whom {options.stuck} do"
            f" not read; {figures['sent']:,} messages of {options.text:,} characters, one by one."
        ),
        "",
        *markdown(list(_latency_rows(options, figures))),
        "",
        *markdown(list(_memory_rows(figures))),
        "",
        (
            f"When they read at last, {figures['complete']} of {options.stuck} had every message,"
            f" once and in order, after {figures['reading_seconds']:.1f} s."
        ),
    ]
    most = max(figures["most"], figures["most_reading"])
    if most > MAX_MEMORY or figures["complete"] != options.stuck:
        bound = f"{MAX_MEMORY / 1e6:.0f} MB"
        raise SystemExit("\n".join([*lines, f"more than {bound}, or not complete"]))
    return lines


def _latency_rows(options: argparse.Namespace, figures: Figures) -> Iterator[Sequence[str]]:
    yield "to the last who reads", "median ms", "p99 ms"
    for words, key in (
        ("before the others came, and after they read", "without"),
        (f"the first quarter: the kernel's buffers for the {options.stuck} fill", "filling"),
        (f"the rest: the {options.stuck} do not read", "with"),
    ):
        found = figures[key]
        yield words, f"{found['median_ms']:.2f}", f"{found['p99_ms']:.2f}"


def _memory_rows(figures: Figures) -> Iterator[Sequence[str]]:
    yield "the server's memory (RSS)", "MB"
    for quarter, held in enumerate(figures["held"]):
        yield f"{quarter * 25} % sent", f"{held / 1e6:.1f}"
    yield "at most, while they do not read", f"{figures['most'] / 1e6:.1f}"
    yield "at most, while they read on", f"{figures['most_reading'] / 1e6:.1f}"
