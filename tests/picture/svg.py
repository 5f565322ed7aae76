"""A terminal's screen as an SVG, for people on light pages and on dark ones.

A pure function of what pyte has on its screen: each run of characters that look alike is one text,
held to the terminal's columns whatever font there is. It loads nothing from elsewhere, so that a
page may show it as an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple
from xml.sax.saxutils import escape

import pyte
from pyte.screens import Char

__all__ = ["draw"]

#: The size of a character, of the letters in it, and of the border around them all.
WIDTH, HEIGHT, FONT_SIZE, BORDER = 8.4, 19.0, 14, 16.0
#: Where letters stand in their row, and how high the window's own title is.
BASELINE, TITLE = 14.0, 34.0

FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, Liberation Mono, monospace"
PAPER, INK, FRAME, FAINT = "#0d1117", "#e6edf3", "#6e7681", "#8b949e"
#: The terminal's own colours, as far as pyte has names for them; all others are numbers.
COLORS = {
    "black": "#484f58",
    "red": "#ff7b72",
    "green": "#3fb950",
    "brown": "#d29922",
    "blue": "#58a6ff",
    "magenta": "#bc8cff",
    "cyan": "#39c5cf",
    "white": "#b1bac4",
    "brightblack": FAINT,
}


class _Look(NamedTuple):
    """How characters look."""

    ink: str
    paper: str
    is_bold: bool
    is_italic: bool
    is_underlined: bool


class _Run(NamedTuple):
    """Characters of a row that look alike, from a column on, and how many columns they take."""

    column: int
    columns: int
    text: str
    look: _Look


def draw(screen: pyte.Screen, title: str, description: str) -> str:
    """Draw a screen, its cursor, and a window around it.

    Args:
        screen: The screen; its own title is the window's.
        title: What the picture is, in a few words.
        description: What is to be seen on it, for those who do not see it.
    """
    width = screen.columns * WIDTH + 2 * BORDER
    height = TITLE + screen.lines * HEIGHT + BORDER
    lines = [
        *_head(width, height),
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(description)}</desc>',
        *_window(screen.title, width, height),
        *_cursor(screen),
    ]
    for row in range(screen.lines):
        for run in _runs(screen, row):
            lines += _draw_run(run, row)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _head(width: float, height: float) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="title description"'
        f' font-family="{FONTS}" font-size="{FONT_SIZE}" fill="{INK}">'
    )


def _window(title: str, width: float, height: float) -> Iterator[str]:
    yield (
        f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8"'
        f' fill="{PAPER}" stroke="{FRAME}"/>'
    )
    yield f'<path d="M0.5 {TITLE - 8:g}H{width - 0.5:g}" stroke="{FRAME}" stroke-opacity="0.5"/>'
    for x in (18, 36, 54):
        yield f'<circle cx="{x}" cy="13.5" r="5" fill="{FRAME}"/>'
    yield (
        f'<text x="{width / 2:g}" y="18" text-anchor="middle" fill="{FAINT}" font-size="12">'
        f"{escape(title)}</text>"
    )


def _cursor(screen: pyte.Screen) -> Iterator[str]:
    if not screen.cursor.hidden:
        x, y = _place(screen.cursor.x, screen.cursor.y)
        yield _box(x, y, WIDTH, FAINT)


def _runs(screen: pyte.Screen, row: int) -> Iterator[_Run]:
    """Part a row where its look changes, and around characters that take two columns."""
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    # What stands behind a wide character is empty: it belongs to that.
    spans = [
        (column, 2 if cells[column + 1 : column + 2] and not cells[column + 1].data else 1)
        for column, cell in enumerate(cells)
        if cell.data
    ]
    for (look, is_wide), group in groupby(spans, lambda it: (_look(cells[it[0]]), it[1] == 2)):
        members = list(group)
        for part in [[one] for one in members] if is_wide else [members]:
            text = "".join(cells[column].data for column, _ in part)
            yield _Run(part[0][0], sum(columns for _, columns in part), text, look)


def _look(cell: Char) -> _Look:
    ink, paper = _color(cell.fg, INK), _color(cell.bg, PAPER)
    if cell.reverse:
        ink, paper = paper, ink
    return _Look(ink, paper, cell.bold, cell.italics, cell.underscore)


def _color(name: str, default: str) -> str:
    return default if name == "default" else COLORS.get(name, f"#{name}")


def _draw_run(run: _Run, row: int) -> Iterator[str]:
    x, y = _place(run.column, row)
    if run.look.paper != PAPER:
        yield _box(x, y, run.columns * WIDTH, run.look.paper)
    text = run.text
    if not run.look.is_underlined:  # blanks are seen only if there is a line under them
        text = run.text.strip(" ")
        x += WIDTH * (len(run.text) - len(run.text.lstrip(" "))) if text else 0
    if text:
        columns = run.columns - (len(run.text) - len(text))
        yield (
            f'<text xml:space="preserve" x="{x:g}" y="{y + BASELINE:g}"'
            f' textLength="{columns * WIDTH:g}" lengthAdjust="spacingAndGlyphs"'
            f"{_attributes(run.look)}>{escape(text)}</text>"
        )


def _attributes(look: _Look) -> str:
    fill = f' fill="{look.ink}"' if look.ink != INK else ""
    bold = ' font-weight="bold"' if look.is_bold else ""
    italic = ' font-style="italic"' if look.is_italic else ""
    line = ' text-decoration="underline"' if look.is_underlined else ""
    return fill + bold + italic + line


def _place(column: int, row: int) -> tuple[float, float]:
    return BORDER + column * WIDTH, TITLE + row * HEIGHT


def _box(x: float, y: float, width: float, color: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{HEIGHT:g}" fill="{color}"/>'
