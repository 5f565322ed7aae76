"""Turns figures into a table for people and a document for programs. Measures nothing."""

import os
import platform
import ssl
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from tests.benchmarks.runner import Plan, Series
from tests.benchmarks.workload import CONFIRM_EVERY, TEXT, WINDOW

BASELINE = "socketchat"
QUIET = 0.05
HEADINGS = (
    "contestant",
    "one way, acknowledged/s",
    "(min - max)",
    f"x {BASELINE}",
    "round trip, median us",
    "(min - max)",
    f"x {BASELINE}",
    "p99 us",
    "(min - max)",
)


def surroundings(plan: Plan, about: Mapping[str, str], others: float | None) -> dict[str, Any]:
    """Return what has to be known about machine, versions and settings to repeat a run.

    Args:
        plan: What was measured.
        about: What each contestant says about itself.
        others: The part of the machine that other programs used meanwhile, if it is known.
    """
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "pinned": None if plan.cores is None else list(plan.cores),
        "others": None if others is None else round(others, 3),
        "loop": f"uvloop {version('uvloop')}" if plan.loop == "uvloop" else "asyncio",
        "openssl": ssl.OPENSSL_VERSION,
        "encryption": "none" if plan.folder is None else "TLS 1.3 (pyzmq: CURVE)",
        "contestants": dict(about),
        "rounds": plan.rounds,
        "messages": plan.messages,
        "round_trips": plan.round_trips,
        "size": len(TEXT),
        "window": WINDOW,
        "confirm_every": CONFIRM_EVERY,
    }


def document(around: Mapping[str, Any], results: Mapping[str, Series]) -> dict[str, Any]:
    """Return everything, every round's figures included, as it goes into the JSON file."""
    return {**around, "results": {name: asdict(series) for name, series in results.items()}}


def text(around: Mapping[str, Any], results: Mapping[str, Series]) -> str:
    """Return the table, in Markdown that can be read as it is, and the lines that explain it."""
    base = results.get(BASELINE)
    rows = [HEADINGS, *(row(name, series, base) for name, series in results.items())]
    failures = [f"{name} failed: {s.failure}" for name, s in results.items() if s.failure]
    return "\n".join([*preamble(around), "", *markdown(rows), *failures])


def preamble(around: Mapping[str, Any]) -> list[str]:
    """Return the lines above the table."""
    pinned = around["pinned"]
    where = "not pinned" if pinned is None else f"server on core {pinned[0]}, client on {pinned[1]}"
    share = around["others"]
    others = "an unknown part" if share is None else f"{share:.0%}"
    verdict = ": too much to compare figures." if share is not None and share > QUIET else "."
    return [
        (
            f"{around['python']}, {around['loop']}, {around['openssl']}, {around['cores']} cores"
            f" ({where}), {around['platform']}"
        ),
        f"Other programs used {others} of the machine meanwhile{verdict}",
        ", ".join(f"{name} {what}" for name, what in around["contestants"].items()),
        (
            f"Encryption: {around['encryption']}. Texts of {around['size']} characters."
            f" {around['rounds']} rounds of {around['messages']:,} texts one way and"
            f" {around['round_trips']:,} round trips; median, lowest and highest of the rounds."
        ),
    ]


def row(name: str, series: Series, base: Series | None) -> tuple[str, ...]:
    """Return one contestant's cells."""
    return (
        name,
        *cells(series.rate, "{:,.0f}".format),
        ratio(series.rate, base.rate if base else []),
        *cells(series.median_us, "{:.1f}".format),
        ratio(series.median_us, base.median_us if base else []),
        *cells(series.p99_us, "{:.1f}".format),
    )


def cells(values: Sequence[float], shown: Callable[[float], str]) -> tuple[str, str]:
    """Return the median of the rounds, and their range."""
    if not values:
        return "-", "-"
    return shown(statistics.median(values)), f"{shown(min(values))} - {shown(max(values))}"


def ratio(values: Sequence[float], base: Sequence[float]) -> str:
    """Return how many times the baseline's median this median is."""
    if not values or not base:
        return "-"
    return f"{statistics.median(values) / statistics.median(base):.2f}"


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with its columns aligned; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for cells_of_row in rows:
        first, *others = (
            cell.rjust(width) for cell, width in zip(cells_of_row, widths, strict=True)
        )
        lines.append(f"| {first.strip().ljust(widths[0])} | {' | '.join(others)} |")
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    lines.insert(1, f"|{rule}|")
    return lines
