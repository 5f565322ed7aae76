"""Claims about `socketchat.cli.console_bar`: what stands in the last line, and what gives way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.cli.console_bar import Part, bar_row
from socketchat.text import width

PARTS = [
    Part("lobby", 3),
    Part("12 here", 2),
    Part("online, 3 waiting", 5),
    Part("12 ms", 1),
    Part("bob is typing", 4),
]


def text_of(parts: list[Part], columns: int) -> str:
    return "".join(text for _, text in bar_row(parts, columns))


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (80, "lobby · 12 here · online, 3 waiting · 12 ms · bob is typing"),
        (58, "lobby · 12 here · online, 3 waiting · bob is typing"),
        (50, "lobby · online, 3 waiting · bob is typing"),
        (40, "online, 3 waiting · bob is typing"),
        (30, "online, 3 waiting"),
        (10, "online, 3…"),
        (1, "…"),
    ],
)
def test_what_matters_least_gives_way(columns: int, text: str) -> None:
    assert text_of(PARTS, columns) == text


def test_parts_that_say_nothing_leave_nothing_behind() -> None:
    assert text_of([Part("", 9), Part("a", 1), Part("", 2), Part("b", 1)], 80) == "a · b"
    assert text_of([Part("[1:a]", 6), Part("2:b 3", 3, is_joined=True), Part("x", 1)], 80) == (
        "[1:a] 2:b 3 · x"
    )
    assert bar_row([], 80) == []


@given(
    st.lists(st.tuples(st.text("aé漢🙂", max_size=9), st.integers(0, 9)), max_size=9),
    st.integers(1, 40),
)
def test_it_never_takes_more_than_one_row(parts: list[tuple[str, int]], columns: int) -> None:
    assert width(text_of([Part(*part) for part in parts], columns)) <= columns
