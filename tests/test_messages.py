"""What `socketchat.messages` promises: what may be said, and that nothing else gets through."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.errors import CloseCode
from socketchat.framing import HEADER_SIZE
from socketchat.messages import (
    VERSION,
    Ack,
    Bye,
    DataPost,
    Event,
    Greeting,
    Hello,
    Limits,
    MalformedMessage,
    Ping,
    TextPost,
    Welcome,
    WireMessage,
    decode,
    encode,
    peek_version,
)
from tests.core import ANY_MESSAGE, LANE, NONCE, SAMPLES


def body_of(message: WireMessage) -> bytes:
    """Return a message's frame without its length."""
    return encode(message)[HEADER_SIZE:]


def pack(*items: object) -> bytes:
    """Return the body of a message that consists of these items, whatever they are."""
    return msgspec.msgpack.encode(items)


def items_of(message: WireMessage) -> list[Any]:
    """Return what a message consists of."""
    items = msgspec.msgpack.decode(body_of(message))
    assert isinstance(items, list)
    return items


def code_of(body: bytes) -> CloseCode:
    """Return how a malformed message is answered."""
    with pytest.raises(MalformedMessage) as caught:
        decode(body)
    return caught.value.code


def attempt(body: bytes) -> WireMessage | CloseCode | None:
    """Return a message, or None for one to skip, or how a malformed one is answered."""
    try:
        return decode(body)
    except MalformedMessage as exc:
        return exc.code


KINDS = pytest.mark.parametrize("message", SAMPLES.values(), ids=[k.__name__ for k in SAMPLES])

NOT_AN_INT: list[object] = [None, True, False, 1.0, 1.5, "1", b"1", [], {}, -1, 2**63, 2**64 - 1]
NOT_A_TEXT: list[object] = [None, True, 1, 1.0, b"a", [], {}]
NOT_BYTES: list[object] = [None, True, 1, 1.0, "a", [], {}]


# ---- what was said is what is heard ----


@given(ANY_MESSAGE)
def test_decoding_gives_what_was_encoded(message: WireMessage) -> None:
    decoded = decode(body_of(message))
    assert decoded == message
    assert type(decoded) is type(message)


@given(ANY_MESSAGE)
def test_a_frame_says_how_long_its_body_is(message: WireMessage) -> None:
    frame = encode(message)
    assert int.from_bytes(frame[:HEADER_SIZE], "big") == len(frame) - HEADER_SIZE


def test_kinds_are_numbered_from_1_to_15_in_the_order_of_the_vocabulary() -> None:
    assert [items_of(message)[0] for message in SAMPLES.values()] == list(range(1, 16))


def test_text_with_lone_surrogates_cannot_be_said() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode(TextPost(1, "\ud800"))


def test_what_came_later_may_be_missing_and_then_says_nothing() -> None:
    """Peers of the first days know neither whose a post was nor where a log begins."""
    assert decode(pack(5, 1, "a", 7, "bob", "ada")) == TextPost(1, "a", 7, "bob", "ada", own=0)
    assert decode(pack(3, LANE, 1, "ada", "lobby", 5, 9)) == Welcome(
        LANE, 1, "ada", "lobby", 5, 9, after=(0, 0)
    )


def test_text_and_data_are_told_apart() -> None:
    assert decode(pack(5, 1, "a")) == TextPost(1, "a")
    assert decode(pack(6, 1, b"a")) == DataPost(1, b"a")
    assert code_of(pack(5, 1, b"a")) == code_of(pack(6, 1, "a")) == CloseCode.PROTOCOL_ERROR


# ---- version 1 can grow ----


@KINDS
def test_items_that_a_kind_does_not_have_are_skipped(message: WireMessage) -> None:
    extra = [7, "more", b"bytes", {"a": [1, None]}, 1.5]
    assert decode(pack(*items_of(message), *extra)) == message


def test_items_that_are_skipped_need_not_be_utf_8() -> None:
    assert decode(b"\x93\x07\x01" + b"\xa1\xff") == Ack(1)


def test_limits_may_have_items_that_are_not_known() -> None:
    assert decode(pack(1, VERSION, NONCE, "", [5000, 1, 2])) == Greeting(
        VERSION, NONCE, "", Limits(5000)
    )


@KINDS
def test_items_with_a_default_may_be_left_out(message: WireMessage) -> None:
    fields = msgspec.structs.fields(message)
    required = [field for field in fields if field.required]
    short = items_of(message)[: len(required) + 1]
    expected = type(message)(*(getattr(message, field.name) for field in required))
    assert decode(pack(*short)) == expected


@KINDS
def test_items_without_a_default_may_not_be_left_out(message: WireMessage) -> None:
    required = sum(field.required for field in msgspec.structs.fields(message))
    for count in range(required + 1):
        assert code_of(pack(*items_of(message)[:count])) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [0, 16, 99, 127, 128, 2**16, 2**32, 2**64 - 1, -1, -33, -(2**63)])
def test_unknown_kinds_are_skipped_whatever_they_say(kind: int) -> None:
    assert decode(pack(kind)) is None
    assert decode(pack(kind, "what", b"ever", [{}], None)) is None
    assert decode(b"\x92" + msgspec.msgpack.encode(kind) + b"\xa1\xff") is None


def test_an_unknown_kind_must_still_be_one_whole_array() -> None:
    whole = pack(99, "abc")
    for body in (whole[:-1], whole + b"\0", b"\x92\x63"):
        assert code_of(body) == CloseCode.PROTOCOL_ERROR


def test_skipping_costs_no_memory() -> None:
    count = 2**20
    body = b"\xdd" + count.to_bytes(4, "big") + b"\x63" + bytes(count - 1)
    tracemalloc.start()
    try:
        assert decode(body) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**16


# ---- what is malformed ----


@pytest.mark.parametrize("kind", [None, True, False, 1.0, "1", b"1", [1], {"1": 1}])
def test_a_kind_must_be_an_int(kind: object) -> None:
    assert code_of(pack(kind, 1)) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("wrong", NOT_AN_INT, ids=repr)
def test_numbers_must_be_ints_from_0_to_2_to_the_63(wrong: object) -> None:
    for body in (pack(7, wrong), pack(9, wrong), pack(5, wrong, ""), pack(5, 1, "", wrong)):
        assert code_of(body) == CloseCode.PROTOCOL_ERROR


def test_posts_are_numbered_from_1() -> None:
    assert code_of(pack(5, 0, "")) == code_of(pack(8, 0, 1008)) == CloseCode.PROTOCOL_ERROR
    assert decode(pack(7, 0)) == Ack(0)


@pytest.mark.parametrize("wrong", NOT_A_TEXT, ids=repr)
def test_texts_must_be_texts(wrong: object) -> None:
    for body in (
        pack(5, 1, wrong),
        pack(5, 1, "", 0, wrong),
        pack(12, 1000, wrong),
        pack(11, wrong),
    ):
        assert code_of(body) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("wrong", NOT_BYTES, ids=repr)
def test_bytes_must_be_bytes(wrong: object) -> None:
    for body in (pack(6, 1, wrong), pack(2, VERSION, wrong), pack(1, VERSION, wrong)):
        assert code_of(body) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "body",
    [
        pack(1, VERSION, bytes(15)),
        pack(1, VERSION, bytes(65)),
        pack(1, VERSION, NONCE, "x" * 65),
        pack(1, VERSION, NONCE, "", [4095]),
        pack(1, VERSION, NONCE, "", [2**32]),
        pack(1, VERSION, NONCE, "", 4096),
        pack(2, VERSION, bytes(15)),
        pack(2, VERSION, bytes(17)),
        pack(2, VERSION, LANE, "x" * 65),
        pack(2, VERSION, LANE, "", "x" * 65),
        pack(2, VERSION, LANE, "", "", bytes(17)),
        pack(2, VERSION, LANE, "", "", b"", [1]),
        pack(2, VERSION, LANE, "", "", b"", [1, 2, 3]),
        pack(2, VERSION, LANE, "", "", b"", 1),
        pack(2, VERSION, LANE, "", "", b"", [0, 0], 0, [4096], bytes(33)),
        pack(2, VERSION, LANE, "", "", b"", [0, 0], 0, [4096], b"", bytes(65)),
        pack(2, VERSION, LANE, "", "", b"", [0, 0], 0, [4096], b"", b"", "x" * 1025),
        pack(3, b""),
        pack(3, LANE, 0, "", "", 0, 0, [1]),
        pack(3, LANE, 0, "", "", 0, 0, [1, -1]),
        pack(3, LANE, 0, "", "", 0, 0, 1),
        pack(4, 999),
        pack(4, 5000),
        pack(5, 1, "", 0, "x" * 65),
        pack(5, 1, "", 0, "", "x" * 65),
        pack(5, 1, "", 0, "", "", -1),
        pack(6, 1, b"", 0, "", "", 2**63),
        pack(8, 1, 999),
        pack(11, "x" * 33),
        pack(11, "joined", "x" * 65),
        pack(11, "joined", "", "x" * 65),
        pack(12, 0),
        pack(12, 1000, "x" * 501),
        pack(13, "ada"),
        pack(13, [1]),
        pack(13, ["x" * 65]),
        pack(13, ["x"] * 257),
    ],
    ids=bytes.hex,
)
def test_every_bound_is_kept(body: bytes) -> None:
    assert code_of(body) == CloseCode.PROTOCOL_ERROR


def test_bounds_of_texts_count_code_points_and_not_bytes() -> None:
    assert decode(pack(12, 1000, "😀" * 500)) == Bye(1000, "😀" * 500)
    assert code_of(pack(12, 1000, "😀" * 501)) == CloseCode.PROTOCOL_ERROR


@KINDS
def test_what_follows_a_message_in_its_frame_is_an_error(message: WireMessage) -> None:
    assert code_of(body_of(message) + b"\0") == CloseCode.PROTOCOL_ERROR


@KINDS
def test_every_part_of_a_message_alone_is_an_error(message: WireMessage) -> None:
    body = body_of(message)
    assert {code_of(body[:count]) for count in range(len(body))} == {CloseCode.PROTOCOL_ERROR}


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\xc0", pack()[:0] + b"\x90", b"\xd4\1\1", b"\x92\x07\xd6\xff\0\0\0\1"]
    + [
        msgspec.msgpack.encode(thing) for thing in ({}, {"kind": 7}, 7, "text", b"bytes", 1.5, True)
    ],
    ids=bytes.hex,
)
def test_anything_but_an_array_of_plain_items_is_an_error(body: bytes) -> None:
    assert code_of(body) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("length", [2**16, 2**32 - 1])
def test_an_array_that_claims_to_be_huge_is_an_error_and_costs_no_memory(length: int) -> None:
    tracemalloc.start()
    try:
        for kind in (b"\x07\x01", b"\x63\x01", b"\x01\x01"):
            body = b"\xdd" + length.to_bytes(4, "big") + kind
            assert code_of(body) == CloseCode.PROTOCOL_ERROR
            assert peek_version(body) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**16


@pytest.mark.parametrize(
    "head",
    [b"", b"\x92\x63", b"\x93\x05\x01", b"\x93\x07\x01", b"\x93\x01\x02"],
    ids=["bare", "unknown kind", "text", "extra item", "greeting"],
)
@pytest.mark.parametrize("depth", [10_000, 1_000_000])
def test_deep_nesting_is_an_error_and_no_more(head: bytes, depth: int) -> None:
    body = head + b"\x91" * depth + b"\x01"
    assert code_of(body) == CloseCode.PROTOCOL_ERROR
    assert peek_version(body) is None


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc3"]
)
def test_bad_utf_8_is_told_from_other_errors(bad: bytes) -> None:
    text = bytes([0xA0 | len(bad)]) + bad
    for body in (
        b"\x93\x05\x01" + text,
        b"\x95\x05\x01\xa0\x00" + text,
        b"\x93\x0c\xcd\x03\xe8" + text,
        b"\x92\x0b" + text,
    ):
        assert code_of(body) == CloseCode.INVALID_DATA


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_message_or_skipped_or_malformed(body: bytes) -> None:
    found = attempt(body)
    if isinstance(found, CloseCode):
        assert found in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA)
    else:
        assert found is None or type(found) in SAMPLES
    assert isinstance(peek_version(body), int | None)


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary()
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(st.integers(0, 15), st.lists(_VALUES, max_size=12))
def test_arbitrary_items_are_a_message_or_skipped_or_malformed(kind: int, items: list[Any]) -> None:
    found = attempt(pack(kind, *items))
    if isinstance(found, CloseCode):
        assert found == CloseCode.PROTOCOL_ERROR
    else:
        assert (found is None) == (kind not in range(1, 14))
        if found is not None:
            # What was let through may be said again, and is then the same.
            assert decode(body_of(found)) == found


# ---- versions ----


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("version", [0, 1, 2, 255, 2**63 - 1, 2**64 - 1])
def test_a_version_is_found_however_a_later_one_goes_on(kind: int, version: int) -> None:
    assert peek_version(pack(kind, version)) == version
    assert peek_version(pack(kind, version, {"all": "new"}, 5)) == version
    bad_text = b"\x93" + pack(kind, version)[1:] + b"\xa1\xff"
    assert peek_version(bad_text) == version


@pytest.mark.parametrize(
    "body",
    [
        pack(1),
        pack(1, None),
        pack(1, True),
        pack(1, 1.0),
        pack(1, "1"),
        pack(1, [1]),
        pack(True, 1),
        pack(3, 1),
        pack(99, 1),
        pack("1", 1),
        pack(1, 1) + b"\0",
        pack(1, 1)[:-1],
        msgspec.msgpack.encode({1: 1}),
        b"\x92\x01\xa1\xff",
        b"\x92\xa1\xff\x01",
        b"",
    ],
    ids=bytes.hex,
)
def test_what_is_no_greeting_has_no_version(body: bytes) -> None:
    assert peek_version(body) is None


@given(ANY_MESSAGE)
def test_only_greeting_and_hello_bear_a_version(message: WireMessage) -> None:
    expected = message.version if isinstance(message, Greeting | Hello) else None
    assert peek_version(body_of(message)) == expected


def test_messages_are_frozen() -> None:
    message = Ping(1)
    with pytest.raises(AttributeError):
        message.number = 2  # type: ignore[misc]
    assert hash(Event("typing")) == hash(Event("typing"))
