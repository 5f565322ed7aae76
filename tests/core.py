"""What the tests of the core share: messages of every kind, and two ends joined without sockets.

Time is a number that stands still unless a test moves it. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

import pytest
from hypothesis import strategies as st

from socketchat.core_events import (
    Acknowledged,
    CoreEvent,
    Failed,
    HelloReceived,
    Received,
    Resumed,
    Welcomed,
)
from socketchat.errors import Close
from socketchat.framing import FrameDecoder, encode_frame
from socketchat.lanes import Lanes
from socketchat.messages import (
    MAX_NAME,
    MAX_PRESENT,
    MAX_REASON,
    VERSION,
    Ack,
    Answer,
    Bye,
    Command,
    DataPost,
    Event,
    Greeting,
    Hello,
    Limits,
    Ping,
    Pong,
    Post,
    Present,
    Refused,
    Reject,
    TextPost,
    Welcome,
    WireMessage,
    decode,
)
from socketchat.options import Options
from socketchat.outbox import MemoryOutbox, Outgoing
from socketchat.protocol import Protocol, Side, State

__all__ = [
    "ANY_MESSAGE",
    "BOTH_SIDES",
    "CHUNKS",
    "LANE",
    "NONCE",
    "OPTIONS",
    "RESTING",
    "SAMPLES",
    "SESSION",
    "UNKNOWN",
    "Pair",
    "bodies_of",
    "cut",
    "failure_of",
    "joined",
    "make_greeting",
    "make_hello",
    "make_lanes",
    "outgoing",
    "said",
]

LANE: Final = b"a client's lane."
SESSION: Final = b"a name of server"
NONCE: Final = bytes(range(32))
OPTIONS: Final = Options()
#: A frame of a kind that is not known.
UNKNOWN: Final = encode_frame(b"\x93\x63\x01\xc0")

BOTH_SIDES: Final = pytest.mark.parametrize("side", Side, ids=[side.value for side in Side])

#: One message of each kind, as it may be said between two ends that have each posted once.
SAMPLES: Final[dict[type, WireMessage]] = {
    Greeting: Greeting(VERSION, NONCE, "a server"),
    Hello: Hello(VERSION, LANE, "ada"),
    Welcome: Welcome(SESSION),
    Refused: Refused(1013, "full"),
    TextPost: TextPost(2, "hello"),
    DataPost: DataPost(2, b"hello"),
    Ack: Ack(1),
    Reject: Reject(1, 1008, "no"),
    Ping: Ping(1),
    Pong: Pong(1),
    Event: Event("typing", "ada"),
    Bye: Bye(1000, "done"),
    Present: Present(("ada",)),
    Command: Command(1, "kick", "eve"),
    Answer: Answer(1, 1000, "done"),
}


# ---- messages of every kind ----

_COUNTS = st.integers(0, 2**63 - 1) | st.integers(0, 300)
_NUMBERS = st.integers(1, 2**63 - 1) | st.integers(1, 300)
_NAMES = st.text(max_size=MAX_NAME)
_PLACES = st.tuples(_COUNTS, _COUNTS)
_NICKS = st.lists(_NAMES, max_size=4).map(tuple) | st.just(("x",) * MAX_PRESENT)
_IDS = st.binary(min_size=16, max_size=16)
_KEYS = st.binary(max_size=32)
_CODES = st.integers(1000, 4999)
_REASONS = st.text(max_size=30) | st.just("x" * MAX_REASON)
_LIMITS = st.builds(Limits, st.integers(4096, 2**32 - 1))

ANY_MESSAGE: Final[st.SearchStrategy[WireMessage]] = st.one_of(
    st.builds(Greeting, _COUNTS, st.binary(min_size=16, max_size=64), _NAMES, _LIMITS),
    st.builds(
        Hello,
        _COUNTS,
        _IDS,
        _NAMES,
        _NAMES,
        st.binary(max_size=16),
        _PLACES,
        _COUNTS,
        _LIMITS,
        st.binary(max_size=32),
        st.binary(max_size=64),
        st.text(max_size=40),
    ),
    st.builds(Welcome, _IDS, _COUNTS, _NAMES, _NAMES, _COUNTS, _COUNTS, _PLACES, _KEYS),
    st.builds(Refused, _CODES, _REASONS),
    st.builds(TextPost, _NUMBERS, st.text(), _COUNTS, _NAMES, _NAMES, _COUNTS, _KEYS),
    st.builds(DataPost, _NUMBERS, st.binary(), _COUNTS, _NAMES, _NAMES, _COUNTS, _KEYS),
    st.builds(Ack, _COUNTS),
    st.builds(Reject, _NUMBERS, _CODES, _REASONS),
    st.builds(Ping, _COUNTS),
    st.builds(Pong, _COUNTS),
    st.builds(Event, st.text(max_size=32), _NAMES, st.text(max_size=64), _KEYS),
    st.builds(Bye, _CODES, _REASONS),
    st.builds(Present, _NICKS, st.lists(_KEYS, max_size=4).map(tuple)),
    st.builds(Command, _COUNTS, st.text(max_size=32), st.text(max_size=40)),
    st.builds(Answer, _COUNTS, _CODES, st.text(max_size=40)),
)

#: The sizes of the chunks in which a stream comes; the last one goes on for ever.
CHUNKS: Final = st.lists(st.integers(1, 40), max_size=30)


def cut(stream: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut a stream into chunks of these sizes; what remains is the last one."""
    chunks, start = [], 0
    for size in sizes:
        chunks.append(stream[start : start + size])
        start += size
    return [chunk for chunk in [*chunks, stream[start:]] if chunk]


# ---- what an end is made of ----


def make_lanes(
    session: bytes = b"", *, max_messages: int = 4096, max_size: int = 4 * 2**20
) -> Lanes:
    return Lanes(LANE, MemoryOutbox(max_messages, max_size), session=session)


def make_greeting(max_size: int = 2**20, version: int = VERSION) -> Greeting:
    return Greeting(version, NONCE, "a server", Limits(max_size))


def make_hello(lanes: Lanes, max_size: int = 2**20, version: int = VERSION) -> Hello:
    after = (lanes.committed, lanes.at)
    return Hello(
        version, lanes.lane, "ada", session=lanes.session, after=after, limits=Limits(max_size)
    )


def outgoing(number: int, size: int = 10) -> Outgoing:
    return Outgoing(number, bytes(size))


# ---- what came of it ----


def joined(events: Iterable[CoreEvent]) -> list[CoreEvent]:
    """Put posts that came one behind the other into one event, whatever the chunks were."""
    result: list[CoreEvent] = []
    for event in events:
        if isinstance(event, Received) and result and isinstance(result[-1], Received):
            result[-1] = Received(result[-1].posts + event.posts)
        else:
            result.append(event)
    return result


def said(data: bytes) -> list[WireMessage | None]:
    """Return the messages in what a side wrote."""
    return [decode(body) for body in FrameDecoder(2**20).frames(data)]


def bodies_of(posts: Iterable[Post]) -> list[str | bytes]:
    return [post.body for post in posts]


def failure_of(events: Iterable[CoreEvent]) -> Close:
    """Return how the one and last failure among these events was answered."""
    *others, last = events
    assert isinstance(last, Failed)
    assert not any(isinstance(event, Failed) for event in others)
    return last.close


# ---- two ends ----


class Pair:
    """A client and a server on one link, and the bytes on their way between them.

    The server lets everyone in. Posts are held for good as they come, unless `commits` is False.

    Attributes:
        now: The time, in seconds.
        ends: The two cores.
        lanes: Their lanes; pass those of an older pair to go on with them over a new link.
        wire: What a side has written and the other has not read yet.
        events: What each core has reported.
        held: The posts that each side holds.
        acknowledged: Our posts that each side knows to be held by the other.
        resumed: What the server's `welcome` returned.
        commits: Whether posts are held for good, and acknowledged, as they come.
        welcomes: Whether the server lets the client in as soon as it asks.
    """

    def __init__(
        self,
        client_options: Options = OPTIONS,
        server_options: Options = OPTIONS,
        *,
        lanes: dict[Side, Lanes] | None = None,
        now: float = 0.0,
    ) -> None:
        self.now = now
        self.lanes = lanes or {Side.CLIENT: make_lanes(), Side.SERVER: make_lanes(SESSION)}
        mine = self.lanes[Side.CLIENT]
        hello = make_hello(mine, client_options.max_size)
        greeting = make_greeting(server_options.max_size)
        self.client = Protocol(Side.CLIENT, client_options, now, hello=hello, lanes=mine)
        self.server = Protocol(Side.SERVER, server_options, now, greeting=greeting)
        self.ends = {Side.CLIENT: self.client, Side.SERVER: self.server}
        self.wire = {side: bytearray() for side in Side}
        self.events: dict[Side, list[CoreEvent]] = {side: [] for side in Side}
        self.held: dict[Side, list[Post]] = {side: [] for side in Side}
        self.acknowledged: dict[Side, list[Outgoing]] = {side: [] for side in Side}
        self.resumed: Resumed | None = None
        self.commits = True
        self.welcomes = True

    def write(self, side: Side) -> bytes:
        """Let a side write what it wants to, and return it."""
        data = self.ends[side].data_to_send()
        self.wire[side] += data
        return data

    def read(self, side: Side, count: int | None = None) -> list[CoreEvent]:
        """Let a side read so many bytes of what is on its way to it, or all, and react."""
        wire = self.wire[side.other]
        data = bytes(wire[:count])
        del wire[: len(data)]
        return self.feed(side, data)

    def feed(self, side: Side, data: bytes) -> list[CoreEvent]:
        """Let a side read these bytes, and react."""
        events = self.ends[side].receive_data(data, self.now) if data else []
        for event in events:
            self._react(side, event)
        self.events[side] += events
        return events

    def _react(self, side: Side, event: CoreEvent) -> None:
        match event:
            # What came behind the question, before it was answered, may have been an error.
            case HelloReceived(hello) if self.welcomes and self.server.state is State.ASKED:
                lanes = self.lanes[Side.SERVER]
                self.resumed = self.server.welcome(lanes, hello, hello.nick, hello.room)
                self.acknowledged[side] += self.resumed.acknowledged
            case Welcomed(_, resumed):
                self.acknowledged[side] += resumed.acknowledged
            case Acknowledged(posts):
                self.acknowledged[side] += posts
            case Received(posts) if self.commits:
                self.held[side] += posts
                self.lanes[side].commit(posts[-1].number, posts[-1].at)
                self.ends[side].acknowledge()

    def run(self) -> Self:
        """Let both sides write and read until nothing moves any more."""
        while any(end.wants_to_send for end in self.ends.values()) or any(self.wire.values()):
            for side in Side:
                self.write(side)
                self.read(side.other)
        return self

    def post(self, side: Side, *bodies: str | bytes) -> Self:
        """Let a side post, and queue it."""
        for body in bodies:
            self.ends[side].send_post(self.lanes[side].post(body, at=0).frame)
        return self

    def close(self, side: Side, code: int = 1000, reason: str = "done") -> Self:
        """Let a side say goodbye, and queue it."""
        self.ends[side].close(code, reason, self.now)
        return self

    def again(self, client_options: Options = OPTIONS, server_options: Options = OPTIONS) -> Pair:
        """Go on with the same lanes over a new link; what is on its way on this one is lost."""
        return Pair(client_options, server_options, lanes=self.lanes, now=self.now)

    def at(self, state: State) -> Self:
        """Lead both cores to `state` by talk, as far as it is one in which each of them can rest.

        Where both talk, each has posted once, and that is held and acknowledged. A side that said
        goodbye alone has written it, and the other has not read it yet.
        """
        match state:
            case State.START | State.GREETED:
                return self
            case State.ASKED:
                self.welcomes = False
                return self.run()
            case State.FAILED:
                for side in Side:
                    self.feed(side, b"\xff" * 4)
                return self
        self.run().post(Side.CLIENT, "first").post(Side.SERVER, "first").run()
        match state:
            case State.CLIENT_LEFT:
                self.close(Side.CLIENT).write(Side.CLIENT)
            case State.SERVER_LEFT:
                self.close(Side.SERVER).write(Side.SERVER)
            case State.BOTH_LEFT:
                self.close(Side.CLIENT).run()
        return self


#: Where a core can rest: a client asks as soon as it is greeted, a goodbye is answered at once.
RESTING: Final = [
    (State.START, Side.CLIENT),
    (State.GREETED, Side.SERVER),
    (State.ASKED, Side.CLIENT),
    (State.ASKED, Side.SERVER),
    (State.OPEN, Side.CLIENT),
    (State.OPEN, Side.SERVER),
    (State.CLIENT_LEFT, Side.CLIENT),
    (State.SERVER_LEFT, Side.SERVER),
    (State.BOTH_LEFT, Side.CLIENT),
    (State.BOTH_LEFT, Side.SERVER),
    (State.FAILED, Side.CLIENT),
    (State.FAILED, Side.SERVER),
]
