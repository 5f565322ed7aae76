"""Lengths of time on the command line: `90d`, `12h`, `1h30m`, `45s`."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ["Duration"]

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:[0-9]+[wdhms])+")


class Duration(click.ParamType):
    """A length of time, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds that a text like `1h30m` stands for."""
        if isinstance(value, (int, float)):
            return float(value)
        if not _DURATION.fullmatch(value):
            self.fail(f"{value!r} is no length of time: write 90d, 12h, 1h30m or 45s", param, ctx)
        parts = re.findall(r"([0-9]+)([wdhms])", value)
        return float(sum(int(count) * _SECONDS[unit] for count, unit in parts))
