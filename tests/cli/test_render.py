"""What `socketchat.cli.render` and `render_json` promise."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.cli.render import (
    Row,
    View,
    closing_words,
    event_rows,
    name_style,
    notice_rows,
    other_name_words,
    own_rows,
    pending_row,
    plain,
    plain_notice,
    words,
)
from socketchat.cli.render_json import (
    connected_json,
    delivered_json,
    disconnected_json,
    error_json,
    json_line,
    rejected_json,
    to_json,
)
from socketchat.cli.wrapping import wrap
from socketchat.events import (
    Event,
    Gap,
    Joined,
    Left,
    LinkLost,
    LinkRestored,
    Message,
    Present,
    Rejected,
    Restarted,
    Typing,
)
from socketchat.fingerprint import fingerprint_of
from socketchat.text import width

NOON = 12 * 3_600_000_000 + 60_000_000  # 12:01 on the first day of 1970
WIDE = View(80, UTC)
NARROW = View(30, UTC)

EVENTS: list[Event] = [
    Message("hi", "ada", 1, NOON),
    Joined("ada", "192.0.2.1:5000"),
    Left("ada"),
    Typing("ada"),
    LinkLost("reset"),
    LinkRestored(),
    Restarted(),
    Gap(3, 1_300),
    Rejected(7, 1008, "muted"),
    Present(("bob", "eve\x1b")),
]


def message(body: str | bytes, sender: str = "ada", to: str = "") -> Message:
    return Message(body, sender, 1, NOON, to)


def text_of(rows: list[Row]) -> list[str]:
    return ["".join(part for _, part in row) for row in rows]


# For the console


def test_a_message_has_a_time_a_name_and_a_text() -> None:
    assert text_of(event_rows(message("hello"), WIDE)) == ["12:01 ada: hello"]


def test_times_are_shown_in_the_readers_zone() -> None:
    east = View(80, timezone(timedelta(hours=2)))
    assert text_of(event_rows(message("hello"), east)) == ["14:01 ada: hello"]


@pytest.mark.parametrize("at", [2**62, -(2**62), 2**100])
def test_a_time_out_of_range_does_no_harm(at: int) -> None:
    event = Message("x", "ada", 1, at)
    assert text_of(event_rows(event, WIDE)) == ["--:-- ada: x"]
    value = to_json(event, "r")
    assert value is not None
    assert value["at"] is None


def test_further_lines_of_a_message_are_indented() -> None:
    event = message("one\ntwo\r\n12:01 bob: three\x85four")
    assert text_of(event_rows(event, WIDE)) == [
        "12:01 ada: one",
        "           two",
        "           12:01 bob: three",
        "           four",
    ]


@given(
    st.text(
        st.sampled_from("ab 1:\n\u3000é日👩\u200d💻👨\u200d👩\u200d👧\u1161\u0301"), max_size=200
    ),
    st.integers(min_value=12, max_value=100),
)
def test_no_row_of_a_message_is_too_long_or_starts_at_the_left(body: str, columns: int) -> None:
    first, *others = text_of(event_rows(message(body), View(columns, UTC)))
    assert first.startswith("12:01 ada:")
    for row in others:
        assert not row or row.startswith(" " * 8)
    for row in (first, *others):
        assert width(row) <= columns or row.strip().isascii()  # a long word stays whole


def test_blanks_cannot_push_a_forged_line_to_the_left() -> None:
    event = message("x" + " " * 68 + "12:01 bob: I agree")
    assert [row.rstrip() for row in text_of(event_rows(event, WIDE))] == [
        "12:01 ada: x",
        "           12:01 bob: I agree",
    ]


def test_emoji_that_a_terminal_does_not_join_cannot_either() -> None:
    # A family is two columns wide where it is joined, and eight where it is not.
    event = message("👨‍👩‍👧‍👦" * 8 + " " * 8 + "12:01 bob: I agree")
    assert text_of(event_rows(event, WIDE))[1].startswith(" " * 11)


def test_a_long_address_stays_whole() -> None:
    address = "https://example.org/" + "a" * 100
    assert text_of(event_rows(message(f"see {address} there"), WIDE)) == [
        "12:01 ada: see ",
        " " * 11 + address,
        " " * 11 + "there",
    ]


def test_other_long_words_are_broken() -> None:
    rows = text_of(event_rows(message("日" * 60), WIDE))
    assert [width(row) for row in rows] == [79, 63]


def test_a_name_that_leaves_no_room_stands_alone() -> None:
    assert text_of(event_rows(message("hello there", "x" * 24), NARROW)) == [
        "12:01 " + "x" * 24 + ": ",
        "        hello there",
    ]


def test_a_name_cannot_do_harm() -> None:
    assert text_of(event_rows(message("hi", "a\x1b[2J\nb\u202e"), WIDE)) == [
        "12:01 a␛[2J b: hi",
    ]


def test_a_direct_message_says_whom_it_is_for() -> None:
    assert text_of(event_rows(message("hi", to="bob"), WIDE)) == ["12:01 ada → bob: hi"]


def test_data_is_not_shown_but_counted() -> None:
    assert text_of(event_rows(message(b"\x00\x1b"), WIDE)) == ["12:01 ada: [2 bytes of data]"]


def test_a_name_keeps_its_colour_and_names_have_many() -> None:
    styles = {name_style(f"name{number}") for number in range(500)}
    assert name_style("ada") == name_style("ada")
    assert len(styles) == 20
    assert all(style.startswith("fg:#") and len(style) == 10 for style in styles)


def test_an_own_line_says_that_it_was_sent_in_words_too() -> None:
    assert text_of(own_rows("ada", "hello", NOON, WIDE)) == ["12:01 ada: hello ✓ sent"]
    assert text_of(own_rows("", "hello", NOON, WIDE)) == ["12:01 you: hello ✓ sent"]


def test_an_own_line_that_failed_says_why() -> None:
    rows = own_rows("ada", "hello", NOON, WIDE, failure="not sent: muted\x1b")
    assert text_of(rows) == ["12:01 ada: hello ✗ not sent: muted␛"]


def test_the_mark_gets_a_row_where_the_last_one_has_no_room() -> None:
    rows = own_rows("ada", "x" * 16, NOON, NARROW)
    assert text_of(rows) == ["12:01 ada: " + "x" * 16, " " * 8 + "✓ sent"]
    rows = own_rows("ada", "x", NOON, NARROW, failure="not sent: " + "because " * 5)
    assert all(width(row) <= 30 for row in text_of(rows))


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("hello", "… hello"),
        ("one\ntwo\nthree", "… one … +2"),
        ("x" * 40, "… " + "x" * 17 + "…"),
        ("日" * 40, "… " + "日" * 8 + "…"),
        ("x" * 40 + "\ny", "… " + "x" * 12 + "… … +1"),
        ("\x1b[2J", "… ␛[2J"),
    ],
)
def test_a_pending_line_takes_one_row(text: str, row: str) -> None:
    assert text_of([pending_row(text, 20)]) == [row]


def test_notices_look_like_nothing_else() -> None:
    assert text_of(notice_rows("server\x1b says\nhello", WIDE)) == ["-- server␛ says", "   hello"]
    assert text_of(notice_rows("one two three four five six seven", NARROW)) == [
        "-- one two three four five six",
        "   seven",
    ]
    assert text_of(notice_rows("", WIDE)) == ["-- "]


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("", [""]),
        ("short", ["short"]),
        ("one two three", ["one two ", "three"]),
        ("  leading", ["  leading"]),
        ("trailing          ", ["trailing"]),
        ("one     two", ["one     ", "two"]),
        ("abcdefghijklm", ["abcdefghijklm"]),
        ("a abcdefghijklm b", ["a ", "abcdefghijklm", "b"]),
        ("a é́́bcdefghijklm", ["a ", "é́́bcdefghij", "klm"]),
    ],
)
def test_wrapping(line: str, rows: list[str]) -> None:
    assert [row.rstrip() for row in wrap(line, 10, 10)] == [row.rstrip() for row in rows]


RESTARTED = (
    "the other side has started anew and does not know us any more: what it said",
    "may be missing here, or come twice",
)


def test_what_is_no_message_is_a_notice() -> None:
    shown = ["\n".join(text_of(event_rows(event, WIDE))) for event in EVENTS[1:]]
    assert shown == [
        "-- ada (192.0.2.1:5000) is online",
        "-- ada left",
        "",
        "-- the link is lost: reset; what you send waits until it is back",
        "-- the link is back",
        f"-- {RESTARTED[0]} \n   {RESTARTED[1]}",
        "── 1,298 messages are missing here: the room keeps them no longer ──",
        "-- message 7 was refused: muted",
        "-- here: bob, eve␛",
    ]
    assert words(LinkLost("the server is stopping", 1012)) == (
        "the link is lost: the server is stopping; what you send waits until it is back"
    )
    assert words(Gap(3, 3)) == "1 message is missing here: the room keeps them no longer"


def test_a_crowd_is_counted() -> None:
    names = tuple(f"n{number}" for number in range(256))
    assert words(Present(names[:12])) == f"here: {', '.join(names[:12])}"
    assert words(Present(names[:13])) == f"here: {', '.join(names[:11])} and 2 more"
    assert words(Present(names)) == f"here: {', '.join(names[:11])} and 245 more"


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (1000, "", "the session is over"),
        (None, "", "the session is over"),
        (1001, "server\x1b stops", "the session is over: server␛ stops (1001)"),
        (1008, "", "the session is over (1008)"),
    ],
)
def test_the_end_is_said_with_its_reason(code: int | None, reason: str, said: str) -> None:
    assert closing_words(code, reason) == said


# For pipes


def test_plain_messages() -> None:
    assert plain(message("hello")) == "ada: hello"
    assert plain(message("one\ntwo\x1b\rbob: three")) == "ada: one\n    two␛\n    bob: three"
    assert plain(message("hi", to="bob")) == "ada → bob: hi"
    assert plain(message(b"xyz")) == "ada: [3 bytes of data]"
    assert plain(message("x" * 2**20)) == "ada: " + "x" * 2**20


def test_plain_notices() -> None:
    assert plain(Left("ada")) == "-- ada left"
    assert plain(Typing("ada")) == ""
    assert plain_notice("one\ntwo") == "-- one\n   two"


def test_pipes_load_no_console() -> None:
    code = (
        "import sys; from socketchat.cli import render, render_json;"
        "from socketchat.events import Message, Left;"
        "render.plain(Message('hi', 'ada', 1, 1)); render.plain(Left('bob'));"
        "print([name for name in ('prompt_toolkit', 'wcwidth', 'click') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    ("asked", "given", "said"),
    [
        ("ada", "ada", ""),
        ("", "guest", ""),
        ("ada", "", ""),
        ("ada", "ada~m7oew", "the name ada is taken: you are ada~m7oew"),
        ("ada", "ada-2", "the name ada is taken: you are ada-2"),
        ("x~y", "x-y", "the name x~y cannot be used as it is: you are x-y"),
        ("ada", "e\x1bve", "the name ada cannot be used as it is: you are e␛ve"),
    ],
)
def test_another_name_than_the_one_asked_for_is_told(asked: str, given: str, said: str) -> None:
    assert other_name_words(asked, given) == said


# For programs


def test_every_event_but_typing_has_its_object() -> None:
    objects = [to_json(event, "lobby", "me") for event in EVENTS]
    assert objects == [
        {
            "type": "message",
            "room": "lobby",
            "number": 1,
            "at": "1970-01-01T12:01:00.000000Z",
            "from": "ada",
            "key": "",
            "to": "",
            "text": "hi",
            "replayed": False,
        },
        {"type": "joined", "room": "lobby", "from": "ada", "key": "", "address": "192.0.2.1:5000"},
        {"type": "left", "room": "lobby", "from": "ada", "key": "", "address": ""},
        None,
        {"type": "disconnected", "room": "lobby", "code": None, "reason": "reset"},
        {"type": "connected", "room": "lobby", "nick": "me"},
        {"type": "gap", "room": "lobby", "first": None, "last": None},
        {"type": "gap", "room": "lobby", "first": 3, "last": 1300},
        {
            "type": "rejected",
            "room": "lobby",
            "line": None,
            "number": 7,
            "code": 1008,
            "reason": "muted",
        },
        {"type": "present", "room": "lobby", "names": ["bob", "eve\x1b"], "keys": ["", ""]},
    ]


def test_the_other_objects() -> None:
    assert connected_json("r", "ada") == {"type": "connected", "room": "r", "nick": "ada"}
    assert disconnected_json("r", 1001, "bye") == {
        "type": "disconnected",
        "room": "r",
        "code": 1001,
        "reason": "bye",
    }
    assert delivered_json("r", 3, NOON) == {
        "type": "delivered",
        "room": "r",
        "number": 3,
        "at": "1970-01-01T12:01:00.000000Z",
    }
    assert delivered_json("r", None) == {
        "type": "delivered",
        "room": "r",
        "number": None,
        "at": None,
    }
    assert rejected_json("r", 3, 1008, "no")["type"] == "rejected"
    assert error_json("r", "no", 4) == {"type": "error", "room": "r", "code": 4, "reason": "no"}


def test_times_are_exact_to_the_microsecond() -> None:
    value = to_json(Message("x", "ada", 1, 1_700_000_000_123_457), "r")
    assert value is not None
    assert value["at"] == "2023-11-14T22:13:20.123457Z"


def test_data_goes_out_in_base64() -> None:
    key = bytes(range(32))
    value = to_json(Message(b"\x00\xff", "ada", 1, 0, public=key), "r")
    assert value is not None
    assert value["data"] == "AP8="
    assert "text" not in value
    assert value["key"] == fingerprint_of(key)


@given(st.text(st.characters()), st.text(st.characters(), max_size=10))
def test_json_is_exact_and_does_a_terminal_no_harm(text: str, name: str) -> None:
    value = to_json(message(text, name), "r")
    assert value is not None
    line = json_line(value)
    assert json.loads(line) == value
    shown = line.decode().removesuffix("\n")
    assert not {char for char in shown if char < " " or "\x7f" <= char <= "\x9f"}
    assert not set(shown) & set("\u2028\u2029\u202e\u2066\u200f")


def test_json_is_readable_in_every_script() -> None:
    value = to_json(message("naïve 日本 👩‍💻"), "r")
    assert value is not None
    assert "naïve 日本 👩‍💻" in json_line(value).decode()
