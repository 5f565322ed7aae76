"""Claims about `socketchat.cli.duration`: times as one writes them on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.cli.duration import seconds_of, time_of

COMMAND = click.Command("command")
CONTEXT = click.Context(COMMAND)
OPTION = click.Option(["--since"])


def seconds(value: str | None) -> float | None:
    return seconds_of(CONTEXT, OPTION, value)


def time(value: str | None) -> datetime | None:
    return time_of(CONTEXT, OPTION, value)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("45s", 45),
        ("2h", 7200),
        ("1h30m", 5400),
        ("90d", 7_776_000),
        ("1w1d", 691_200),
        ("0d1s", 1),
    ],
)
def test_a_length_is_a_sum_of_parts(text: str, length: int) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["0s", "0d0h"])
def test_a_length_of_nothing_is_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="1h30m"):
        seconds(text)


@pytest.mark.parametrize("text", ["", "90", "d", "1.5h", "-1h", "1h ", "1y", "9" * 5000 + "s"])
def test_what_is_no_length_is_told_how_one_looks(text: str) -> None:
    with pytest.raises(click.BadParameter, match="1h30m"):
        seconds(text)


def test_nothing_asked_is_nothing() -> None:
    assert seconds(None) is None
    assert time(None) is None


def test_a_length_is_so_long_ago() -> None:
    before = datetime.now(UTC)
    found = time("2h")
    assert found is not None
    assert before <= found + timedelta(hours=2) <= datetime.now(UTC)


def test_what_is_longer_ago_than_there_are_dates_is_the_epoch() -> None:
    assert time("999999999w") == datetime.fromtimestamp(0, UTC)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-01-31T18:30Z", datetime(2026, 1, 31, 18, 30, tzinfo=UTC)),
        ("2026-01-31T18:30+02:00", datetime(2026, 1, 31, 16, 30, tzinfo=UTC)),
        ("2026-01-31 18:30:05.5Z", datetime(2026, 1, 31, 18, 30, 5, 500_000, UTC)),
        ("2026-01-31", datetime(2026, 1, 31).astimezone()),
        ("2026-01-31T18:30", datetime(2026, 1, 31, 18, 30).astimezone()),
    ],
)
def test_a_date_may_have_a_time_and_a_zone(text: str, when: datetime) -> None:
    assert time(text) == when


@pytest.mark.parametrize("text", ["yesterday", "31.1.2026", "2026-02-31", "", "12", "0s"])
def test_what_is_no_time_is_told_how_one_looks(text: str) -> None:
    with pytest.raises(click.BadParameter, match="2026-01-31T18:30"):
        time(text)


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_is_told_that_it_is_none(text: str) -> None:
    try:
        found = time(text)
    except click.BadParameter:
        return
    assert found is not None
    assert found.tzinfo is not None
