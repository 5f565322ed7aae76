"""Whatever comes, in whatever state: events or one close code, and nothing else.

Any exception out of `receive_data` is a bug.
"""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from socketchat.core_events import CoreEvent, Failed
from socketchat.errors import Close, CloseCode
from socketchat.framing import HEADER_SIZE, FrameDecoder, encode_frame
from socketchat.messages import Bye, Event, WireMessage, decode, encode
from socketchat.options import Options
from socketchat.protocol import Side, State
from tests.core import ANY_MESSAGE, CHUNKS, RESTING, SAMPLES, Pair, cut, joined

C, S = Side.CLIENT, Side.SERVER
ANSWERS = {CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.TOO_BIG}
SMALL = Options(max_size=4096)

PLACES = st.sampled_from(RESTING)


def pair_at(state: State) -> Pair:
    return Pair(SMALL, SMALL).at(state)


def feed(pair: Pair, side: Side, chunks: list[bytes]) -> list[CoreEvent]:
    """Feed a core, and check that it does only what it may."""
    end = pair.ends[side]
    had_failed = end.state is State.FAILED
    said_bye = end.sent_bye
    end.data_to_send()
    events = [event for chunk in chunks for event in pair.feed(side, chunk)]
    assert all(isinstance(event, get_args(CoreEvent)) for event in events)
    failures = [event.close for event in events if isinstance(event, Failed)]
    assert len(failures) <= 1
    if had_failed:
        assert events == []
    if failures:
        assert isinstance(events[-1], Failed)
        assert failures[0].code in ANSWERS
        assert end.state is State.FAILED
        assert end.finished
        check_goodbye(end.data_to_send(), None if said_bye else failures[0])
    assert end._frames.buffered <= HEADER_SIZE + SMALL.max_size
    return events


def check_goodbye(data: bytes, expected: Close | None) -> None:
    """Check that what is written after a failure is one goodbye, and acknowledgements at most."""
    messages = [decode(body) for body in FrameDecoder().frames(data)]
    goodbyes = [Close(*message) for message in map(fields_of, messages) if message]
    assert goodbyes == ([expected] if expected else [])


def fields_of(message: WireMessage | None) -> tuple[int, str] | None:
    return (message.code, message.reason) if isinstance(message, Bye) else None


@given(PLACES, st.lists(st.binary(max_size=50), max_size=10))
def test_arbitrary_bytes(place: tuple[State, Side], chunks: list[bytes]) -> None:
    state, side = place
    feed(pair_at(state), side, chunks)


@given(PLACES, st.lists(st.binary(max_size=50), max_size=10), CHUNKS)
def test_arbitrary_frames(place: tuple[State, Side], bodies: list[bytes], sizes: list[int]) -> None:
    state, side = place
    feed(pair_at(state), side, cut(b"".join(map(encode_frame, bodies)), sizes))


_LIKELY = st.sampled_from(list(SAMPLES.values())) | ANY_MESSAGE


@given(PLACES, st.lists(_LIKELY, max_size=10), CHUNKS)
def test_arbitrary_messages(
    place: tuple[State, Side], messages: list[WireMessage], sizes: list[int]
) -> None:
    state, side = place
    feed(pair_at(state), side, cut(b"".join(map(encode, messages)), sizes))


def conversation() -> dict[Side, bytes]:
    """Return what each side says in a whole conversation, from the greeting to the goodbye."""
    pair = Pair(SMALL, SMALL)
    heard = dict.fromkeys(Side, b"")

    def exchange() -> None:
        for _ in range(6):
            for side in Side:
                heard[side] += pair.write(side)
                pair.read(side.other)

    exchange()
    for side in Side:
        pair.post(side, "one", b"two", "thrée" * 20)
        pair.ends[side].send_event(Event("typing", "ada"))
        pair.ends[side].ping(0)
    exchange()
    pair.post(C, "four")
    pair.write(C)
    pair.close(S)
    exchange()
    assert pair.client.finished
    assert pair.server.finished
    return heard


CONVERSATION = conversation()
HELLO = next(FrameDecoder().frames(CONVERSATION[C]))

EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["flip", "insert", "delete", "repeat"]),
        st.integers(0, 255),
    ),
    max_size=6,
)


def edited(stream: bytes, edits: list[tuple[float, str, int]]) -> bytes:
    """Spoil a stream at some places."""
    spoilt = bytearray(stream)
    for place, edit, value in edits:
        index = int(place * len(spoilt))
        match edit:
            case "flip":
                spoilt[index : index + 1] = bytes([value])
            case "insert":
                spoilt[index:index] = bytes([value])
            case "delete":
                del spoilt[index : index + value % 8 + 1]
            case "repeat":
                spoilt[index:index] = spoilt[index : index + value]
    return bytes(spoilt)


def pair_for(side: Side) -> tuple[Pair, bytes]:
    """Return a fresh pair, and what `side` is to hear in the conversation.

    A client waits for its welcome, so what it says behind its Hello comes in a chunk of its own.
    """
    pair = Pair(SMALL, SMALL)
    pair.lanes[side].sent = pair.lanes[side].written = 10  # what it hears to be held may be held
    stream = CONVERSATION[side.other]
    if side is S:
        hello = encode_frame(HELLO)
        pair.feed(S, hello)
        return pair, stream[len(hello) :]
    return pair, stream


@given(st.sampled_from(Side), EDITS, CHUNKS)
def test_spoilt_conversations(
    side: Side, edits: list[tuple[float, str, int]], sizes: list[int]
) -> None:
    pair, stream = pair_for(side)
    feed(pair, side, cut(edited(stream, edits), sizes))


@given(EDITS, CHUNKS)
def test_spoilt_hellos(edits: list[tuple[float, str, int]], sizes: list[int]) -> None:
    feed(Pair(SMALL, SMALL), S, cut(edited(encode_frame(HELLO), edits), sizes))


@given(PLACES, st.lists(_LIKELY, max_size=10), st.binary(max_size=6), CHUNKS, CHUNKS)
def test_any_chunking_gives_the_same_events(
    place: tuple[State, Side],
    messages: list[WireMessage],
    rest: bytes,
    some: list[int],
    others: list[int],
) -> None:
    state, side = place
    stream = b"".join(map(encode, messages)) + rest
    results = []
    for sizes in (some, others, []):
        pair = pair_at(state)
        pair.welcomes = False
        events = feed(pair, side, cut(stream, sizes))
        end = pair.ends[side]
        results.append((joined(events), end.state, pair.lanes[side].received, end.received_bye))
    assert results[0] == results[1] == results[2]


@given(st.sampled_from(Side), EDITS, CHUNKS, CHUNKS)
def test_any_chunking_of_a_spoilt_conversation_gives_the_same_events(
    side: Side, edits: list[tuple[float, str, int]], some: list[int], others: list[int]
) -> None:
    results = []
    for sizes in (some, others):
        pair, stream = pair_for(side)
        events = feed(pair, side, cut(edited(stream, edits), sizes))
        results.append((joined(events), pair.ends[side].state))
    assert results[0] == results[1]


def test_the_conversation_that_is_spoilt_is_whole() -> None:
    for side in Side:
        pair, stream = pair_for(side)
        pair.feed(side, stream)
        assert pair.ends[side].state is State.BOTH_LEFT
        assert len({type(decode(body)) for body in FrameDecoder(4096).frames(stream)}) >= 7
