"""What `socketchat.protocol` promises on one link: the greeting and posts.

Its neighbours: `test_protocol_keepalive.py` (silence on either side), `test_protocol_table.py` (who
may say what when), `test_protocol_resume.py` (new links and goodbyes), `test_protocol_fuzz.py`
(whatever comes), `test_protocol_machine.py` (all of it at once).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from socketchat.core_events import (
    Acknowledged,
    CoreEvent,
    Failed,
    Greeted,
    HelloReceived,
    Passed,
    Received,
    RefusedByPeer,
    Rejection,
    SaidBye,
    Welcomed,
)
from socketchat.errors import Close, CloseCode, LocalProtocolError
from socketchat.framing import HEADER_SIZE, MAX_GREETING_SIZE, encode_frame
from socketchat.messages import (
    MAX_REASON,
    Ack,
    Bye,
    DataPost,
    Event,
    Hello,
    Ping,
    Reject,
    TextPost,
    Welcome,
    WireMessage,
    encode,
)
from socketchat.options import Options
from socketchat.protocol import Protocol, Side, State
from tests.core import (
    BOTH_SIDES,
    LANE,
    OPTIONS,
    SESSION,
    UNKNOWN,
    Pair,
    bodies_of,
    failure_of,
    make_greeting,
    make_hello,
    make_lanes,
    said,
)

C, S = Side.CLIENT, Side.SERVER


def kinds(events: list[CoreEvent]) -> list[type]:
    return [type(event) for event in events]


# ---- the greeting ----


def test_the_server_speaks_first() -> None:
    pair = Pair()
    assert pair.client.data_to_send() == b""
    assert said(pair.server.data_to_send()) == [make_greeting()]


def test_both_sides_are_open_once_the_client_is_welcomed() -> None:
    pair = Pair().run()
    assert (pair.client.state, pair.server.state) == (State.OPEN, State.OPEN)
    assert kinds(pair.events[S]) == [HelloReceived]
    assert kinds(pair.events[C]) == [Greeted, Welcomed]


def test_each_side_learns_what_the_other_said_of_itself() -> None:
    pair = Pair(Options(max_size=5000), Options(max_size=6000)).run()
    greeted, welcomed = pair.events[C]
    assert greeted == Greeted(make_greeting(6000))
    assert isinstance(welcomed, Welcomed)
    assert welcomed.welcome == Welcome(SESSION, 0, "ada")
    assert (pair.client.peer_max_size, pair.server.peer_max_size) == (6000, 5000)
    assert pair.lanes[C].session == SESSION


def test_the_greeting_may_come_byte_by_byte() -> None:
    pair = Pair()
    while State.OPEN not in (pair.client.state, pair.server.state) or any(pair.wire.values()):
        for side in Side:
            pair.write(side)
            pair.read(side.other, 1)
    assert kinds(pair.events[C]) == [Greeted, Welcomed]


def test_a_server_takes_its_time_to_let_a_client_in() -> None:
    pair = Pair().at(State.ASKED)
    assert (pair.server.state, pair.server.wants_to_send) == (State.ASKED, False)
    lanes = pair.lanes[S]
    pair.server.welcome(lanes, make_hello(pair.lanes[C]), "ada", "lobby")
    assert pair.run().client.state is State.OPEN


def test_a_refused_client_knows_why() -> None:
    pair = Pair().at(State.ASKED)
    pair.server.refuse(CloseCode.TRY_AGAIN_LATER, "full")
    assert pair.run().events[C][-1] == RefusedByPeer(1013, "full")
    assert (pair.client.state, pair.server.state) == (State.FAILED, State.FAILED)
    assert pair.client.finished
    assert pair.server.finished
    assert not pair.client.wants_to_send


@BOTH_SIDES
def test_either_side_may_say_goodbye_instead_of_greeting_on(side: Side) -> None:
    pair = Pair().at(State.ASKED).close(side, 1001, "going")
    pair.run()
    assert pair.events[side.other][-1] == SaidBye(Close(1001, "going"))
    assert {end.state for end in pair.ends.values()} == {State.FAILED}
    assert all(end.finished for end in pair.ends.values())


@pytest.mark.parametrize("at_once", [True, False])
def test_what_follows_a_refusal_is_not_looked_at(at_once: bool) -> None:
    pair = Pair().at(State.ASKED)
    pair.server.refuse(1008, "no")
    rest = encode(TextPost(1, "x")) + b"junk"
    refusal = pair.server.data_to_send()
    chunks = [refusal + rest] if at_once else [refusal, rest]
    events = [event for chunk in chunks for event in pair.feed(C, chunk)]
    assert events == [RefusedByPeer(1008, "no")]
    assert not pair.client.wants_to_send


@BOTH_SIDES
def test_unknown_kinds_are_skipped_in_the_greeting_and_after_it(side: Side) -> None:
    pair = Pair()
    pair.feed(side, UNKNOWN)
    pair.run()
    pair.feed(side, UNKNOWN + UNKNOWN)
    assert pair.post(side.other, "hello").run().held[side][0].body == "hello"


@pytest.mark.parametrize("version", [0, 2, 2**64 - 1])
def test_a_server_of_another_version_is_told_goodbye(version: int) -> None:
    client = Pair().client
    frame = encode_frame(b"\x93\x01" + b"\xcf" + version.to_bytes(8, "big") + b"\x80")
    (failed,) = client.receive_data(frame, 0)
    assert isinstance(failed, Failed)
    assert (failed.close.code, failed.version) == (CloseCode.PROTOCOL_ERROR, version)
    assert said(client.data_to_send()) == [Bye(1002, failed.close.reason)]
    assert f"version {version} " in failed.close.reason


def test_a_client_of_another_version_is_told_goodbye() -> None:
    pair = Pair()
    lanes = pair.lanes[C]
    hello = make_hello(lanes, version=2)
    client = Protocol(C, OPTIONS, 0, hello=hello, lanes=lanes)
    client.receive_data(pair.server.data_to_send(), 0)
    (failed,) = pair.server.receive_data(client.data_to_send(), 0)
    assert isinstance(failed, Failed)
    assert failed.version == 2
    assert client.receive_data(pair.server.data_to_send(), 0) == [SaidBye(failed.close)]
    assert client.finished
    assert pair.server.finished


def test_other_errors_in_the_greeting_are_not_taken_for_another_version() -> None:
    (failed,) = Pair().client.receive_data(encode(Ping(1)), 0)
    assert isinstance(failed, Failed)
    assert failed.version is None


@BOTH_SIDES
def test_no_frame_above_4_kib_is_taken_in_the_greeting(side: Side) -> None:
    length = (MAX_GREETING_SIZE + 1).to_bytes(HEADER_SIZE, "big")
    assert failure_of(Pair().feed(side, length)).code == CloseCode.TOO_BIG


@BOTH_SIDES
def test_a_frame_of_4_kib_is_taken_in_the_greeting(side: Side) -> None:
    body = b"\x92\x63\xc5\x0f\xfb" + bytes(4091)
    assert len(body) == MAX_GREETING_SIZE
    assert Pair().feed(side, encode_frame(body)) == []


@pytest.mark.parametrize(
    "opening", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x02\0"]
)
@BOTH_SIDES
def test_other_protocols_are_told_at_their_first_four_bytes(side: Side, opening: bytes) -> None:
    pair = Pair()
    assert pair.feed(side, opening[:3]) == []
    assert failure_of(pair.feed(side, opening[3:4])).code == CloseCode.TOO_BIG


def test_a_client_may_not_talk_before_it_is_welcomed() -> None:
    pair = Pair().at(State.ASKED)
    close = failure_of(pair.feed(S, encode(TextPost(1, "early"))))
    assert close == Close(1002, "TextPost from the client while asked")


def test_a_long_post_right_behind_the_welcome_is_taken() -> None:
    pair = Pair()
    pair.post(S, "x" * 10_000)
    pair.run()
    assert bodies_of(pair.held[C]) == ["x" * 10_000]


@pytest.mark.parametrize("attempt", ["welcome", "refuse"])
@pytest.mark.parametrize("state", [State.GREETED, State.OPEN, State.FAILED])
def test_only_a_client_that_asks_is_let_in_or_refused(attempt: str, state: State) -> None:
    pair = Pair().at(state)
    lanes = make_lanes(SESSION)
    lanes.post("kept", at=0)
    lanes.received = 3
    hello = Hello(1, LANE, session=SESSION, after=(1, 0))
    attempts: dict[str, Callable[[], object]] = {
        "welcome": lambda: pair.server.welcome(lanes, hello, "", ""),
        "refuse": lambda: pair.server.refuse(1008, ""),
    }
    with pytest.raises(LocalProtocolError):
        attempts[attempt]()
    assert (len(lanes.outbox), lanes.received, pair.server.state) == (1, 3, state)


@BOTH_SIDES
def test_a_long_reason_is_cut_to_what_may_be_said(side: Side) -> None:
    pair = Pair().run().close(side, reason="x" * 1000).run()
    assert pair.events[side.other][-1] == SaidBye(Close(1000, "x" * MAX_REASON))


# ---- posts ----


@BOTH_SIDES
def test_posts_arrive_in_order_and_are_acknowledged(side: Side) -> None:
    pair = Pair().run().post(side, "one", b"two", "three").run()
    assert bodies_of(pair.held[side.other]) == ["one", b"two", "three"]
    assert [post.number for post in pair.acknowledged[side]] == [1, 2, 3]
    assert len(pair.lanes[side].outbox) == 0


@BOTH_SIDES
def test_both_sides_post_at_the_same_time(side: Side) -> None:
    pair = Pair().run()
    for number in range(5):
        pair.post(side, f"a{number}").post(side.other, f"b{number}")
        pair.write(side)
    pair.run()
    assert bodies_of(pair.held[side.other]) == [f"a{number}" for number in range(5)]
    assert bodies_of(pair.held[side]) == [f"b{number}" for number in range(5)]


@BOTH_SIDES
def test_numbers_may_have_gaps(side: Side) -> None:
    pair = Pair().run()
    (received,) = pair.feed(side, encode(TextPost(3, "a")) + encode(DataPost(2**63 - 1, b"b")))
    assert received == Received([TextPost(3, "a"), DataPost(2**63 - 1, b"b")])
    assert said(pair.write(side)) == [Ack(2**63 - 1)]


@BOTH_SIDES
def test_repeats_are_dropped_and_acknowledged_again(side: Side) -> None:
    pair = Pair().run().post(side.other, "one", "two").run()
    for number in (1, 2, 1):
        assert pair.feed(side, encode(TextPost(number, "again"))) == []
        assert said(pair.write(side)) == [Ack(2)]
    assert bodies_of(pair.held[side]) == ["one", "two"]


@BOTH_SIDES
def test_posts_are_not_acknowledged_before_they_are_held_for_good(side: Side) -> None:
    pair = Pair().run()
    pair.commits = False
    pair.post(side.other, "one", "two", "three").run()
    assert not pair.ends[side].wants_to_send
    pair.lanes[side].commit(2)
    pair.ends[side].acknowledge()
    pair.run()
    assert [post.number for post in pair.acknowledged[side.other]] == [1, 2]


@BOTH_SIDES
def test_a_repeat_of_a_post_that_is_not_held_yet_is_not_acknowledged_early(side: Side) -> None:
    pair = Pair().run()
    pair.commits = False
    pair.feed(side, encode(TextPost(1, "x")) * 2)
    assert said(pair.write(side)) == [Ack(0)]


@BOTH_SIDES
def test_acknowledgements_are_cumulative_and_old_ones_mean_nothing(side: Side) -> None:
    pair = Pair().run()
    pair.commits = False
    pair.post(side, *"abcde").run()
    for number, expected in ((0, []), (2, [1, 2]), (1, []), (2, []), (5, [3, 4, 5]), (5, [])):
        events = pair.feed(side, encode(Ack(number)))
        numbers = [p.number for e in events if isinstance(e, Acknowledged) for p in e.posts]
        assert numbers == expected
        assert len(events) == bool(expected)


@pytest.mark.parametrize("answer", [Ack(2), Reject(2, 1008), Ack(2**63 - 1)])
@BOTH_SIDES
def test_what_was_never_sent_can_be_neither_held_nor_refused(
    side: Side, answer: WireMessage
) -> None:
    pair = Pair().run().post(side, "one")
    pair.ends[side].data_to_send()
    close = failure_of(pair.feed(side, encode(answer)))
    assert close.code == CloseCode.PROTOCOL_ERROR
    assert "the last one sent is 1" in close.reason
    assert len(pair.lanes[side].outbox) == 1


@BOTH_SIDES
def test_what_was_not_written_yet_cannot_be_held(side: Side) -> None:
    # Or a peer that does not read could have us take more and more posts for a blocked link.
    pair = Pair().run().post(side, "one")
    assert failure_of(pair.feed(side, encode(Ack(1)))).code == CloseCode.PROTOCOL_ERROR
    assert len(pair.lanes[side].outbox) == 1


@BOTH_SIDES
def test_a_refused_post_is_reported_and_the_others_go_on(side: Side) -> None:
    pair = Pair().run()
    pair.commits = False
    pair.post(side, "one", "two", "three").run()
    pair.ends[side.other].reject(2, 4001, "muted")
    (rejection,) = pair.run().events[side][-1:]
    assert isinstance(rejection, Rejection)
    assert (rejection.post.number, rejection.code, rejection.reason) == (2, 4001, "muted")
    assert pair.feed(side, encode(Reject(2, 4001, "muted"))) == []
    pair.lanes[side.other].commit()
    pair.ends[side.other].acknowledge()
    pair.run()
    assert [post.number for post in pair.acknowledged[side]] == [1, 3]
    assert len(pair.lanes[side].outbox) == 0


@BOTH_SIDES
def test_what_comes_in_one_chunk_is_reported_in_order(side: Side) -> None:
    pair = Pair().run()
    event = Event("typing", "ada")
    first, second, third = (TextPost(number, "x") for number in (1, 2, 3))
    data = encode(first) + encode(second) + encode(event) + encode(third)
    assert pair.feed(side, data) == [Received([first, second]), Passed(event), Received([third])]


@BOTH_SIDES
def test_posts_before_an_error_are_reported_before_it(side: Side) -> None:
    pair = Pair().run()
    events = pair.feed(side, encode(TextPost(1, "x")) + encode_frame(b"junk"))
    assert kinds(events) == [Received, Failed]
    # They are held and acknowledged all the same.
    assert isinstance(events[-1], Failed)
    assert said(pair.write(side)) == [Bye(*events[-1].close), Ack(1)]


@BOTH_SIDES
def test_passing_events_pass(side: Side) -> None:
    pair = Pair().run()
    assert pair.ends[side].send_event(Event("joined", "ada", "10.0.0.1"))
    assert pair.run().events[side.other][-1] == Passed(Event("joined", "ada", "10.0.0.1"))


@pytest.mark.parametrize("max_size", [4096, 5000])
@BOTH_SIDES
def test_no_frame_above_our_own_limit_is_taken(side: Side, max_size: int) -> None:
    own, other = Options(max_size=max_size), Options(max_size=4500)
    pair = (Pair(own, other) if side is C else Pair(other, own)).run()
    overhead = len(encode(TextPost(1, "x" * 4000))) - HEADER_SIZE - 4000
    fitting = encode(TextPost(1, "x" * (max_size - overhead)))
    assert kinds(pair.feed(side, fitting)) == [Received]
    close = failure_of(pair.feed(side, (max_size + 1).to_bytes(HEADER_SIZE, "big")))
    assert close == Close(1009, f"frame of {max_size + 1} bytes, at most {max_size} are taken")


@BOTH_SIDES
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\x92\x07\xa1x", CloseCode.PROTOCOL_ERROR),
        (b"\x93\x05\x01\xa1\xff", CloseCode.INVALID_DATA),
        (b"", CloseCode.PROTOCOL_ERROR),
    ],
)
def test_a_malformed_frame_is_answered_with_its_code(side: Side, body: bytes, code: int) -> None:
    pair = Pair().run()
    assert failure_of(pair.feed(side, encode_frame(body))).code == code
    bye = pair.run().events[side.other][-1]
    assert isinstance(bye, SaidBye)
    assert bye.close.code == code


@BOTH_SIDES
def test_nothing_is_taken_after_an_error(side: Side) -> None:
    pair = Pair().run()
    bad, good = encode_frame(b""), encode(TextPost(1, "x"))
    assert kinds(pair.feed(side, bad + good)) == [Failed]
    assert pair.feed(side, good) == []
    assert pair.feed(side, bad) == []
    assert pair.ends[side].finished
    assert pair.lanes[side].received == 0
