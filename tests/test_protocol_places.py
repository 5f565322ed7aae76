"""What the core makes of a room's log: places, gaps, our own posts, and a goodbye that waits.

A room's server keeps nothing between links: here each link has lanes of its own at the server's
end, which say what a log would. The rest of new links is told in `test_protocol_resume.py`.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.core_events import Acknowledged, CoreEvent, Passed, Received, SaidBye, Welcomed
from socketchat.errors import Close
from socketchat.lanes import Lanes
from socketchat.messages import (
    MAX_NUMBER,
    Ack,
    Bye,
    DataPost,
    Event,
    Hello,
    Present,
    TextPost,
    Welcome,
    encode,
)
from socketchat.outbox import MemoryOutbox
from socketchat.protocol import MAX_WAITING_ANSWERS, Side, State
from tests.core import (
    BOTH_SIDES,
    LANE,
    SESSION,
    UNKNOWN,
    Pair,
    bodies_of,
    cut,
    failure_of,
    make_lanes,
    said,
)

C, S = Side.CLIENT, Side.SERVER
OTHER_SESSION = b"another session."


def welcomed(lanes: Lanes, welcome: Welcome) -> tuple[Pair, Welcomed]:
    """Open a link for a client that is let in like this."""
    pair = Pair(lanes={C: lanes, S: make_lanes(SESSION)}).at(State.ASKED)
    pair.welcomes = False
    (event,) = pair.feed(C, encode(welcome))
    assert isinstance(event, Welcomed)
    pair.wire[C].clear()
    return pair, event


def in_room(*, after: tuple[int, int] = (41, 7_000), posted: int = 0) -> Pair:
    """Return a client that has come into a room, and has posted so many times there."""
    lanes = make_lanes()
    pair, _ = welcomed(lanes, Welcome(SESSION, 0, "ada", "lobby", 1, 41, after))
    pair.post(C, *(f"post {number}" for number in range(1, posted + 1)))
    pair.write(C)
    return pair


# ---- places ----


def test_a_client_begins_behind_the_place_that_welcome_tells() -> None:
    pair = in_room(after=(39, 7_000))
    assert (pair.lanes[C].received, pair.lanes[C].committed, pair.lanes[C].at) == (39, 39, 7_000)
    pair.feed(C, encode(TextPost(39, "old", 7_000)) + encode(TextPost(40, "new", 7_100)))
    assert bodies_of(pair.held[C]) == ["new"]
    assert (pair.lanes[C].committed, pair.lanes[C].at) == (40, 7_100)


def test_nothing_is_acknowledged_for_a_place_that_was_only_told() -> None:
    pair = in_room(after=(39, 7_000))
    assert not pair.client.wants_to_send


def test_a_new_log_below_our_place_is_no_row_of_repeats() -> None:
    pair = in_room(after=(41, 7_000))
    lanes = pair.lanes[C]
    new, event = welcomed(lanes, Welcome(OTHER_SESSION, 0, "ada", "lobby", 1, 2, (0, 0)))
    assert event.resumed.restarted
    assert event.resumed.missed is None
    new.feed(C, encode(TextPost(1, "one")) + encode(TextPost(2, "two")))
    assert bodies_of(new.held[C]) == ["one", "two"]


@pytest.mark.parametrize(
    ("floor", "missed"),
    [(1, None), (44, None), (45, None), (46, (45, 45)), (60, (45, 59)), (1000, (45, 999))],
)
def test_what_the_log_no_longer_holds_behind_our_place_was_missed(
    floor: int, missed: tuple[int, int] | None
) -> None:
    pair = in_room()
    pair.feed(C, encode(TextPost(44, "hello", 7_500)))
    told = Welcome(SESSION, 0, "ada", "lobby", floor, 2000, (max(44, floor - 1), 0))
    new, event = welcomed(pair.lanes[C], told)
    assert (event.resumed.missed, event.resumed.restarted) == (missed, False)
    # Its place stays what it holds, until there is more.
    assert (new.lanes[C].committed, new.lanes[C].at) == (44, 7_500)


def test_what_was_missed_is_told_once_however_many_links_come() -> None:
    lanes = in_room(after=(41, 7_000)).lanes[C]

    def missed(floor: int, session: bytes = SESSION) -> tuple[int, int] | None:
        place = (floor - 1, 0)
        _, event = welcomed(lanes, Welcome(session, 0, "ada", "lobby", floor, 2000, place))
        return event.resumed.missed

    assert missed(46) == (42, 45)
    assert missed(46) is missed(40) is None
    # The log has let go of more.
    assert missed(50) == (46, 49)
    assert missed(50) is None
    assert (lanes.committed, lanes.at) == (41, 7_000)
    lanes.commit(60, 8_000)
    assert missed(65) == (61, 64)
    # Another log's numbers are others.
    assert missed(1, OTHER_SESSION) is None
    lanes.commit(2, 9_000)
    assert missed(10, OTHER_SESSION) == (3, 9)


def test_whoever_comes_into_a_room_has_missed_nothing() -> None:
    _, event = welcomed(make_lanes(), Welcome(SESSION, 0, "ada", "lobby", 60, 80, (79, 7_000)))
    assert (event.resumed.missed, event.resumed.restarted) == (None, False)


def test_a_server_tells_the_place_and_the_mark_and_where_the_log_begins() -> None:
    pair = Pair().at(State.ASKED)
    lanes = Lanes(LANE, MemoryOutbox(1, 1), session=SESSION)
    lanes.received = lanes.committed = 7
    lanes.sent = lanes.written = 41
    hello = Hello(1, LANE, "ada", "lobby", SESSION, (41, 7_000))
    resumed = pair.server.welcome(lanes, hello, "ada", "lobby", floor=3, head=50, after=(41, 7_000))
    assert said(pair.server.data_to_send()) == [
        Welcome(SESSION, 7, "ada", "lobby", 3, 50, (41, 7_000))
    ]
    assert resumed.acknowledged == []
    # What the mark covers is a repeat.
    events = pair.feed(S, encode(TextPost(7, "again")) + encode(TextPost(8, "new")))
    assert [post.number for event in events for post in posts_in(event)] == [8]


def posts_in(event: CoreEvent) -> list[TextPost | DataPost]:
    assert isinstance(event, Received)
    return [post for post in event.posts if isinstance(post, TextPost | DataPost)]


@pytest.mark.parametrize("mark", [1, 41, MAX_NUMBER])
def test_a_lane_that_another_process_began_may_be_held_up_to_any_number(mark: int) -> None:
    # A file that is older than what was sent from it knows less than the server.
    outbox = MemoryOutbox(10, 1000)
    outbox.numbered = MAX_NUMBER
    lanes = Lanes(LANE, outbox)
    _, event = welcomed(lanes, Welcome(SESSION, mark))
    assert event.resumed.acknowledged == []


# ---- our own posts ----


def test_a_post_of_our_own_is_known_before_it_is_acknowledged_in_the_same_chunk() -> None:
    pair = in_room(posted=2)
    first, second = pair.lanes[C].outbox
    chunk = (
        encode(TextPost(42, "post 1", 8_000, "ada", own=1))
        + encode(TextPost(43, "hello", 8_001, "bob"))
        + encode(TextPost(44, "post 2", 8_002, "ada", own=2))
        + encode(Ack(2))
    )
    received, acknowledged = pair.feed(C, chunk)
    assert isinstance(received, Received)
    assert [post.own for post in received.posts] == [1, 0, 2]
    assert acknowledged == Acknowledged([first, second])
    assert [(post.entry, post.at) for post in (first, second)] == [(42, 8_000), (44, 8_002)]


def test_a_post_of_our_own_that_comes_behind_its_acknowledgement_is_only_a_post() -> None:
    pair = in_room(posted=1)
    (post,) = pair.lanes[C].outbox
    pair.feed(C, encode(Ack(1)) + encode(TextPost(42, "post 1", 8_000, "ada", own=1)))
    assert bodies_of(pair.held[C]) == ["post 1"]
    assert post.entry == 0


def test_a_repeat_of_our_own_post_is_dropped_like_any_other() -> None:
    pair = in_room(posted=1)
    own = encode(TextPost(42, "post 1", 8_000, "ada", own=1))
    pair.feed(C, own)
    assert pair.feed(C, own) == []
    assert said(pair.write(C)) == [Ack(42)]


def test_what_a_client_says_of_posts_of_its_own_means_nothing_to_a_server() -> None:
    pair = Pair().run().post(S, "one")
    pair.write(S)
    pair.feed(S, encode(TextPost(1, "hello", 8_000, own=1)))
    (post,) = pair.lanes[S].outbox
    assert (post.entry, post.at) == (0, 0)


_CHUNKS = st.lists(st.integers(1, 30), max_size=20)


@given(_CHUNKS, st.integers(1, 6))
def test_in_whatever_chunks_they_come_own_posts_are_known_when_acknowledged(
    sizes: list[int], count: int
) -> None:
    pair = in_room(posted=count)
    stream = b"".join(
        encode(TextPost(41 + n, f"post {n}", 8_000 + n, "ada", own=n)) + encode(Ack(n))
        for n in range(1, count + 1)
    )
    for chunk in cut(stream, sizes):
        for event in pair.feed(C, chunk):
            if isinstance(event, Acknowledged):
                assert all(post.entry == 41 + post.number for post in event.posts)
    assert [post.number for post in pair.acknowledged[C]] == list(range(1, count + 1))


# ---- goodbyes ----


def test_a_goodbye_waits_for_what_somebody_else_is_to_hold() -> None:
    pair = Pair().run()
    pair.commits = False
    pair.post(C, "one", "two").run()
    lanes = pair.lanes[S]
    lanes.owed = 2
    pair.close(C).run()
    assert pair.server.state is State.BOTH_LEFT
    assert not pair.server.finished
    lanes.commit(1)
    pair.server.acknowledge()
    assert not pair.run().server.finished
    lanes.commit(2)
    pair.server.acknowledge()
    assert pair.run().server.finished
    assert pair.client.finished


# ---- who is there ----


@BOTH_SIDES
def test_who_is_there_passes(side: Side) -> None:
    pair = Pair().run()
    assert pair.ends[side].send_event(Present(("ada", "bob")))
    assert pair.run().events[side.other][-1] == Passed(Present(("ada", "bob")))


def test_a_list_of_who_is_there_may_come_right_behind_the_welcome() -> None:
    pair = Pair(lanes={C: make_lanes(), S: make_lanes(SESSION)}).at(State.ASKED)
    pair.welcomes = False
    events = pair.feed(C, encode(Welcome(SESSION)) + encode(Present(("bob",))))
    assert events[1:] == [Passed(Present(("bob",)))]


def test_a_list_of_who_is_there_before_the_welcome_is_an_error() -> None:
    pair = Pair().at(State.ASKED)
    close = failure_of(pair.feed(C, encode(Present(("bob",)))))
    assert close == Close(1002, "Present from the server while asked")


def test_events_in_one_piece_are_all_sent_or_all_dropped() -> None:
    end = Pair().run().server
    frame = encode(Event("typing", "ada"))
    assert end.send_events(frame * (MAX_WAITING_ANSWERS - 1), MAX_WAITING_ANSWERS - 1)
    assert not end.send_events(frame * 2, 2)
    assert end.send_events(frame)
    assert not end.send_events(frame)
    assert len(said(end.data_to_send())) == MAX_WAITING_ANSWERS
    assert end.send_events(frame * 2, 2)


def test_events_behind_a_goodbye_are_dropped() -> None:
    pair = Pair().run().close(S)
    assert not pair.server.send_events(encode(Event("left", "bob")))
    assert said(pair.write(S)) == [Bye(1000, "done")]
    assert pair.read(C) == [SaidBye(Close(1000, "done"))]


def test_what_is_not_known_may_stand_between_posts_of_a_room() -> None:
    pair = in_room()
    pair.feed(C, encode(TextPost(42, "a")) + UNKNOWN + encode(TextPost(44, "b")))
    assert bodies_of(pair.held[C]) == ["a", "b"]
