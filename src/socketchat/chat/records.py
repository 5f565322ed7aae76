"""Entries as records: how logs that outlive their process keep them, in SQLite and in Redis alike.

A record is an entry's nine fields in msgpack, in an array. Records stand one behind the other, so
that a whole page of them is one value. It knows neither of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from socketchat.chat.log import Entry

__all__ = ["encode", "unpack"]

# msgspec takes no `str | bytes`, which other formats cannot tell apart: `unpack` looks itself.
_Record = tuple[int, int, bytes, int, Any, str, str, bytes, bytes]
_BODY: Final = 4
_decode: Final = msgspec.msgpack.Decoder(list[_Record]).decode

#: Returns fields in msgpack.
encode: Final[Callable[[tuple[Any, ...]], bytes]] = msgspec.msgpack.Encoder().encode


def unpack(count: int, records: bytes) -> list[Entry]:
    """Return the entries of so many records, joined.

    Raises:
        msgspec.MsgspecError: They are none.
    """
    # An array of 32 bits length stands before them.
    rows = _decode(b"\xdd" + count.to_bytes(4, "big") + records)
    if not {type(row[_BODY]) for row in rows} <= {str, bytes}:
        raise msgspec.ValidationError("a body is neither text nor bytes")
    return [Entry(*row) for row in rows]
