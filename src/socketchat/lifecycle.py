"""How links come and go under a session: greeting, attaching, losing, resuming, ending.

The lower half of `session.py`, which adds what applications call. `client.py` and `server.py` open
connections and hand them over here; `link.py` moves the bytes of one of them; `lanes.py` is what
goes on from one to the next.

A session ends exactly once, in `_finish`; whatever waits on it is woken there.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import Callable, Sequence
from enum import Enum
from typing import assert_never

from socketchat import messages as wire
from socketchat.core_events import (
    Acknowledged,
    CoreEvent,
    Failed,
    Greeted,
    HelloReceived,
    Passed,
    Passing,
    Ponged,
    Received,
    RefusedByPeer,
    Rejection,
    Resumed,
    SaidBye,
    Unresponsive,
    Welcomed,
)
from socketchat.errors import (
    Close,
    CloseCode,
    LocalProtocolError,
    MessageRejected,
    RemoteProtocolError,
    SessionClosed,
    SessionClosedError,
    SessionClosedOK,
)
from socketchat.events import (
    Event,
    Gap,
    Joined,
    Left,
    LinkLost,
    LinkRestored,
    Present,
    Rejected,
    Renamed,
    Restarted,
    Topic,
    Typing,
)
from socketchat.fingerprint import DIGEST_SIZE, fingerprint_of, pin_of_digest
from socketchat.inbox import Inbox
from socketchat.lanes import Lanes
from socketchat.link import Link
from socketchat.options import Options
from socketchat.outbox import MemoryOutbox, Outgoing
from socketchat.peers import Peer, Prover
from socketchat.protocol import Protocol, Side
from socketchat.questions import Questions
from socketchat.receipt import Receipt
from socketchat.session_logger import SessionLogger

__all__ = ["SessionLifecycle", "SessionState"]


class SessionState(Enum):
    """What a session is doing."""

    CONNECTING = "connecting"
    OPEN = "open"
    #: The link is lost and may come back; what is sent waits.
    LOST = "lost"
    CLOSING = "closing"
    CLOSED = "closed"


class SessionLifecycle:
    """The life of a session, from its first link to its end.

    Its attributes are told in `Session`; one is for the doors alone:

    Attributes:
        on_end: Called once, when the session has ended.
    """

    def __init__(
        self,
        side: Side,
        options: Options,
        *,
        lane: bytes,
        resumable: bool,
        outbox: MemoryOutbox | None = None,
    ) -> None:
        """For `connect`, `serve` and `from_streams` alone.

        Args:
            side: Which end this is.
            options: How it behaves.
            lane: The name of the client's lane, 16 random bytes.
            resumable: Whether a lost link may come back.
            outbox: Where our posts wait to be acknowledged; None keeps them in memory.
        """
        self.side = side
        self.state: SessionState = SessionState.CONNECTING
        self.nick: str = ""
        self.room: str = ""
        self.peer: Peer = Peer()
        self.latency: float = 0.0
        self.earlier: range = range(0)
        self.has_log: bool = False
        self.head: int = 0
        self.next_pin: str = ""
        self.on_end: Callable[[], object] | None = None
        self._options = options
        self._resumable = resumable
        name = os.urandom(16) if side is Side.SERVER else b""
        if outbox is None:
            outbox = MemoryOutbox(*options.max_unacked)
        self._lanes = Lanes(lane, outbox, session=name, new_post=Receipt)
        self._loop = asyncio.get_running_loop()
        # Not the lane's name: that is what a client shows to get its session back.
        self._log = SessionLogger(options.logger or logging.getLogger("socketchat"))
        self._link: Link | None = None
        # Whether pings and commands can go out: not over a link that is about to be lost, and set
        # at the end, for those who wait.
        self._may_ask = asyncio.Event()
        self._driven = 0
        self._max_size = 0
        # Whether messages are taken for sending: until a goodbye of either side.
        self._accepting = True
        # Posts stay as they came until they are read.
        self._inbox: Inbox[wire.Post | Event] = Inbox(*options.max_queue, on_room=self._read_on)
        self._dropping = False
        self._sends_waiting = 0
        self._room_to_send = asyncio.Event()
        self._questions = Questions()
        self._first_bye: Close | None = None
        self._closing = False
        self._undelivered = False
        # How many iterations want our own messages when they come back from a room: whoever only
        # sends must not find its inbox full of them.
        self._own_wanted = 0
        self._error: SessionClosed | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()
        # Ends a pause between two attempts to come back.
        self._hurried = asyncio.Event()

    # ---- links come ----

    def client_protocol(
        self,
        *,
        nick: str,
        room: str,
        history: int = 0,
        since: int = 0,
        device: Prover | None = None,
        pin: str = "",
        invite: str = "",
    ) -> Protocol:
        """Return the core for a new link on which this session, a client's, opens or goes on.

        Args:
            nick: The name to ask for, the first time.
            room: The room to ask for, likewise.
            history: How many earlier entries of the room to ask for, likewise.
            since: From which time on to ask for them instead, in microseconds since the epoch.
            device: Whose key to show; None shows none.
            pin: The pin of the server's key; empty without TLS.
            invite: An invite's token to show until the server has let this session in, or empty.

        Raises:
            ValueError: A name is too long.
        """
        wire.check_names(nick, room)
        lanes = self._lanes
        hello = wire.Hello(
            wire.VERSION,
            lanes.lane,
            self.nick or nick,
            self.room or room,
            lanes.session,
            (lanes.committed, lanes.at) if lanes.session else (0, since),
            history,
            limits=wire.Limits(self._options.max_size),
            key=b"" if device is None else device.public,
            invite="" if lanes.session else invite,
        )
        return Protocol(
            self.side,
            self._options,
            self._loop.time(),
            hello=hello,
            lanes=lanes,
            prove=None if device is None else lambda nonce: device.prove(pin, nonce, lanes.lane),
        )

    async def greet_server(self, link: Link, key: str = "", host: str = "") -> None:
        """Go through the greeting as a client, and on over `link`, which `drive` then waits for.

        Args:
            link: A new link.
            key: The pin of the server's key.
            host: The server as it was called, `host:port`.

        Raises:
            HandshakeError: See `Link.greet_server`.
        """
        greeted, welcomed, rest = await link.greet_server()
        welcome = welcomed.welcome
        self.nick, self.room = welcome.nick, welcome.room
        self.has_log, self.head = welcome.floor > 0, welcome.head
        moved_to = host if host != self.peer.host else ""
        self.peer = Peer(greeted.greeting.server, key, link.address, host)
        if self.state is SessionState.CONNECTING or welcomed.resumed.restarted:
            self.earlier = range(welcome.after[0] + 1, welcome.head + 1)
        announced = welcome.next_key
        self.next_pin = pin_of_digest(announced) if len(announced) == DIGEST_SIZE else ""
        self._attach(link, welcomed.resumed, rest, moved_to)

    def welcome(
        self, link: Link, hello: wire.Hello, nick: str, room: str, key: bytes = b""
    ) -> None:
        """Let a client in, as a server, and go on over `link`; an older one is cut.

        Args:
            link: A new link.
            hello: What came over it.
            nick: The name that the client goes by.
            room: The room that it is in.
            key: The key that it has proved to hold, if it has.
        """
        self._set_client(link, nick, room, key)
        if self._link is not None:
            # Nothing of the older link may be taken after our mark is told.
            self._link.cut("replaced by a newer link")
            self._questions.forget()
        resumed = link.protocol.welcome(self._lanes, hello, nick, room)
        self._attach(link, resumed, [])
        link.flush()

    def _set_client(self, link: Link, nick: str, room: str, key: bytes) -> None:
        self.nick, self.room = nick, room
        self.peer = Peer(nick, fingerprint_of(key), link.address)

    def _attach(
        self, link: Link, resumed: Resumed, events: list[CoreEvent], moved_to: str = ""
    ) -> None:
        if self._error is not None:
            link.cut("the session has ended")
            return
        self._link = link
        self._may_ask.set()
        self._hurried.clear()
        self._max_size = link.protocol.peer_max_size
        was_lost = self.state is SessionState.LOST
        self._settle(resumed.acknowledged)
        for post, error in resumed.too_big:
            self._settle([post], error)
        if self._closing:
            assert self._first_bye is not None
            # The other side's goodbye may have come right behind its Welcome.
            if link.protocol.sent_bye is None:
                link.say_bye(*self._first_bye)
        else:
            self._set_timer(None)
            self.state = SessionState.OPEN
        # Also to one that comes back only to say goodbye: it reads on meanwhile.
        if resumed.restarted:
            self._inbox.put([Restarted()])
        if was_lost:
            self._log.info("link restored")
            self._inbox.put([LinkRestored(moved_to)])
        if resumed.missed is not None:
            self._inbox.put([Gap(*resumed.missed)])
        link.start(functools.partial(self._handle_all, link), events)
        if self._inbox.full and not self._closing:
            link.pause()

    async def drive(self, link: Link) -> None:
        """Wait until `link` ends, or a newer one replaces it, and close it.

        Cancellation: ends the session.
        """
        self._driven += 1
        reason = ""
        try:
            reason = await link.wait_ended()
            if reason and link.protocol.received_bye is None:
                link.cut(reason)  # whoever is gone without a goodbye reads nothing more
        except asyncio.CancelledError:
            link.cut("cancelled")
            if link is self._link:
                self._finish(Close(CloseCode.ABNORMAL, "cancelled on this side"))
            raise
        except Exception as exc:  # noqa: BLE001 - a bug must not look like a lost link
            self._log.exception("session failed")
            close = Close(CloseCode.INTERNAL_ERROR, "internal error")
            with contextlib.suppress(LocalProtocolError):
                link.say_bye(*close)
            self._finish(close, exc)
        finally:
            if link is self._link:
                self._detach(link, reason)
            try:
                await link.close(self._options.close_timeout)
            finally:
                self._driven -= 1
                if self._error is not None and not self._driven:
                    self._set_closed()

    # ---- what comes over them ----

    def _handle_all(self, link: Link, events: list[CoreEvent]) -> None:
        for event in events:
            # The two that come with every message go first, and without a pattern's cost.
            if type(event) is Received:
                self._take(link, event.posts)
            elif type(event) is Acknowledged:
                self._settle(event.posts)
            else:
                self._handle(link, event)
        if self._inbox.full and not self._closing:
            link.pause()

    def _read_on(self) -> None:
        if self._link is not None:
            self._link.resume()

    def _handle(self, link: Link, event: CoreEvent) -> None:
        match event:
            case Passed(wire.Command() as command):
                self._obey(link, command)
            case Passed(passing):
                self._pass_on(passing)
            case Ponged(number, seconds):
                self.latency = seconds
                self._questions.ponged(number, seconds)
            case Rejection(post, code, reason):
                self._settle([post], MessageRejected(post.number, code, reason))
                self._put_passing(Rejected(post.number, code, reason))
            case SaidBye(close):
                self._first_bye = self._first_bye or close
                if self._comes_back_after(close):
                    self._may_ask.clear()  # nothing new is said over this link
                else:
                    self._closing = True
                    self._stop_accepting(SessionState.CLOSING)
                link.arm()  # our goodbye went out with a deadline of its own
            case Failed(close):
                self._log.warning("the other side broke the protocol: %s", close)
                self._first_bye = self._first_bye or close
                self._finish(close, RemoteProtocolError(*close))
            case (
                # What `_handle_all` and `link.py` have taken.
                Received() | Acknowledged() | Unresponsive()
                # What belongs to the greeting, which is over.
                | Greeted() | HelloReceived() | Welcomed() | RefusedByPeer()
            ):  # fmt: skip
                raise AssertionError(event)
            case _:
                assert_never(event)

    def _take(self, link: Link, posts: Sequence[wire.Post]) -> None:
        # Once we are leaving nobody may be reading any more: what finds no room is not
        # acknowledged, so its sender knows.
        self._dropping = self._dropping or (self._closing and self._inbox.full)
        if not self._dropping:
            if self.side is Side.CLIENT and not self._own_wanted:
                self._inbox.put([post for post in posts if not post.own])
            else:
                self._inbox.put(posts)
            self._lanes.commit(posts[-1].number, posts[-1].at)
            link.protocol.acknowledge()

    def _settle(self, posts: Sequence[Outgoing], error: Exception | None = None) -> None:
        for post in posts:
            assert isinstance(post, Receipt)
            if not post.done:
                post.settle(error)
        if self._sends_waiting and not self._lanes.outbox.full:
            self._room_to_send.set()

    def _obey(self, link: Link, command: wire.Command) -> None:
        reason = "this server knows no commands"
        link.protocol.send_event(wire.Answer(command.id, CloseCode.POLICY_VIOLATION, reason))

    def _pass_on(self, event: Passing) -> None:
        match event:
            case wire.Present(nicks, keys):
                self._put_passing(Present(nicks, tuple(map(fingerprint_of, keys))))
            case wire.Event("joined", nick, address, key):
                self._put_passing(Joined(nick, address, fingerprint_of(key)))
            case wire.Event("left", nick, address, key):
                self._put_passing(Left(nick, address, fingerprint_of(key)))
            case wire.Event("renamed", nick, key=key, text=now) if 1 <= len(now) <= wire.MAX_NAME:
                self._put_passing(Renamed(nick, now, fingerprint_of(key)))
            case wire.Event("topic", nick, text=text):
                self._put_passing(Topic(text, nick))
            case wire.Event("typing", nick):
                self._put_passing(Typing(nick))
            case wire.Answer():
                self._questions.answered(event)
            case wire.Event():
                pass  # of a kind that a later version has, or a new name that is none
            case wire.Command():
                raise AssertionError(event)  # `_handle` has had it obeyed
            case _:
                assert_never(event)

    def _put_passing(self, event: Event) -> None:
        # Once we are leaving, reading goes on though the inbox is full.
        if not (self._closing and self._inbox.full):
            self._inbox.put([event])

    # ---- links go ----

    def _detach(self, link: Link, reason: str) -> None:
        """Go on without a link, if it may come back, or end."""
        self._link = None
        self._may_ask.clear()
        self._questions.forget()
        if self._error is not None:
            return
        bye = link.protocol.received_bye
        wanted = not self._closing or len(self._lanes.outbox) > 0
        if bye is not None and not self._comes_back_after(bye):
            wanted = False
        if self._resumable and wanted:
            self._lose(Close(CloseCode.ABNORMAL, reason) if bye is None else bye)
        elif self._first_bye is not None:
            self._finish(self._first_bye, link=link)
        else:
            self._finish(Close(CloseCode.ABNORMAL, reason), link=link)

    def _comes_back_after(self, bye: Close) -> bool:
        return self.side is Side.CLIENT and self._resumable and CloseCode.is_temporary(bye.code)

    def _lose(self, why: Close) -> None:
        said = why.code != CloseCode.ABNORMAL  # which nobody can say
        self._log.info("link lost: %s", why if said else why.reason)
        if self._closing:
            return
        self._first_bye = None
        self.state = SessionState.LOST
        self._inbox.put([LinkLost(why.reason, why.code if said else None)])
        if self.side is Side.SERVER:
            self._set_timer(self._options.resume_timeout, self._expire)

    def _expire(self) -> None:
        seconds = self._options.resume_timeout
        self._finish(Close(CloseCode.ABNORMAL, f"the link did not come back within {seconds:g} s"))

    # ---- the end ----

    def _start_closing(self, goodbye: Close) -> None:
        self._closing = True
        if self._first_bye is None or self._comes_back_after(self._first_bye):
            self._first_bye = goodbye
        self._stop_accepting(SessionState.CLOSING)
        self._read_on()
        self._set_timer(self._options.close_timeout, self._cut_off)
        if self._link is not None:
            if self._link.protocol.sent_bye is None:
                self._link.say_bye(*goodbye)
        elif not (self._resumable and len(self._lanes.outbox)):
            self._finish(self._first_bye)

    def _stop_accepting(self, state: SessionState) -> None:
        self.state = state
        self._accepting = False
        self._room_to_send.set()

    def _cut_off(self) -> None:
        """End the session at once."""
        if self._error is None:
            link = self._link
            self._finish(Close(CloseCode.ABNORMAL, "cut off on this side"))
            if link is not None:
                link.cut("cut off on this side")

    def end(self, close: Close, cause: Exception | None = None) -> None:
        """End a session whose link is gone for good, because of `cause`."""
        if self._error is None:
            self._finish(close, cause)

    def _finish(
        self, first: Close, cause: Exception | None = None, *, link: Link | None = None
    ) -> None:
        """End the session, once: everything that waits learns of it."""
        if self._error is not None:
            return
        unsent = self._lanes.outbox.clear()
        self._undelivered = bool(unsent)
        self._error = self._make_error(first, link or self._link, bad=bool(cause or unsent))
        self._error.__cause__ = cause
        self._stop_accepting(SessionState.CLOSED)
        self._log.info("%s", self._error)
        self._set_timer(None)
        self._settle(unsent, self._error)
        self._may_ask.set()
        self._inbox.end()
        if not self._driven:
            self._set_closed()
        if self.on_end is not None:
            self.on_end()

    def _set_closed(self) -> None:
        self._closed.set()
        self._hurried.set()

    @staticmethod
    def _make_error(first: Close, link: Link | None, *, bad: bool = False) -> SessionClosed:
        """Return the error that tells how the session ends."""
        good = not bad and first.code in (CloseCode.OK, CloseCode.GOING_AWAY)
        return (SessionClosedOK if good else SessionClosedError)(
            first,
            received=link.protocol.received_bye if link else None,
            sent=link.protocol.sent_bye if link else None,
        )

    def _set_timer(
        self, seconds: float | None, callback: Callable[[], object] | None = None
    ) -> None:
        """Have `callback` called in so many seconds, and no other; None stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            assert callback is not None
            self._timer = self._loop.call_later(seconds, callback)
