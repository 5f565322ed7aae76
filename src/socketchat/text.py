"""Text from outside, made safe to show: on a terminal, in a title, in a log line.

A peer, a server, a file name or an error's words may hold anything: escape sequences, characters
that reorder a line, a thousand accents on one letter. `clean` makes such text harmless and
`clean_name` does the same for a name. Nothing is taken out as a *sequence*, because taking one out
can put a new one together: each code point is judged by itself, and what is left is judged by its
neighbours. Two clean texts side by side are clean.

A leaf: it does no I/O and knows neither sessions nor terminals. Data that is for programs (JSON,
the library's own values) is never cleaned; only what is shown is.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["LIMIT", "NAME_COLUMNS", "clean", "clean_name", "clip", "width"]

#: The most code points that `clean` shows of one text, unless told otherwise.
LIMIT = 65_536
#: The most columns that a name takes on a terminal.
NAME_COLUMNS = 24

_NAME_LIMIT = 3 * NAME_COLUMNS
_MARKS = 4
_NAME_MARKS = 2
#: Sorting a run of combining marks takes quadratic time in `unicodedata`: 65,536 of them take two
#: seconds. No more than this many in a row get that far; no script comes near.
_MARK_RUN = 32

_PLAIN = re.compile(r"[\n -~]*")
_PLAIN_NAME = re.compile(r"[!-~]+(?: [!-~]+)*")
_BREAKS = re.compile("\r\n|[\n\v\f\r\x85\u2028\u2029]")
_SPACES = re.compile("[ \u3000]+")

_REPLACEMENT = "\ufffd"
_DOTTED_CIRCLE = "\u25cc"
_JOINERS = "\u200c\u200d"
_VARIATIONS = "\ufe0e\ufe0f"
#: No base for a mark: a mark after one of these would fall onto what stands before the text.
_BLANK = " \n\u3000"
#: What takes an emoji variation without being a symbol.
_VARIABLE = "#*0123456789\u203c\u2049\u2139\u3030"
#: Invisible by design, though Unicode calls them letters, marks or symbols.
_DROPPED = frozenset("\u034f\u115f\u1160\u3164\uffa0\u17b4\u17b5\u2800")


def clean(text: str, *, multiline: bool = True, limit: int = LIMIT) -> str:
    """Make text from outside safe to show.

    The result holds no control character but the newline, nothing that changes the direction of
    a line, and nothing invisible that could hide a difference; what would have been one of those
    is visible (`␛`) or a replacement character. What scripts and emoji need is kept: joiners,
    accents, variation selectors. Cleaning twice changes nothing more.

    Args:
        text: Anything.
        multiline: Keep line breaks, as newlines; if false, a line break becomes a space.
        limit: The most code points of the result, at least 1; a longer text ends in `…`.

    Returns:
        The text in Unicode normalization form C.
    """
    if len(text) <= limit and _PLAIN.fullmatch(text):
        return text if multiline else text.replace("\n", " ")
    shown = _settle(_BREAKS.sub("\n", text[:limit]), marks=_MARKS, invisible=True)
    if not multiline:
        shown = shown.replace("\n", " ")
    if len(text) > limit or len(shown) > limit:
        shown = shown[: limit - 1].rstrip(_JOINERS) + "…"
    return shown


def clean_name(text: str) -> str:
    """Make a name from outside safe to show, and hard to mistake for another.

    On top of what `clean` does: one line, no joiners or variation selectors, at most two marks to
    a base, single spaces and none around it, at most 24 columns.

    Returns:
        The name, `?` if nothing is left of it.
    """
    if len(text) <= NAME_COLUMNS and _PLAIN_NAME.fullmatch(text):
        return text
    name = _settle(
        _BREAKS.sub(" ", text[:_NAME_LIMIT]).replace("\t", " "), marks=_NAME_MARKS, invisible=False
    )
    name = _SPACES.sub(" ", name).strip()
    if len(text) > _NAME_LIMIT or len(name) > _NAME_LIMIT or width(name) > NAME_COLUMNS:
        name = clip(name[: _NAME_LIMIT - 1], NAME_COLUMNS - 1).rstrip() + "…"
    return name or "?"


def width(text: str) -> int:
    """Tell how many columns one line of cleaned text takes on a terminal."""
    if text.isascii():
        return len(text)
    from wcwidth import width as columns  # noqa: PLC0415 - 15 ms; plain ASCII never needs it

    return columns(text)


def clip(text: str, columns: int) -> str:
    """Cut one line of cleaned text to at most `columns` columns, between characters as seen."""
    if text.isascii():
        return text[:columns]
    from wcwidth import clip as cut  # noqa: PLC0415 - as above

    return cut(text, 0, columns, fillchar="")


@lru_cache(maxsize=4096)
def _shown(char: str) -> str:
    """Give what is shown for one code point, whatever stands around it."""
    match unicodedata.category(char):
        case "Cc":
            return _shown_control(char)
        case "Cs" | "Co":
            return _REPLACEMENT
        case "Cn" if _is_noncharacter(ord(char)):
            return _REPLACEMENT
        case "Cf" if char not in _JOINERS:
            return ""
        case "Zs" if char != "\u3000":
            return " "
        case _ if char in _DROPPED or 0xE0000 <= ord(char) <= 0xE0FFF:
            return ""
        case _:
            return char


def _shown_control(char: str) -> str:
    if char == "\n":
        return char
    if char == "\t":
        return "    "
    if char < " ":
        return chr(0x2400 + ord(char))
    return "\u2421" if char == "\x7f" else _REPLACEMENT


def _is_noncharacter(point: int) -> bool:
    return 0xFDD0 <= point <= 0xFDEF or point & 0xFFFE == 0xFFFE


@lru_cache(maxsize=4096)
def _kind(char: str) -> str:
    """Give `M` for a mark, `J` for anything else that a joiner may join, else nothing."""
    category = unicodedata.category(char)
    if category[0] == "M":
        return "M"
    if char.isascii():
        return ""
    # Python's tables are older than today's emoji, so an unassigned one counts as the symbol it is.
    newer_emoji = category == "Cn" and 0x1F000 <= ord(char) <= 0x1FAFF
    return "J" if category[0] in "LS" or newer_emoji else ""


def _settle(text: str, *, marks: int, invisible: bool) -> str:
    """Judge each code point, then its neighbours, until normalizing changes nothing more.

    What is dropped from between a letter and its accent lets the two compose. That can happen
    once: what composes is a letter or a symbol, and no rule takes one of those out.
    """
    shown = unicodedata.normalize("NFC", "".join(_short_runs(text)))
    while True:
        shown = _scan(shown, marks, invisible=invisible)
        if unicodedata.is_normalized("NFC", shown):
            return shown
        shown = unicodedata.normalize("NFC", shown)


def _short_runs(text: str) -> list[str]:
    kept: list[str] = []
    run = 0
    for char in map(_shown, text):
        run = run + 1 if len(char) == 1 and unicodedata.combining(char) else 0
        if run <= _MARK_RUN:
            kept.append(char)
    return kept


def _scan(text: str, most_marks: int, *, invisible: bool) -> str:
    """Drop joiners, variations and marks that have no place; give an orphaned mark a base.

    A joiner is held back until it is known what follows it: what follows is what is *kept*.
    """
    kept: list[str] = []
    previous = "\n"
    marks = 0
    joiner = ""
    for char in text:
        if char in _JOINERS:
            if invisible and _kind(previous):
                joiner = char
            continue
        if char in _VARIATIONS:
            if invisible and not joiner and _takes_variation(previous):
                kept.append(char)
                previous = char
            continue
        kind = _kind(char)
        if kind != "M":
            marks = 0
        elif previous in _BLANK:
            kept.append(_DOTTED_CIRCLE)
            marks = 1
        elif marks == most_marks:
            continue
        else:
            marks += 1
        if joiner and kind:
            kept.append(joiner)
        joiner = ""
        kept.append(char)
        previous = char
    return "".join(kept)


def _takes_variation(base: str) -> bool:
    return base in _VARIABLE or (_kind(base) == "J" and not base.isalpha())
