"""Who may say what when: every state, side and kind, and both ends of the link at once.

The side that speaks is stopped by an error of its own; the side that listens answers with 1002.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from socketchat.core_events import Failed
from socketchat.errors import Close, CloseCode, LocalProtocolError
from socketchat.messages import (
    VERSION,
    Ack,
    Bye,
    DataPost,
    Event,
    Greeting,
    Hello,
    Ping,
    Pong,
    Refused,
    Reject,
    TextPost,
    Welcome,
    decode,
    encode,
)
from socketchat.protocol import Side, State
from socketchat.states import TRANSITIONS
from tests.core import RESTING, SAMPLES, Pair

IN_GREETING = (State.START, State.GREETED, State.ASKED)
C, S = Side.CLIENT, Side.SERVER

#: Who has said goodbye.
LEFT = {State.CLIENT_LEFT: {C}, State.SERVER_LEFT: {S}, State.BOTH_LEFT: {C, S}}


def moves(*, allowed: bool) -> list[tuple[State, Side, type]]:
    """Return every move that the table allows, or every other one."""
    return [
        (state, speaker, kind)
        for state in State
        for speaker in Side
        for kind in SAMPLES
        if (kind in TRANSITIONS[state][speaker]) is allowed
    ]


def name_of(part: State | Side | type) -> str:
    return part.__name__ if isinstance(part, type) else part.name


MOVE = ("state", "speaker", "kind")
ALLOWED = pytest.mark.parametrize(MOVE, moves(allowed=True), ids=name_of)
FORBIDDEN = pytest.mark.parametrize(MOVE, moves(allowed=False), ids=name_of)
HEARD_AND_FORBIDDEN = pytest.mark.parametrize(
    MOVE, [move for move in moves(allowed=False) if move[0] is not State.FAILED], ids=name_of
)


def pair_at(state: State) -> Pair:
    """Return two cores in this state, whether or not they could rest in it."""
    pair = Pair().at(State.START if state in IN_GREETING else State.OPEN)
    pair.welcomes = False
    for side, end in pair.ends.items():
        end.data_to_send()
        end._enter(state)
        if side in LEFT.get(state, ()):
            end.sent_bye = Close(1000, "")
    return pair


def answered(state: State, listener: Side, kind: type) -> State:
    """Return where a listener goes by itself: it asks when greeted, and answers a goodbye."""
    if kind is Greeting:
        return TRANSITIONS[state][listener][Hello]
    return TRANSITIONS[state][listener].get(Bye, state) if kind is Bye else state


@ALLOWED
def test_what_may_be_said_leads_both_sides_where_the_table_says(
    state: State, speaker: Side, kind: type
) -> None:
    pair = pair_at(state)
    expected = TRANSITIONS[state][speaker][kind]
    pair.ends[speaker]._say(SAMPLES[kind])
    assert pair.ends[speaker].state is expected
    pair.write(speaker)
    events = pair.read(speaker.other)
    assert not any(isinstance(event, Failed) for event in events)
    assert pair.ends[speaker.other].state is answered(expected, speaker.other, kind)


@FORBIDDEN
def test_what_may_not_be_said_is_an_error_of_the_side_that_speaks(
    state: State, speaker: Side, kind: type
) -> None:
    pair = pair_at(state)
    end = pair.ends[speaker]
    with pytest.raises(LocalProtocolError, match=f"no {kind.__name__} from the {speaker.value}"):
        end._say(SAMPLES[kind])
    assert end.state is state
    assert not end.wants_to_send


@HEARD_AND_FORBIDDEN
def test_what_may_not_be_said_is_answered_with_1002_by_the_side_that_listens(
    state: State, speaker: Side, kind: type
) -> None:
    pair = pair_at(state)
    listener = pair.ends[speaker.other]
    (failed,) = pair.feed(speaker.other, encode(SAMPLES[kind]))
    assert isinstance(failed, Failed)
    assert failed.close.code == CloseCode.PROTOCOL_ERROR
    assert failed.close.reason == f"{kind.__name__} from the {speaker.value} while {state.value}"
    assert listener.state is State.FAILED
    assert listener.finished
    assert decode(listener.data_to_send()[4:]) == Bye(*failed.close)


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("speaker", Side)
def test_after_a_failure_nothing_is_looked_at(speaker: Side, kind: type) -> None:
    pair = pair_at(State.FAILED)
    assert pair.feed(speaker.other, encode(SAMPLES[kind])) == []
    assert not pair.ends[speaker.other].wants_to_send


# ---- the public methods go by the same table ----

METHODS: dict[type, Callable[[Pair, Side], object]] = {
    Ping: lambda pair, side: pair.ends[side].ping(0),
    Reject: lambda pair, side: pair.ends[side].reject(1, 1008, "no"),
    Bye: lambda pair, side: pair.ends[side].close(1000, "", 0),
    Refused: lambda pair, side: pair.ends[side].refuse(1008, "no"),
}


@pytest.mark.parametrize(("state", "side"), RESTING)
@pytest.mark.parametrize("kind", METHODS)
def test_methods_raise_where_the_table_does_not_allow_them(
    state: State, side: Side, kind: type
) -> None:
    pair = Pair().at(state)
    end = pair.ends[side]
    # A client has no business to refuse anyone, whatever the state.
    if kind in TRANSITIONS[state][side]:
        METHODS[kind](pair, side)
        assert end.state is TRANSITIONS[state][side][kind]
    else:
        with pytest.raises(LocalProtocolError):
            METHODS[kind](pair, side)
        assert end.state is state


@pytest.mark.parametrize(("state", "side"), RESTING)
def test_posts_are_left_to_the_lanes_where_they_may_not_be_said(state: State, side: Side) -> None:
    pair = Pair().at(state)
    end = pair.ends[side]
    end.data_to_send()
    pair.post(side, "x")
    assert end.wants_to_send is (TextPost in TRANSITIONS[state][side])
    assert len(pair.lanes[side].outbox) == 1


@pytest.mark.parametrize(("state", "side"), RESTING)
def test_events_are_dropped_where_they_may_not_be_said(state: State, side: Side) -> None:
    end = Pair().at(state).ends[side]
    end.data_to_send()
    assert end.send_event(Event("typing")) is (Event in TRANSITIONS[state][side])
    assert end.wants_to_send is (Event in TRANSITIONS[state][side])


@pytest.mark.parametrize(("state", "side"), RESTING)
def test_nothing_is_acknowledged_before_the_link_is_open(state: State, side: Side) -> None:
    end = Pair().at(state).ends[side]
    end.data_to_send()
    end.acknowledge()
    was_open = state not in (*IN_GREETING, State.FAILED)
    assert end.wants_to_send is was_open
    assert bool(end.data_to_send()) is was_open


# ---- the table itself ----


def test_every_state_and_side_has_its_rules() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(set(rules) == set(Side) for rules in TRANSITIONS.values())


def test_the_table_knows_every_kind() -> None:
    said = {kind for rules in TRANSITIONS.values() for side in rules.values() for kind in side}
    assert said == set(SAMPLES)


@pytest.mark.parametrize("state", [state for state in State if state is not State.FAILED])
def test_a_side_that_has_not_said_goodbye_may_always_say_it(state: State) -> None:
    for side in Side:
        assert (Bye in TRANSITIONS[state][side]) is (side not in LEFT.get(state, ()))


def test_goodbyes_in_either_order_lead_to_the_same_state() -> None:
    client_first = TRANSITIONS[TRANSITIONS[State.OPEN][C][Bye]][S][Bye]
    server_first = TRANSITIONS[TRANSITIONS[State.OPEN][S][Bye]][C][Bye]
    assert client_first is server_first is State.BOTH_LEFT


def test_whoever_has_said_goodbye_may_still_answer_and_ping_and_no_more() -> None:
    for state, side in ((State.CLIENT_LEFT, C), (State.SERVER_LEFT, S), (State.BOTH_LEFT, C)):
        assert set(TRANSITIONS[state][side]) == {Ack, Reject, Ping, Pong}


def test_the_way_through_the_greeting_is_the_only_one() -> None:
    assert TRANSITIONS[State.START][S][Greeting] is State.GREETED
    assert TRANSITIONS[State.GREETED][C][Hello] is State.ASKED
    assert TRANSITIONS[State.ASKED][S][Welcome] is State.OPEN
    into_open = [
        kind
        for state in (State.START, State.GREETED, State.ASKED)
        for side in Side
        for kind, target in TRANSITIONS[state][side].items()
        if target is State.OPEN
    ]
    assert into_open == [Welcome]


def test_the_version_that_is_spoken_is_1() -> None:
    assert VERSION == 1


def test_no_state_is_a_trap_for_posts_of_the_other_side() -> None:
    # Whoever has not said goodbye may go on posting, so that nothing is stuck in its outbox.
    for state, side in ((State.CLIENT_LEFT, S), (State.SERVER_LEFT, C)):
        assert {TextPost, DataPost, Ping, Pong} <= set(TRANSITIONS[state][side])
