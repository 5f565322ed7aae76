"""What new links and goodbyes lose: nothing; and what they double: nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.core_events import (
    Failed,
    HelloReceived,
    Received,
    SaidBye,
    Unresponsive,
    Welcomed,
)
from socketchat.errors import Close, CloseCode, LocalProtocolError
from socketchat.framing import encode_frame
from socketchat.messages import (
    Ack,
    Bye,
    Ping,
    Pong,
    TextPost,
    Welcome,
    encode,
)
from socketchat.options import Options
from socketchat.protocol import Side, State
from tests.core import BOTH_SIDES, SESSION, Pair, bodies_of, make_lanes, said

SIDES = st.sampled_from(Side)
C, S = Side.CLIENT, Side.SERVER
OTHER_SESSION = b"another session."


def welcomed(pair: Pair) -> Welcomed:
    """Return how the client of an open pair was let in."""
    (event,) = [event for event in pair.events[C] if isinstance(event, Welcomed)]
    return event


def restarted(pair: Pair) -> Pair:
    """Return a new link to a server that has lost its memory."""
    return Pair(lanes={C: pair.lanes[C], S: make_lanes(OTHER_SESSION)})


# ---- new links ----


@BOTH_SIDES
def test_what_was_not_acknowledged_is_sent_again_over_a_new_link(side: Side) -> None:
    old = Pair().run()
    old.post(side, "one", "two")
    old.write(side)  # and it is lost
    new = old.again().run()
    assert bodies_of(new.held[side.other]) == ["one", "two"]
    assert len(new.lanes[side].outbox) == 0


@BOTH_SIDES
def test_what_the_other_side_holds_is_not_sent_again(side: Side) -> None:
    old = Pair().run()
    old.post(side, "one", "two")
    old.write(side)
    old.read(side.other)  # held, and the acknowledgement is lost
    new = old.again()
    new.post(side, "three").run()
    assert bodies_of(new.held[side.other]) == ["three"]
    # The greeting acknowledged the others.
    assert [post.number for post in new.acknowledged[side]] == [1, 2, 3]


@BOTH_SIDES
def test_what_was_received_and_not_held_for_good_is_sent_again(side: Side) -> None:
    old = Pair().run()
    old.commits = False
    old.post(side, "one", "two", "three").run()
    old.lanes[side.other].commit(1)
    new = old.again().run()
    assert bodies_of(new.held[side.other]) == ["two", "three"]
    assert [post.number for post in new.acknowledged[side]] == [1, 2, 3]


def test_welcome_tells_what_is_held_for_good_and_not_what_was_received() -> None:
    old = Pair().run()
    old.commits = False
    old.post(C, "one", "two", "three").run()
    old.lanes[S].commit(2)
    assert welcomed(old.again().run()).welcome.mark == 2


@BOTH_SIDES
def test_posts_made_while_there_was_no_link_go_out_with_the_next_one(side: Side) -> None:
    pair = Pair().run().again()
    pair.lanes[side].post("meanwhile", at=0)
    assert bodies_of(pair.run().held[side.other]) == ["meanwhile"]


@BOTH_SIDES
def test_a_refused_post_is_not_sent_again(side: Side) -> None:
    old = Pair().run()
    old.commits = False
    old.post(side, "one", "two").run()
    old.ends[side.other].reject(2, 1008, "no")
    old.run()
    assert bodies_of(old.again().run().held[side.other]) == ["one"]


def test_a_welcome_that_holds_what_was_never_sent_is_an_error() -> None:
    pair = Pair()
    pair.lanes[C].post("one", at=0)
    pair.write(S)
    pair.read(C)
    (failed,) = pair.feed(C, encode(Welcome(SESSION, 2)))
    assert isinstance(failed, Failed)
    assert failed.close.code == CloseCode.PROTOCOL_ERROR
    assert len(pair.lanes[C].outbox) == 1
    assert pair.lanes[C].session == b""


def test_a_server_that_lost_its_memory_is_noticed_and_both_lanes_start_afresh() -> None:
    old = Pair().run().post(C, "one").post(S, "uno").run()
    old.post(C, "two").post(S, "dos")  # neither gets through
    new = restarted(old).run()
    assert welcomed(new).resumed.restarted
    new.post(S, "nuevo").post(C, "three").run()
    assert bodies_of(new.held[S]) == ["two", "three"]
    # The new server numbers from 1 again: that is no repeat.
    assert new.held[C] == [TextPost(1, "nuevo")]
    assert [post.number for post in new.held[S]] == [2, 3]


def test_a_first_link_is_no_restart_and_neither_is_a_new_link_of_the_session() -> None:
    first = Pair().run()
    for pair in (first, first.again().run()):
        assert not welcomed(pair).resumed.restarted


def test_a_place_in_a_session_that_is_gone_acknowledges_nothing_in_the_new_one() -> None:
    old = Pair().run().post(S, "one", "two", "three").run()
    assert old.lanes[C].committed == 3
    new = restarted(old)
    new.lanes[S].post("other one", at=0)
    new.lanes[S].post("other two", at=0)
    new.run()
    assert bodies_of(new.held[C]) == ["other one", "other two"]


def test_a_welcome_that_was_lost_loses_nothing() -> None:
    old = Pair()
    old.lanes[C].post("one", at=0)
    old.lanes[S].post("uno", at=0)
    old.write(S)
    old.read(C)
    old.write(C)
    old.read(S)  # welcomed, and the client never hears of it
    assert (old.server.state, old.client.state) == (State.OPEN, State.ASKED)
    new = old.again().run()
    assert bodies_of(new.held[S]) == ["one"]
    assert bodies_of(new.held[C]) == ["uno"]


@BOTH_SIDES
def test_posts_that_a_new_link_does_not_take_are_reported_and_leave_the_outbox(side: Side) -> None:
    old = Pair()
    old.lanes[side].post("short", at=0)
    old.lanes[side].post("x" * 5000, at=0)
    small = Options(max_size=4096)
    new = old.again(small, small).run()
    resumed = new.resumed if side is S else welcomed(new).resumed
    assert resumed is not None
    ((post, error),) = resumed.too_big
    assert (post.number, error.max_size) == (2, 4096)
    assert bodies_of(new.held[side.other]) == ["short"]
    assert len(new.lanes[side].outbox) == 0


@BOTH_SIDES
def test_what_an_old_link_still_brings_is_not_taken_once_a_new_one_is_open(side: Side) -> None:
    old = Pair().run()
    old.commits = False
    old.post(side.other, "one", "two")
    late = old.write(side.other)
    new = old.again().run()
    assert old.feed(side, late) == []
    assert not old.ends[side].wants_to_send
    new.post(side.other, "three").run()
    assert bodies_of(new.held[side]) == ["one", "two", "three"]


def test_an_old_link_acknowledges_nothing_in_a_new_session() -> None:
    old = Pair().run().post(C, "one")
    old.write(C)
    old.read(S)
    late = old.write(S)
    assert said(late) == [Ack(1)]
    new = restarted(old)
    new.commits = False
    new.run()
    assert old.feed(C, late) == []
    assert len(new.lanes[C].outbox) == 1


_BODIES = st.lists(st.text(max_size=5), max_size=6)


@given(st.data(), _BODIES, _BODIES, st.booleans())
def test_a_cut_at_any_byte_in_both_directions_loses_nothing_and_doubles_nothing(
    data: st.DataObject, from_client: list[str], from_server: list[str], commits: bool
) -> None:
    pair = Pair()
    if data.draw(st.booleans(), "greeted"):
        pair.run()
    pair.commits = commits
    pair.post(C, *from_client).post(S, *from_server)
    for _ in range(data.draw(st.integers(1, 4), "turns")):
        for side in Side:
            pair.write(side)
            pair.read(side.other, data.draw(st.integers(0, len(pair.wire[side])), "bytes"))
    new = pair.again().run()
    assert bodies_of(pair.held[S] + new.held[S]) == from_client
    assert bodies_of(pair.held[C] + new.held[C]) == from_server
    assert not any(len(lanes.outbox) for lanes in new.lanes.values())


# ---- goodbyes ----


@BOTH_SIDES
def test_a_goodbye_is_answered_and_ends_the_link_on_both_sides(side: Side) -> None:
    pair = Pair().run().close(side, 4321, "enough").run()
    assert pair.events[side.other][-1] == SaidBye(Close(4321, "enough"))
    assert pair.events[side][-1] == SaidBye(Close(4321, ""))
    assert pair.ends[side].sent_bye == pair.ends[side.other].received_bye == Close(4321, "enough")
    assert {end.state for end in pair.ends.values()} == {State.BOTH_LEFT}
    assert all(end.finished for end in pair.ends.values())


@BOTH_SIDES
def test_posts_before_a_goodbye_arrive(side: Side) -> None:
    pair = Pair().run().post(side, "one", "two").close(side).run()
    assert bodies_of(pair.held[side.other]) == ["one", "two"]
    assert all(end.finished for end in pair.ends.values())


@BOTH_SIDES
def test_posts_of_the_other_side_that_cross_a_goodbye_arrive(side: Side) -> None:
    pair = Pair().run().close(side)
    pair.write(side)
    pair.post(side.other, "crossing").run()
    assert bodies_of(pair.held[side]) == ["crossing"]
    assert all(end.finished for end in pair.ends.values())
    assert len(pair.lanes[side.other].outbox) == 0


def test_both_sides_may_say_goodbye_at_once() -> None:
    pair = Pair().run().post(C, "one").post(S, "uno").close(C, 1000, "c").close(S, 1001, "s")
    pair.run()
    assert pair.client.received_bye == pair.server.sent_bye == Close(1001, "s")
    assert pair.server.received_bye == pair.client.sent_bye == Close(1000, "c")
    assert bodies_of(pair.held[S] + pair.held[C]) == ["one", "uno"]
    assert all(end.finished for end in pair.ends.values())


@BOTH_SIDES
def test_a_link_is_not_finished_before_everything_is_acknowledged(side: Side) -> None:
    pair = Pair().run()
    pair.commits = False
    pair.post(side, "one").close(side).run()
    assert pair.ends[side].state is State.BOTH_LEFT
    assert not pair.ends[side].finished
    pair.lanes[side.other].commit()
    pair.ends[side.other].acknowledge()
    assert pair.run().ends[side].finished


@BOTH_SIDES
def test_a_refusal_after_both_goodbyes_still_settles_a_post(side: Side) -> None:
    pair = Pair().run()
    pair.commits = False
    pair.post(side, "one").close(side).run()
    pair.ends[side.other].reject(1, 1008, "no")
    assert pair.run().ends[side].finished


@BOTH_SIDES
def test_a_ping_that_crosses_a_goodbye_is_answered(side: Side) -> None:
    pair = Pair().run()
    pair.ends[side.other].ping(0)
    pair.close(side)
    pair.write(side)
    pair.write(side.other)
    pair.read(side)
    assert said(pair.write(side)) == [Pong(1)]
    pair.run()
    assert all(end.finished for end in pair.ends.values())


@BOTH_SIDES
def test_posts_behind_a_goodbye_are_left_to_the_next_link(side: Side) -> None:
    pair = Pair().run().close(side).post(side, "late").run()
    assert pair.held[side.other] == []
    assert not pair.ends[side].finished
    assert bodies_of(pair.again().run().held[side.other]) == ["late"]


@BOTH_SIDES
def test_posts_of_the_other_side_behind_its_goodbye_are_an_error(side: Side) -> None:
    pair = Pair().run()
    events = pair.feed(side, encode(Bye(1000)) + encode(TextPost(1, "late")))
    close = Close(1002, f"TextPost from the {side.other.value} while both left")
    assert events == [SaidBye(Close(1000, "")), Failed(close)]
    # Our answer was not written yet: the error takes its place.
    assert said(pair.write(side)) == [Bye(*close)]


@BOTH_SIDES
def test_goodbye_is_written_once_even_if_an_error_follows(side: Side) -> None:
    pair = Pair().run().close(side)
    pair.write(side)
    events = pair.feed(side, encode_frame(b"junk"))
    assert [type(event) for event in events] == [Failed]
    assert not pair.ends[side].wants_to_send
    assert pair.ends[side].sent_bye == Close(1000, "done")


@BOTH_SIDES
def test_goodbye_is_said_once(side: Side) -> None:
    pair = Pair().run().close(side)
    with pytest.raises(LocalProtocolError):
        pair.close(side)
    assert len(said(pair.write(side))) == 1


@BOTH_SIDES
def test_a_second_goodbye_of_the_other_side_is_an_error(side: Side) -> None:
    pair = Pair().run()
    events = pair.feed(side, encode(Bye(1000)) * 2)
    assert [type(event) for event in events] == [SaidBye, Failed]


@BOTH_SIDES
def test_a_goodbye_that_is_not_answered_is_given_up_at_close_timeout(side: Side) -> None:
    quick = Options(close_timeout=7, ping_interval=1, ping_timeout=1)
    pair = Pair(quick, quick).run()
    pair.now = 100
    end = pair.close(side).ends[side]
    assert end.next_deadline() == 107
    # Nobody is pinged any more, and a sign of life does not put it off.
    pair.now = 106
    pair.feed(side, encode(Ping(1)))
    assert end.handle_deadline(106.9) == []
    assert end.handle_deadline(107) == [Unresponsive("no goodbye within 7 s")]


@BOTH_SIDES
def test_an_answered_goodbye_has_a_timeout_too(side: Side) -> None:
    pair = Pair().run()
    pair.commits = False
    pair.post(side, "never acknowledged").close(side.other).run()
    assert pair.ends[side].next_deadline() == 10


@BOTH_SIDES
def test_without_a_close_timeout_a_goodbye_is_waited_for_for_ever(side: Side) -> None:
    options = Options(close_timeout=None)
    end = Pair(options, options).run().close(side).ends[side]
    assert end.next_deadline() is None
    assert end.handle_deadline(1e9) == []


_TURNS = st.lists(st.tuples(SIDES, st.sampled_from(["write", "post", "close"]), st.integers(0, 60)))


@given(_TURNS)
def test_a_goodbye_at_any_time_loses_nothing_in_flight(turns: list[tuple[Side, str, int]]) -> None:
    pair = Pair().run()
    posted: dict[Side, list[str]] = {side: [] for side in Side}
    for side, action, count in turns:
        leaving = pair.ends[side].sent_bye is not None
        if action == "post" and not leaving:
            posted[side].append(f"{side.value} {count}")
            pair.post(side, posted[side][-1])
        elif action == "close" and not leaving:
            pair.close(side)
        pair.write(side)
        pair.read(side.other, count)
    if pair.client.sent_bye is None:
        pair.close(C)
    pair.run()
    for side in Side:
        assert bodies_of(pair.held[side.other]) == posted[side]
        assert pair.ends[side].finished
        assert not any(isinstance(event, Failed) for event in pair.events[side])


@given(SIDES, st.data())
def test_a_link_cut_during_its_goodbyes_is_no_goodbye(side: Side, data: st.DataObject) -> None:
    pair = Pair().run().post(side, "one").close(side)
    pair.write(side)
    pair.read(side.other, data.draw(st.integers(0, len(pair.wire[side]))))
    pair.write(side.other)
    pair.read(side, data.draw(st.integers(0, len(pair.wire[side.other]))))
    new = pair.again().run()
    assert bodies_of(pair.held[side.other] + new.held[side.other]) == ["one"]
    assert len(new.lanes[side].outbox) == 0


def test_a_chunk_may_bring_the_greeting_posts_and_a_goodbye_all_at_once() -> None:
    pair = Pair()
    pair.post(S, "one", "two")
    pair.write(S)
    pair.read(C)
    pair.write(C)
    pair.read(S)
    pair.close(S)
    pair.write(S)
    events = pair.read(C)
    assert [type(event) for event in events] == [Welcomed, Received, SaidBye]
    assert [type(event) for event in pair.events[S]] == [HelloReceived]
    assert bodies_of(pair.held[C]) == ["one", "two"]
