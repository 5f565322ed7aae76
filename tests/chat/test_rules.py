"""Claims about `socketchat.chat.rules`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.chat.rate import Rate
from socketchat.chat.rules import Rules, Verdict, room_name_of
from socketchat.errors import CloseCode
from socketchat.messages import MAX_NAME
from socketchat.text import clean

# What may be said


def test_by_default_a_message_has_16_kib_and_200_lines_and_its_author_a_rate() -> None:
    assert Rules() == Rules(rate=Rate(burst=30, per_second=10), max_size=16384, max_lines=200)


@pytest.mark.parametrize("body", ["", "x" * 100, "é" * 50, "日" * 33, b"", b"x" * 100])
def test_a_message_up_to_the_bound_is_taken(body: str | bytes) -> None:
    assert Rules(max_size=100).objection(body) is None


@pytest.mark.parametrize("body", ["x" * 101, "é" * 50 + "x", "日" * 34, b"x" * 101])
def test_a_message_is_measured_in_bytes(body: str | bytes) -> None:
    verdict = Rules(max_size=100).objection(body)
    assert verdict is not None
    assert verdict.code == CloseCode.TOO_BIG
    size = len(body.encode() if isinstance(body, str) else body)
    assert verdict.reason == f"a message has at most 100 bytes here, this one has {size}"


def test_a_text_has_so_many_lines() -> None:
    rules = Rules(max_lines=3)
    assert rules.objection("1\n2\n3") is None
    reason = "a message has at most 3 lines here, this one has 4"
    assert rules.objection("1\n2\n3\n") == Verdict(CloseCode.TOO_BIG, reason)


def test_data_has_no_lines() -> None:
    assert Rules(max_lines=3).objection(b"\n" * 100) is None


@given(st.text(alphabet="x\né日\U0001f600", max_size=60))
def test_exactly_what_is_within_both_bounds_is_taken(body: str) -> None:
    taken = Rules(max_size=50, max_lines=5).objection(body) is None
    assert taken is (len(body.encode()) <= 50 and body.count("\n") < 5)


# Rooms' names


@given(st.text(max_size=MAX_NAME))
def test_whatever_room_is_asked_for_has_a_name_that_can_be_shown_and_asked_for(room: str) -> None:
    name = room_name_of(room)
    assert clean(name, multiline=False) == name
    assert room_name_of(name) == name
    assert name == name.strip()


@pytest.mark.parametrize("room", ["tea", "tea\u200b", " tea", "t\u202eea", "tea\n"])
def test_rooms_that_look_the_same_have_the_same_name(room: str) -> None:
    assert room_name_of(room) == "tea"


def test_rooms_whose_names_differ_at_their_ends_are_different() -> None:
    assert len({room_name_of("r" * (MAX_NAME - 1) + end) for end in "12"}) == 2
