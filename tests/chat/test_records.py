"""Claims about `socketchat.chat.records`."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import astuple

from socketchat.chat.log import Entry
from socketchat.chat.records import encode, unpack

TEXT = Entry(1, 5, b"l" * 16, 7, "caf\u00e9", "ada", "bob", b"b" * 32, b"k" * 32)
DATA = Entry(2**62, 2**62, b"", 2**63 - 1, b"\xff\x00")


def records(*entries: Entry) -> bytes:
    return b"".join(encode(astuple(entry)) for entry in entries)


def test_what_is_packed_is_unpacked() -> None:
    assert unpack(0, b"") == []
    assert unpack(3, records(TEXT, DATA, TEXT)) == [TEXT, DATA, TEXT]


@pytest.mark.parametrize("body", [42, None, 1.5, True, ["a"], {"a": 1}])
def test_a_body_is_text_or_bytes_and_nothing_else(body: object) -> None:
    fields = list(astuple(TEXT))
    fields[4] = body
    with pytest.raises(msgspec.MsgspecError):
        unpack(2, records(DATA) + encode(tuple(fields)))


@pytest.mark.parametrize(
    ("count", "data"),
    [
        (1, b""),
        (2, records(TEXT)),
        (1, records(TEXT, DATA)),
        (1, records(TEXT)[:-1]),
        (1, encode(astuple(TEXT)[:-1])),
        (1, encode(("1", *astuple(TEXT)[1:]))),
    ],
)
def test_what_is_no_record_is_refused(count: int, data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        unpack(count, data)
