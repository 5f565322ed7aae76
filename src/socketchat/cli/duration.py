"""Times on the command line: lengths as `90d`, `12h`, `1h30m`, `45s`, and times in the past."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

__all__ = ["parse_duration", "seconds_of", "time_of"]

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:[0-9]{1,9}[wdhms])+")


def seconds_of(
    context: click.Context,  # noqa: ARG001 - click's signature of an option's callback
    parameter: click.Parameter,  # noqa: ARG001
    value: str | None,
) -> float | None:
    """Return the seconds that an option like `1h30m` stands for.

    Raises:
        click.BadParameter: It is no length of time, or none at all: one who keeps messages for 0 s
            would have meant for ever.
    """
    if value is None:
        return None
    seconds = parse_duration(value)
    if not seconds:
        raise click.BadParameter(f"{value!r} is no length of time: write 90d, 12h, 1h30m or 45s")
    return float(seconds)


def parse_duration(text: str) -> int | None:
    """Return the seconds that a text like `1h30m` stands for; None if it is no length of time."""
    if not _DURATION.fullmatch(text):
        return None
    parts = re.findall(r"([0-9]+)([wdhms])", text)
    return sum(int(count) * _SECONDS[unit] for count, unit in parts)


def time_of(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Return the time that an option stands for: so long ago, or a date and time as ISO 8601 says.

    One without a time zone is in that of this machine. One that is too long ago to be written down
    is the epoch.

    Raises:
        click.BadParameter: It is no time.
    """
    if value is None:
        return None
    try:
        ago = seconds_of(context, parameter, value)
    except click.BadParameter:
        pass
    else:
        assert ago is not None
        try:
            return datetime.now(UTC) - timedelta(seconds=ago)
        except OverflowError:
            return datetime.fromtimestamp(0, UTC)
    try:
        return datetime.fromisoformat(value).astimezone()
    except (ValueError, OverflowError, OSError) as exc:
        text = f"{value!r} is no time: write 2h, 3d, 2026-01-31 or 2026-01-31T18:30"
        raise click.BadParameter(text) from exc
