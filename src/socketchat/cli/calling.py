"""What the commands that call a server have in common: `connect`, `send` and `tail`.

Which server is called, and as whom; what a signal does; and the outbox in a file, in which what is
said waits for the server's word, so that it outlives this process. What an earlier one has left
there goes out first (`leftovers.py`). What is talked about is the commands' own affair.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from socketchat.cli.delivery import kept_words
from socketchat.cli.failures import (
    ExitCode,
    Failure,
    failure_to_connect,
    file_failure,
    session_failure,
)
from socketchat.cli.keeping import Said, keep
from socketchat.cli.labels import label_of
from socketchat.cli.target import Target, is_loopback, parse_target
from socketchat.cli.terminal import notice, on_signals, say
from socketchat.client import connect
from socketchat.errors import HandshakeError, SessionClosed
from socketchat.fingerprint import is_pin
from socketchat.messages import MAX_NAME
from socketchat.options import Options
from socketchat.session import Session, SessionState
from socketchat.text import clean_name
from socketchat.trust.known_hosts import KnownHosts, default_directory, host_and_port

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
    no_reconnect: bool
    no_tls: bool
    as_json: bool
    data: Path | None


def target_of(settings: CallerSettings) -> Target:
    """Return whom to call.

    Raises:
        Failure: The settings are contradictory, or name nobody.
    """
    if settings.fingerprint and not is_pin(settings.fingerprint):
        what = "--fingerprint wants SHA256:... as the server shows it when it starts"
        raise Failure(ExitCode.USAGE, what)
    try:
        target = parse_target(settings.target)
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, str(exc)) from exc
    if settings.no_tls and not is_loopback(target.host):
        what = "--no-tls is for this machine only: call localhost, or leave it out"
        raise Failure(ExitCode.USAGE, what)
    return target


class Call:
    """A call of one server, over one session or several after each other.

    Attributes:
        target: Whom it calls.
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
        self._data = settings.data or default_directory()
        self._connected = False

    @property
    def outboxes(self) -> Path:
        """The directory of the outboxes of all calls."""
        return self._data / "outbox"

    @property
    def label(self) -> str:
        """What outboxes are called by that lead to this room, under this name."""
        return label_of(self.target, self._nick)

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
        settings, target = self._settings, self.target
        known_hosts = self._data / "known_hosts"
        if not self._connected:
            say(f"calling {target}")
        try:
            known = KnownHosts(known_hosts).find(host_and_port(target.host, target.port))
            session = await connect(
                target.host,
                target.port,
                room=target.room,
                nick=self._nick,
                trust=settings.fingerprint or settings.trust,
                known_hosts=known_hosts,
                tls=not settings.no_tls,
                reconnect=not settings.no_reconnect,
                history=history,
                since=since,
                outbox=outbox,
            )
        except UnicodeError as exc:
            raise Failure(ExitCode.USAGE, f"{target.host!r} is no host name") from exc
        except (OSError, HandshakeError) as exc:
            raise failure_to_connect(str(target), exc) from exc
        if not self._connected:
            self._connected = True
            peer = session.peer
            say(f"connected to {clean_name(peer.nick) if peer.nick else target} ({peer.address})")
            told = _log.isEnabledFor(logging.INFO)  # by a line of the log, with -v
            if peer.key and known is None and not settings.fingerprint and not told:
                say(f"its key {peer.key} is new here; it is remembered from now on")
        return session

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
