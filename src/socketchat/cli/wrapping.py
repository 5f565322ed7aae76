"""One line of cleaned text, broken into the rows of a terminal.

It knows columns, nothing of what is shown in them: `render.py` lays that out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from socketchat.text import width

__all__ = ["span", "wrap"]

_TOKENS = re.compile("[ \u3000]+|[^ \u3000]+")


def wrap(line: str, first: int, rest: int) -> list[str]:
    """Break one line of cleaned text into rows, at blanks where there are any.

    It is done here and not by the terminal, which would go on in the first column: a message
    padded with blanks could then put a whole line there that looks like somebody else's. A word
    of plain ASCII that is longer than a row stays whole (one wants to copy an address), since
    without a blank it looks like nobody's line.

    Args:
        line: The text, without newlines.
        first: How many columns the first row has.
        rest: How many columns the others have.
    """
    if span(line) <= first:
        return [line]
    rows: list[str] = []
    row, free = "", first
    for token in _TOKENS.findall(line):
        if (size := span(token)) <= free:
            row, free = row + token, free - size
            continue
        if row or token.isspace():
            rows.append(row)
            row, free = "", rest
        if token.isspace():
            continue
        if size <= free or token.isascii():
            row, free = token, free - size
        else:
            *full, row = _pieces(token, free, rest)
            rows += full
            free = rest - span(row)
    return [*rows, row] if row or not rows else rows


def _pieces(word: str, first: int, rest: int) -> Iterator[str]:
    """Break one word where it must be, between characters as their readers see them."""
    from wcwidth import iter_graphemes  # 15 ms; only long words need it

    row, free = "", first
    for character in iter_graphemes(word):
        size = span(character)
        if row and size > free:
            yield row
            row, free = "", rest
        row, free = row + character, free - size
    yield row


def span(text: str) -> int:
    """Tell how many columns a text takes on a terminal that joins nothing.

    That is never less than `width`: terminals differ in what they join, and a row that is too long
    for one of them would go on in the first column.
    """
    if text.isascii():
        return len(text)
    from wcwidth import wcwidth  # as above

    apart = sum(
        max(wcwidth(char), 0 if unicodedata.category(char) in ("Mn", "Me", "Cf") else 1)
        for char in text
    )
    return max(apart, width(text))
