"""A world for the core: a client and a server, with links between them that fail in every way.

Each side has an application that holds posts for good some time after they came. Links deliver in
any chunks, are cut at any byte, and go on delivering what was on its way when a newer link has
taken their place. The server may restart and lose its memory. `test_protocol_machine.py` walks
through it.
"""

from __future__ import annotations

from socketchat.core_events import (
    Acknowledged,
    CoreEvent,
    Failed,
    HelloReceived,
    Received,
    Rejection,
    Unresponsive,
    Welcomed,
)
from socketchat.lanes import Lanes
from socketchat.messages import Event, Hello, Post
from socketchat.options import Options
from socketchat.outbox import Outgoing
from socketchat.protocol import Protocol, Side, State
from tests import core
from tests.core import make_greeting, make_lanes

__all__ = ["World"]

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
            body = self.posts_of(side.other, session).get(post.number)
            assert post.body == body, "of another session"
            assert not taken or post.number > taken[-1], "doubled, or out of order"
            if side is S:
                known = {
                    n for (who, _), numbers in self.settled.items() if who is C for n in numbers
                }
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

    def come_back(self, *, heard: bool) -> None:
        """Let the client open another link and be welcomed, whether it hears of it or not."""
        self.connect()
        self.deliver(-1, C)
        self.write(C)
        self.deliver(-1, S)
        self.write(S)
        if heard:
            self.deliver(-1, C)

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

        Both sides go on reading a link that a newer one has replaced, which no driver should do.
        But a client that has given up a link does not wait to be welcomed on it.
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
        for (side, _), taken in self.taken.items():
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
