"""What `socketchat.protocol` promises when nothing is written for a while, or nothing is heard."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from socketchat.core_events import Ponged, Unresponsive
from socketchat.errors import LocalProtocolError
from socketchat.messages import Ack, Event, Ping, Pong, TextPost, encode
from socketchat.options import Options
from socketchat.protocol import MAX_WAITING_ANSWERS, Side, State
from tests.core import BOTH_SIDES, UNKNOWN, Pair, said

# ---- answers ----


@BOTH_SIDES
def test_many_pings_are_answered_by_one_pong_and_many_posts_by_one_ack(side: Side) -> None:
    pair = Pair().run()
    for number in range(1, 101):
        pair.feed(side, encode(Ping(number)) + encode(TextPost(number, "x")))
    assert said(pair.ends[side].data_to_send()) == [Ack(100), Pong(100)]
    assert not pair.ends[side].wants_to_send


@BOTH_SIDES
def test_passing_events_are_dropped_when_too_many_wait(side: Side) -> None:
    pair = Pair().run()
    end = pair.ends[side]
    told = [end.send_event(Event("typing", "ada")) for _ in range(MAX_WAITING_ANSWERS + 10)]
    assert told == [True] * MAX_WAITING_ANSWERS + [False] * 10
    assert len(said(end.data_to_send())) == MAX_WAITING_ANSWERS
    assert end.send_event(Event("typing", "ada"))


@BOTH_SIDES
def test_rejections_that_nobody_reads_are_bounded(side: Side) -> None:
    end = Pair().run().ends[side]
    for number in range(1, MAX_WAITING_ANSWERS + 1):
        end.reject(number, 1008, "")
    with pytest.raises(LocalProtocolError, match="wait to be read"):
        end.reject(5000, 1008, "")


@BOTH_SIDES
def test_queued_posts_are_measured_until_they_are_written(side: Side) -> None:
    pair = Pair().run()
    end = pair.ends[side]
    assert end.queued_size == 0
    pair.post(side, "x" * 1000, "y" * 1000)
    assert 2000 < end.queued_size < 2100
    pair.write(side)
    assert end.queued_size == 0


@BOTH_SIDES
def test_a_side_wants_to_send_exactly_when_it_has_something_to_say(side: Side) -> None:
    pair = Pair().run()
    end = pair.ends[side]
    reasons: list[Callable[[], object]] = [
        lambda: pair.post(side, "x"),
        lambda: end.send_event(Event("typing")),
        lambda: end.ping(0),
        lambda: pair.feed(side, encode(Ping(1))),
        lambda: pair.feed(side, encode(TextPost(1, "x"))),
        lambda: pair.close(side),
    ]
    for reason in reasons:
        assert not end.wants_to_send
        reason()
        assert end.wants_to_send
        assert end.data_to_send()
        assert end.data_to_send() == b""


# ---- keepalive ----

QUICK = Options(ping_interval=20, ping_timeout=5, close_timeout=7)


def quick_pair() -> Pair:
    return Pair(QUICK, QUICK).run()


@BOTH_SIDES
def test_a_ping_goes_out_after_silence_and_not_before(side: Side) -> None:
    end = quick_pair().ends[side]
    assert end.next_deadline() == 20
    assert end.handle_deadline(19.99) == []
    assert not end.wants_to_send
    assert end.handle_deadline(20) == []
    assert said(end.data_to_send()) == [Ping(1)]
    assert end.next_deadline() == 25


@pytest.mark.parametrize("sign", [UNKNOWN, encode(Ack(0)), encode(TextPost(1, "x")), b"\0\0"])
@BOTH_SIDES
def test_whatever_arrives_is_a_sign_of_life(side: Side, sign: bytes) -> None:
    end = quick_pair().ends[side]
    end.receive_data(sign, 13)
    assert end.next_deadline() == 33
    end.handle_deadline(33)
    end.receive_data(sign[:1], 34)
    assert end.next_deadline() == 54


@BOTH_SIDES
def test_the_other_side_is_given_up_when_a_ping_is_not_answered(side: Side) -> None:
    end = quick_pair().ends[side]
    end.handle_deadline(20)
    assert end.handle_deadline(24.9) == []
    assert end.handle_deadline(25) == [Unresponsive("no sign of life for 25 s")]


@BOTH_SIDES
def test_a_side_that_sends_half_a_frame_and_then_nothing_is_given_up(side: Side) -> None:
    end = quick_pair().ends[side]
    end.receive_data(encode(TextPost(1, "hello"))[:9], 10)
    end.handle_deadline(30)
    assert [type(event) for event in end.handle_deadline(35)] == [Unresponsive]


@BOTH_SIDES
def test_two_sides_that_are_silent_keep_each_other_alive(side: Side) -> None:
    pair = quick_pair()
    for _ in range(50):
        pair.now = min(end.next_deadline() or 1e9 for end in pair.ends.values())
        for end in pair.ends.values():
            assert end.handle_deadline(pair.now) == []
        pair.run()
    assert {end.state for end in pair.ends.values()} == {State.OPEN}


@BOTH_SIDES
def test_nothing_is_due_in_the_greeting(side: Side) -> None:
    # How long the greeting may take is up to who drives it.
    assert Pair(QUICK, QUICK).ends[side].next_deadline() is None
    assert Pair(QUICK, QUICK).at(State.ASKED).ends[side].next_deadline() is None


@BOTH_SIDES
def test_without_an_interval_nobody_is_pinged(side: Side) -> None:
    options = Options(ping_interval=None)
    assert Pair(options, options).run().ends[side].next_deadline() is None


@BOTH_SIDES
def test_without_a_timeout_an_unanswered_ping_is_waited_for_for_ever(side: Side) -> None:
    options = Options(ping_timeout=None)
    end = Pair(options, options).run().ends[side]
    end.handle_deadline(20)
    assert end.next_deadline() is None
    assert end.handle_deadline(1e9) == []


@BOTH_SIDES
def test_a_pong_tells_how_long_the_latest_ping_took(side: Side) -> None:
    pair = quick_pair()
    end = pair.ends[side]
    assert [end.ping(1), end.ping(2), end.ping(3)] == [1, 2, 3]
    pair.now = 5
    assert pair.feed(side, encode(Pong(2))) == [Ponged(2, 3)]
    assert pair.feed(side, encode(Pong(2))) == []
    assert pair.feed(side, encode(Pong(99))) == [Ponged(3, 2)]
    assert pair.feed(side, encode(Pong(99))) == []


@BOTH_SIDES
def test_reading_that_stopped_on_our_own_account_blames_nobody(side: Side) -> None:
    end = quick_pair().ends[side]
    end.handle_deadline(20)
    end.pause()
    for now in range(20, 500):
        assert end.handle_deadline(now) == []
        # What is due next lies ahead, so that nobody turns in circles.
        assert (end.next_deadline() or 0) > now
    end.resume(500)
    assert end.next_deadline() == 520


@BOTH_SIDES
def test_a_side_that_does_not_read_for_long_still_gives_a_sign_of_life(side: Side) -> None:
    pair = quick_pair()
    reading, paused = pair.ends[side], pair.ends[side.other]
    paused.pause()
    for _ in range(100):
        pair.now = min(end.next_deadline() or 1e9 for end in pair.ends.values())
        for end in pair.ends.values():
            assert end.handle_deadline(pair.now) == []
        pair.write(side)
        pair.write(side.other)
        pair.read(side)
    assert pair.now > 200
    paused.resume(pair.now)
    assert pair.run().events[side][-1] == Ponged(reading._keepalive.pings, 0)


@BOTH_SIDES
def test_unanswered_pings_are_bounded_and_keepalive_goes_on(side: Side) -> None:
    end = quick_pair().ends[side]
    for _ in range(MAX_WAITING_ANSWERS):
        end.ping(0)
    with pytest.raises(LocalProtocolError, match="unanswered"):
        end.ping(0)
    assert end.handle_deadline(20) == []
    assert [type(event) for event in end.handle_deadline(25)] == [Unresponsive]


@BOTH_SIDES
def test_time_is_only_what_it_is_told(side: Side) -> None:
    pair = Pair(QUICK, QUICK, now=1e6).run()
    assert pair.ends[side].next_deadline() == 1e6 + 20
