"""What `socketchat.framing` promises, whatever the chunks."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.framing import (
    HEADER_SIZE,
    MAX_GREETING_SIZE,
    FrameDecoder,
    FrameTooBig,
    encode_frame,
)

BODIES = st.lists(st.binary(max_size=40), max_size=12)


def chunks_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Cut a stream at the given places."""
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[first:last] for first, last in pairwise(places)]


def decode_all(decoder: FrameDecoder, chunks: list[bytes]) -> list[bytes]:
    return [body for chunk in chunks for body in decoder.frames(chunk)]


def test_a_frame_is_its_length_in_four_bytes_and_the_body() -> None:
    assert encode_frame(b"abc") == b"\0\0\0\3abc"
    assert encode_frame(b"") == b"\0\0\0\0"


def test_a_body_of_4_gib_cannot_be_framed() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 2**32

    with pytest.raises(OverflowError):
        encode_frame(Huge())


@given(BODIES, st.lists(st.integers(0, 2000)))
def test_any_chunking_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(encode_frame, bodies))
    decoder = FrameDecoder()
    assert decode_all(decoder, chunks_of(stream, cuts)) == bodies
    assert decoder.buffered == 0


@given(BODIES, st.integers(1, 5))
def test_chunks_of_one_size_give_the_same_frames(bodies: list[bytes], size: int) -> None:
    stream = b"".join(map(encode_frame, bodies))
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert decode_all(FrameDecoder(), chunks) == bodies


def test_bodies_are_bytes_however_they_came() -> None:
    whole, pieces = FrameDecoder(), FrameDecoder()
    frame = encode_frame(b"abc")
    assert [type(body) for body in whole.frames(frame)] == [bytes]
    assert [type(body) for body in decode_all(pieces, [frame[:5], frame[5:]])] == [bytes]


@pytest.mark.parametrize("max_size", [MAX_GREETING_SIZE, 2**20, 2**32 - 2])
def test_a_length_of_4_gib_is_refused_at_its_fourth_byte(max_size: int) -> None:
    decoder = FrameDecoder(max_size)
    assert decode_all(decoder, [b"\xff", b"\xff", b"\xff"]) == []
    with pytest.raises(FrameTooBig, match=f"4294967295 bytes, at most {max_size} "):
        decode_all(decoder, [b"\xff"])


def test_a_long_body_is_taken_up_to_the_limit_and_not_one_byte_further() -> None:
    assert decode_all(FrameDecoder(10), [encode_frame(bytes(10))]) == [bytes(10)]
    with pytest.raises(FrameTooBig):
        decode_all(FrameDecoder(10), [encode_frame(bytes(11))[:HEADER_SIZE]])


def test_no_room_is_made_for_a_body_before_it_comes() -> None:
    decoder = FrameDecoder(2**32 - 1)
    tracemalloc.start()
    try:
        decode_all(decoder, [(2**30).to_bytes(4, "big"), b"x"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**16


def test_frames_before_one_that_is_too_big_are_still_given() -> None:
    decoder = FrameDecoder(10)
    frames = decoder.frames(encode_frame(b"one") + encode_frame(b"two") + encode_frame(bytes(11)))
    assert [next(frames), next(frames)] == [b"one", b"two"]
    with pytest.raises(FrameTooBig):
        next(frames)


def test_the_limit_may_be_raised_in_the_middle_of_a_chunk() -> None:
    decoder = FrameDecoder(10)
    long = bytes(5000)
    bodies = []
    for body in decoder.frames(encode_frame(b"raise it") + encode_frame(long)):
        bodies.append(body)
        decoder.max_size = 5000
    assert bodies == [b"raise it", long]


def test_the_limit_may_be_raised_while_a_frame_is_on_its_way() -> None:
    decoder = FrameDecoder(10)
    long = encode_frame(bytes(5000))
    for _ in decoder.frames(encode_frame(b"raise it") + long[:3]):
        decoder.max_size = 5000
    assert decode_all(decoder, [long[3:]]) == [bytes(5000)]


class CountingBuffer(bytearray):
    """Counts the bytes that are copied out of it."""

    copied = 0

    def __bytes__(self) -> bytes:
        self.copied += len(self)
        return bytes(memoryview(self))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_long_frame_in_tiny_chunks_is_copied_once_and_not_once_a_chunk(size: int) -> None:
    body = bytes(50_000)
    frame = encode_frame(body)
    decoder = FrameDecoder(len(body))
    decoder._partial = buffer = CountingBuffer()
    chunks = [frame[start : start + size] for start in range(0, len(frame), size)]
    assert decode_all(decoder, chunks) == [body]
    # Once as a header, which may come with what follows it, and once as a whole.
    assert buffer.copied <= len(frame) + HEADER_SIZE + size


@given(st.integers(0, 100), st.lists(st.integers(1, 30), max_size=60))
def test_no_more_is_buffered_than_one_frame_that_is_not_complete(
    size: int, cuts: list[int]
) -> None:
    decoder = FrameDecoder(size)
    stream = encode_frame(bytes(size)) * 20
    taken = bodies = 0
    for cut in cuts:
        bodies += len(list(decoder.frames(stream[taken : taken + cut])))
        taken = min(taken + cut, len(stream))
        assert decoder.buffered == taken - bodies * (HEADER_SIZE + size) < HEADER_SIZE + size


def test_a_stream_that_is_given_up_is_forgotten() -> None:
    decoder = FrameDecoder()
    assert list(decoder.frames(encode_frame(b"half of it")[:8])) == []
    decoder.clear()
    assert decoder.buffered == 0
    assert list(decoder.frames(encode_frame(b"whole"))) == [b"whole"]
