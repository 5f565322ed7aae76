"""What `socketchat.text` promises, over all of Unicode."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import iter_graphemes

from socketchat.text import LIMIT, NAME_COLUMNS, clean, clean_name, clip, width

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
INVISIBLE = set("\u034f\u115f\u1160\u3164\uffa0\u17b4\u17b5\u2800\u00ad\u180e\u200b\u2060\ufeff")

# Characters that the rules treat differently, and plain ones between them.
AWKWARD = st.sampled_from(
    "aé=<#1 \t\r\n\x00\x1b\x7f\x85\x9b\u2028\u200b\u200c\u200d\u200e\u202e\u2066\ufe0e\ufe0f\u0301"
    "\u0316\u0338\u093e\u094d\u20e3\u25cc\u3000\u00a0क한각\u1160ি\u09be\u09c7❤👩💻🏽\ud800\ue000\ufdd0"
    "\U0001ffff\U000e0041\U0001fae9…"
)
ANYTHING = st.text(st.one_of(AWKWARD, st.characters()), max_size=40)


def is_harmful(char: str) -> bool:
    """Tell whether a character must never be shown, newlines apart."""
    return (
        unicodedata.category(char) in ("Cc", "Cs", "Co")
        or char in BIDI
        or char in INVISIBLE
        or 0xE0000 <= ord(char) <= 0xE0FFF
        or char in "\u2028\u2029"
    )


EVERYTHING = [chr(point) for point in range(0x110000)]
#: All but what is alike: of the unassigned, private and surrogate ones, every 97th.
ASSIGNED = [
    char
    for char in EVERYTHING
    if ord(char) % 97 == 0 or unicodedata.category(char) not in ("Cn", "Co", "Cs")
]
HARMFUL = frozenset(filter(is_harmful, EVERYTHING))


def harm(text: str, allowed: str = "") -> set[str]:
    """List what must not be in a cleaned text."""
    return {hex(ord(char)) for char in set(text) & HARMFUL if char not in allowed}


def check_all(lines: list[str]) -> None:
    """Clean many lines, a block at a time, and check each block."""
    for first in range(0, len(lines), 256):
        text = "\n".join(lines[first : first + 256])
        shown = clean(text)
        assert not harm(shown, "\n"), ascii(text)
        assert clean(shown).split("\n") == shown.split("\n"), ascii(text)


def test_no_code_point_does_harm_by_itself() -> None:
    check_all(EVERYTHING)


def test_no_code_point_does_harm_among_others() -> None:
    check_all([f"a{char}é{char}👩{char}{char}\u0301" for char in ASSIGNED])


def test_no_code_point_does_harm_in_a_name() -> None:
    for first in range(0, len(ASSIGNED), 4):
        shown = clean_name("é".join(ASSIGNED[first : first + 4]))
        assert not harm(shown), ascii(shown)
        assert clean_name(shown) == shown, ascii(shown)


@given(ANYTHING, st.booleans(), st.integers(min_value=1, max_value=50))
def test_cleaning_twice_is_cleaning_once(text: str, multiline: bool, limit: int) -> None:
    once = clean(text, multiline=multiline, limit=limit)
    assert clean(once, multiline=multiline, limit=limit) == once
    assert len(once) <= limit


@given(ANYTHING)
def test_the_result_is_normalized_and_harmless(text: str) -> None:
    shown = clean(text)
    assert unicodedata.is_normalized("NFC", shown)
    assert not harm(shown, "\n")
    assert not harm(clean(text, multiline=False))


@given(ANYTHING, ANYTHING)
def test_clean_texts_side_by_side_make_nothing_new(first: str, second: str) -> None:
    together = clean(first) + clean(second)
    assert not harm(together, "\n")
    assert not harm(clean(together), "\n")


@given(ANYTHING)
def test_a_mark_never_falls_onto_what_stands_before_the_text(text: str) -> None:
    for line in clean(text).split("\n"):
        assert not line or unicodedata.category(line[0])[0] != "M"


@given(ANYTHING)
def test_a_name_is_one_short_line(text: str) -> None:
    name = clean_name(text)
    assert name
    assert clean_name(name) == name
    assert not harm(name)
    assert "\n" not in name
    assert "  " not in name
    assert name == name.strip()
    assert width(name) <= NAME_COLUMNS
    assert len(name) <= 3 * NAME_COLUMNS
    assert not set(name) & set("\u200c\u200d\ufe0e\ufe0f\u3000")


@pytest.mark.parametrize(
    "text",
    [
        "plain text, with ~punctuation!",
        "two\nlines\n",
        "naïve café",
        "👩‍💻 and 👩🏽‍🚒 and 👨‍👩‍👧‍👦",
        "👩‍❤️‍💋‍👨",
        "🏳️‍🌈 🏴‍☠️",
        "1️⃣ #️⃣ ☎︎ ❤️",
        "🇺🇳",
        "हिन्दी क्‍ष र्‍य",
        "বাংলা র‍্যাব",
        "می‌خواهم خانه‌ها",  # noqa: RUF001
        "ไทย น้ำ ที่",
        "한국어 日本語　中文",
        "עִבְרִית",
        "\U0001fae9",  # assigned only in Unicode 16
    ],
)
def test_what_people_write_is_kept(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("a\x00b\x08c", "a␀b␈c"),
        ("\x7f", "␡"),
        ("\x9b2J", "\ufffd2J"),
        ("tab\tbed", "tab    bed"),
        ("one\r\ntwo\rthree\x85four\u2028five\u2029six", "one\ntwo\nthree\nfour\nfive\nsix"),
        ("page\fbreak\vdown", "page\nbreak\ndown"),
        ("abc\u202edef", "abcdef"),
        ("zero\u200bwidth\ufeff\u00ad", "zerowidth"),
        ("\u3164\u115f\u2800", ""),
        ("tag\U000e0041\U000e007f", "tag"),
        ("hard\u00a0thin\u2009wide\u3000", "hard thin wide\u3000"),
        ("\ud800 \ue000 \ufdd0 \U0010ffff", "\ufffd \ufffd \ufffd \ufffd"),
        ("e\u0301", "é"),
        ("e\u200b\u0301", "é"),
        ("e\u200d\u0301", "é"),
        ("\u0301x", "◌\u0301x"),
        (" \u0316", " ◌\u0316"),
        ("x\n\u0316", "x\n◌\u0316"),
        ("a" + "\u0316" * 100, "a" + "\u0316" * 4),
        ("a\u200db", "ab"),
        ("क\u200d", "क"),
        ("क\u200da", "कa"),
        ("क\u200d\u200d\u200cक", "क\u200cक"),
        ("a\ufe0f", "a"),
        ("❤\ufe0f\ufe0f", "❤\ufe0f"),
    ],
)
def test_what_could_do_harm_is_made_visible_or_goes(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_line_break_becomes_a_space_where_one_line_is_wanted() -> None:
    assert clean("one\r\ntwo\nthree", multiline=False) == "one two three"
    assert clean("é\u2028ü", multiline=False) == "é ü"


def test_a_text_that_is_too_long_says_so() -> None:
    assert clean("x" * 11, limit=10) == "x" * 9 + "…"
    assert clean("\t" * 3, limit=10) == " " * 9 + "…"
    assert clean("x" * (LIMIT + 1)) == "x" * (LIMIT - 1) + "…"
    assert clean("क\u200dक\u200dक", limit=3) == "क…"


def test_taking_out_never_puts_together() -> None:
    # Stripping sequences would leave a new one behind: here nothing is stripped as a sequence.
    assert clean("\x1b\x1b[31m[31m") == "␛␛[31m[31m"
    assert clean("\x1b\u200b[2J") == "␛[2J"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ada", "ada"),
        ("ada lovelace-2", "ada lovelace-2"),
        ("  ada \t\n lovelace ", "ada lovelace"),
        ("ada\u3000\u00a0b", "ada b"),
        ("", "?"),
        ("\u200b\u3164", "?"),
        ("a\u200dda", "ada"),
        ("کتاب\u200cها", "کتابها"),  # noqa: RUF001
        ("o" + "\u0316" * 9, "o" + "\u0316" * 2),
        ("x" * 24, "x" * 24),
        ("x" * 25, "x" * 23 + "…"),
        ("日" * 13, "日" * 11 + "…"),
        ("ada: hi\x1b[0m", "ada: hi␛[0m"),
    ],
)
def test_names(name: str, shown: str) -> None:
    assert clean_name(name) == shown


def test_a_name_without_width_cannot_be_long() -> None:
    assert len(clean_name("\u1161" * 10_000)) <= 3 * NAME_COLUMNS


def test_clipping_falls_between_characters() -> None:
    assert clip("plain", 3) == "pla"
    assert clip("日本", 3) == "日"
    for columns in range(9):
        kept = clip("a👩‍💻é👨‍👩‍👧‍👦x", columns)
        assert width(kept) <= columns
        assert list(iter_graphemes("a👩‍💻é👨‍👩‍👧‍👦x"))[: len(list(iter_graphemes(kept)))] == list(
            iter_graphemes(kept)
        )


def test_hostile_text_takes_no_long_time() -> None:
    # Unlimited, normalizing this run of marks alone takes two seconds.
    before = time.process_time()
    clean("a" + "\u0301\u0316" * LIMIT)
    clean("क\u200d" * LIMIT)
    clean("e\u200d\u0301" * LIMIT)
    assert time.process_time() - before < 1.5
