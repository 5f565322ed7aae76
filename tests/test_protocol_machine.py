"""Two cores, their lanes, and links that fail in every way: nothing is lost, nothing is doubled.

A `World` has a client and a server, each with an application that holds posts for good some time
after they came, and links between them that deliver in any chunks, are cut at any byte, and go on
delivering what was on its way when a newer link has taken their place. The server may restart and
lose its memory.

Hypothesis walks through it, and so does a plain seeded random walk. That the walk finds what it is
there to find is shown by planting bugs.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from socketchat.core_events import (
    Acknowledged,
    CoreEvent,
    Failed,
    HelloReceived,
    Received,
    Rejection,
    Resumed,
    Unresponsive,
    Welcomed,
)
from socketchat.lanes import Lanes
from socketchat.messages import Event, Hello, Post, TextPost
from socketchat.options import Options
from socketchat.outbox import Outgoing
from socketchat.protocol import Protocol, Side, State
from tests import core
from tests.core import make_greeting, make_lanes

C, S = Side.CLIENT, Side.SERVER
OPTIONS = Options(max_size=4096, ping_interval=20, ping_timeout=10)
#: Posts that may be unacknowledged, so that the bound is reached.
MAX_UNACKED = 6


class Link:
    """One connection: two cores, and what is on its way between them.

    Attributes:
        ends: The two cores.
        wire: What each side has written and the other has not read yet.
        cut: Whether what is written from now on gets lost; neither side has noticed yet.
        orphaned: Whether the server's process is gone.
    """

    def __init__(self, client: Protocol, server: Protocol) -> None:
        self.ends = {C: client, S: server}
        self.wire = {side: bytearray() for side in Side}
        self.cut = False
        self.orphaned = False


class World:
    """A client and a server, and every link there ever was.

    A session is known by its name, `lanes[S].session`; a restart of the server begins another one.

    Attributes:
        posted: What each side has posted in a session, by number; the client's posts are those of
            all sessions, since its lane goes on.
        taken: The numbers that each side holds or has refused for good, in order, by session.
        settled: The numbers of which each side knows what became of them, by session.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.restarts = 0
        self.links: list[Link] = []
        self.current: dict[Side, Link | None] = {C: None, S: None}
        self.lanes: dict[Side, Lanes | None] = {C: make_lanes(max_messages=MAX_UNACKED), S: None}
        self.memory: dict[Side, list[Post]] = {C: [], S: []}
        self.posted: dict[tuple[Side, bytes], dict[int, str]] = {(C, b""): {}}
        self.taken: dict[tuple[Side, bytes], list[int]] = {}
        self.settled: dict[tuple[Side, bytes], set[int]] = {}
        self.connect()

    # ---- the two applications ----

    def session(self, side: Side) -> bytes:
        """Return the session in which a side believes to be."""
        lanes = self.lanes[side]
        return lanes.session if lanes else b""

    def posts_of(self, side: Side, session: bytes) -> dict[int, str]:
        return self.posted.setdefault((side, b"" if side is C else session), {})

    def post(self, side: Side) -> None:
        lanes = self.lanes[side]
        if lanes is None or lanes.outbox.full:
            return
        posts = self.posts_of(side, lanes.session)
        body = f"{side.value} {self.restarts} {len(posts) + 1}"
        post = lanes.post(body, at=0)
        posts[post.number] = body
        link = self.current[side]
        if link is not None:
            link.ends[side].send_post(post.frame)

    def commit(self, side: Side, count: int = 1000) -> None:
        """Hold so many of the posts in memory for good, and tell the other side."""
        held = self.memory[side][:count]
        del self.memory[side][:count]
        if held:
            self.take(side, held)

    def refuse(self, side: Side) -> None:
        """Refuse the oldest post in memory for good, and tell the other side."""
        link = self.current[side]
        if self.memory[side] and link is not None and link.ends[side].state is State.OPEN:
            post = self.memory[side].pop(0)
            link.ends[side].reject(post.number, 1008, "no")
            self.take(side, [post])

    def take(self, side: Side, posts: list[Post]) -> None:
        session = self.session(side)
        taken = self.taken.setdefault((side, session), [])
        for post in posts:
            assert post.body == self.posts_of(side.other, session)[post.number]
            assert not taken or post.number > taken[-1], "doubled, or out of order"
            if side is S:
                known = {n for (who, _), numbers in self.settled.items() if who is C for n in numbers}
                assert post.number not in known, "sent again although it is known to be held"
            taken.append(post.number)
        lanes, link = self.lanes[side], self.current[side]
        assert lanes is not None
        lanes.commit(posts[-1].number)
        if link is not None:
            link.ends[side].acknowledge()

    # ---- links ----

    def connect(self) -> None:
        """Let the client give up its link, if it has one, and open another."""
        lanes = self.lanes[C]
        assert lanes is not None
        hello = core.make_hello(lanes, OPTIONS.max_size)
        greeting = make_greeting(OPTIONS.max_size)
        client = Protocol(C, OPTIONS, self.now, hello=hello, lanes=lanes)
        server = Protocol(S, OPTIONS, self.now, greeting=greeting)
        link = Link(client, server)
        link.wire[S] += server.data_to_send()
        self.links.append(link)
        self.current[C] = link

    def write(self, side: Side) -> None:
        link = self.current[side]
        if link is not None:
            data = link.ends[side].data_to_send()
            link.wire[side] += b"" if link.cut else data

    def deliver(self, index: int, side: Side, count: int = 10**9) -> None:
        """Let a side read so many bytes of what is on its way to it on a link, new or old."""
        link = self.links[index % len(self.links)]
        wire = link.wire[side.other]
        data = bytes(wire[:count])
        del wire[: len(data)]
        if data and self.reads(side, link):
            for event in link.ends[side].receive_data(data, self.now):
                self.react(link, side, event)

    def reads(self, side: Side, link: Link) -> bool:
        """Tell whether anyone still reads at this end of a link.

        Both sides go on reading a link that a newer one has replaced, which no driver should do. But
        a client that has given up a link does not wait to be welcomed on it.
        """
        if side is S:
            return not link.orphaned
        waiting = link.ends[C].state in (State.START, State.GREETED, State.ASKED)
        return link is self.current[C] or not waiting

    def react(self, link: Link, side: Side, event: CoreEvent) -> None:
        match event:
            case HelloReceived(hello):
                self.welcome(link, hello)
            case Welcomed(_, resumed):
                self.memory[C].clear()
                self.settle(C, resumed.acknowledged)
            case Received(posts):
                self.memory[side] += posts
            case Acknowledged(posts):
                self.settle(side, posts)
            case Rejection(post):
                self.settle(side, [post])
            case Failed(close):
                raise AssertionError(f"the {side.value} complained: {close}")

    def welcome(self, link: Link, hello: Hello) -> None:
        lanes = self.lanes[S]
        if lanes is None:
            session = self.restarts.to_bytes(16, "big")
            lanes = self.lanes[S] = make_lanes(session, max_messages=MAX_UNACKED)
        self.memory[S].clear()
        self.current[S] = link
        resumed = link.ends[S].welcome(lanes, hello, "", "")
        self.settle(S, resumed.acknowledged)

    def settle(self, side: Side, posts: list[Outgoing]) -> None:
        settled = self.settled.setdefault((side, self.session(side)), set())
        numbers = {post.number for post in posts}
        assert not settled & numbers, "settled twice"
        settled |= numbers

    def cut(self, index: int, keep: dict[Side, int]) -> None:
        """Cut a link: of what is on its way only the first bytes still arrive."""
        link = self.links[index % len(self.links)]
        link.cut = True
        for side in Side:
            del link.wire[side][keep[side] :]

    def restart(self) -> None:
        """Let the server lose its memory; what it had written may still arrive."""
        self.restarts += 1
        self.lanes[S] = self.current[S] = None
        self.memory[S].clear()
        for link in self.links:
            link.cut = link.orphaned = True

    # ---- what else there is ----

    def chatter(self, side: Side) -> None:
        """Say things that leave no trace."""
        link = self.current[side]
        if link is not None and link.ends[side].state is State.OPEN:
            link.ends[side].send_event(Event("typing", "ada"))
            link.ends[side].ping(self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, and whoever is silent be pinged and given up."""
        self.now += seconds
        for side in Side:
            link = self.current[side]
            if link is None:
                continue
            events = link.ends[side].handle_deadline(self.now)
            if any(isinstance(event, Unresponsive) for event in events):
                self.current[side] = None

    # ---- what must hold ----

    def check(self) -> None:
        """Check that nothing was lost, doubled or claimed too early."""
        by_server = {n for (side, _), numbers in self.taken.items() if side is S for n in numbers}
        # In order, in each session; in all sessions together without gaps.
        assert by_server == set(range(1, len(by_server) + 1)), "lost"
        for (side, session), taken in self.taken.items():
            if side is C:
                assert taken == list(range(1, len(taken) + 1)), "lost"
        for (side, session), settled in self.settled.items():
            held = by_server if side is C else set(self.taken.get((C, session), []))
            assert settled <= held, "acknowledged before it was held"

    def check_goodbye(self) -> None:
        """Let it all come to rest over good links and goodbyes, and check that nothing is left."""
        for _ in range(5):
            link = self.current[C]
            if link is None or link.cut or link is not self.current[S]:
                self.connect()
            self.run()
        self.check()
        link = self.current[C]
        assert link is not None
        assert link is self.current[S]
        for side in Side:
            lanes = self.lanes[side]
            assert lanes is not None
            assert len(lanes.outbox) == 0
            assert not self.memory[side]
        everything = self.posts_of(C, b"").keys()
        assert {n for (s, _), taken in self.taken.items() if s is S for n in taken} == everything
        session = self.session(S)
        assert self.session(C) == session
        assert self.taken.get((C, session), []) == list(self.posts_of(S, session))
        link.ends[C].close(1000, "", self.now)
        self.run()
        assert all(end.finished for end in link.ends.values())

    def run(self) -> None:
        """Deliver and hold everything until nothing moves any more, on the old links too."""
        for _ in range(12):
            for side in Side:
                self.write(side)
            for index in reversed(range(len(self.links))):
                for side in Side:
                    self.deliver(index, side)
            for side in Side:
                self.commit(side)


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
TestWorld.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


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
        (4, lambda: world.connect()),
        (2, lambda: world.cut(place(), {C: size(), S: size()})),
        (choice.choice([0, 0, 1]), lambda: world.restart()),
        (1, lambda: world.run()),
    ]
    weights = [weight for weight, _ in actions]
    for _, action in choice.choices(actions, weights, k=steps):
        action()
        world.check()
    world.check_goodbye()


SEEDS = range(150)


def test_seeded_walks_lose_and_double_nothing() -> None:
    for seed in SEEDS:
        walk(seed)


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
    self: Lanes, session: bytes, mark: int
) -> list[Outgoing]:
    received = self.received
    same = session == self.session
    acknowledged = _resume(self, session, mark)
    if same:
        self.received = received
    return acknowledged


def a_restart_is_not_noticed(self: Lanes, session: bytes, mark: int) -> list[Outgoing]:
    self.session = session
    return _resume(self, session, mark)


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
        for seed in SEEDS:
            walk(seed)


def test_a_world_that_is_left_alone_delivers_everything() -> None:
    world = World()
    world.run()
    for _ in range(5):
        world.post(C)
        world.post(S)
    world.check_goodbye()
    assert world.taken == {(C, bytes(16)): [1, 2, 3, 4, 5], (S, bytes(16)): [1, 2, 3, 4, 5]}
    assert isinstance(TextPost(1, "x"), Post)
