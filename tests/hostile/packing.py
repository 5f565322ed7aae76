"""Frames and msgpack by hand, whole or broken, from the bytes that `docs/protocol.md` shows.

It knows nothing of the library: what is sent here may be wrong in any way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = [
    "array",
    "blob",
    "bye",
    "data_post",
    "event",
    "frame",
    "frames_of",
    "hello",
    "kind_of",
    "new_lane",
    "number",
    "number_at",
    "ping",
    "post",
    "text",
]

NIL = b"\xc0"


def number(value: int) -> bytes:
    """Return an integer that is not negative, in its shortest form."""
    if value < 0x80:
        return bytes([value])
    for mark, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if value < 256**size:
            return bytes([mark]) + value.to_bytes(size, "big")
    raise OverflowError(value)


def text(value: str | bytes) -> bytes:
    """Return a text; bytes are taken as they are, be they UTF-8 or not."""
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    if len(raw) < 32:
        return bytes([0xA0 | len(raw)]) + raw
    return b"\xdb" + len(raw).to_bytes(4, "big") + raw


def blob(value: bytes) -> bytes:
    """Return bytes."""
    return b"\xc6" + len(value).to_bytes(4, "big") + value


def array(*items: bytes) -> bytes:
    """Return an array of items that are packed already."""
    head = (
        bytes([0x90 | len(items)]) if len(items) < 16 else b"\xdc" + len(items).to_bytes(2, "big")
    )
    return head + b"".join(items)


def frame(body: bytes) -> bytes:
    """Put the length before a body."""
    return len(body).to_bytes(4, "big") + body


def new_lane() -> bytes:
    """Return the name of a new lane."""
    return os.urandom(16)


def hello(
    lane: bytes, nick: str = "mallory", *, room: str = "", history: int = 0, proof: bytes = b""
) -> bytes:
    """Return a Hello; `proof` is what stands in the place of key and signature, packed."""
    place = (blob(b""), array(number(0), number(0)), number(history), array(number(2**20)))
    who = (text(nick), text(room))
    proof = proof or blob(b"") * 2
    rest = b"".join((*who, *place)) + proof + text("")
    return frame(bytes([0x9C]) + number(2) + number(1) + blob(lane) + rest)


def post(place: int, body: str | bytes, to: str = "") -> bytes:
    """Return a TextPost."""
    return frame(array(number(5), number(place), text(body), number(0), text(""), text(to)))


def data_post(place: int, body: bytes) -> bytes:
    """Return a DataPost."""
    return frame(array(number(6), number(place), blob(body)))


def ping(place: int) -> bytes:
    """Return a Ping."""
    return frame(array(number(9), number(place)))


def event(kind: str) -> bytes:
    """Return an Event."""
    return frame(array(number(11), text(kind), text("mallory")))


def bye(code: int = 1000) -> bytes:
    """Return a Bye."""
    return frame(array(number(12), number(code), text("")))


def frames_of(stream: bytearray) -> Iterator[bytes]:
    """Take the bodies of all whole frames from the front of a stream."""
    while len(stream) >= 4 and len(stream) >= 4 + (size := int.from_bytes(stream[:4], "big")):
        body = bytes(stream[4 : 4 + size])
        del stream[: 4 + size]
        yield body


def kind_of(body: bytes) -> int:
    """Return the kind of a message that a server has sent."""
    return body[1]


def number_at(body: bytes, index: int) -> int:
    """Return the integer that begins at this byte."""
    sizes = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
    size = sizes.get(body[index], 0)
    return int.from_bytes(body[index + 1 : index + 1 + size], "big") if size else body[index]
