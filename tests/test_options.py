"""What `socketchat.options` promises: defaults that make sense, and every value checked."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest

from socketchat.options import OptionArgs, Options

TIMEOUTS = ("open_timeout", "ping_interval", "ping_timeout", "close_timeout")


def test_the_defaults_are_those_that_are_written_down() -> None:
    assert dataclasses.asdict(Options()) == {
        "open_timeout": 10,
        "ping_interval": 20,
        "ping_timeout": 20,
        "close_timeout": 10,
        "resume_timeout": 120,
        "max_size": 2**20,
        "max_queue": (256, 64),
        "max_unacked": (4096, 4 * 2**20),
        "logger": None,
    }


def test_the_arguments_of_both_doors_are_the_options() -> None:
    names = [field.name for field in dataclasses.fields(Options)]
    assert list(OptionArgs.__annotations__) == names


@pytest.mark.parametrize("name", TIMEOUTS)
def test_none_switches_a_timeout_off(name: str) -> None:
    options: dict[str, Any] = {name: None}
    assert getattr(Options(**options), name) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in TIMEOUTS for value in (0.001, 1, 1e9)),
        ("resume_timeout", 0),
        ("resume_timeout", 0.5),
        ("max_size", 4096),
        ("max_size", 2**32 - 1),
        ("max_queue", (1, 0)),
        ("max_unacked", (1, 1)),
        ("logger", logging.getLogger("test")),
    ],
)
def test_values_up_to_their_bounds_are_taken(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    assert getattr(Options(**options), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in TIMEOUTS for value in (0, -1, float("nan"))),
        ("resume_timeout", -0.1),
        ("resume_timeout", float("nan")),
        ("max_size", 4095),
        ("max_size", 2**32),
        ("max_queue", (0, 0)),
        ("max_queue", (64, 64)),
        ("max_queue", (64, 256)),
        ("max_queue", (5, -1)),
        ("max_unacked", (0, 1)),
        ("max_unacked", (1, 0)),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"^{name} must be "):
        Options(**options)


def test_options_are_frozen_and_given_by_name() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().max_size = 5000  # type: ignore[misc]
    with pytest.raises(TypeError):
        Options(10)  # type: ignore[call-arg]
