"""What a session reports, put into lines: for the console and for pipes.

Pure functions from values to text. The console gets rows of `(style, text)` pairs, which are
prompt_toolkit's formatted text but plain tuples, so that the mode for pipes never loads it; pipes
get `str`. All of it is cleaned here (`text.py`), and no line of a message can pass for another's:
what does not fit on a message's first line is indented.

It knows neither sessions nor terminals. `console.py` prints the rows; `render_json.py` does the
same for programs.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeAlias, assert_never

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
from socketchat.text import clean, clean_name, clip, width

__all__ = [
    "Row",
    "View",
    "closing_words",
    "dated",
    "event_rows",
    "name_style",
    "notice_rows",
    "other_name_words",
    "own_rows",
    "pending_row",
    "plain",
    "plain_notice",
    "words",
    "wrap",
]

Row: TypeAlias = list[tuple[str, str]]

#: Readable on black and on white, in the order of their hues: entries of the 256-colour palette.
_PALETTE = (
    *(131, 130, 64, 28, 29, 30, 31, 27, 62, 63),
    *(99, 98, 97, 129, 133, 164, 163, 162, 132, 161),
)
_CUBE = (0, 95, 135, 175, 215, 255)
_EPOCH = datetime.fromtimestamp(0, UTC)
#: Pipes get all that one message can hold; only a terminal is spared the longest ones.
_PLAIN_LIMIT = 2**21
_PLAIN_INDENT = "    "
#: The least room, in columns, that is worth filling after a name.
_LEAST_ROOM = 8
#: Names that are listed; a crowd is counted.
_MOST_NAMES = 12
_TOKENS = re.compile("[ \u3000]+|[^ \u3000]+")


@dataclass(frozen=True, slots=True)
class View:
    """Where rows are shown.

    Attributes:
        columns: The terminal's width.
        zone: The time zone of `HH:MM`; None for the machine's own.
    """

    columns: int = 80
    zone: tzinfo | None = None


# For the console


def event_rows(event: Event, view: View) -> list[Row]:
    """Lay an event out for the console; one that is not shown as a line gives none."""
    if isinstance(event, Message):
        name = clean_name(event.sender)
        who: Row = [(name_style(name), name)]
        if event.to:
            addressee = clean_name(event.to)
            who += [("class:time", " → "), (name_style(addressee), addressee)]
        return _said(who, _body(event), event.at, view)
    said = words(event)
    return notice_rows(said, view) if said else []


def own_rows(name: str, text: str, at: int, view: View, *, failure: str | None = None) -> list[Row]:
    """Lay out a line of our own whose fate is known.

    Args:
        name: Our own name, as the server gave it.
        text: What we said.
        at: When, in microseconds since the epoch.
        view: Where it is shown.
        failure: Why it was not sent; None if it was.
    """
    shown = clean_name(name) if name else "you"
    mark = ("class:sent", "✓ sent")
    if failure is not None:
        mark = ("class:failed", "✗ " + clean(failure, multiline=False))
    return _said([(name_style(shown), shown)], clean(text), at, view, mark)


def pending_row(text: str, columns: int) -> Row:
    """Lay out a line of our own whose fate is not known yet, as one row."""
    first, _, rest = clean(text.strip()).partition("\n")
    more = f" … +{rest.count(chr(10)) + 1}" if rest else ""
    room = max(columns - 2 - len(more), 0)
    if width(first) > room:
        first = clip(first, max(room - 1, 0)) + "…"
    return [("class:pending", f"… {first}{more}")]


def notice_rows(text: str, view: View) -> list[Row]:
    """Lay out something that is not a message: `-- text`."""
    rest = view.columns - 3
    wrapped = [row for line in clean(text).split("\n") for row in wrap(line, rest, rest)]
    lead = ["-- ", *["   "] * (len(wrapped) - 1)]
    return [[("class:notice", start + row)] for start, row in zip(lead, wrapped, strict=True)]


def name_style(name: str) -> str:
    """Choose a name's colour: always the same one, as XEP-0392 takes it from a hash."""
    angle = int.from_bytes(
        hashlib.sha1(name.encode(), usedforsecurity=False).digest()[:2], "little"
    )
    entry = _PALETTE[angle * len(_PALETTE) // 65536] - 16
    levels = (_CUBE[entry // 36], _CUBE[entry // 6 % 6], _CUBE[entry % 6])
    return "fg:#" + "".join(f"{level:02x}" for level in levels)


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
    if _span(line) <= first:
        return [line]
    rows: list[str] = []
    row, free = "", first
    for token in _TOKENS.findall(line):
        if (size := _span(token)) <= free:
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
            free = rest - _span(row)
    return [*rows, row] if row or not rows else rows


def _said(
    who: Row, text: str, at: int, view: View, mark: tuple[str, str] | None = None
) -> list[Row]:
    """Lay out `HH:MM name: text`, the text's further lines and rows indented."""
    lead: Row = [("class:time", f"{_clock(at, view.zone)} "), *who, ("", ": ")]
    taken = sum(width(part) for _, part in lead)
    indent = min(taken, max(8, view.columns // 4))
    rest = max(view.columns - indent, 1)
    first = view.columns - taken
    head, *others = text.split("\n")
    rows = wrap(head, first, rest) if first >= _LEAST_ROOM else ["", *wrap(head, rest, rest)]
    for other in others:
        rows += wrap(other, rest, rest)
    blank = " " * indent
    shown = [[*lead, ("", rows[0])], *([("", blank + row)] for row in rows[1:])]
    if mark is None:
        return shown
    style, words_of_mark = mark
    if sum(_span(part) for _, part in shown[-1]) + 1 + _span(words_of_mark) <= view.columns:
        shown[-1].append((style, " " + words_of_mark))
    else:
        shown += [[(style, blank + row)] for row in wrap(words_of_mark, rest, rest)]
    return shown


def _pieces(word: str, first: int, rest: int) -> Iterator[str]:
    """Break one word where it must be, between characters as their readers see them."""
    from wcwidth import iter_graphemes  # 15 ms; only long words need it

    row, free = "", first
    for character in iter_graphemes(word):
        size = _span(character)
        if row and size > free:
            yield row
            row, free = "", rest
        row, free = row + character, free - size
    yield row


def _span(text: str) -> int:
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


def _clock(at: int, zone: tzinfo | None) -> str:
    try:
        return (_EPOCH + timedelta(microseconds=at)).astimezone(zone).strftime("%H:%M")
    except (OverflowError, OSError, ValueError):  # it is the other side's number
        return "--:--"


def _body(message: Message, limit: int | None = None) -> str:
    if isinstance(message.body, bytes):
        return f"[{len(message.body)} bytes of data]"
    return clean(message.body) if limit is None else clean(message.body, limit=limit)


# In words, and for pipes


def words(event: Event) -> str:
    """Say in words what happened; nothing for a message, or for someone typing."""
    match event:
        case Message() | Typing():
            return ""
        case Joined(nick=nick, address=address):
            where = f" ({clean(address, multiline=False)})" if address else ""
            return f"{clean_name(nick)}{where} is online"
        case Left(nick=nick, address=address):
            where = f" ({clean(address, multiline=False)})" if address else ""
            return f"{clean_name(nick)}{where} left"
        case Present(nicks=nicks):
            return f"here: {_names(nicks)}"
        case LinkLost(reason=reason):
            why = f": {clean(reason, multiline=False)}" if reason else ""
            return f"the link is lost{why}; what you send waits until it is back"
        case LinkRestored():
            return "the link is back"
        case Restarted():
            return (
                "the other side has started anew and does not know us any more: "
                "what it said may be missing here, or come twice"
            )
        case Gap(first=first, last=last):
            many = "1 message is" if first == last else f"{last - first + 1:,} messages are"
            return f"{many} missing here: the room keeps them no longer"
        case Rejected(number=number, reason=reason):
            return f"message {number} was refused: {clean(reason, multiline=False)}"
        case _:
            assert_never(event)


def _names(nicks: tuple[str, ...]) -> str:
    """List names, and count what would be too many of them."""
    shown = nicks if len(nicks) <= _MOST_NAMES else nicks[: _MOST_NAMES - 1]
    names = ", ".join(map(clean_name, shown))
    more = len(nicks) - len(shown)
    return f"{names} and {more:,} more" if more else names


def closing_words(code: int | None, reason: str) -> str:
    """Say in words why a session is over."""
    why = f": {clean(reason, multiline=False)}" if reason else ""
    return f"the session is over{why}" + ("" if code in (None, 1000) else f" ({code})")


def plain(event: Event) -> str:
    """Lay an event out for pipes: `name: text`, further lines indented; else as a notice."""
    if not isinstance(event, Message):
        said = words(event)
        return plain_notice(said) if said else ""
    who = clean_name(event.sender) + (f" → {clean_name(event.to)}" if event.to else "")
    return f"{who}: {_body(event, _PLAIN_LIMIT)}".replace("\n", "\n" + _PLAIN_INDENT)


def dated(message: Message, room: str = "") -> str:
    """Lay out a message of the past: `YYYY-MM-DD HH:MM name: text`, and in which room it was."""
    try:
        when = (_EPOCH + timedelta(microseconds=message.at)).astimezone()
        stamp = when.strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        stamp = "---------- --:--"
    where = f" [{clean_name(room)}]" if room else ""
    return f"{stamp}{where} {plain(message)}"


def plain_notice(text: str) -> str:
    """Lay out something that is not a message for pipes: `-- text`."""
    return "-- " + clean(text, limit=_PLAIN_LIMIT).replace("\n", "\n   ")


def other_name_words(asked: str, given: str) -> str:
    """Say that somebody goes by another name than the one asked for; empty if it is that one."""
    if not asked or not given or given == asked:
        return ""
    asked, given = clean_name(asked), clean_name(given)
    # What a server puts behind a name tells it apart from another's.
    if given.startswith(asked) or ("~" in given and "~" not in asked):
        return f"the name {asked} is taken: you are {given}"
    return f"the name {asked} cannot be used as it is: you are {given}"
