"""Claims about `socketchat.chat.rules`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.chat.rate import Rate
from socketchat.chat.rules import Rules, Verdict, nick_of, room_name_of, with_suffix
from socketchat.errors import CloseCode
from socketchat.messages import MAX_NAME
from socketchat.text import NAME_COLUMNS, clean, clean_name, width

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


# Names

HOSTILE = {
    "\x1b[2Jroot": "␛[2Jroot",
    "a\nb": "a b",
    "a\u202eb": "ab",
    "ad\u200ba": "ada",
    " \t ": "?",
    "\u200b": "?",
    "x" * 64: "x" * 23 + "…",
    "日" * 64: "日" * 11 + "…",
    "z" + "\u0301" * 63: "ź\u0301\u0301",
    "bob: I quit": "bob_ I quit",  # or it could put words into bob's mouth
}


@pytest.mark.parametrize("nick", list(HOSTILE))
def test_a_hostile_name_becomes_a_harmless_one(nick: str) -> None:
    assert nick_of(nick) == HOSTILE[nick]


@given(st.text(max_size=MAX_NAME), st.integers(2, 10**6))
def test_whatever_is_asked_for_a_name_is_one_that_can_be_sent_and_shown(
    asked: str, number: int
) -> None:
    for name in (nick_of(asked), with_suffix(nick_of(asked), f"-{number}")):
        assert 0 < len(name) <= MAX_NAME
        assert width(name) <= NAME_COLUMNS
        assert clean_name(name) == name
        assert ":" not in name


@given(st.text(max_size=MAX_NAME))
def test_a_suffix_is_seen_to_the_end(asked: str) -> None:
    assert with_suffix(nick_of(asked), "-12").endswith("-12")


LONG = (
    "n" * NAME_COLUMNS,
    "n" * MAX_NAME,
    "n\u0316\u0317" * 21,
    "日" * MAX_NAME,
    "नि" * 32,
    "a\u0301" * 32,
)


@pytest.mark.parametrize("nick", LONG)
def test_long_names_can_be_told_apart_on_the_screen(nick: str) -> None:
    name = nick_of(nick)
    assert len({clean_name(with_suffix(name, f"-{number}")) for number in range(12)}) == 12


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
