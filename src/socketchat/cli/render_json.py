"""What a session reports, as the JSON objects that `--json` prints, one to a line.

Pure functions from values to objects, beside `render.py`, which does the same for people. The
objects are message, present, joined, left, renamed, topic, connected, disconnected, gap, delivered,
rejected and error. Nothing is cleaned here: a program gets exactly what was said.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, assert_never

from socketchat.errors import Close
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

__all__ = [
    "JSONObject",
    "connected_json",
    "delivered_json",
    "disconnected_json",
    "error_json",
    "json_line",
    "rejected_json",
    "to_json",
]

JSONObject: TypeAlias = dict[str, str | int | bool | list[str] | None]

_EPOCH = datetime.fromtimestamp(0, UTC)
# Exact JSON, but nothing in it that a terminal would obey: these may be escaped in any string.
_UNSHOWN = (
    *range(0x7F, 0xA0),
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
)
_ESCAPES = {point: f"\\u{point:04x}" for point in _UNSHOWN}


def to_json(event: Event, room: str, nick: str = "") -> JSONObject | None:
    """Make an event the object that `--json` prints. Text stays exactly as it came.

    Args:
        event: What happened.
        room: In which room; empty between plain peers.
        nick: Our own name.

    Returns:
        The object; None for an event that is no data (someone typing).
    """
    match event:
        case Message():
            return _message_json(event, room)
        case Joined() | Left():
            kind = "joined" if isinstance(event, Joined) else "left"
            who = {"from": event.nick, "key": event.key, "address": event.address}
            return {"type": kind, "room": room, **who}
        case LinkLost(reason=reason, code=code):
            # Only the end of a session has a code of its own.
            why = reason if code is None else str(Close(code, reason))
            return disconnected_json(room, None, why)
        case LinkRestored(server=server):
            return connected_json(room, nick, server)
        case Restarted():
            # What the other side had said and we did not get is lost, and nobody knows how much.
            return {"type": "gap", "room": room, "first": None, "last": None}
        case Gap(first=first, last=last):
            return {"type": "gap", "room": room, "first": first, "last": last}
        case Rejected(number=number, code=code, reason=reason):
            return rejected_json(room, number, code, reason)
        case Present(nicks=nicks, keys=keys):
            known = list(keys) or [""] * len(nicks)
            return {"type": "present", "room": room, "names": list(nicks), "keys": known}
        case Renamed(nick=old, now=new, key=key):
            return {"type": "renamed", "room": room, "from": old, "now": new, "key": key}
        case Topic(text=text, nick=author):
            return {"type": "topic", "room": room, "from": author, "text": text}
        case Typing():
            return None
        case _:
            assert_never(event)


def connected_json(room: str, nick: str, server: str = "") -> JSONObject:
    """Make the object for a link that came about, or came back, under this name of ours.

    Args:
        room: In which room.
        nick: Our name.
        server: At which server, if it is another one than before; else empty, and left out.
    """
    moved: JSONObject = {"server": server} if server else {}
    return {"type": "connected", "room": room, "nick": nick, **moved}


def disconnected_json(room: str, code: int | None, reason: str) -> JSONObject:
    """Make the object for a link that is lost (`code` is None) or a session that is over."""
    return {"type": "disconnected", "room": room, "code": code, "reason": reason}


def delivered_json(room: str, number: int | None, at: int | None = None) -> JSONObject:
    """Make the object for a message of ours that was acknowledged.

    Args:
        room: In which room.
        number: Its number in the room's log; None if it is not known.
        at: When it was said.
    """
    when = None if at is None else _rfc3339(at)
    return {"type": "delivered", "room": room, "number": number, "at": when}


def rejected_json(
    room: str, number: int | None, code: int, reason: str, line: int | None = None
) -> JSONObject:
    """Make the object for a message of ours that was refused for good.

    Args:
        room: In which room.
        number: Its number in our lane; None if it was not even sent.
        code: Why, as a close code says it.
        reason: Why, for people to read.
        line: Which line of the input it was; None if it was none.
    """
    return {
        "type": "rejected",
        "room": room,
        "line": line,
        "number": number,
        "code": code,
        "reason": reason,
    }


def error_json(room: str, reason: str, code: int | None = None) -> JSONObject:
    """Make the object for something that went wrong."""
    return {"type": "error", "room": room, "code": code, "reason": reason}


def json_line(value: JSONObject) -> bytes:
    """Write one object as one line, newline included.

    A parser gets exactly what went in. What a terminal would obey is escaped, so that the line
    does no harm where somebody looks at it.
    """
    line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)
    return line.encode(errors="backslashreplace") + b"\n"


def _message_json(message: Message, room: str) -> JSONObject:
    value: JSONObject = {
        "type": "message",
        "room": room,
        "number": message.number,
        "at": _rfc3339(message.at),
        "from": message.sender,
        "key": message.key,
        "to": message.to,
    }
    if isinstance(message.body, str):
        value["text"] = message.body
    else:
        value["data"] = base64.b64encode(message.body).decode()
    value["replayed"] = message.replayed
    return value


def _rfc3339(at: int) -> str | None:
    try:
        when = _EPOCH + timedelta(microseconds=at)
    except OverflowError:  # it is the other side's number
        return None
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")
