"""What the commands that call a server have in common: `connect`, `send` and `tail`.

Which server is called, and as whom; what a signal does; and the outbox in a file, in which what is
said waits for the server's word, so that it outlives this process. What an earlier one has left
there goes out first (`leftovers.py`). What is talked about is the commands' own affair.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from socketchat.awaiting import Opening
from socketchat.cli.delivery import kept_words
from socketchat.cli.device import device_in
from socketchat.cli.failures import (
    ExitCode,
    Failure,
    failure_to_connect,
    file_failure,
    session_failure,
)
from socketchat.cli.keeping import Said, keep
from socketchat.cli.labels import label_of
from socketchat.cli.render import other_name_words
from socketchat.cli.target import At, Target, is_loopback, parse_target
from socketchat.cli.terminal import can_be_asked, notice, on_signals, say
from socketchat.cli.trust_question import introduce, introduce_all
from socketchat.client import connect
from socketchat.errors import HandshakeError, SessionClosed, UntrustedBecause, UntrustedPeer
from socketchat.fingerprint import TAG_MARK, is_pin
from socketchat.messages import MAX_NAME
from socketchat.options import Options
from socketchat.session import Session, SessionState
from socketchat.text import clean_name
from socketchat.trust.device import Device
from socketchat.trust.known_hosts import (
    KnownHost,
    KnownHosts,
    as_typed,
    default_directory,
)
from socketchat.trust.tls import public_context

if TYPE_CHECKING:
    from socketchat.file_outbox import FileOutbox  # loads sqlite3: not for --help

__all__ = ["HISTORY", "Call", "CallerSettings", "run_call", "target_of"]

_log = logging.getLogger("socketchat.client")

#: Earlier messages that one is shown on coming into a room, if nothing else was asked for.
HISTORY = 50


class Attended(Protocol):
    """What talks over a session: the front end."""

    def leave(self) -> None:
        """Let `run` return soon."""

    async def run(self) -> ExitCode:
        """Talk until one side leaves; return the exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSettings:
    """What the command line asks for, whatever is to be said; see `main.py`."""

    target: str
    nick: str
    trust: str
    fingerprint: str
    ca: bool
    no_reconnect: bool
    no_tls: bool
    as_json: bool
    data: Path | None


def target_of(settings: CallerSettings) -> Target:
    """Return whom to call.

    Raises:
        Failure: The settings are contradictory, or name nobody.
    """
    _check_trust(settings)
    try:
        target = parse_target(settings.target)
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, str(exc)) from exc
    if settings.no_tls and not all(is_loopback(server.host) for server in target.servers):
        what = "--no-tls is for this machine only: call localhost, or leave it out"
        raise Failure(ExitCode.USAGE, what)
    if target.pin and settings.no_tls:
        what = "--no-tls does not go with an invite, whose token is not said in the clear"
        raise Failure(ExitCode.USAGE, what)
    if target.pin and settings.ca:
        what = "--ca does not go with an invite, which says whom to trust"
        raise Failure(ExitCode.USAGE, what)
    if target.pin and settings.fingerprint not in ("", target.pin):
        what = f"--fingerprint is not the key in the invite, {target.pin}: leave one of them out"
        raise Failure(ExitCode.USAGE, what)
    if settings.fingerprint.count(",") not in (0, len(target.others)):
        what = "--fingerprint wants one SHA256:... for all servers, or one for each, as they stand"
        raise Failure(ExitCode.USAGE, what)
    return target


def _check_trust(settings: CallerSettings) -> None:
    """Check that one thing is asked for, and no other, of the server's key.

    Raises:
        Failure: It is not so.
    """
    asked = {
        "--fingerprint": bool(settings.fingerprint),
        "--ca": settings.ca,
        "--no-tls": settings.no_tls,
    }
    names = [name for name, is_asked in asked.items() if is_asked]
    if len(names) > 1:
        why = "without TLS no key is shown" if settings.no_tls else "either one says whom to trust"
        raise Failure(ExitCode.USAGE, f"{' and '.join(names)} exclude each other: {why}")
    if settings.fingerprint and not all(map(is_pin, settings.fingerprint.split(","))):
        what = "--fingerprint wants SHA256:... as the server shows it when it starts"
        raise Failure(ExitCode.USAGE, what)


def _pinned(settings: CallerSettings, target: Target) -> tuple[At, ...]:
    """Return the servers of a target, with the pins that they must have if any are given."""
    servers = target.servers
    asked = settings.fingerprint.split(",")
    pins = asked if len(asked) == len(servers) else asked * len(servers)
    return tuple(
        server._replace(pin=server.pin or pin) for server, pin in zip(servers, pins, strict=True)
    )


def _trust_of(settings: CallerSettings, pin: str) -> str | ssl.SSLContext:
    """Return whom the library is to trust, who has this pin if one is given: it asks nobody."""
    if settings.ca:
        return public_context()
    return pin or ("strict" if settings.trust == "ask" else settings.trust)


class Call:
    """A call of one server, or of one of several, over one session or several after each other.

    Attributes:
        target: Whom it calls.
        directory: Where this device's files lie.
        leave: What the first signal does; None ends the call at once.
        hang_up: What the second one does before it ends the call at once.
        kept: How many lines of earlier processes could not be sent.
    """

    def __init__(self, settings: CallerSettings, target: Target) -> None:
        self.target = target
        self.leave: Callable[[], object] | None = None
        self.hang_up: Callable[[], object] = lambda: None
        self.kept = 0
        self._settings = settings
        self._nick = clean_name(settings.nick)[:MAX_NAME] if settings.nick else ""
        self.directory: Path = settings.data or default_directory()
        self._known = KnownHosts(self.directory / "known_hosts")
        self._servers = _pinned(settings, target)
        self._device: Device | None = None
        # The last one that has come about.
        self._session: Session | None = None

    @property
    def outboxes(self) -> Path:
        """The directory of the outboxes of all calls."""
        return self.directory / "outbox"

    @property
    def label(self) -> str:
        """What outboxes are called by that lead to this room, under this name."""
        return label_of(self.target, self._nick)

    def beside(self, room: str, nick: str) -> Call:
        """Return a call of another room of the same server, which says nothing and asks nothing.

        Args:
            room: The room.
            nick: The name that one goes by, as the server gave it: a tag behind it is the server's.
        """
        trust = "strict" if self._settings.trust == "ask" else self._settings.trust
        settings = replace(self._settings, trust=trust)
        call = Call(settings, replace(self.target, room=room, token=""))
        call._nick = nick.partition(TAG_MARK)[0]
        call._device, call._session = self._device, self._session
        return call

    @property
    def _connected(self) -> bool:
        """Whether a session has come about."""
        return self._session is not None

    @property
    def _turn(self) -> tuple[At, ...]:
        """The servers as they are called: first the one where the last session is, or was."""
        at = self._session.peer.host if self._session is not None else ""
        return tuple(sorted(self._servers, key=lambda server: server.name != at))

    async def open(
        self,
        *,
        history: int = 0,
        since: datetime | None = None,
        outbox: FileOutbox | None = None,
    ) -> Session:
        """Open a session, and say so the first time.

        Raises:
            Failure: That cannot be done.
        """
        target = self.target
        first = not self._connected
        if first:
            say(f"calling {target}")
        dial = functools.partial(
            self._connect,
            history=history,
            since=since,
            outbox=outbox,
            device=await self._load_device(),
            # One session lets us in; the token is of no use to those after it.
            invite=target.token if first else "",
        )
        try:
            before = await asyncio.to_thread(self._known_now)
            for server in self._servers:
                _check_invite(target, server, before[server.name], self._known)
            session = await self._introduced(dial, before)
            server, known = self._at(session), before[self._at(session).name]
            if server.pin and known is None:
                await _remember(session, self._known, server.name, server.pin)
        except UnicodeError as exc:
            name = str(target) if target.others else target.host
            raise Failure(ExitCode.USAGE, f"{name!r} is no host name") from exc
        except (OSError, HandshakeError) as exc:
            raise failure_to_connect(str(target), exc) from exc
        self._session = session
        if first:
            remembered = bool(server.pin) or self._settings.trust == "accept-new"
            self._say_connected(session, new=known is None and remembered)
        return session

    def _connect(self, **settings: Any) -> Opening[Session]:
        """Connect to the servers, in their turn."""
        servers = self._turn
        whom = [_trust_of(self._settings, server.pin) for server in servers]
        dial = functools.partial(
            connect,
            room=self.target.room,
            nick=self._nick,
            known_hosts=self._known.path,
            tls=not self._settings.no_tls,
            reconnect=not self._settings.no_reconnect,
            **settings,
        )
        if len(servers) == 1:
            return dial(host=servers[0].host, port=servers[0].port, trust=whom[0])
        return dial(host=[(server.host, server.port) for server in servers], trust=whom)

    def _known_now(self) -> dict[str, KnownHost | None]:
        """Return what is known of the servers, by their names; in a thread."""
        return {server.name: self._known.find(server.name) for server in self._servers}

    def _at(self, session: Session) -> At:
        """Return the server where a session is."""
        return next((it for it in self._servers if it.name == session.peer.host), self._servers[0])

    async def _load_device(self) -> Device:
        """Return this device's key, which is made at its first call.

        Raises:
            Failure: It cannot be used.
        """
        if self._device is None:
            self._device = await asyncio.to_thread(device_in, self.directory)
        return self._device

    async def _introduced(
        self, dial: Callable[[], Opening[Session]], known: Mapping[str, KnownHost | None]
    ) -> Session:
        """Dial; about a server that is not known, ask before anything is said to it.

        Of several servers, all that are new are asked about at once: when a link is lost, it is too
        late for questions.

        Raises:
            Failure: It may not be.
        """
        asks = self._settings.trust == "ask" and not self._settings.as_json
        if len(self._servers) > 1:
            new = [it.name for it in self._servers if known[it.name] is None and not it.pin]
            # With a public certificate, or none, no key is asked about.
            if new and asks and can_be_asked() and not (self._settings.ca or self._settings.no_tls):
                await introduce_all(new, self._known)
            return await dial()
        try:
            return await dial()
        except UntrustedPeer as exc:
            if exc.reason is not UntrustedBecause.UNKNOWN or self._settings.trust != "ask":
                raise
            await introduce(exc, self._known, self._servers[0].name, ask=asks)
        # What is known now is what the server must show at this call too.
        return await dial()

    def _say_connected(self, session: Session, *, new: bool) -> None:
        peer = session.peer
        name = clean_name(peer.nick) if peer.nick else self._at(session)
        at = f", at {self._at(session)}" if self.target.others and peer.nick else ""
        say(f"connected to {name}{at} ({peer.address})")
        told = _log.isEnabledFor(logging.INFO)  # by a line of the log, with -v
        if peer.key and new and not told:
            say(f"its key {peer.key} is new here; it is remembered from now on")
        if other := other_name_words(self._nick, session.nick):
            notice(other)

    @asynccontextmanager
    async def conversation(
        self, *, history: int = 0, said: Said | None = None, to: str = ""
    ) -> AsyncIterator[Session]:
        """Open a session in which something is to be said, and close it at the end.

        First goes out what an earlier process has left. What is not acknowledged at the end stays
        in its file, for a later one, and the user is told.

        Args:
            history: How many earlier messages of the room to begin with.
            said: What is kept for a later process if the server cannot be reached, and not looked
                at otherwise; None is nothing.
            to: The name of the one whom it is for; empty is everyone.

        Raises:
            Failure: It cannot be opened, or its end was none in good order.
        """
        from socketchat.cli.leftovers import send_leftovers

        async with self._outbox() as outbox:
            try:
                await send_leftovers(self)
                session = await self.open(history=history, outbox=outbox)
            except Failure as exc:
                if said is not None and exc.code is ExitCode.CANNOT_REACH:
                    await keep(said, outbox, to)
                raise
            self.hang_up = session.abort
            try:
                async with session:
                    try:
                        yield session
                    except Failure as exc:
                        if exc.code is ExitCode.NOT_ACKNOWLEDGED:
                            session.abort()  # it was waited for long enough
                        raise
                    if session.state is SessionState.LOST:
                        session.abort()  # what waits for the link can wait in its file
            except SessionClosed as exc:
                raise session_failure(str(self.target), exc) from exc

    async def attend(self, front: Attended) -> ExitCode:
        """Have a front end talk; the first signal meanwhile has it leave."""
        self.leave = front.leave
        code = await front.run()
        self.leave = None
        return code

    @asynccontextmanager
    async def _outbox(self) -> AsyncIterator[FileOutbox]:
        """Make an outbox in a file, and say at the end what stays in it."""
        from socketchat.file_outbox import FileOutbox

        bounds = Options().max_unacked
        try:
            outbox = await asyncio.to_thread(FileOutbox.create, self.outboxes, self.label, *bounds)
        except OSError as exc:
            raise file_failure(exc) from exc
        told = False
        try:
            yield outbox
        except Failure as exc:
            told = True
            if kept := outbox.undelivered + self.kept:
                raise Failure(exc.code, f"{exc}; {kept_words(kept, self.label)}") from exc
            raise
        finally:
            if outbox.undelivered and not told:
                notice(kept_words(outbox.undelivered, self.label))
            await asyncio.to_thread(outbox.close)


def _check_invite(
    target: Target, server: At, known: KnownHost | None, known_hosts: KnownHosts
) -> None:
    """Stop before anything is said, if an invite speaks of another key than the one known here.

    Raises:
        Failure: It does.
    """
    if target.pin and known is not None and server.pin not in (known.pin, known.next_pin):
        what = (
            f"the invite is for a server with the key {server.pin}, but {as_typed(known.host)} is "
            f"known here by {known.pin}, in line {known.line} of {known_hosts.path}: one of them "
            f"is another server. If the invite is right: {known_hosts.how_to_forget(known.host)}"
        )
        raise Failure(ExitCode.NOT_TRUSTED, what)


async def _remember(session: Session, known_hosts: KnownHosts, host: str, pin: str) -> None:
    """Have the server known from now on that has let us in, and has the key that we were given."""
    try:
        await asyncio.to_thread(known_hosts.add, host, pin)
        await asyncio.to_thread(known_hosts.announce, host, session.next_pin, by=pin)
    except BaseException:
        session.abort()
        raise


def run_call(
    settings: CallerSettings, target: Target, talk: Callable[[Call], Awaitable[int]]
) -> int:
    """Have `talk` talk to a server until one side leaves; return the exit code.

    Raises:
        Failure: It did not go well.
    """
    with asyncio.Runner() as runner:
        return runner.run(_run(Call(settings, target), talk))


async def _run(call: Call, talk: Callable[[Call], Awaitable[int]]) -> int:
    main = asyncio.current_task()
    assert main is not None
    left_by: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        """Leave politely at the first signal, at once at the second."""
        left_by.append(number)
        if len(left_by) == 1 and call.leave is not None:
            call.leave()
        else:
            call.hang_up()
            main.cancel()

    with on_signals(stop, "SIGINT", "SIGTERM", "SIGHUP"):
        try:
            code = await talk(call)
        except asyncio.CancelledError:
            if not left_by:
                raise
            code = ExitCode.DONE
        except SessionClosed as exc:
            raise session_failure(str(call.target), exc) from exc
    return 128 + left_by[0] if left_by else code
