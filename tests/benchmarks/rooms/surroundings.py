"""What has to be known about machine and settings to repeat a run, in lines of text."""

import os
import platform
import statistics
import sys
from collections.abc import Sequence

from tests.benchmarks.rooms.processes import Cores
from tests.benchmarks.rooms.workload import HOST, SIZE

QUIET = 0.05


def say(line: str) -> None:
    """Tell how things go, beside the result on stdout."""
    print(line, file=sys.stderr, flush=True)


def brief(values: Sequence[float], shown: str) -> str:
    """Return the median of the rounds, and their range if there are several."""
    middle = shown.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({shown.format(min(values))} - {shown.format(max(values))})"


def preamble(cores: Cores, others: float | None) -> list[str]:
    """Return the lines above a table.

    Args:
        cores: Where server and members run.
        others: The part of the machine that other programs used meanwhile, if it is known.
    """
    where = "not pinned"
    if cores.server is not None:
        where = f"servers on core {cores.server}, all members in one process on {cores.members}"
    share = "an unknown part" if others is None else f"{others:.0%}"
    verdict = ": too much to compare figures." if others is not None and others > QUIET else "."
    return [
        (
            f"{platform.python_implementation()} {platform.python_version()},"
            f" {platform.platform()}, {os.cpu_count()} cores ({where})."
            f" Plain TCP over {HOST}; texts of {SIZE} characters unless said otherwise."
        ),
        f"Other programs used {share} of the machine meanwhile{verdict}",
        "",
    ]
