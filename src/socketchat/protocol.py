"""One end of a session over one link: the greeting, posts, acknowledgements, keepalive, goodbye.

The core of the package, without I/O: bytes and the time go in, bytes and events come out. It never
raises on what the other side sent; it says goodbye with a code and reports `Failed`. `link.py`
drives it over asyncio streams; `lanes.py` holds what outlives the link; `messages.py` and
`framing.py` are its words and its grammar.

Who may say what when stands in `states.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, assert_never

import msgspec

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
from socketchat.errors import Close, CloseCode, LocalProtocolError, MessageTooBig
from socketchat.framing import FrameDecoder, FrameTooBig
from socketchat.keepalive import MAX_PINGS, Due, Keepalive
from socketchat.lanes import Lanes
from socketchat.messages import DataPost, TextPost, decode_known  # by name: they are asked for most
from socketchat.options import Options
from socketchat.outbox import Outgoing
from socketchat.states import TRANSITIONS, Side, State

__all__ = ["MAX_WAITING_ANSWERS", "Protocol", "Side", "State"]


#: The states in which lanes are attached and something may still pass.
_ESTABLISHED: Final = frozenset((State.OPEN, State.CLIENT_LEFT, State.SERVER_LEFT, State.BOTH_LEFT))

#: Passing events and rejections that may wait for a link that takes no more bytes. Above it events
#: are dropped, which does no harm; a peer that earns so many rejections unread is not a good one.
MAX_WAITING_ANSWERS: Final = 1024


class Protocol:
    """One end of one link.

    A server is made with its `greeting` and answers `HelloReceived` by `welcome` or `refuse`. A
    client is made with its `hello`, and with the lanes that go on over this link.

    Attributes:
        side: Which end this is.
        state: How far the link has come.
        sent_bye: Our goodbye, once it is queued.
        received_bye: The other side's goodbye.
        peer_max_size: The longest frame body that the other side takes, in bytes.
        nonce: The nonce of the server's greeting; empty until it has greeted.
    """

    def __init__(
        self,
        side: Side,
        options: Options,
        now: float,
        *,
        greeting: wire.Greeting | None = None,
        hello: wire.Hello | None = None,
        lanes: Lanes | None = None,
        prove: Callable[[bytes], bytes] | None = None,
        next_key: bytes = b"",
    ) -> None:
        """Begin a link.

        Args:
            side: Which end this is.
            options: How it behaves.
            now: The time, in seconds.
            greeting: What a server greets with.
            hello: What a client asks for.
            lanes: Its lanes, which go on over this link.
            prove: Returns the signature that goes into `hello`, given the server's nonce.
            next_key: What a server announces as its next key in `Welcome`.
        """
        assert (greeting is not None) is (side is Side.SERVER)
        assert (hello is not None and lanes is not None) is (side is Side.CLIENT)
        self.side = side
        self.state: State = State.START
        # Whether lanes are attached and something may still pass: derived from the state, because
        # it is asked for every chunk.
        self._established = False
        # Whether the greeting was ever over.
        self._opened = False
        self.sent_bye: Close | None = None
        self.received_bye: Close | None = None
        self.peer_max_size: int = 0
        self.nonce: bytes = b""
        self._options = options
        self._hello = hello
        self._prove = prove
        self._next_key = next_key
        self._lanes = lanes
        # Which of the links of its lanes this is, once it is open.
        self._link_number = 0
        self._frames = FrameDecoder()
        self._ours = TRANSITIONS[self.state][side]
        self._theirs = TRANSITIONS[self.state][side.other]
        self._out: list[bytes] = []
        self._out_size = 0
        self._waiting_answers = 0
        self._ack_due = False
        self._pong_due: int | None = None
        self._keepalive = Keepalive(options, now)
        self._bye_sent: float | None = None
        self._bye_flushed = False
        if greeting is not None:
            self.nonce = greeting.nonce
            self._say(greeting)

    # ---- what the other side says ----

    def receive_data(self, data: bytes, now: float) -> list[CoreEvent]:
        """Take bytes from the link and return what they mean, in order."""
        self._keepalive.heard = now
        self._keepalive.asked = None
        events: list[CoreEvent] = []
        if self.state is State.FAILED:
            return events
        frames = self._frames.frames(data)
        try:
            if not self._established:
                self._receive_greeting(frames, now, events)
            if self._established:
                self._receive_talk(frames, now, events)
        except FrameTooBig as exc:
            self._fail(CloseCode.TOO_BIG, str(exc), now, events)
        except wire.MalformedMessage as exc:
            self._fail(exc.code, str(exc), now, events)
        return events

    def _receive_greeting(
        self, frames: Iterator[bytes], now: float, events: list[CoreEvent]
    ) -> None:
        """Read until the link is open, or for a server: until someone asks to be let in."""
        for body in frames:
            version = wire.peek_version(body)
            if version not in (None, wire.VERSION):
                reason = f"version {version} is not spoken here, only version {wire.VERSION}"
                return self._fail(CloseCode.PROTOCOL_ERROR, reason, now, events, version)
            message = wire.decode(body)
            if message is None:
                continue
            if not self._follow(message):
                return self._fail(CloseCode.PROTOCOL_ERROR, self._complaint(message), now, events)
            match message:
                case wire.Greeting():
                    self.peer_max_size = message.limits.max_size
                    self.nonce = message.nonce
                    self._say(self._signed_hello())
                    events.append(Greeted(message))
                case wire.Hello():
                    self.peer_max_size = message.limits.max_size
                    events.append(HelloReceived(message))
                case wire.Welcome():
                    return self._receive_welcome(message, now, events)
                case wire.Refused():
                    return events.append(RefusedByPeer(message.code, message.reason))
                case wire.Bye():
                    self.received_bye = Close(message.code, message.reason)
                    return events.append(SaidBye(self.received_bye))
                case (
                    # What the table bars before Welcome.
                    TextPost() | DataPost() | wire.Ack() | wire.Reject() | wire.Ping()
                    | wire.Pong() | wire.Event() | wire.Present() | wire.Command() | wire.Answer()
                ):  # fmt: skip
                    raise AssertionError(message)
                case _:
                    assert_never(message)
        return None

    def _signed_hello(self) -> wire.Hello:
        assert self._hello is not None
        if self._prove is None:
            return self._hello
        return msgspec.structs.replace(self._hello, signature=self._prove(self.nonce))

    def _receive_welcome(self, welcome: wire.Welcome, now: float, events: list[CoreEvent]) -> None:
        lanes = self._lanes
        assert lanes is not None
        if welcome.mark > lanes.written:
            reason = f"post {welcome.mark} cannot be held, the last one sent is {lanes.written}"
            return self._fail(CloseCode.PROTOCOL_ERROR, reason, now, events)
        restarted = lanes.session not in (b"", welcome.session)
        missed = lanes.miss(welcome.floor) if welcome.session == lanes.session else None
        acknowledged = lanes.resume(welcome.session, welcome.mark, welcome.after)
        resumed = Resumed(acknowledged, self._open(), restarted, missed)
        events.append(Welcomed(welcome, resumed))
        return None

    def _receive_talk(self, frames: Iterator[bytes], now: float, events: list[CoreEvent]) -> None:
        """Read what comes over an open link: the hot path."""
        lanes = self._lanes
        assert lanes is not None
        if lanes.links != self._link_number:
            # A newer link has told our mark: what this one still brings is sent again there, and
            # an acknowledgement may be that of a server that has lost its memory since.
            return None
        posts: list[wire.Post] = []
        received = lanes.received
        try:
            for body in frames:
                try:
                    message: wire.WireMessage | None = decode_known(body)
                except (ValueError, RecursionError):
                    message = wire.decode(body)  # says what is wrong with it, if anything
                kind = type(message)
                if (kind is TextPost or kind is DataPost) and kind in self._theirs:
                    number = message.number  # type: ignore[union-attr]
                    if number > received:
                        received = number
                        posts.append(message)  # type: ignore[arg-type]
                    else:
                        # A repeat after a new link: drop it, but say again that it is here.
                        self._ack_due = True
                elif message is not None:
                    if posts:
                        events.append(self._received(posts, lanes))
                        posts = []
                    if not self._follow(message):
                        complaint = self._complaint(message)
                        return self._fail(CloseCode.PROTOCOL_ERROR, complaint, now, events)
                    self._receive_other(message, lanes, now, events)
                    if self.state is State.FAILED:
                        return None
        finally:
            lanes.received = received
            if posts:
                events.append(self._received(posts, lanes))
        return None

    def _received(self, posts: list[wire.Post], lanes: Lanes) -> Received:
        """Report a run of posts; those of our own are known before they are acknowledged."""
        if self.side is Side.CLIENT:
            for post in posts:
                if post.own:
                    lanes.recognise(post)
        return Received(posts)

    def _receive_other(
        self, message: wire.WireMessage, lanes: Lanes, now: float, events: list[CoreEvent]
    ) -> None:
        """Take anything but a post over an open link."""
        match message:
            case wire.Ack(number) if number <= lanes.written:
                acknowledged = lanes.outbox.acknowledge(number)
                if acknowledged:
                    events.append(Acknowledged(acknowledged))
            case wire.Ack(number) | wire.Reject(number) if number > lanes.written:
                reason = f"post {number} is not known, the last one sent is {lanes.written}"
                self._fail(CloseCode.PROTOCOL_ERROR, reason, now, events)
            case wire.Reject(number, code, reason):
                post = lanes.outbox.reject(number)
                if post is not None:
                    events.append(Rejection(post, code, reason))
            case wire.Ping(number):
                self._pong_due = number
            case wire.Pong(number):
                answered = self._keepalive.answer(number, now)
                if answered is not None:
                    events.append(Ponged(*answered))
            case wire.Event() | wire.Present() | wire.Command() | wire.Answer():
                events.append(Passed(message))
            case wire.Bye():
                self._receive_bye(message, now, events)
            case (
                # What `_receive_talk` has taken.
                TextPost() | DataPost()
                # What one of the first two cases has taken.
                | wire.Ack()
                # What the table bars behind Welcome.
                | wire.Greeting() | wire.Hello() | wire.Welcome() | wire.Refused()
            ):  # fmt: skip
                raise AssertionError(message)
            case _:
                assert_never(message)

    def _receive_bye(self, bye: wire.Bye, now: float, events: list[CoreEvent]) -> None:
        """Take a goodbye, and answer it unless ours was said before."""
        self.received_bye = Close(bye.code, bye.reason)
        if self.sent_bye is None:
            self.close(bye.code, "", now)
        events.append(SaidBye(self.received_bye))

    def _follow(self, message: wire.WireMessage) -> bool:
        """Go where the table leads when the other side says `message`; False if it may not."""
        state = self._theirs.get(type(message))
        if state is None:
            return False
        if state is not self.state:
            self._enter(state)
        return True

    def _complaint(self, message: wire.WireMessage) -> str:
        return f"{type(message).__name__} from the {self.side.other.value} while {self.state.value}"

    def _fail(
        self,
        code: int,
        reason: str,
        now: float,
        events: list[CoreEvent],
        version: int | None = None,
    ) -> None:
        """Say goodbye with `code`, unless that was said, and take nothing more."""
        close = Close(code, reason[: wire.MAX_REASON])
        if not self._bye_flushed:
            self._out.clear()
            self._out.append(wire.encode(wire.Bye(close.code, close.reason)))
            self.sent_bye = close
            self._bye_sent = now
        self._enter(State.FAILED)
        events.append(Failed(close, version))

    def _enter(self, state: State) -> None:
        self.state = state
        self._established = state in _ESTABLISHED
        self._ours = TRANSITIONS[state][self.side]
        self._theirs = TRANSITIONS[state][self.side.other]

    def forget_input(self) -> None:
        """Let go of what came of a frame that will not be complete: the link has ended."""
        self._frames.clear()

    # ---- what we say ----

    def welcome(
        self,
        lanes: Lanes,
        hello: wire.Hello,
        nick: str,
        room: str,
        *,
        floor: int = 0,
        head: int = 0,
        after: tuple[int, int] = (0, 0),
    ) -> Resumed:
        """Let the client in, going on with `lanes`.

        Args:
            lanes: The lanes of its session.
            hello: What it asked for.
            nick: The name that it goes by.
            room: The room that it is in.
            floor: See `Welcome`; this one and the others are for lanes that a log keeps.
            head: See `Welcome`.
            after: See `Welcome`.

        Raises:
            LocalProtocolError: No client has asked.
        """
        told = (nick, room, floor, head, after, self._next_key)
        self._say(wire.Welcome(lanes.session, lanes.committed, *told))
        # A client that claims what was never written gains nothing by it.
        mark = min(hello.after[0], lanes.written) if hello.session == lanes.session else 0
        acknowledged = lanes.resume(lanes.session, mark)
        self._lanes = lanes
        return Resumed(acknowledged, self._open())

    def refuse(self, code: int, reason: str) -> None:
        """Do not let the client in.

        Raises:
            LocalProtocolError: No client has asked.
        """
        self._say(wire.Refused(code, reason[: wire.MAX_REASON]))

    def send_post(self, frame: bytes) -> None:
        """Queue the frame of a post that the lanes have taken.

        Once our goodbye was said it is left to the lanes, which send it over the next link.
        """
        if TextPost in self._ours:
            self._out.append(frame)
            self._out_size += len(frame)

    def send_event(self, event: Passing) -> bool:
        """Queue something that passes; False if it was dropped, because too many wait already."""
        return type(event) in self._ours and self.send_events(wire.encode(event))

    def send_events(self, frames: bytes, count: int = 1) -> bool:
        """Queue the frames of so many passing events, or none of them: then it returns False."""
        if wire.Event not in self._ours or self._waiting_answers + count > MAX_WAITING_ANSWERS:
            return False
        self._waiting_answers += count
        self._out.append(frames)
        return True

    def reject(self, number: int, code: int, reason: str) -> None:
        """Refuse post `number` for good.

        Raises:
            LocalProtocolError: The link is not open, or too many rejections wait to be read.
        """
        if self._waiting_answers >= MAX_WAITING_ANSWERS:
            raise LocalProtocolError(f"{MAX_WAITING_ANSWERS} rejections wait to be read")
        self._waiting_answers += 1
        self._say(wire.Reject(number, code, reason[: wire.MAX_REASON]))

    def acknowledge(self) -> None:
        """Tell the other side, with the next bytes, up to where the lanes have committed.

        During the greeting there is no need: Welcome, or the next link's Hello, tells it.
        """
        self._ack_due = self._opened

    def ping(self, now: float) -> int:
        """Queue a ping and return its number, which `Ponged` will bear or exceed.

        Raises:
            LocalProtocolError: The link is not open, or very many pings are on their way already.
        """
        if self._keepalive.unanswered >= MAX_PINGS:
            raise LocalProtocolError(f"{MAX_PINGS} pings are unanswered")
        self._say(wire.Ping(self._keepalive.pings + 1))
        return self._keepalive.ping(now)

    def close(self, code: int, reason: str, now: float) -> None:
        """Say goodbye, behind the posts that were queued before.

        Raises:
            LocalProtocolError: It was said already.
        """
        self._say(wire.Bye(code, reason[: wire.MAX_REASON]))
        self.sent_bye = Close(code, reason[: wire.MAX_REASON])
        self._bye_sent = now

    def _say(self, message: wire.WireMessage) -> None:
        """Go where the table leads when we say `message`."""
        state = self._ours.get(type(message))
        if state is None:
            name = type(message).__name__
            raise LocalProtocolError(
                f"no {name} from the {self.side.value} while {self.state.value}"
            )
        self._out.append(wire.encode(message))
        self._enter(state)

    def _open(self) -> list[tuple[Outgoing, MessageTooBig]]:
        """Leave the greeting behind, and send what the other side lacks; return what it bars."""
        assert self._lanes is not None
        self._link_number = self._lanes.links
        self._opened = True
        self._frames.max_size = self._options.max_size
        self._enter(State.OPEN)
        too_big = self._lanes.reject_above(self.peer_max_size)
        for frame in self._lanes.unacknowledged():
            self.send_post(frame)
        return too_big

    # ---- bytes out ----

    @property
    def wants_to_send(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self._out) or self._ack_due or self._pong_due is not None

    @property
    def queued_size(self) -> int:
        """Bytes of the posts that wait to be sent, about."""
        return self._out_size

    def data_to_send(self) -> bytes:
        """Return all that is to be written now, in whole frames.

        While a link takes no more bytes, do not call it: answers are then folded into one.
        """
        out = self._out
        lanes = self._lanes
        if self._opened and lanes is not None:
            lanes.written = lanes.sent
            if self._ack_due:
                out.append(wire.encode(wire.Ack(lanes.committed)))
        if self._pong_due is not None:
            out.append(wire.encode(wire.Pong(self._pong_due)))
        data = b"".join(out)
        out.clear()
        self._out_size = self._waiting_answers = 0
        self._ack_due = False
        self._pong_due = None
        self._bye_flushed = self.sent_bye is not None
        return data

    @property
    def finished(self) -> bool:
        """Whether nothing more can pass: cut the link once `data_to_send` is written."""
        if self.state is State.BOTH_LEFT:
            assert self._lanes is not None
            return self._lanes.settled
        return self.state is State.FAILED

    # ---- time ----

    def pause(self) -> None:
        """Reading stops on our own account: do not blame the other side for silence.

        It cannot be answered meanwhile, so `handle_deadline` gives it a sign of life instead.
        """
        self._keepalive.paused = True

    def resume(self, now: float) -> None:
        """Reading goes on."""
        self._keepalive.resume(now)

    @property
    def asks_for_life(self) -> bool:
        """Whether the other side was asked for a sign of life, and nothing has arrived since."""
        return self._keepalive.asked is not None

    def next_deadline(self) -> float | None:
        """Return the time at which to call `handle_deadline`, or None."""
        if self._bye_sent is not None:
            seconds = self._options.close_timeout
            return None if seconds is None else self._bye_sent + seconds
        return self._keepalive.deadline() if self.state is State.OPEN else None

    def handle_deadline(self, now: float) -> list[CoreEvent]:
        """Ping, give a sign of life, or give the other side up, if the time for it has come."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return []
        if self._bye_sent is not None:
            return [Unresponsive(f"no goodbye within {self._options.close_timeout} s")]
        match self._keepalive.due(now):
            case Due.SIGN_OF_LIFE:
                self.acknowledge()
            case Due.PING:
                self.ping(now)
            case Due.NOTHING:
                pass
            case Due.GIVING_UP:
                silence = now - self._keepalive.heard
                return [Unresponsive(f"no sign of life for {silence:.0f} s")]
            case other:
                assert_never(other)
        return []
