"""Attacks by what is in a message: wrong types in every field, msgpack that lies about itself."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.hostile.attack import Attack, Size, in_turns
from tests.hostile.frames import expect_complaint
from tests.hostile.packing import NIL, array, blob, frame, number, text
from tests.hostile.target import Target

__all__ = ["ATTACKS"]

_LIMITS = array(number(2**20))
_NONE = array(number(0), number(0))

#: Every kind of message, with all of its fields as they should be.
MESSAGES: dict[int, list[bytes]] = {
    1: [number(1), blob(bytes(32)), text("server"), _LIMITS],
    2: [
        number(1),
        blob(bytes(16)),
        text("mallory"),
        text(""),
        blob(b""),
        _NONE,
        number(0),
        _LIMITS,
        blob(b""),
        blob(b""),
        text(""),
    ],
    3: [blob(bytes(16)), number(0), text("x"), text("y"), number(0), number(0), _NONE, blob(b"")],
    4: [number(1008), text("no")],
    5: [number(1), text("hello"), number(0), text(""), text(""), number(0), blob(b"")],
    6: [number(1), blob(b"hello"), number(0), text(""), text(""), number(0), blob(b"")],
    7: [number(0)],
    8: [number(1), number(1008), text("no")],
    9: [number(1)],
    10: [number(1)],
    11: [text("typing"), text("mallory"), text(""), blob(b"")],
    12: [number(1000), text("")],
    13: [array(text("x")), array(blob(b""))],
    14: [number(1), text("kick"), text("mallory")],
    15: [number(1), number(1000), text("done")],
}

#: What stands where something else should: each is msgpack, or begins as if it were.
WRONG: dict[str, bytes] = {
    "nil": NIL,
    "true": b"\xc3",
    "-1": b"\xff",
    "the least integer": b"\xd3" + bytes([0x80]) + bytes(7),
    "2**63": b"\xcf" + (2**63).to_bytes(8, "big"),
    "2**64 - 1": b"\xcf" + b"\xff" * 8,
    "NaN": b"\xcb" + struct.pack(">d", float("nan")),
    "infinity": b"\xca" + struct.pack(">f", float("inf")),
    "text": text("x"),
    "bytes": blob(b"x"),
    "no array": array(),
    "arrays within": b"\x91" * 2000 + NIL,
    "map": b"\x81" + text("x") + NIL,
    "map with a key twice": b"\x82" + (text("x") + NIL) * 2,
    "map with maps for keys": b"\x81\x81\x80\xc0\xc0",
    "maps within": b"\x81\xc0" * 2000 + NIL,
    "extension": b"\xd4\x05\x00",
    "timestamp": b"\xd6\xff" + b"\xff" * 4,
    "unused": b"\xc1",
    "text of 4 GiB": b"\xdb\xff\xff\xff\xffx",
    "bytes of 4 GiB": b"\xc6\xff\xff\xff\xffx",
    "array of 4 G items": b"\xdd\xff\xff\xff\xff\xc0",
    "map of 4 G items": b"\xdf\xff\xff\xff\xff\xc0",
    "extension of 4 GiB": b"\xc9\xff\xff\xff\xff\x05x",
    "bad UTF-8": text(b"\xc3\x28"),
    "UTF-8 cut off": text(b"\xf0\x9f\x98"),
    "longer than needed UTF-8": text(b"\xc0\xaf"),
    "a surrogate": text(b"\xed\xa0\x80"),
    "beyond Unicode": text(b"\xf4\x90\x80\x80"),
    "NUL": text("\0"),
    "long": text("x" * 3000),
    "longer": text("\u202e" * 1000),
}


def wrong_bodies(kind: int) -> Iterator[bytes]:
    """Return the message of a kind with each field wrong in every way, and with fields missing."""
    fields = MESSAGES[kind]
    for index in range(len(fields)):
        for wrong in WRONG.values():
            yield array(number(kind), *fields[:index], wrong, *fields[index + 1 :])
        yield array(number(kind), *fields[:index])
    for wrong in WRONG.values():
        yield array(number(kind), *fields, wrong)  # a field too many
        yield array(wrong, *fields)
    yield bytes([0x80 | len(fields)]) + b"".join(number(n) + f for n, f in enumerate(fields))


async def wrong_fields(target: Target, size: Size) -> str:
    """Every field of every kind is wrong in every way, behind the greeting and instead of one."""
    bodies = [body for kind in MESSAGES for body in wrong_bodies(kind)]
    bodies = bodies[:: size.stride] * size.repeats
    early = list(wrong_bodies(2))[:: size.stride] * size.repeats
    await in_turns(lambda body: expect_complaint(target, frame(body), greet=True), bodies)
    await in_turns(lambda body: expect_complaint(target, frame(body), greet=False), early)
    return f"{len(bodies)} messages behind the greeting, {len(early)} instead of one"


ATTACKS = (Attack("wrong fields", wrong_fields),)
