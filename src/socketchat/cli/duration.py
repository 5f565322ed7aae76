"""Lengths of time on the command line: `90d`, `12h`, `1h30m`, `45s`."""

from __future__ import annotations

import re

import click

__all__ = ["seconds_of"]

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:[0-9]+[wdhms])+")


def seconds_of(
    context: click.Context,  # noqa: ARG001 - click's signature of an option's callback
    parameter: click.Parameter,  # noqa: ARG001
    value: str | None,
) -> float | None:
    """Return the seconds that an option like `1h30m` stands for.

    Raises:
        click.BadParameter: It is no length of time.
    """
    if value is None:
        return None
    if not _DURATION.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no length of time: write 90d, 12h, 1h30m or 45s")
    parts = re.findall(r"([0-9]+)([wdhms])", value)
    return float(sum(int(count) * _SECONDS[unit] for count, unit in parts))
