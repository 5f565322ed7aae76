"""A session: an ordered, acknowledged, two-way exchange of messages that outlives its links.

This is what applications hold: `send`, `recv`, and what belongs to them. Its lower half, how links
come and go under it, is `lifecycle.py`; `receipt.py` tells a sender what became of a message. It
does not know how a link is opened, nor what a room is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, Unpack

from socketchat import messages as wire
from socketchat.errors import (
    Close,
    CloseCode,
    CommandFailed,
    LocalProtocolError,
    SessionClosed,
    SessionClosedOK,
)
from socketchat.events import Event, Joined, Left, Message, Typing
from socketchat.lanes import Body
from socketchat.lifecycle import SessionLifecycle, SessionState
from socketchat.link import Link, StreamReaderLike, StreamWriterLike
from socketchat.messages import Greeting, Limits
from socketchat.options import OptionArgs, Options
from socketchat.outbox import MemoryOutbox
from socketchat.peers import Prover
from socketchat.protocol import Protocol, Side
from socketchat.receipt import Receipt

__all__ = ["Session", "SessionState", "Side"]


def make_goodbye(code: int, reason: str) -> Close:
    """Return the goodbye that an application wants to say.

    Raises:
        ValueError: The code may not be sent, or the reason is too long.
    """
    if not CloseCode.is_sendable(code):
        raise ValueError(f"{code} is no code to close with: use CloseCode, or 4000 to 4999")
    if len(reason) > wire.MAX_REASON:
        raise ValueError(f"a reason has at most {wire.MAX_REASON} characters")
    return Close(code, reason)


def microseconds_of(when: datetime | None) -> int:
    """Return a time in microseconds since the epoch; 0 is none.

    Raises:
        ValueError: It does not say in which time zone it is.
    """
    if when is None:
        return 0
    if when.tzinfo is None:
        raise ValueError(f"since must say its time zone: {when!r}")
    return max(int(when.timestamp() * 1_000_000), 1)


@asynccontextmanager
async def greeting_on(link: Link, options: Options) -> AsyncIterator[None]:
    """Cut the link if what is done meanwhile fails, or takes longer than `open_timeout`."""
    try:
        async with asyncio.timeout(options.open_timeout):
            yield
    except BaseException:
        link.cut("the greeting failed")
        raise


class Session(SessionLifecycle):
    """One conversation with one peer.

    Iterate over it to receive messages; the iteration ends when the session closes in good order.
    Sessions come from `connect`, from `serve`, or from `Session.from_streams`.

    Whoever sends must go on receiving as well: acknowledgements come over the same link, and one
    whose inbox is full (`max_queue`) reads nothing more. Where much is said, let a task of its own
    receive while another one waits for a receipt, `flush` or `ping`.

    Concurrency: any number of tasks may send; one at a time may receive.

    Attributes:
        side: Which end this is.
        state: What the session is doing.
        nick: The name that the client goes by, as the server gave it.
        room: The room that the session is in, or empty.
        peer: Who is at the other end.
        latency: Seconds that the last ping took, there and back; 0.0 until there was one.
        earlier: The numbers of what was said in the room before the session came in, as far as it
            is given that; it is given none of what was meant for others.
        has_log: Whether the room is kept in a log: what is said there, our own messages too, then
            comes back in the room's order.
        head: The number of the last entry that the room had when the link came about; 0 without a
            log.
        next_pin: The pin of the key that the server will have next, as it has announced; or empty.
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
        """For `connect`, `serve` and `from_streams` alone."""
        super().__init__(side, options, lane=lane, resumable=resumable, outbox=outbox)
        self._send_order = asyncio.Lock()
        self._command_order = asyncio.Lock()
        self._driver: asyncio.Task[None] | None = None

    @classmethod
    async def from_streams(
        cls,
        reader: StreamReaderLike,
        writer: StreamWriterLike,
        *,
        side: Side,
        name: str = "",
        nick: str | None = None,
        room: str | None = None,
        history: int = 0,
        since: datetime | None = None,
        device: Prover | None = None,
        **options: Unpack[OptionArgs],
    ) -> Self:
        """Open a session over a pair of streams: a Unix socket, an SSH channel, a pipe.

        One end must be `Side.SERVER`, the other `Side.CLIENT`. The session ends with its streams:
        it cannot be resumed. They are closed with it, and also if it does not come about.

        Cancellation: closes the streams.

        Args:
            reader: Where the other side's bytes come from.
            writer: Where ours go.
            side: Which end this is.
            name: The server's name, as a server, for people to read, at most 64 characters.
            nick: The name to go by, as a client; None leaves it to the server.
            room: The room to ask for, as a client; None is the server's first.
            history: How many earlier messages of it to ask for, as a client.
            since: Ask for what was said in it at this time or later, instead.
            device: Whose key to show, as a client; None shows none. Nothing of the streams goes
                into the proof: it is worth as much as they are.
            **options: See `Options`.

        Raises:
            HandshakeError: The other side does not speak the protocol, or refused.
            TimeoutError: The greeting took longer than `open_timeout`.
            ValueError: An argument is out of range.
        """
        try:
            checked = Options(**options)
            wire.check_names(name, nick or "", room or "")
            begin = microseconds_of(since)
        except BaseException:
            writer.close()
            raise
        if side is Side.SERVER:
            return await cls._as_server(reader, writer, checked, name)
        session = cls(side, checked, lane=os.urandom(16), resumable=False)
        core = session.client_protocol(
            nick=nick or "",
            room=room or "",
            history=history,
            since=begin,
            device=device,
        )
        return await session._as_client(Link(reader, writer, core))

    async def _as_client(self, link: Link) -> Self:
        async with greeting_on(link, self._options):
            await self.greet_server(link)
        self.run(self.drive(link))
        return self

    @classmethod
    async def _as_server(
        cls, reader: StreamReaderLike, writer: StreamWriterLike, options: Options, name: str
    ) -> Self:
        greeting = Greeting(wire.VERSION, os.urandom(32), name, Limits(options.max_size))
        now = asyncio.get_running_loop().time()
        link = Link(reader, writer, Protocol(Side.SERVER, options, now, greeting=greeting))
        async with greeting_on(link, options):
            hello = await link.greet_client()
            session = cls(Side.SERVER, options, lane=hello.lane, resumable=False)
            session.welcome(link, hello, hello.nick, hello.room)
        session.run(session.drive(link))
        return session

    def run(self, driver: Coroutine[Any, Any, None]) -> None:
        """Have `driver` run as this session's own task; for the doors alone."""
        self._driver = asyncio.create_task(driver)

    def __repr__(self) -> str:
        where = f" in {self.room!r}" if self.room else ""
        return f"<Session with {self.peer.nick!r}{where}, {self.state.value}>"

    # ---- what it is ----

    @property
    def id(self) -> str:
        """The session's name, in hex; it changes when the other side restarts."""
        return self._lanes.session.hex()

    @property
    def linked(self) -> bool:
        """Whether there is a link just now, though it may be dead."""
        return self._link is not None

    @property
    def unacknowledged(self) -> int:
        """Messages that were sent and are not acknowledged yet."""
        return len(self._lanes.outbox)

    @property
    def close_code(self) -> int | None:
        """The code of the goodbye that came first, 1006 if there was none; None while open."""
        return self._error.code if self._error else None

    @property
    def close_reason(self) -> str:
        """The reason that goes with `close_code`."""
        return self._error.reason if self._error else ""

    # ---- sending ----

    async def send(self, body: Body, *, to: str = "", sender: str = "") -> Receipt:
        """Accept a message for sending: it will arrive once, in order, even if the link breaks.

        It waits while `max_unacked` is reached, and not otherwise; so a loop that sends should
        await something else now and then.

        Cancellation: the message is then not sent, and none of the others suffers.

        Concurrency: messages of several tasks go out in the order of the calls.

        Args:
            body: Text or data.
            to: The name of the one whom it is for; empty is everyone.
            sender: For servers that pass a message on: who said it.

        Returns:
            A receipt; await it to wait until the other side holds the message.

        Raises:
            MessageTooBig: It is longer than the other side takes.
            SessionClosed: The session is closed or closing.
            ValueError: A text has lone surrogates, or a name is longer than 64 characters.
            TypeError: `body` is neither text nor bytes.
            OSError: The session's outbox is a file, and cannot be written.
        """
        lanes = self._lanes
        if lanes.outbox.full or self._sends_waiting or not self._accepting:
            await self._wait_to_send()
        if to or sender:
            wire.check_names(to, sender)
        receipt = lanes.post(body, time.time_ns() // 1000, sender, to, self._max_size)
        if self._link is not None:
            self._link.send_post(receipt.frame)
        return receipt  # type: ignore[return-value]

    async def _wait_to_send(self) -> None:
        """Wait for room in the outbox, in the order of the calls.

        Raises:
            SessionClosed: The session is closed or closing.
        """
        self._sends_waiting += 1
        try:
            async with self._send_order:
                while self._lanes.outbox.full and self._accepting:
                    self._room_to_send.clear()
                    await self._room_to_send.wait()
        finally:
            self._sends_waiting -= 1
        if not self._accepting:
            raise self._closed_error()

    async def flush(self) -> None:
        """Wait until all that was sent so far is acknowledged, or rejected.

        As long as the inbox is full nothing is acknowledged: something must receive meanwhile.

        Cancellation: safe.

        Raises:
            SessionClosed: The session ended first.
        """
        if self._undelivered:
            raise self._closed_error()
        for post in list(self._lanes.outbox):
            assert isinstance(post, Receipt)
            await post.settled()
            if isinstance(post.error, SessionClosed):
                raise post.error

    def tell(self, event: Joined | Left | Typing) -> bool:
        """Tell the other side of something that passes; it is lost without harm.

        Returns:
            Whether it was queued; not without a link, or if too much waits already.

        Raises:
            ValueError: Its name or its address is longer than 64 characters.
        """
        kind = type(event).__name__.lower()
        address = "" if isinstance(event, Typing) else event.address
        if max(len(event.nick), len(address)) > wire.MAX_NAME:
            raise ValueError(f"a name or an address has at most {wire.MAX_NAME} characters")
        if self._link is None:
            return False
        told = self._link.protocol.send_event(wire.Event(kind, event.nick, address))
        self._link.flush_soon()
        return told

    # ---- receiving ----

    async def recv(self) -> Message:
        """Return the next message of the other side, waiting for it if need be.

        Events on the way to it are passed over, and so are our own messages that come back from a
        room; see `events`.

        Cancellation: loses nothing.

        Raises:
            SessionClosedOK: The session closed in good order, and everything was received.
            SessionClosedError: It closed in any other way.
            ConcurrencyError: Another task is receiving.
        """
        inbox = self._inbox
        while True:
            if inbox.waiting or not inbox.items:
                await inbox.wait()
                if not inbox.items:
                    raise self._closed_error()
            item = inbox.take()
            if isinstance(item, wire.Post) and not (item.own and self.side is Side.CLIENT):
                return self._message(item)

    def __aiter__(self) -> Self:
        """Iterate over the messages; the iteration ends when the session closes in good order."""
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.recv()
        except SessionClosedOK:
            raise StopAsyncIteration from None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Iterate over everything: messages, and what happens around them, in order.

        In a room our own messages are among them, where they stand in the room's order, as long as
        this is iterated over.

        Ends, or raises, as the iteration over the session itself does.

        Cancellation: loses nothing.
        """
        inbox = self._inbox
        self._own_wanted += 1
        try:
            while True:
                if inbox.waiting or not inbox.items:
                    await inbox.wait()
                    if not inbox.items:
                        break
                item = inbox.take()
                yield self._message(item) if isinstance(item, wire.Post) else item
        finally:
            self._own_wanted -= 1
        error = self._closed_error()
        if not isinstance(error, SessionClosedOK):
            raise error

    def _message(self, post: wire.Post) -> Message:
        if self.side is Side.SERVER:
            # Whom a client speaks for, and which posts are ours, is not for the client to say.
            return Message(post.body, self.peer.nick, post.number, post.at, post.to)
        return Message(
            post.body,
            post.sender or self.peer.nick,
            post.number,
            post.at,
            post.to,
            replayed=post.number < self.earlier.stop,
            own=post.own > 0,
            own_number=post.own,
            public=post.key,
        )

    # ---- commands and liveness ----

    async def command(self, name: str, argument: str = "") -> str:
        """Ask the server to do something, and return what it says to that.

        What a chat server does for its operators is in `docs/protocol.md`, "Commands". It waits
        through a lost link before the command is sent, and is never sent twice.

        Cancellation: the command may be carried out all the same.

        Concurrency: commands of several tasks are sent one after the other.

        Args:
            name: What to do, at most 32 characters.
            argument: With what, or to whom, at most 1000 characters.

        Raises:
            CommandFailed: The server did not do it, or the link was lost before it answered.
            LocalProtocolError: This is the server's end: only a client has commands.
            SessionClosed: The session is closed or closing, or ended first.
            ValueError: An argument is too long.
        """
        if self.side is Side.SERVER:
            raise LocalProtocolError("only a client has commands")
        if len(name) > wire.MAX_COMMAND or len(argument) > wire.MAX_ARGUMENT:
            raise ValueError(
                f"a command has at most {wire.MAX_COMMAND} characters, "
                f"its argument {wire.MAX_ARGUMENT}"
            )
        async with self._command_order:
            while self._link is None or not self._may_ask.is_set():
                if not self._accepting:
                    raise self._closed_error()
                await self._may_ask.wait()
            if not self._accepting:
                raise self._closed_error()
            answer = await self._questions.ask(self._link, name, argument)
        if answer.code != CloseCode.OK:
            raise CommandFailed(answer.code, answer.text)
        return answer.text

    async def rename(self, nick: str) -> str:
        """Go by another name in the room, also after a lost link; return the one that was given.

        It is given as at the door: who finds the name taken gets one that resembles it.

        Cancellation: we may have the other name all the same.

        Raises:
            CommandFailed: The server did not do it, or the link was lost before it answered.
            LocalProtocolError: This is the server's end: only a client has commands.
            SessionClosed: The session is closed or closing, or ended first.
            ValueError: The name is too long.
        """
        wire.check_names(nick)
        given = await self.command("nick", nick)
        if not 1 <= len(given) <= wire.MAX_NAME:
            raise CommandFailed(CloseCode.PROTOCOL_ERROR, "the server has answered with no name")
        self.nick = given
        return given

    async def ping(self) -> float:
        """Return the seconds that a ping takes, there and back; waits through a lost link.

        At most 1024 pings can be on their way.

        Cancellation: safe.

        Raises:
            SessionClosed: The session is closed or closing, or ended first.
        """
        while True:
            if not self._accepting:
                raise self._closed_error()
            if self._link is None or not self._may_ask.is_set():
                await self._may_ask.wait()
                continue
            seconds = await self._questions.ping(self._link)
            if seconds is not None:
                return seconds

    # ---- the end ----

    async def close(self, code: int = CloseCode.OK, reason: str = "") -> None:
        """Say goodbye and wait until the session is closed; what was sent still arrives.

        If the link is lost, it has `close_timeout` to come back for what is unacknowledged. After
        `close_timeout` the session is cut off. Closing again does nothing but wait.

        Cancellation: the closing goes on; call it again, or `abort`.

        Args:
            code: One of `CloseCode`, or 4000 to 4999.
            reason: For people to read, at most 500 characters.

        Raises:
            ValueError: The code may not be sent, or the reason is too long.
        """
        goodbye = make_goodbye(code, reason)
        if not self._closing and self._error is None:
            self._start_closing(goodbye)
        await self.wait_closed()

    def reconnect(self) -> bool:
        """Have a new link opened at once, in place of the one that there is if there is one.

        Returns:
            Whether that can be; a server's end, one from `from_streams` and one that does not
            reconnect wait for nothing and open nothing.
        """
        if not self._resumable or self.side is Side.SERVER or self._closing or self._error:
            return False
        if self._link is not None:
            self._link.cut("it was asked for a new one")
        self._hurried.set()
        return True

    def abort(self) -> None:
        """Cut the link and end the session at once; what is unacknowledged may be lost."""
        self._cut_off()

    async def wait_closed(self) -> None:
        """Wait until the session has ended and its link is closed.

        Cancellation: safe.
        """
        await self._closed.wait()
        if self._driver is not None and self._driver is not asyncio.current_task():
            await asyncio.wait((self._driver,))

    async def closed_within(self, seconds: float) -> bool:
        """Wait until the session is closed, or for so many seconds; tell whether it is.

        Whoever asks for a new link at once (`reconnect`) ends that too.

        Cancellation: safe.
        """
        if not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurried.wait()
            self._hurried.clear()
        return self._closed.is_set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _closed_error(self) -> SessionClosed:
        """Return the error that says why nothing can be sent or received."""
        if self._error is not None:
            return self._error
        assert self._first_bye is not None
        return self._make_error(self._first_bye, self._link)
