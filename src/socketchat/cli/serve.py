"""`socketchat serve`: wait for callers, and sit in the room with them.

The host's own seat is a session like any other, over a pair of connected sockets, so that its
console is the same as a caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import shlex
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socketchat.chat import ChatServer, Rate, Rules
from socketchat.chat.inviter import Inviter
from socketchat.chat.neighbours import Place
from socketchat.chat.registry import Registry
from socketchat.chat.rules import checked_room_name
from socketchat.cli.address import save_address
from socketchat.cli.announcing import Announcing
from socketchat.cli.calling import HISTORY
from socketchat.cli.device import device_in
from socketchat.cli.endpoint import Endpoint
from socketchat.cli.failures import ExitCode, Failure, failure_to_listen, file_failure
from socketchat.cli.front import Front
from socketchat.cli.host_rooms import HostRooms, OtherRooms, seat
from socketchat.cli.lan import Service
from socketchat.cli.monitoring import Monitoring
from socketchat.cli.next_key import announce_next_key, next_pin
from socketchat.cli.render import closing_words, other_name_words, plain_notice
from socketchat.cli.server_key import check_pair, server_identity, where_it_is
from socketchat.cli.stores import Stores, stores_in, stores_in_redis
from socketchat.cli.target import BAD_ROOM, Target, can_be_named, is_everywhere, is_loopback
from socketchat.cli.terminal import on_signals, say
from socketchat.errors import CloseCode, HandshakeRefused, LogError, SessionClosed
from socketchat.fingerprint import is_pin
from socketchat.messages import MAX_NAME
from socketchat.server import MAX_PENDING, Server
from socketchat.server import serve as listen_and_serve
from socketchat.text import clean, clean_name
from socketchat.trust.device import Device
from socketchat.trust.identity import Identity
from socketchat.trust.known_hosts import default_directory
from socketchat.trust.masking import mask

__all__ = ["run_serve"]

#: Seconds after which a host whose seat was lost takes it again.
SEAT_PAUSE = 1.0
#: The longest frame, in bytes: no message that the rules allow is as long, and whoever holds one
#: back has the server hold as much of it.
MAX_FRAME = 2**16
#: Files that are open besides the callers' connections, at most.
OTHER_FILES = 100
_LOOPBACK = ("127.0.0.1", "::1")


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
    redis: str
    redis_wait: int
    rate: float
    private: bool
    address: Target | None
    operators: tuple[str, ...]
    max_callers: int
    max_per_address: int
    metrics: Endpoint | None
    no_tls: bool
    no_lan: bool
    cert: Path | None
    key: Path | None
    data: Path | None
    plain: bool
    no_color: bool

    @property
    def directory(self) -> Path:
        """Where keys, logs and the like lie."""
        return self.data or default_directory()


@dataclass(frozen=True, slots=True)
class Hosting:
    """What is served, and by whom.

    Attributes:
        chat: The chat server.
        identity: Its key; None without TLS.
        inviter: Makes its invites; None without TLS.
        device: The key of this device, for the host's seat.
        stores: What it keeps, and where.
    """

    chat: ChatServer
    identity: Identity | None
    inviter: Inviter | None
    device: Device
    stores: Stores


def run_serve(**settings: Any) -> int:
    """Run the server until its host leaves or a signal comes; return the exit code."""
    checked = ServeSettings(**settings)
    _check(checked)
    _allow_files(checked.max_callers + sum(MAX_PENDING) + OTHER_FILES)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(checked))


def _host(settings: ServeSettings) -> Hosting:
    """Put together what is served.

    Raises:
        Failure: Something of it cannot be used.
    """
    identity = inviter = None
    if not settings.no_tls:
        at = settings.directory, settings.cert, settings.key
        identity = server_identity(*at, make=True)
    if identity is not None:
        inviter = Inviter(identity, "")  # where it is, is known when it listens
    stores = _stores(settings)
    device = device_in(settings.directory)
    operators = frozenset((*settings.operators, device.fingerprint))
    chat = ChatServer(
        stores.log,
        room=settings.room,
        rules=Rules(rate=_rate(settings.rate)),
        registry=Registry(stores.facts, private=settings.private, operators=operators),
        invites=inviter,
        neighbours=stores.neighbours,
    )
    return Hosting(chat, identity, inviter, device, stores)


def _stores(settings: ServeSettings) -> Stores:
    if not settings.redis:
        return stores_in(settings.directory, retain=settings.retain)
    return stores_in_redis(
        settings.directory, settings.redis, retain=settings.retain, wait=settings.redis_wait
    )


def _check(settings: ServeSettings) -> None:
    """Check that nothing contradicts itself.

    Raises:
        Failure: Something does.
    """
    if settings.no_tls and not all(is_loopback(host) for host in settings.hosts):
        raise Failure(ExitCode.USAGE, "--no-tls is for this machine only: use --host 127.0.0.1")
    if settings.private and settings.no_tls:
        what = "--private and --no-tls exclude each other: without TLS there are no invites"
        raise Failure(ExitCode.USAGE, what)
    if settings.redis_wait and not settings.redis:
        raise Failure(ExitCode.USAGE, "--redis-wait goes with --redis")
    check_pair(settings.cert, settings.key)
    if not can_be_named(settings.room):
        raise Failure(ExitCode.USAGE, f"--room {settings.room!r} could not be called: {BAD_ROOM}")
    try:
        checked_room_name(settings.room)
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, str(exc)) from exc
    wrong = [operator for operator in settings.operators if not is_pin(operator)]
    if wrong:
        what = f"--operator wants SHA256:... as socketchat identity shows it, not {wrong[0]!r}"
        raise Failure(ExitCode.USAGE, what)
    if settings.cert is not None and settings.no_tls:
        raise Failure(ExitCode.USAGE, "--cert and --no-tls exclude each other")


def _rate(per_second: float) -> Rate | None:
    return Rate(per_second=per_second) if per_second else None


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


def _allow_files(wanted: int) -> None:
    """Let this process have so many files open, as far as the system lets it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft not in (resource.RLIM_INFINITY, hard) and soft < wanted:
        # macOS may refuse what it gives as its own limit.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(settings: ServeSettings) -> int:
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
            say(f"starting on {socket.gethostname()}")
            hosting = await asyncio.to_thread(_host, settings)
            await _serve_until(signalled, settings, hosting)
        except asyncio.CancelledError:
            if not signalled.done():
                raise
            return 128 + signalled.result()
    return ExitCode.DONE


async def _serve_until(
    signalled: asyncio.Future[signal.Signals], settings: ServeSettings, hosting: Hosting
) -> None:
    """Serve until a signal comes, the host leaves, or the log fails.

    Raises:
        Failure: The server cannot be started, or its log has failed.
    """
    machine = socket.gethostname()
    name = clean(settings.name or machine, multiline=False, limit=MAX_NAME)
    server = await _open(settings, hosting, name)
    on_lan = Announcing()
    monitoring = Monitoring(server, hosting.chat)
    failed = asyncio.create_task(hosting.chat.wait_failed())
    announcing = _announcing(server, settings)
    try:
        host = _callers_name(settings, machine)
        address = settings.address or Target(host, 0)
        place = Target(address.host, address.port or server.port)
        _tell_place(hosting, place)
        await _note_address(place, settings)
        await monitoring.start(settings.metrics)
        _announce(server, host, place, settings)
        if not (settings.no_lan or settings.no_tls):
            on_lan.start(_service(server, name, settings))
        await _host_until(server, settings, hosting, (signalled, failed))
    finally:
        try:
            on_lan.withdraw()
            await server.close(*_goodbye(signalled, failed))
            await on_lan.gone()
        finally:
            failed.cancel()
            announcing.cancel()
            await monitoring.stop()
    # Also of what was still to be committed while it closed.
    if hosting.chat.failure is not None:
        raise Failure(ExitCode.INTERNAL_ERROR, f"{hosting.chat.failure}; {hosting.stores.help}")


async def _host_until(
    server: Server,
    settings: ServeSettings,
    hosting: Hosting,
    ends: Sequence[asyncio.Future[Any]],
) -> None:
    """Have the host chat, if there is one, until it leaves or one of `ends` is done."""
    if settings.headless or not sys.stdin.isatty():
        if not settings.headless:
            say("there is no terminal to chat at: only serving, as with --headless")
        # Without a seat in the room, who comes and goes is told on stderr.
        for logger in ("socketchat.chat", "socketchat.listening", "socketchat.refusals"):
            logging.getLogger(logger).setLevel(logging.INFO)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return
    if sys.stderr.isatty():
        # The host is told anyway who comes and goes, and what operators do.
        logging.getLogger("socketchat.chat").setLevel(logging.WARNING)
    await _chat(server, settings, hosting, ends)


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
    settings: ServeSettings,
    hosting: Hosting,
    ends: Sequence[asyncio.Future[Any]],
) -> None:
    """Have the host chat until it leaves, or one of `ends` is done.

    A full disk turns away whoever says something, and a log that was replaced turns away everyone,
    the host too; the server goes on, and so does its host, once it may.
    """
    over = False
    while not over:
        code: int | None
        try:
            async with seat(server, settings.nick, hosting.device, history=HISTORY) as session:
                front = Front(
                    session,
                    plain=settings.plain,
                    no_color=settings.no_color,
                    leaving="stops the server",
                    rooms=HostRooms(server, hosting.device),
                    directory=settings.directory,
                )
                if other := other_name_words(clean_name(settings.nick), session.nick):
                    say(plain_notice(other))
                _tell_host(hosting.chat, front, hosting.device.fingerprint)
                leave = functools.partial(_leave, front)
                for end in ends:
                    end.add_done_callback(leave)
                try:
                    await front.run()
                except SessionClosed as exc:
                    say(plain_notice(closing_words(exc.code, exc.reason)))
                code = front.close_code
        except HandshakeRefused as exc:
            code = exc.code
        finally:
            hosting.chat.on_presence = hosting.chat.on_moderation = None
        has_left = code is None or not CloseCode.is_temporary(code)
        over = has_left or any(end.done() for end in ends)
        if not over:
            say(plain_notice("the server goes on, and you are seated again as soon as can be"))
            await asyncio.wait(ends, timeout=SEAT_PAUSE, return_when=asyncio.FIRST_COMPLETED)


def _tell_host(chat: ChatServer, front: Front, own_key: str) -> None:
    """Have the host told of what happens where it does not see it."""
    chat.on_presence = OtherRooms(front, own_key).hear
    chat.on_moderation = functools.partial(_tell_of_operators, front)


def _tell_of_operators(front: Front, nick: str, command: str, said: str) -> None:
    """Tell the host what an operator has done: the first line, and no invite's token."""
    first, _, more = mask(said).partition("\n")
    name = clean_name(command)
    front.notice(f"operator {clean_name(nick)}: /{name}: {first}{' ...' if more else ''}")


def _leave(front: Front, _ended: object) -> None:
    front.leave()


def _callers_name(settings: ServeSettings, machine: str) -> str:
    """Return by which name callers find this server."""
    if settings.hosts and not is_everywhere(settings.hosts[0]):
        return settings.hosts[0]
    return "localhost" if settings.no_tls else machine


async def _open(settings: ServeSettings, hosting: Hosting, name: str) -> Server:
    announced = await asyncio.to_thread(_next_pin, settings, hosting.identity)
    hosts = settings.hosts or (_LOOPBACK if settings.no_tls else None)
    try:
        return await listen_and_serve(
            hosting.chat,
            hosts,
            settings.port,
            identity=hosting.identity,
            next_pin=announced,
            name=name,
            tls=not settings.no_tls,
            max_sessions=(settings.max_callers, settings.max_per_address),
            max_size=MAX_FRAME,
        )
    except ssl.SSLError as exc:
        what = f"the server's key cannot be used: {exc}; see {where_it_is(settings.cert)}"
        raise Failure(ExitCode.USAGE, what) from exc
    except OSError as exc:
        if exc.filename is not None:  # no socket bears a name: it is the log
            raise hosting.stores.failure(exc) from exc
        raise failure_to_listen(exc) from exc


def _next_pin(settings: ServeSettings, identity: Identity | None) -> str:
    """Return the pin of the key that the server will have next; of given ones none is known.

    Raises:
        Failure: What lies there cannot be used.
    """
    if identity is None or settings.cert is not None:
        return ""
    try:
        return next_pin(settings.directory, identity.fingerprint)
    except (OSError, ValueError) as exc:
        raise Failure(ExitCode.USAGE, f"the server's next key: {exc}; see --data") from exc


def _announcing(server: Server, settings: ServeSettings) -> asyncio.Future[None]:
    """Have the next key announced that is made while the server runs; of given ones none is."""
    if settings.no_tls or settings.cert is not None:
        return asyncio.get_running_loop().create_future()
    return asyncio.create_task(announce_next_key(server, settings.directory))


def _tell_place(hosting: Hosting, place: Target) -> None:
    """Have the server's invites, and those of its neighbours, name the place where it is."""
    if (inviter := hosting.inviter) is not None:
        inviter.host, inviter.port = place.host, place.port
        hosting.stores.neighbours.place = Place(place.host, place.port, inviter.pin)


async def _note_address(place: Target, settings: ServeSettings) -> None:
    """Note for invites where callers find this server; without TLS there are none."""
    if settings.no_tls:
        return
    directory = settings.directory
    try:
        await asyncio.to_thread(save_address, directory, place.host, place.port)
    except OSError as exc:
        say(plain_notice(f"invites will not know this server's address: {file_failure(exc)}"))


def _announce(server: Server, host: str, place: Target, settings: ServeSettings) -> None:
    """Say that callers may come, and how."""
    bound = ", ".join(str(Target(one.getsockname()[0])) for one in server.sockets)
    say(f"bound to {bound}, port {server.port}")
    print(f"listening on {host} port {server.port}", flush=True)
    if server.fingerprint:
        say(f"key {server.fingerprint}")
    if settings.private:
        say(f"waiting for callers who have an invite: {_how_to_invite(settings)}")
        return
    how = "--no-tls" if settings.no_tls else f"--fingerprint {server.fingerprint}"
    say(f"waiting for callers: socketchat connect {place} {how}")


def _service(server: Server, name: str, settings: ServeSettings) -> Service:
    """Return what is announced of the server on the network around."""
    return Service(
        name=name,
        pin=server.fingerprint,
        port=server.port,
        bound=tuple(one.getsockname()[0] for one in server.sockets),
        private=settings.private,
    )


def _how_to_invite(settings: ServeSettings) -> str:
    """Return the command that makes an invite to this server."""
    options = {"--data": settings.data, "--cert": settings.cert, "--key": settings.key}
    given = [f" {name} {shlex.quote(str(path))}" for name, path in options.items() if path]
    return clean(f"socketchat invite{''.join(given)}", multiline=False)
