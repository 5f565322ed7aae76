"""A server's end of a session whose two lanes a log keeps, instead of an inbox and an outbox.

What comes is given to a `Keeper` as it comes, and acknowledged when the keeper says that it is
held; what goes out are frames that the keeper has made, for many sessions at once. Nothing waits in
here: when the link takes no more, the keeper remembers its place and goes on from there. When the
link is lost the session is over; the client comes back to a new one, and its `Hello` says where it
was.

`chat/member.py` is a keeper. `session.py` has the session whose lanes are in memory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from socketchat import messages as wire
from socketchat.core_events import Passing
from socketchat.errors import Close, CloseCode, LocalProtocolError
from socketchat.link import Link
from socketchat.options import Options
from socketchat.protocol import State
from socketchat.session import Session, SessionState, Side

__all__ = ["Keeper", "LogPlace", "LoggedSession"]


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a client goes on in a log, as Welcome tells it.

    Attributes:
        session: The session's name: the one that the client had, if the log knows its place, else
            empty, and a new one is made.
        mark: The highest number of the client's lane that is committed.
        floor: The number of the first entry that the log still holds.
        head: The number of its last entry.
        after: Number and time of the entry behind which the client goes on.
        restarts: How often the log had begun afresh when the place was found: places do not outlive
            that.
    """

    session: bytes
    mark: int
    floor: int
    head: int
    after: tuple[int, int]
    restarts: int = 0


class Keeper(Protocol):
    """Who keeps the lanes of a `LoggedSession`."""

    def take(self, posts: Sequence[wire.Post]) -> None:
        """Take what the client posted; `LoggedSession.hold` tells it that it is held."""

    def hear(self, event: wire.Event) -> None:
        """Take a passing event of the client's."""

    def obey(self, command: wire.Command) -> None:
        """Take a command of the client's; `LoggedSession.answer` says what became of it."""

    def drained(self) -> None:
        """Go on giving: the link takes more again."""

    def ended(self, *, lost: bool) -> None:
        """Let go of the session: it has ended.

        It is `lost` if its client may be back in a moment: the link was cut without a goodbye, or
        the client was turned away for now.
        """


class LoggedSession(Session):
    """One end of a conversation that a log keeps.

    Of what a `Session` offers, its names, states, times and its end are of use here. What is said
    goes through the log: a post with a number of the session's own would take the place of an entry
    that the client then never gets.

    Attributes:
        place: Where the client went on in the log.
        key: The client's key, 32 bytes, or empty if it has none.
    """

    def __init__(self, options: Options, *, lane: bytes, place: LogPlace) -> None:
        """For `serve` alone."""
        super().__init__(Side.SERVER, options, lane=lane, resumable=False)
        self.place = place
        self.key: bytes = b""
        lanes = self._lanes
        lanes.session = place.session or os.urandom(16)
        lanes.received = lanes.committed = place.mark
        lanes.sent = lanes.written = place.after[0]
        self._keeper: Keeper | None = None
        # What came before there was a keeper: no more than one read, since none follows till then.
        self._early: list[wire.Post] = []
        self._asked_early: list[wire.Command] = []
        # Whether this side has said goodbye in such a way that the client comes back by itself.
        self._comes_back = False

    @property
    def lane(self) -> bytes:
        """The name of the client's lane: a secret."""
        return self._lanes.lane

    def welcome(
        self, link: Link, hello: wire.Hello, nick: str, room: str, key: bytes = b""
    ) -> None:
        """Let the client in, on the one link that this session has."""
        self._set_client(link, nick, room, key)
        self.key = key
        place = self.place
        resumed = link.protocol.welcome(
            self._lanes,
            hello,
            nick,
            room,
            floor=place.floor,
            head=place.head,
            after=place.after,
        )
        self._attach(link, resumed, [])
        link.pause()  # until somebody keeps what is said
        link.flush()

    def keep(self, keeper: Keeper) -> None:
        """Give `keeper` what comes from now on, and what has come so far.

        Raises:
            SessionClosed: The session has ended, perhaps by what has come so far.
        """
        if self._error is None:
            self._keeper = keeper
            assert self._link is not None
            self._link.on_drained = keeper.drained
            self._link.resume()
            if self._early:
                keeper.take(self._early)
                self._early = []
            for command in self._asked_early:
                keeper.obey(command)
            self._asked_early = []
        if self._error is not None:
            raise self._error

    # ---- what comes ----

    def _take(self, link: Link, posts: Sequence[wire.Post]) -> None:  # noqa: ARG002
        if self._dropping:
            return
        self._lanes.owed = posts[-1].number
        if self._keeper is None:
            self._early.extend(posts)
        else:
            self._keeper.take(posts)

    def _pass_on(self, event: Passing) -> None:
        if self._keeper is not None and isinstance(event, wire.Event):
            self._keeper.hear(event)

    def _obey(self, link: Link, command: wire.Command) -> None:  # noqa: ARG002
        if self._dropping:
            return
        if self._keeper is None:
            self._asked_early.append(command)
        else:
            self._keeper.obey(command)

    def answer(self, answer: wire.Answer) -> None:
        """Say what became of a command, unless the client reads none of its answers."""
        if self._link is not None:
            self._link.protocol.send_event(answer)
            self._link.flush_soon()

    def hold(self, number: int) -> None:
        """Acknowledge what the client posted up to `number`: it is held for good."""
        link = self._link
        if link is not None and not self._dropping and self._lanes.commit(number):
            link.protocol.acknowledge()
            link.flush_soon()
            link.check_finished()

    def reject(self, number: int, code: int, reason: str) -> None:
        """Refuse one post for good; `hold` is called for it too, in its turn."""
        link = self._link
        if link is None or link.protocol.state is State.FAILED:
            return  # nobody listens any more
        for _ in range(2):
            with contextlib.suppress(LocalProtocolError):
                link.protocol.reject(number, code, reason)
                link.flush_soon()
                return
            link.flush()  # perhaps there were only so many in one turn
        self._log.warning("cut off: it reads none of its rejections")
        self._cut_off()

    def ask_heard(self, heard: Callable[[], object]) -> None:
        """Have `heard` called once the client has read all that was rejected so far.

        Behind goodbyes too; but not if the link is lost before.
        """
        link = self._link
        if link is None or link.protocol.state is State.FAILED:
            return
        pong = self._questions.ping(link)
        pong.add_done_callback(lambda pong: None if pong.result() is None else heard())

    def pause_reading(self) -> None:
        """Read nothing more from the client, for now."""
        if self._link is not None:
            self._link.pause()

    def resume_reading(self) -> None:
        """Read on."""
        if self._link is not None:
            self._link.resume()

    # ---- what goes out ----

    @property
    def takes_more(self) -> bool:
        """Whether what is given now goes out at once."""
        return self._link is not None and not self._link.clogged

    def give(self, frames: bytes, number: int) -> None:
        """Write the frames of posts, the last of which has this number."""
        if self._link is not None:
            self._lanes.sent = number
            self._link.send_post(frames)

    def pass_frames(self, frames: bytes, count: int) -> None:
        """Write the frames of so many passing events, unless too many wait already."""
        if self._link is not None:
            self._link.protocol.send_events(frames, count)
            self._link.flush_soon()

    def _by_the_log(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse what this session has no lanes for.

        Raises:
            LocalProtocolError: Always.
        """
        raise LocalProtocolError("a log keeps what is said here: append to it, or call as a client")

    send: Callable[..., NoReturn] = _by_the_log
    flush: Callable[..., NoReturn] = _by_the_log
    recv: Callable[..., NoReturn] = _by_the_log
    events: Callable[..., NoReturn] = _by_the_log
    command: Callable[..., NoReturn] = _by_the_log
    ping: Callable[..., NoReturn] = _by_the_log
    tell: Callable[..., NoReturn] = _by_the_log

    # ---- the end ----

    def turn_away(self, code: int, reason: str) -> None:
        """Say goodbye, and hold nothing more: the client keeps what is not acknowledged."""
        self._dropping = True
        self._lanes.owed = self._lanes.committed
        if not self._closing and self._error is None:
            self._start_closing(Close(code, reason[: wire.MAX_REASON]))
        if self._link is not None:
            self._link.check_finished()

    def _start_closing(self, goodbye: Close) -> None:
        self._comes_back = CloseCode.is_temporary(goodbye.code)
        super()._start_closing(goodbye)

    def _finish(
        self, first: Close, cause: Exception | None = None, *, link: Link | None = None
    ) -> None:
        if self._error is not None:
            return
        lost = self.state is not SessionState.CLOSING or self._comes_back
        super()._finish(first, cause, link=link)
        if self._keeper is not None:
            self._keeper.ended(lost=lost)
