"""The README's picture: a screen becomes the SVG that it should, and the one kept is a true one."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pyte

from tests.cli.processes import stage
from tests.picture.__main__ import DESCRIPTION, TARGET, TITLE
from tests.picture.conversation import play
from tests.picture.svg import COLORS, HEIGHT, INK, PAPER, WIDTH, draw
from tests.processes import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def drawn(written: str, columns: int = 12, rows: int = 2) -> ET.Element:
    """Draw what a terminal shows to which this was written, without its cursor."""
    screen = pyte.Screen(columns, rows)
    pyte.Stream(screen).feed(written + "\x1b[?25l")
    return ET.fromstring(draw(screen, "a title", "a description"))


def texts(picture: ET.Element) -> list[ET.Element]:
    """The texts on the screen: all but the window's title."""
    return [text for text in picture.iter(f"{SVG}text") if "textLength" in text.attrib]


def words(picture: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in texts(picture)]


def boxes(picture: ET.Element) -> list[dict[str, str]]:
    """What is drawn behind the characters: all rectangles but the window."""
    return [dict(box.attrib) for box in picture.iter(f"{SVG}rect")][1:]


def test_a_run_is_one_text_held_to_its_columns() -> None:
    (first, second) = texts(drawn("  ab c\r\n d"))
    assert first.attrib == {
        "{http://www.w3.org/XML/1998/namespace}space": "preserve",
        "x": "32.8",
        "y": "48",
        "textLength": "33.6",
        "lengthAdjust": "spacingAndGlyphs",
    }
    assert (first.text, second.text) == ("ab c", "d")
    assert float(second.attrib["x"]) == float(first.attrib["x"]) - WIDTH
    assert float(second.attrib["y"]) == float(first.attrib["y"]) + HEIGHT


def test_what_looks_different_is_a_text_of_its_own() -> None:
    picture = drawn("a\x1b[1mb\x1b[0;3mc\x1b[0;4m d\x1b[0;31me\x1b[0;90mf\x1b[0;38;5;131mg")
    assert words(picture) == ["a", "b", "c", " d", "e", "f", "g"]
    looks = [
        {key: value for key, value in text.attrib.items() if key[:4] in ("fill", "font", "text")}
        for text in texts(picture)
    ]
    for look in looks:
        del look["textLength"]
    assert looks == [
        {},
        {"font-weight": "bold"},
        {"font-style": "italic"},
        {"text-decoration": "underline"},
        {"fill": COLORS["red"]},
        {"fill": COLORS["brightblack"]},
        {"fill": "#af5f5f"},
    ]


def test_reversed_characters_stand_on_a_box_of_their_ink() -> None:
    picture = drawn("a\x1b[7mb \x1b[0;7;38;5;131mc\x1b[0m")
    assert words(picture) == ["a", "b", "c"]
    assert [text.get("fill") for text in texts(picture)] == [None, PAPER, PAPER]
    assert [(box["x"], box["width"], box["fill"]) for box in boxes(picture)] == [
        ("24.4", "16.8", INK),
        ("41.2", "8.4", "#af5f5f"),
    ]


def test_a_background_is_a_box_even_behind_blanks() -> None:
    picture = drawn("\x1b[41m  \x1b[0m")
    assert words(picture) == []
    assert [box["fill"] for box in boxes(picture)] == [COLORS["red"]]


def test_wide_characters_take_two_columns_and_what_follows_stands_behind_them() -> None:
    picture = drawn("a日本b")
    assert words(picture) == ["a", "日", "本", "b"]
    assert [text.get("textLength") for text in texts(picture)] == ["8.4", "16.8", "16.8", "8.4"]
    assert [text.get("x") for text in texts(picture)] == ["16", "24.4", "41.2", "58"]


def test_combining_marks_stay_with_their_base() -> None:
    (text,) = texts(drawn("x\u0323y"))
    assert text.text == "x\u0323y"
    assert text.get("textLength") == "16.8"


def test_what_means_something_in_xml_is_text() -> None:
    picture = drawn("<&>\"' ]]>", columns=20)
    assert words(picture) == ["<&>\"' ]]>"]

    screen = pyte.Screen(4, 1)
    pyte.Stream(screen).feed("\x1b]2;<a> & b\x07")
    named = ET.fromstring(draw(screen, "<title>", 'a & "b"'))
    assert [named.findtext(f"{SVG}{tag}") for tag in ("title", "desc")] == ["<title>", 'a & "b"']
    assert [text.text for text in named.iter(f"{SVG}text")] == ["<a> & b"]


def test_the_cursor_is_a_box_below_the_text() -> None:
    screen = pyte.Screen(4, 2)
    pyte.Stream(screen).feed("\r\nab")
    picture = ET.fromstring(draw(screen, "", ""))
    (cursor,) = boxes(picture)
    assert (cursor["x"], cursor["y"]) == ("32.8", "53")


def test_an_empty_screen_is_a_window() -> None:
    picture = drawn("", columns=10, rows=3)
    assert words(picture) == []
    assert picture.get("viewBox") == "0 0 116 107"


# The one that is kept


def comparable(picture: ET.Element) -> str:
    """What is to be read, without what differs from one run to the next."""
    return re.sub(
        r"\d\d:\d\d|(?<=:)\d+(?=\))| · (<1|\d+) ms| · lag \d+ s", "", "\n".join(words(picture))
    )


def test_the_picture_shows_what_the_console_shows(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        now = ET.fromstring(draw(play(it).screen, TITLE, DESCRIPTION))
    kept = ET.fromstring(TARGET.read_text("utf-8"))
    assert comparable(kept) == comparable(now), "take it anew: python -m tests.picture"


def test_the_picture_shows_what_the_readme_is_to_show() -> None:
    shown = "\n".join(words(ET.fromstring(TARGET.read_text("utf-8"))))
    for part in ("✓ sent", "*\nbob\nputs", "-- topic: ", "2:builds 3", "bob is typing", ">>"):
        assert part in shown
    assert len({text.get("fill") for text in texts(ET.fromstring(TARGET.read_text("utf-8")))}) >= 5


def test_the_picture_needs_nothing_else_and_says_what_it_is() -> None:
    text = TARGET.read_text("utf-8")
    assert len(text) < 40_000
    assert text.count("://") == text.count('xmlns="http://www.w3.org/2000/svg"') == 1
    picture = ET.fromstring(text)
    named = {part.get("id") for part in picture if part.tag in (f"{SVG}title", f"{SVG}desc")}
    assert picture.get("role") == "img"
    assert set(str(picture.get("aria-labelledby")).split()) == named
    assert not {part.tag for part in picture.iter()} & {
        f"{SVG}image",
        f"{SVG}style",
        f"{SVG}script",
    }


def test_the_readme_shows_it_with_words_for_those_who_do_not_see_it() -> None:
    found = re.search(
        r"!\[([^\]]+)\]\(docs/console\.svg\)", (ROOT / "README.md").read_text("utf-8")
    )
    assert found is not None
    assert len(found[1].split()) >= 8
