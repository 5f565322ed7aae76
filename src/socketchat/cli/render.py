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
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple, TypeAlias, assert_never

from socketchat.cli.wrapping import span, wrap
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
    Renamed,
    Restarted,
    Topic,
    Typing,
)
from socketchat.text import clean, clean_name, clip, width
from socketchat.trust.known_hosts import as_typed

__all__ = [
    "MOST_ALIGNED",
    "Row",
    "View",
    "action_of",
    "closing_words",
    "dated",
    "day_of",
    "day_words",
    "event_rows",
    "listed",
    "name_style",
    "notice_rows",
    "other_name_words",
    "own_rows",
    "pending_row",
    "plain",
    "plain_notice",
    "rule_row",
    "words",
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
#: Columns in which names are aligned, at most, and the least columns of a terminal that does so.
MOST_ALIGNED = 12
_LEAST_COLUMNS = 60
#: How a text begins that says what its author does (XEP-0245).
_ACTION = "/me "


@dataclass(frozen=True, slots=True)
class View:
    """Where rows are shown.

    Attributes:
        columns: The terminal's width.
        zone: The time zone of `HH:MM`; None for the machine's own.
        names: Columns that names are aligned in, on terminals that have room for that.
    """

    columns: int = 80
    zone: tzinfo | None = None
    names: int = 0


# For the console


def event_rows(event: Event, view: View, *, is_mention: bool = False) -> list[Row]:
    """Lay an event out for the console; one that is not shown as a line gives none.

    Args:
        event: What happened.
        view: Where it is shown.
        is_mention: Whether it is a message that speaks to us, and is to be seen.
    """
    if isinstance(event, Message):
        name = clean_name(event.sender)
        style = name_style(name)
        if is_mention:
            style += " class:mention"
        return _said(_Said(style, name, event.to, _body(event), event.at), view)
    if isinstance(event, Gap):
        return [rule_row(words(event), view, "class:rule.gap")]
    said = words(event)
    return notice_rows(said, view) if said else []


def own_rows(
    name: str, text: str, at: int, view: View, *, to: str = "", failure: str | None = None
) -> list[Row]:
    """Lay out a line of our own whose fate is known.

    Args:
        name: Our own name, as the server gave it.
        text: What we said.
        at: When, in microseconds since the epoch.
        view: Where it is shown.
        to: The one whom it is for; empty is everyone.
        failure: Why it was not sent; None if it was.
    """
    shown = clean_name(name) if name else "you"
    mark = ("class:sent", "✓ sent")
    if failure is not None:
        mark = ("class:failed", "✗ " + clean(failure, multiline=False))
    return _said(_Said(name_style(shown), shown, to, clean(text), at), view, mark)


def pending_row(text: str, columns: int, *, is_held: bool = False) -> Row:
    """Lay out a line of our own that has no place in the room yet, as one row.

    Args:
        text: What we said.
        columns: The terminal's width.
        is_held: Whether the server has it.
    """
    first, _, rest = clean(text.strip()).partition("\n")
    more = f" … +{rest.count(chr(10)) + 1}" if rest else ""
    room = max(columns - 2 - len(more), 0)
    if width(first) > room:
        first = clip(first, max(room - 1, 0)) + "…"
    return [("class:pending", f"{'✓' if is_held else '…'} {first}{more}")]


def notice_rows(text: str, view: View) -> list[Row]:
    """Lay out something that is not a message: `-- text`."""
    rest = view.columns - 3
    wrapped = [row for line in clean(text).split("\n") for row in wrap(line, rest, rest)]
    lead = ["-- ", *["   "] * (len(wrapped) - 1)]
    return [[("class:notice", start + row)] for start, row in zip(lead, wrapped, strict=True)]


def rule_row(text: str, view: View, style: str = "class:rule") -> Row:
    """Lay out what parts what stands above it from what stands below."""
    room = max(view.columns - 6, 1)
    shown = clean(text, multiline=False)
    if span(shown) > room:
        shown = clip(shown, room - 1) + "…"
    return [(style, f"── {shown} ──")]


@lru_cache(maxsize=4096)
def name_style(name: str) -> str:
    """Choose a name's colour: always the same one, as XEP-0392 takes it from a hash."""
    angle = int.from_bytes(
        hashlib.sha1(name.encode(), usedforsecurity=False).digest()[:2], "little"
    )
    entry = _PALETTE[angle * len(_PALETTE) // 65536] - 16
    levels = (_CUBE[entry // 36], _CUBE[entry // 6 % 6], _CUBE[entry % 6])
    return "fg:#" + "".join(f"{level:02x}" for level in levels)


class _Said(NamedTuple):
    """What somebody has said: the style of the name, the name, for whom, what, and when."""

    style: str
    name: str
    to: str
    text: str
    at: int


def _said(said: _Said, view: View, mark: tuple[str, str] | None = None) -> list[Row]:
    """Lay out `HH:MM name: text`, the text's further lines and rows indented."""
    action = action_of(said.text) if not said.to else None
    text = said.text if action is None else action
    aligned = view.names if view.columns >= _LEAST_COLUMNS else 0
    who = _Who(said.style, said.name, said.to, is_action=action is not None)
    lead, taken = _lead(who, _clock(said.at, view.zone), aligned)
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
    mark_style, words_of_mark = mark
    if sum(span(part) for _, part in shown[-1]) + 1 + span(words_of_mark) <= view.columns:
        shown[-1].append((mark_style, " " + words_of_mark))
    else:
        shown += [[(mark_style, blank + row)] for row in wrap(words_of_mark, rest, rest)]
    return shown


class _Who(NamedTuple):
    """What stands before a text: whose it is, how the name looks, and for whom."""

    style: str
    name: str
    to: str
    is_action: bool


@lru_cache(maxsize=256)
def _lead(who: _Who, clock: str, aligned: int) -> tuple[tuple[tuple[str, str], ...], int]:
    """Return what stands before a text, and how many columns that takes.

    Kept, since somebody who says much says it within a minute.
    """
    names: Row = [(who.style, who.name)]
    if who.to:
        addressee = clean_name(who.to)
        names += [("class:time", " → "), (name_style(addressee), addressee)]
    taken = sum(width(part) for _, part in names)
    # Never cut: the end of a name may be what tells it from another.
    blank: Row = [("", " " * (aligned - taken))] if aligned > taken else []
    names = [("", "* "), *names, ("", " ")] if who.is_action else [*names, ("", ": ")]
    lead = (("class:time", f"{clock} "), *blank, *names)
    return lead, sum(width(part) for _, part in lead)


def _clock(at: int, zone: tzinfo | None) -> str:
    return _moment(at // 1_000_000, zone)[1]


def day_of(at: int, zone: tzinfo | None) -> date | None:
    """Return the day of a time; None if it is none that there is."""
    return _moment(at // 1_000_000, zone)[0]


@lru_cache(maxsize=256)
def _moment(second: int, zone: tzinfo | None) -> tuple[date | None, str]:
    """Return the day and the clock of a time in seconds.

    Kept, since it takes longer than all the rest of a line, of which there may be many a second.
    """
    try:
        when = (_EPOCH + timedelta(seconds=second)).astimezone(zone)
    except (OverflowError, OSError, ValueError):  # it is the other side's number
        return None, "--:--"
    return when.date(), f"{when:%H:%M}"


def day_words(day: date) -> str:
    """Return a day in words: `Friday, 27 November 2026`."""
    return f"{day:%A}, {day.day} {day:%B} {day.year}"


def action_of(text: str) -> str | None:
    """Return what a text says that its author does, `waves` of `/me waves`; None if it does not.

    As in XEP-0245, https://xmpp.org/extensions/xep-0245.html.
    """
    return text.removeprefix(_ACTION) if text.startswith(_ACTION) and text[4:].strip() else None


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
            return f"here: {listed(nicks)}"
        case Renamed(nick=old, now=new):
            return f"{clean_name(old)} is now {clean_name(new)}"
        case Topic(text=text, nick=nick):
            by = f" (by {clean_name(nick)})" if nick else ""
            shown = clean(text, multiline=False)
            return f"topic: {shown}{by}" if shown else f"the room has no topic any more{by}"
        case LinkLost(reason=reason):
            why = f": {clean(reason, multiline=False)}" if reason else ""
            return f"the link is lost{why}; what you send waits until it is back"
        case LinkRestored(server=server):
            at = f", at {clean(as_typed(server), multiline=False)}" if server else ""
            return f"the link is back{at}"
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


def listed(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    """List names, and count what would be too many of them."""
    shown = names if len(names) <= most else names[: most - 1]
    more = len(names) - len(shown)
    names = ", ".join(map(clean_name, shown))
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
    body = _body(event, _PLAIN_LIMIT)
    action = action_of(body) if not event.to else None
    said = f"{who}: {body}" if action is None else f"* {who} {action}"
    return said.replace("\n", "\n" + _PLAIN_INDENT)


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
