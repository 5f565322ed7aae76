"""Two cores, their lanes, and links that fail in every way: nothing is lost, nothing is doubled.

Hypothesis walks through a `World`, and so does a plain seeded random walk. That the walk finds what
it is there to find is shown by planting bugs.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from socketchat.core_events import Resumed
from socketchat.lanes import Lanes
from socketchat.messages import Hello
from socketchat.outbox import Outgoing
from socketchat.protocol import Protocol, Side
from tests import core
from tests.world import World

C, S = Side.CLIENT, Side.SERVER


# ---- walks ----


class WorldMachine(RuleBasedStateMachine):
    """Hypothesis chooses the steps."""

    sides = st.sampled_from(Side)
    sizes = st.integers(0, 60) | st.just(10**9)
    # The newest link most of the time.
    places = st.sampled_from([-1, -1, -1, -2, 0])

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(side=sides)
    def post(self, side: Side) -> None:
        self.world.post(side)

    @rule(side=sides)
    def write(self, side: Side) -> None:
        self.world.write(side)

    @rule(place=places, side=sides, size=sizes)
    def deliver(self, place: int, side: Side, size: int) -> None:
        self.world.deliver(place, side, size)

    @rule(side=sides, count=st.integers(1, 4))
    def commit(self, side: Side, count: int) -> None:
        self.world.commit(side, count)

    @rule(side=sides)
    def refuse(self, side: Side) -> None:
        self.world.refuse(side)

    @rule(side=sides)
    def chatter(self, side: Side) -> None:
        self.world.chatter(side)

    @rule(seconds=st.sampled_from([1, 10, 20]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @precondition(lambda self: len(self.world.links) < 8)
    @rule()
    def connect(self) -> None:
        self.world.connect()

    @precondition(lambda self: len(self.world.links) < 8)
    @rule(heard=st.booleans())
    def come_back(self, heard: bool) -> None:
        self.world.come_back(heard=heard)

    @rule(place=places, client=sizes, server=sizes)
    def cut(self, place: int, client: int, server: int) -> None:
        self.world.cut(place, {C: client, S: server})

    @precondition(lambda self: self.world.restarts < 3)
    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule()
    def run(self) -> None:
        self.world.run()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.check_goodbye()


TestWorld = WorldMachine.TestCase
TestWorld.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def walk(seed: int, steps: int = 150) -> None:
    """Walk at random through a world, and see it come to rest."""
    choice = random.Random(seed)
    world = World()

    def size() -> int:
        return choice.choice([0, choice.randrange(60), 10**9, 10**9])

    def place() -> int:
        return choice.choice([-1, -1, -1, -2, 0])

    def side() -> Side:
        return choice.choice([C, S])

    actions: list[tuple[int, Callable[[], object]]] = [
        (20, lambda: world.post(side())),
        (30, lambda: world.write(side())),
        (40, lambda: world.deliver(place(), side(), size())),
        (10, lambda: world.commit(side(), choice.randrange(1, 4))),
        (2, lambda: world.refuse(side())),
        (2, lambda: world.chatter(side())),
        (1, lambda: world.wait(choice.choice([1, 10, 20]))),
        (2, lambda: world.connect()),
        (4, lambda: world.come_back(heard=choice.random() < 0.6)),
        (2, lambda: world.cut(place(), {C: size(), S: size()})),
        (choice.choice([0, 1, 2]), lambda: world.restart()),
        (1, lambda: world.run()),
    ]
    weights = [weight for weight, _ in actions]
    for _, action in choice.choices(actions, weights, k=steps):
        action()
        world.check()
    world.check_goodbye()


SEEDS = range(400)


def walk_all() -> None:
    for seed in SEEDS:
        walk(seed)


def test_seeded_walks_lose_and_double_nothing() -> None:
    walk_all()


# ---- the walk finds what it is there to find ----

_welcome = Protocol.welcome
_receive_talk = Protocol._receive_talk
_data_to_send = Protocol.data_to_send
_resume = Lanes.resume
_make_hello = core.make_hello


def welcome_tells_what_was_received(
    self: Protocol, lanes: Lanes, hello: Hello, nick: str, room: str
) -> Resumed:
    committed, lanes.committed = lanes.committed, lanes.received
    try:
        return _welcome(self, lanes, hello, nick, room)
    finally:
        lanes.committed = committed


def hello_tells_what_was_received(lanes: Lanes, max_size: int) -> Hello:
    committed, lanes.committed = lanes.committed, lanes.received
    try:
        return _make_hello(lanes, max_size)
    finally:
        lanes.committed = committed


def repeats_are_not_dropped(self: Protocol, *args: Any) -> None:
    assert self._lanes is not None
    received, self._lanes.received = self._lanes.received, 0
    _receive_talk(self, *args)
    self._lanes.received = max(received, self._lanes.received)


def old_links_are_still_listened_to(self: Protocol, *args: Any) -> None:
    assert self._lanes is not None
    self._link_number = self._lanes.links
    _receive_talk(self, *args)


def what_was_received_is_acknowledged(self: Protocol) -> bytes:
    if self._lanes is None:
        return _data_to_send(self)
    committed, self._lanes.committed = self._lanes.committed, self._lanes.received
    try:
        return _data_to_send(self)
    finally:
        self._lanes.committed = committed


def what_was_not_committed_is_not_forgotten(
    self: Lanes, session: bytes, mark: int, after: tuple[int, int] = (0, 0)
) -> list[Outgoing]:
    received = self.received
    same = session == self.session
    acknowledged = _resume(self, session, mark, after)
    if same:
        self.received = received
    return acknowledged


def a_restart_is_not_noticed(
    self: Lanes, session: bytes, mark: int, after: tuple[int, int] = (0, 0)
) -> list[Outgoing]:
    self.session = session
    return _resume(self, session, mark, after)


def a_place_in_another_session_counts(
    self: Protocol, lanes: Lanes, hello: Hello, nick: str, room: str
) -> Resumed:
    known = Hello(hello.version, hello.lane, session=lanes.session, after=hello.after)
    return _welcome(self, lanes, known, nick, room)


def nothing_is_sent_again(self: Lanes) -> list[bytes]:
    return []


def what_is_sent_again_is_out_of_order(self: Lanes) -> list[bytes]:
    return [post.frame for post in self.outbox if post.frame][::-1]


def the_oldest_is_not_sent_again(self: Lanes) -> list[bytes]:
    return [post.frame for post in self.outbox if post.frame][1:]


PLANTS = [
    (Protocol, "welcome", welcome_tells_what_was_received),
    (core, "make_hello", hello_tells_what_was_received),
    (Protocol, "_receive_talk", repeats_are_not_dropped),
    (Protocol, "_receive_talk", old_links_are_still_listened_to),
    (Protocol, "data_to_send", what_was_received_is_acknowledged),
    (Lanes, "resume", what_was_not_committed_is_not_forgotten),
    (Lanes, "resume", a_restart_is_not_noticed),
    (Protocol, "welcome", a_place_in_another_session_counts),
    (Lanes, "unacknowledged", nothing_is_sent_again),
    (Lanes, "unacknowledged", what_is_sent_again_is_out_of_order),
    (Lanes, "unacknowledged", the_oldest_is_not_sent_again),
]


@pytest.mark.parametrize(("owner", "name", "bug"), PLANTS, ids=[p[2].__name__ for p in PLANTS])
def test_the_walk_finds_a_planted_bug(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, bug: Callable[..., object]
) -> None:
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError):
        walk_all()


def test_a_world_that_is_left_alone_delivers_everything() -> None:
    world = World()
    world.run()
    for _ in range(5):
        world.post(C)
        world.post(S)
    world.check_goodbye()
    assert world.taken == {(C, bytes(16)): [1, 2, 3, 4, 5], (S, bytes(16)): [1, 2, 3, 4, 5]}
