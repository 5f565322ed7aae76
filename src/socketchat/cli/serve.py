"""`socketchat serve`: wait for callers, and sit in the room with them.

The host's own seat is a session like any other, over a pair of connected sockets, so that its
console is the same as a caller's.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socketchat.chat import ChatServer, Rate, Rules
from socketchat.chat.sqlite_log import SQLiteLog
from socketchat.cli.calling import HISTORY
from socketchat.cli.failures import ExitCode, Failure, failure_to_listen, file_failure
from socketchat.cli.front import Front
from socketchat.cli.render import closing_words, plain_notice, words
from socketchat.cli.target import BAD_ROOM, Target, can_be_named, is_loopback
from socketchat.cli.terminal import on_signals, say
from socketchat.errors import CloseCode, HandshakeRefused, LogError, SessionClosed
from socketchat.events import Joined, Left
from socketchat.messages import MAX_NAME
from socketchat.server import Server
from socketchat.server import serve as listen_and_serve
from socketchat.session import Session, Side
from socketchat.text import clean, clean_name
from socketchat.trust.identity import Identity
from socketchat.trust.known_hosts import default_directory

__all__ = ["run_serve"]

#: Seconds after which a host whose seat was lost, because the disk is full, takes it again.
SEAT_PAUSE = 1.0
_LOOPBACK = ("127.0.0.1", "::1")
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What the command line asks for; see `main.py`."""

    hosts: tuple[str, ...]
    port: int
    room: str
    nick: str
    name: str
    headless: bool
    retain: float | None
    rate: float
    no_tls: bool
    data: Path | None
    plain: bool
    no_color: bool


def run_serve(**settings: Any) -> int:
    """Run the server until its host leaves or a signal comes; return the exit code."""
    checked = ServeSettings(**settings)
    if checked.no_tls and not all(is_loopback(host) for host in checked.hosts):
        raise Failure(ExitCode.USAGE, "--no-tls is for this machine only: use --host 127.0.0.1")
    if not can_be_named(checked.room):
        raise Failure(ExitCode.USAGE, f"--room {checked.room!r} could not be called: {BAD_ROOM}")
    log = SQLiteLog(checked.data or default_directory(), retain=checked.retain)
    try:
        chat = ChatServer(log, room=checked.room, rules=Rules(rate=_rate(checked.rate)))
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, str(exc)) from exc
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(checked, chat))


def _rate(per_second: float) -> Rate | None:
    return Rate(per_second=per_second) if per_second else None


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


async def _serve(settings: ServeSettings, chat: ChatServer) -> int:
    main = asyncio.current_task()
    assert main is not None
    signalled: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()

    def stop(number: signal.Signals) -> None:
        """Close in good order at the first signal, at once at the second."""
        if signalled.done():
            main.cancel()
        else:
            signalled.set_result(number)

    # Before anybody can know that the server is there, and signal it.
    with on_signals(stop, "SIGTERM", "SIGINT", "SIGHUP"):
        try:
            await _serve_until(signalled, settings, chat)
        except asyncio.CancelledError:
            if not signalled.done():
                raise
            return 128 + signalled.result()
    return ExitCode.DONE


async def _serve_until(
    signalled: asyncio.Future[signal.Signals], settings: ServeSettings, chat: ChatServer
) -> None:
    """Serve until a signal comes, the host leaves, or the log fails.

    Raises:
        Failure: The server cannot be started, or its log has failed.
    """
    machine = socket.gethostname()
    say(f"starting on {machine}")
    server = await _open(settings, chat, settings.name or machine)
    failed = asyncio.create_task(chat.wait_failed())
    try:
        _announce(server, _callers_name(settings, machine), tls=not settings.no_tls)
        if settings.headless or not sys.stdin.isatty():
            if not settings.headless:
                say("there is no terminal to chat at: only serving, as with --headless")
            # Without a seat in the room, who comes and goes is told on stderr.
            logging.getLogger("socketchat.chat").setLevel(logging.INFO)
            await asyncio.wait((signalled, failed), return_when=asyncio.FIRST_COMPLETED)
        else:
            await _chat(server, chat, settings, (signalled, failed))
    finally:
        failed.cancel()
        await server.close(*_goodbye(signalled, failed))
    if failed.done() and not failed.cancelled():
        what = f"{failed.result()}; see that the disk is in order, and start again"
        raise Failure(ExitCode.INTERNAL_ERROR, what)


def _goodbye(
    signalled: asyncio.Future[signal.Signals], failed: asyncio.Task[LogError]
) -> tuple[CloseCode, str]:
    """Return what those who are still there are told at the end."""
    if failed.done():
        return CloseCode.TRY_AGAIN_LATER, "the log has failed"
    # After a SIGTERM the server may well be started again: its callers should come back.
    again = signalled.done() and signalled.result() is signal.SIGTERM
    code = CloseCode.SERVICE_RESTART if again else CloseCode.GOING_AWAY
    return code, "the server is stopping"


async def _chat(
    server: Server,
    chat: ChatServer,
    settings: ServeSettings,
    ends: Sequence[asyncio.Future[Any]],
) -> None:
    """Have the host chat until it leaves, or one of `ends` is done.

    A full disk turns away whoever says something, the host too; the server goes on, and so does its
    host, once there may be room again.
    """
    over = False
    while not over:
        try:
            async with _seat(server, settings.nick) as session:
                front = Front(
                    session,
                    plain=settings.plain,
                    no_color=settings.no_color,
                    leaving="stops the server",
                )
                chat.on_presence = functools.partial(_tell_of_others, front, session.room)
                leave = functools.partial(_leave, front)
                for end in ends:
                    end.add_done_callback(leave)
                try:
                    await front.run()
                except SessionClosed as exc:
                    say(plain_notice(closing_words(exc.code, exc.reason)))
                code = session.close_code
        except HandshakeRefused as exc:
            code = exc.code
        finally:
            chat.on_presence = None
        over = code != CloseCode.TRY_AGAIN_LATER or any(end.done() for end in ends)
        if not over:
            say(plain_notice("the server goes on, and you are seated again as soon as can be"))
            await asyncio.wait(ends, timeout=SEAT_PAUSE, return_when=asyncio.FIRST_COMPLETED)


def _tell_of_others(front: Front, own_room: str, room: str, event: Joined | Left) -> None:
    """Tell the host who comes and goes in rooms in which it does not sit."""
    if room != own_room:
        front.notice(f"in {clean_name(room)}: {words(event)}")


def _leave(front: Front, _ended: object) -> None:
    front.leave()


def _callers_name(settings: ServeSettings, machine: str) -> str:
    """Return by which name callers find this server."""
    if settings.hosts and settings.hosts[0] not in _EVERYWHERE:
        return settings.hosts[0]
    return "localhost" if settings.no_tls else machine


async def _open(settings: ServeSettings, chat: ChatServer, name: str) -> Server:
    identity = None
    if not settings.no_tls:
        directory = settings.data or default_directory()
        try:
            identity = await asyncio.to_thread(Identity.load_or_generate, directory)
        except (OSError, ValueError) as exc:
            raise Failure(ExitCode.USAGE, f"the server's key: {exc}; see --data") from exc
    hosts = settings.hosts or (_LOOPBACK if settings.no_tls else None)
    try:
        return await listen_and_serve(
            chat,
            hosts,
            settings.port,
            identity=identity,
            name=clean(name, multiline=False, limit=MAX_NAME),
            tls=not settings.no_tls,
        )
    except ssl.SSLError as exc:
        what = f"the server's key cannot be used: {exc}; see --data"
        raise Failure(ExitCode.USAGE, what) from exc
    except OSError as exc:
        if exc.filename is not None:  # no socket bears a name: it is the log
            raise file_failure(exc) from exc
        raise failure_to_listen(exc) from exc


def _announce(server: Server, host: str, *, tls: bool) -> None:
    """Say that callers may come, and how."""
    bound = ", ".join(str(Target(one.getsockname()[0])) for one in server.sockets)
    say(f"bound to {bound}, port {server.port}")
    print(f"listening on {host} port {server.port}", flush=True)
    if server.fingerprint:
        say(f"key {server.fingerprint}")
    how = "" if tls else "--no-tls "
    say(f"waiting for callers: socketchat connect {how}{Target(host, server.port)}")


@asynccontextmanager
async def _seat(server: Server, nick: str) -> AsyncIterator[Session]:
    """Seat the host in the room, and give it its end of the session."""
    ours, theirs = socket.socketpair()
    near, far = [await asyncio.open_connection(sock=end) for end in (ours, theirs)]
    serving = asyncio.create_task(server.accept(*far))
    try:
        nick = clean_name(nick)[:MAX_NAME] if nick else ""
        async with await Session.from_streams(
            *near, side=Side.CLIENT, nick=nick, history=HISTORY, ping_interval=None
        ) as session:
            yield session
    finally:
        await asyncio.wait([serving])
        if not serving.cancelled():
            serving.exception()  # if it did not come in, its own end of the session knows
