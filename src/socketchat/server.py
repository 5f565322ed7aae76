"""`serve`: accept callers, let them in, and run a handler for each session.

Callers are counted in the acceptor, before TLS begins (`quota.py`); those that are turned away, for
whatever reason, are counted and logged by `refusals.py`. A caller whose lane is known gets its
session back; for a new one a session is made and the handler started (`handlers.py`). `session.py`
has the rest, and `logged.py` the sessions of handlers whose log remembers instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import ssl
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from socketchat.awaiting import Opening
from socketchat.errors import Close, CloseCode, HandshakeError, HandshakeRefused
from socketchat.fingerprint import digest_of_pin, fingerprint_of, is_pin
from socketchat.handlers import (
    Admission,
    Handler,
    Opens,
    Withdraws,
    ask_admission,
    run_handler,
)
from socketchat.link import Link, StreamReaderLike, StreamWriterLike
from socketchat.listening import Acceptor, listen
from socketchat.logged import LoggedSession
from socketchat.messages import VERSION, Greeting, Hello, Limits, check_names
from socketchat.options import DEFAULT_PORT, OptionArgs, Options
from socketchat.protocol import Protocol, State
from socketchat.quota import Quota, Seats
from socketchat.refusals import Refusal, RefusalLog, TooManySessions, kind_of
from socketchat.session import Session, Side, make_goodbye
from socketchat.streams import accept_streams
from socketchat.trust.device import is_proof
from socketchat.trust.identity import Identity
from socketchat.trust.tls import server_context

__all__ = ["Server", "serve"]

#: Seconds in which a caller must be through TLS.
TLS_TIMEOUT = 5.0
#: Callers who are not through the greeting yet, in all and from one address.
MAX_PENDING = (256, 8)
#: Sessions, in all and from one address.
MAX_SESSIONS = (10_000, 256)

#: What stands for the address of a caller who has none, as over a Unix socket.
NO_ADDRESS = "local"

_log = logging.getLogger("socketchat.server")


def serve(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    port: int = DEFAULT_PORT,
    *,
    identity: Identity | None = None,
    next_pin: str = "",
    name: str = "",
    tls: bool = True,
    max_pending: tuple[int, int] = MAX_PENDING,
    max_sessions: tuple[int, int] = MAX_SESSIONS,
    tls_timeout: float = TLS_TIMEOUT,
    **options: Unpack[OptionArgs],
) -> Opening[Server]:
    """Accept sessions and run `handler` for each one.

    Await it, or enter it with `async with`, which closes the server at the end. A handler that
    returns closes its session with 1000; one that raises is logged and closes with 1011. A handler
    with a method `admit` (see `Admits`) also decides who comes in, and by which name; one with
    `open` and `close` (see `Opens`) is opened and closed with the server.

    Cancellation: leaves nothing behind.

    Args:
        handler: Called with each new session, in a task of its own. A caller that comes back after
            a lost link gets its session back: no second call.
        host: Address or addresses to listen on; None is all.
        port: TCP port; 0 takes a free one, the same for every address.
        identity: The server's key; None makes one for this process, so that after a restart no
            client that has trusted it comes back (`Identity.load_or_generate` keeps one).
        next_pin: The pin of the key that the server will have next, which callers remember; empty
            if it keeps the one that it has. `Server.announce` changes it.
        name: The server's name, for people to read, at most 64 characters.
        tls: False speaks in the clear.
        max_pending: Callers who may be in the greeting at once, in all and from one address; others
            are turned away. One address is an IPv4 address, or the /64 of an IPv6 address.
        max_sessions: Sessions there may be at once, in all and from one address, those with a lost
            link among them; a new one is then refused with 1013. One that comes back on its lane
            is no new one, and one without an address, as of a Unix socket, does not count.
        tls_timeout: Seconds in which a caller must be through TLS.
        **options: See `Options`.

    Raises:
        OSError: An address cannot be bound, or the handler not be opened; `strerror` says why.
        ValueError: An argument is out of range.
    """
    check_names(name)
    server = Server(
        handler,
        Options(**options),
        name=name,
        max_pending=max_pending,
        max_sessions=max_sessions,
        tls_timeout=tls_timeout,
    )
    server.announce(next_pin)

    async def start() -> Server:
        await server.start(host, port, identity, tls=tls)
        return server

    return Opening(start)


class Server:
    """Listening sockets, the sessions behind them, and their handlers. `serve` makes it.

    Attributes:
        fingerprint: The pin of the server's key, `SHA256:...`; empty without TLS.
    """

    def __init__(
        self,
        handler: Handler,
        options: Options,
        *,
        name: str,
        max_pending: tuple[int, int] = MAX_PENDING,
        max_sessions: tuple[int, int] = MAX_SESSIONS,
        tls_timeout: float = TLS_TIMEOUT,
    ) -> None:
        """For `serve` alone."""
        self.fingerprint: str = ""
        self._handler = handler
        self._options = options
        self._name = name
        self._next_key = b""
        if not tls_timeout > 0:
            raise ValueError(f"tls_timeout must be above 0 seconds: {tls_timeout!r}")
        self._tls_timeout = tls_timeout
        self._context: ssl.SSLContext | None = None
        self._sockets: list[socket.socket] = []
        self._hellos = itertools.count()
        self._latest: dict[bytes, int] = {}
        self._sessions: dict[bytes, Session] = {}
        self._pending = Quota("max_pending", max_pending)
        self._seats = Seats("max_sessions", max_sessions)
        self._refused = RefusalLog()
        self._acceptors: list[Acceptor] = []
        self._callers: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._goodbye: Close | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    # ---- what it is ----

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return tuple(self._sockets)

    @property
    def port(self) -> int:
        """The port that it listens on, the same on every address; 0 once it is closed."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else 0

    @property
    def sessions(self) -> frozenset[Session]:
        """The sessions that are not closed, those with a lost link among them.

        They tell who is there, and can be closed. Those of a chat server neither send nor receive:
        whoever has something to say in a room joins it.
        """
        return frozenset(self._sessions.values())

    @property
    def refused(self) -> Mapping[Refusal, int]:
        """How many callers were turned away so far, by kind of reason; 0 for those of no kind."""
        return self._refused.counts

    @property
    def is_closing(self) -> bool:
        """Whether it was asked to close, and takes nobody any more."""
        return self._goodbye is not None

    def announce(self, next_pin: str) -> None:
        """Tell callers which key the server will have next: all who come in from now on.

        Args:
            next_pin: The pin of that key, which they remember; empty if the server keeps the one
                that it has.

        Raises:
            ValueError: It is no pin.
        """
        if next_pin and not is_pin(next_pin):
            raise ValueError(f'next_pin must be "SHA256:...": {next_pin!r}')
        self._next_key = digest_of_pin(next_pin) if next_pin else b""

    # ---- opening ----

    async def start(
        self, host: str | Sequence[str] | None, port: int, identity: Identity | None, *, tls: bool
    ) -> None:
        """Bind and accept; for `serve` alone."""
        if tls:
            if identity is None:
                identity = await asyncio.to_thread(Identity.generate)
            self._context = await asyncio.to_thread(server_context, identity)
            self.fingerprint = identity.fingerprint
        if isinstance(self._handler, Opens):
            await self._handler.open()
        try:
            self._sockets = await listen(host, port)
        except BaseException:
            if isinstance(self._handler, Opens):
                await self._handler.close()
            raise
        self._acceptors = [Acceptor(listener, self._take) for listener in self._sockets]

    @staticmethod
    def _own(tasks: set[asyncio.Task[None]], coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    # ---- callers ----

    def _take(self, connection: socket.socket, address: str) -> None:
        """Take a caller, or turn it away: counted here, before TLS begins."""
        if self._count(address):
            self._own(self._callers, self._serve_caller(connection, address))
        else:
            connection.close()

    def _count(self, address: str) -> bool:
        """Count a caller in, or say that there are too many."""
        if self._pending.take(address):
            return True
        self._refused.add(Refusal.TOO_MANY_PENDING, address)
        return False

    async def _serve_caller(self, connection: socket.socket, address: str) -> None:
        """Take one caller through TLS and the greeting, and drive its session over this link."""
        link: Link | None = None
        try:
            try:
                async with asyncio.timeout(self._options.open_timeout):
                    link = await self._open_link(connection)
                    session = await self._greet(link, self.fingerprint)
            except (OSError, HandshakeError) as exc:
                self._note(exc, link, address)
                if link is not None:
                    if isinstance(exc, TimeoutError):
                        link.say_bye(CloseCode.POLICY_VIOLATION, "the greeting took too long")
                    await link.close(self._options.close_timeout)
                return
            finally:
                # Until here, since one that was refused may take its time to go.
                self._pending.give_back(address)
        except BaseException:
            if link is not None:
                link.cut("the server is closing")
            raise
        await session.drive(link)

    async def accept(
        self, reader: StreamReaderLike, writer: StreamWriterLike, *, is_host: bool = False
    ) -> None:
        """Serve one caller over a pair of streams, from the greeting to the end of its link.

        For callers that come some other way than through the listening sockets: over a Unix socket,
        an SSH channel, or from this very process.

        Cancellation: ends its session.

        Args:
            reader: Where the caller's bytes come from.
            writer: Where ours go.
            is_host: Whether it is the one who sits at the server itself, who has no address, is let
                in in any case, and may do everything in a chat server.

        Raises:
            HandshakeError: It did not come in.
            TimeoutError: The greeting took longer than `open_timeout`.
        """
        link = self._make_link(reader, writer)
        # Without an address it would be taken for the host.
        link.address = "" if is_host else link.address or NO_ADDRESS
        try:
            async with asyncio.timeout(self._options.open_timeout):
                session = await self._greet(link, "")
        except (OSError, HandshakeError) as exc:
            self._note(exc, link, link.address)
            await link.close(self._options.close_timeout)
            raise
        except BaseException:
            link.cut("the greeting failed")
            raise
        await session.drive(link)

    def _note(self, exc: OSError | HandshakeError, link: Link | None, address: str) -> None:
        """Count a caller that did not come in, unless it went away or the server is closing."""
        wrong = link is not None and link.protocol.state is State.FAILED
        kind = kind_of(exc, wrong=wrong)
        why = exc.reason if isinstance(exc, HandshakeRefused) else str(exc) or type(exc).__name__
        if kind is None or self._goodbye is not None:
            _log.debug("a caller from %s did not come in: %s", address, why)
        else:
            self._refused.add(kind, address, why)

    async def _open_link(self, connection: socket.socket) -> Link:
        reader, writer = await accept_streams(connection, self._context, self._tls_timeout)
        return self._make_link(reader, writer)

    def _make_link(self, reader: StreamReaderLike, writer: StreamWriterLike) -> Link:
        greeting = Greeting(VERSION, os.urandom(32), self._name, Limits(self._options.max_size))
        now = asyncio.get_running_loop().time()
        protocol = Protocol(
            Side.SERVER, self._options, now, greeting=greeting, next_key=self._next_key
        )
        return Link(reader, writer, protocol)

    async def _greet(self, link: Link, pin: str) -> Session:
        """Give a caller its session back, or make it a new one, and welcome it.

        Args:
            link: A new link.
            pin: The pin of the key that we have shown on it; empty without TLS.

        Raises:
            HandshakeError: It may not come in, and has been told; or it went away.
        """
        hello = await link.greet_client()
        session = self._sessions.get(hello.lane)
        try:
            self._check_key(hello, link.protocol.nonce, pin, session)
            if session is not None and not isinstance(session, LoggedSession):
                session.welcome(link, hello, session.nick, session.room, hello.key)
                return session
            admission = await self._admit_in_turn(hello, link.address)
        except HandshakeRefused as exc:
            link.refuse(exc.code, exc.reason)
            raise
        # Nothing is waited for from here on: the handler counts on being called with this session.
        session = self._make_session(hello.lane, admission)
        session.welcome(link, hello, admission.nick, admission.room, hello.key)
        self._own(self._handlers, run_handler(self._handler, session))
        return session

    @staticmethod
    def _check_key(hello: Hello, nonce: bytes, pin: str, session: Session | None) -> None:
        """Check that a caller holds the key that it shows, and that its lane is its own.

        Raises:
            HandshakeRefused: It does not, or the lane is another's.
        """
        if hello.key and not is_proof(hello.key, hello.signature, pin, nonce, hello.lane):
            reason = "your key is not proved to this server: somebody may stand between you and it"
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, reason)
        if session is not None and session.peer.key != fingerprint_of(hello.key):
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, "this lane belongs to another key")

    def _make_session(self, lane: bytes, admission: Admission) -> Session:
        session: Session
        if admission.place is None:
            session = Session(Side.SERVER, self._options, lane=lane, resumable=True)
        else:
            session = LoggedSession(self._options, lane=lane, place=admission.place)

        def forget() -> None:
            if self._sessions.get(lane) is session:
                del self._sessions[lane]
                self._leave_seat(lane)

        session.on_end = forget
        self._sessions[lane] = session
        return session

    async def _admit_in_turn(self, hello: Hello, address: str) -> Admission:
        """Admit a caller whose session no memory has; the latest caller of a lane gets it.

        Raises:
            HandshakeRefused: It may not come in.
        """
        mine = self._latest[hello.lane] = next(self._hellos)
        admitted = False
        try:
            if not self._seats.take(hello.lane, "" if address == NO_ADDRESS else address):
                raise TooManySessions
            self._end_older(hello.lane)
            if self._goodbye is not None:
                # What all others are told, so that after 1012 this one comes back as well.
                raise HandshakeRefused(*self._goodbye)
            admission = await ask_admission(self._handler, hello, address)
            if self._latest.get(hello.lane) != mine:
                if isinstance(self._handler, Withdraws):
                    self._handler.withdraw(hello, admission)
                raise HandshakeRefused(CloseCode.TRY_AGAIN_LATER, "a newer link has come")
            self._end_older(hello.lane)
            admitted = True
        finally:
            if self._latest.get(hello.lane) == mine:
                del self._latest[hello.lane]
            if not admitted:
                self._leave_seat(hello.lane)
        return admission

    def _leave_seat(self, lane: bytes) -> None:
        """Count a lane's session no more, unless another one of it is there or about to be."""
        if lane not in self._sessions and lane not in self._latest:
            self._seats.leave(lane)

    def _end_older(self, lane: bytes) -> None:
        """Cut the older link of a lane: what it has not handed over yet will come again."""
        older = self._sessions.get(lane)
        if older is not None:
            older.abort()

    # ---- the end ----

    async def serve_forever(self) -> None:
        """Wait until the server is closed.

        Cancellation: safe; it does not close the server.
        """
        await self._closed.wait()

    async def close(self, code: int = CloseCode.GOING_AWAY, reason: str = "") -> None:
        """Stop listening, close every session with `code`, and wait until all is done.

        Handlers that have not returned by `close_timeout` are cancelled, but for one that closes
        the server itself. Closing again only waits.

        Cancellation: the closing goes on.

        Args:
            code: One of `CloseCode`, or 4000 to 4999. After 1012 clients come back by themselves.
            reason: For people to read, at most 500 characters.

        Raises:
            ValueError: The code may not be sent, or the reason is too long.
        """
        goodbye = make_goodbye(code, reason)
        if self._closing is None:
            self._goodbye = goodbye
            # A handler that closes the server is not waited for: it waits for us.
            caller = asyncio.current_task()
            self._closing = asyncio.create_task(self._close(goodbye, caller))
        await asyncio.shield(self._closing)

    async def wait_closed(self) -> None:
        """Wait until listeners, sessions and handlers are done.

        Cancellation: safe.
        """
        await self._closed.wait()

    async def _close(self, goodbye: Close, caller: asyncio.Task[Any] | None) -> None:
        for acceptor in self._acceptors:
            await acceptor.stop()
        self._sockets.clear()
        for session in self.sessions:
            if not session.linked:
                session.abort()  # nobody can come back any more
        closers = {asyncio.create_task(session.close(*goodbye)) for session in self.sessions}
        handlers = {task for task in self._handlers if task is not caller}
        if handlers | closers:
            await asyncio.wait(handlers | closers, timeout=self._options.close_timeout)
        # Whoever is left has had its time: callers in the greeting, handlers that do not return.
        for session in self.sessions:
            session.abort()
        stragglers = self._callers | handlers | closers
        for task in stragglers:
            task.cancel()
        await _finish(stragglers)
        if isinstance(self._handler, Opens):
            await self._handler.close()
        self._refused.close()
        self._closed.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


async def _finish(tasks: set[asyncio.Task[None]]) -> None:
    """Wait until these tasks have ended, however they did."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
