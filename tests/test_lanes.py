"""What `socketchat.lanes` promises: numbers, marks, and what a new link means to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.errors import MessageTooBig
from socketchat.framing import HEADER_SIZE
from socketchat.lanes import Lanes
from socketchat.messages import DataPost, TextPost, decode
from socketchat.outbox import MemoryOutbox, Outgoing
from tests.core import LANE, SESSION, make_lanes

OTHER_SESSION = b"another session."


def posted(count: int, session: bytes = SESSION) -> Lanes:
    """Return the lanes of a session in which we have posted so many times."""
    lanes = make_lanes(session)
    for number in range(1, count + 1):
        lanes.post(f"post {number}", at=0)
    return lanes


def numbers(posts: list[Outgoing]) -> list[int]:
    return [post.number for post in posts]


# ---- posting ----


def test_posts_are_numbered_from_1_without_gaps() -> None:
    lanes = make_lanes()
    assert [lanes.post("x", at=0).number for _ in range(3)] == [1, 2, 3]
    assert lanes.sent == 3
    assert numbers(list(lanes.outbox)) == [1, 2, 3]


def test_a_post_says_what_when_by_whom_and_to_whom() -> None:
    post = make_lanes().post("hello", at=7, sender="ada", to="bob")
    assert decode(post.frame[HEADER_SIZE:]) == TextPost(1, "hello", 7, "ada", "bob")


def test_data_is_posted_as_data() -> None:
    post = make_lanes().post(b"hello", at=7)
    assert decode(post.frame[HEADER_SIZE:]) == DataPost(1, b"hello", 7)


def test_a_post_that_is_too_big_takes_no_number_and_no_room() -> None:
    lanes = posted(2)
    with pytest.raises(MessageTooBig) as caught:
        lanes.post("x" * 5000, at=0, max_size=4096)
    assert caught.value.size > caught.value.max_size == 4096
    assert (lanes.sent, len(lanes.outbox)) == (2, 2)
    assert lanes.post("x", at=0).number == 3


def test_a_post_may_be_exactly_as_long_as_the_other_side_takes() -> None:
    size = len(make_lanes().post("", at=0).frame) - HEADER_SIZE
    lanes = make_lanes()
    assert len(lanes.post("x" * 20, at=0, max_size=size + 20).frame) == HEADER_SIZE + size + 20
    with pytest.raises(MessageTooBig):
        lanes.post("x" * 21, at=0, max_size=size + 20)


def test_a_text_with_lone_surrogates_takes_no_number() -> None:
    lanes = make_lanes()
    with pytest.raises(UnicodeEncodeError):
        lanes.post("\ud800", at=0)
    assert (lanes.sent, len(lanes.outbox)) == (0, 0)


def test_a_lane_goes_on_behind_what_may_have_been_numbered_before() -> None:
    outbox = MemoryOutbox(10, 1000)
    outbox.numbered = 41
    lanes = Lanes(LANE, outbox)
    assert (lanes.sent, lanes.written) == (41, 41)
    assert lanes.post("x", at=0).number == 42


def test_posts_are_made_of_what_the_session_wants() -> None:
    class Receipt(Outgoing):
        done: bool = False

    lanes = Lanes(LANE, MemoryOutbox(10, 1000), new_post=Receipt)
    post = lanes.post("x", at=0)
    assert isinstance(post, Receipt)
    assert [post] == list(lanes.outbox)


# ---- holding for good ----


def test_a_commit_holds_all_that_was_received_and_says_whether_that_is_news() -> None:
    lanes = make_lanes(SESSION)
    assert not lanes.commit()
    lanes.received = 5
    assert lanes.commit()
    assert lanes.committed == 5
    assert not lanes.commit()


def test_a_commit_may_hold_a_part_of_what_was_received() -> None:
    lanes = make_lanes(SESSION)
    lanes.received = 5
    assert lanes.commit(3)
    assert (lanes.committed, lanes.received) == (3, 5)
    assert not lanes.commit(3)
    assert not lanes.commit(2)
    assert lanes.committed == 3


def test_a_commit_that_ends_after_a_new_link_came_still_counts() -> None:
    lanes = make_lanes(SESSION)
    lanes.received = 5
    lanes.resume(SESSION, 0)
    assert lanes.received == 0
    assert lanes.commit(3)
    assert (lanes.committed, lanes.received) == (3, 3)


def test_a_place_is_a_number_and_the_time_of_the_post_that_has_it() -> None:
    lanes = make_lanes(SESSION)
    lanes.received = 5
    lanes.commit(5, 7_000)
    assert (lanes.committed, lanes.at) == (5, 7_000)
    # What is no news leaves the place as it is.
    lanes.commit(4, 6_000)
    assert (lanes.committed, lanes.at) == (5, 7_000)


# ---- what is waited for ----


def test_nothing_is_settled_while_a_post_of_ours_is_unacknowledged() -> None:
    lanes = posted(2)
    assert not lanes.settled
    lanes.outbox.acknowledge(1)
    assert not lanes.settled
    lanes.outbox.acknowledge(2)
    assert lanes.settled


def test_nothing_is_settled_while_somebody_still_has_to_hold_what_was_given_to_him() -> None:
    lanes = make_lanes(SESSION)
    lanes.received = lanes.owed = 5
    assert not lanes.settled
    lanes.commit(4)
    assert not lanes.settled
    lanes.commit(5)
    assert lanes.settled


# ---- our own posts come back ----


def test_a_post_of_ours_that_comes_back_tells_where_it_stands_in_the_log() -> None:
    lanes = posted(3)
    lanes.recognise(TextPost(1042, "post 2", 7_000, "ada", own=2))
    assert [(post.entry, post.at) for post in lanes.outbox] == [(0, 0), (1042, 7_000), (0, 0)]
    assert len(lanes.outbox) == 3  # it is the acknowledgement that takes it out


def test_a_post_that_we_do_not_have_any_more_is_not_recognised() -> None:
    lanes = posted(3)
    lanes.outbox.acknowledge(1)
    lanes.outbox.reject(2)
    for own in (1, 4, 2**63 - 1):
        lanes.recognise(TextPost(1042, "not ours", 7_000, own=own))
    assert all(post.entry == 0 for post in lanes.outbox)


# ---- a new link ----


def test_the_mark_of_the_other_side_acknowledges_and_the_rest_is_sent_again_in_order() -> None:
    lanes = posted(5)
    assert numbers(lanes.resume(SESSION, 2)) == [1, 2]
    bodies = [decode(frame[HEADER_SIZE:]) for frame in lanes.unacknowledged()]
    assert bodies == [TextPost(number, f"post {number}") for number in (3, 4, 5)]


def test_within_a_session_what_was_not_committed_is_forgotten() -> None:
    lanes = make_lanes(SESSION)
    lanes.received, lanes.committed = 5, 3
    lanes.resume(SESSION, 0)
    assert (lanes.received, lanes.committed, lanes.session) == (3, 3, SESSION)


def test_with_another_session_the_other_lane_starts_afresh_and_ours_goes_on() -> None:
    lanes = posted(5)
    lanes.received, lanes.committed = 5, 3
    assert numbers(lanes.resume(OTHER_SESSION, 0)) == []
    assert (lanes.received, lanes.committed, lanes.session) == (0, 0, OTHER_SESSION)
    assert lanes.post("x", at=0).number == 6
    assert len(lanes.unacknowledged()) == 6


def test_the_place_in_a_log_that_a_new_session_begins_behind_counts_as_held() -> None:
    lanes = make_lanes()
    lanes.resume(SESSION, 0, (41, 7_000))
    assert (lanes.received, lanes.committed, lanes.at) == (41, 41, 7_000)
    lanes.received = 44
    lanes.commit(44, 7_500)
    lanes.resume(OTHER_SESSION, 0, (3, 9_000))
    assert (lanes.received, lanes.committed, lanes.at) == (3, 3, 9_000)


def test_within_a_session_the_place_is_ours_whatever_the_other_side_says() -> None:
    lanes = make_lanes()
    lanes.resume(SESSION, 0, (41, 7_000))
    lanes.received = 44
    lanes.commit(44, 7_500)
    lanes.resume(SESSION, 0, (59, 0))
    assert (lanes.received, lanes.committed, lanes.at) == (44, 44, 7_500)


def test_another_session_may_hold_posts_of_ours_from_before() -> None:
    lanes = posted(5)
    assert numbers(lanes.resume(OTHER_SESSION, 4)) == [1, 2, 3, 4]


def test_a_first_welcome_names_the_session() -> None:
    lanes = posted(2, session=b"")
    lanes.resume(SESSION, 0)
    assert (lanes.session, len(lanes.unacknowledged())) == (SESSION, 2)


def test_links_are_counted() -> None:
    lanes = make_lanes(SESSION)
    lanes.resume(SESSION, 0)
    lanes.resume(OTHER_SESSION, 0)
    assert lanes.links == 2


def test_a_refused_post_is_not_sent_again() -> None:
    lanes = posted(3)
    lanes.outbox.reject(2)
    frames = [decode(frame[HEADER_SIZE:]) for frame in lanes.unacknowledged()]
    assert frames == [TextPost(1, "post 1"), TextPost(3, "post 3")]


def test_what_a_new_server_does_not_take_is_refused_here() -> None:
    lanes = posted(1)
    lanes.post("x" * 5000, at=0)
    lanes.post("y" * 5000, at=0)
    too_big = lanes.reject_above(4096)
    assert [post.number for post, _ in too_big] == [2, 3]
    assert all(error.max_size == 4096 < error.size for _, error in too_big)
    assert len(lanes.unacknowledged()) == 1
    assert lanes.reject_above(4096) == []


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.just(0)),
        st.tuples(st.just("receive"), st.integers(1, 5)),
        st.tuples(st.just("commit"), st.integers(0, 5)),
        st.tuples(st.just("resume"), st.integers(0, 5)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("acknowledge"), st.integers(0, 5)),
    )
)


@given(_STEPS)
def test_marks_never_pass_each_other_and_numbers_only_grow(steps: list[tuple[str, int]]) -> None:
    lanes = make_lanes(SESSION)
    sessions = 0
    for step, argument in steps:
        sent, committed = lanes.sent, lanes.committed
        match step:
            case "post":
                assert lanes.post("x", at=0).number == sent + 1
            case "receive":
                lanes.received += argument
            case "commit":
                lanes.commit(min(lanes.committed + argument, lanes.received))
            case "resume":
                lanes.resume(lanes.session, max(0, sent - argument))
            case "restart":
                sessions += 1
                lanes.resume(sessions.to_bytes(16, "big"), 0)
                committed = 0
            case "acknowledge":
                lanes.outbox.acknowledge(max(0, sent - argument))
        assert lanes.committed >= committed
        assert lanes.committed <= lanes.received
        kept = numbers(list(lanes.outbox))
        assert kept == sorted(set(kept))
        assert kept == list(range(lanes.sent - len(kept) + 1, lanes.sent + 1))
