"""`socketchat connect`: call a server, and chat."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socketchat.cli.failures import (
    ExitCode,
    Failure,
    failure_to_connect,
    session_failure,
)
from socketchat.cli.front import Front
from socketchat.cli.target import Target, is_loopback, parse_target
from socketchat.cli.terminal import on_signals, say
from socketchat.client import connect
from socketchat.errors import HandshakeError, SessionClosed
from socketchat.messages import MAX_NAME
from socketchat.session import Session
from socketchat.text import clean_name
from socketchat.trust.known_hosts import (
    KnownHosts,
    default_directory,
    host_and_port,
    is_pin,
)

__all__ = ["run_connect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSettings:
    """What the command line asks for; see `main.py`."""

    target: str
    nick: str
    trust: str
    fingerprint: str
    no_reconnect: bool
    no_tls: bool
    data: Path | None
    plain: bool
    no_color: bool
    as_json: bool


def run_connect(**settings: Any) -> int:
    """Chat with a server until one side leaves; return the exit code."""
    checked = ConnectSettings(**settings)
    if checked.fingerprint and not is_pin(checked.fingerprint):
        raise Failure(
            ExitCode.USAGE, "--fingerprint wants SHA256:... as the server shows it when it starts"
        )
    try:
        target = parse_target(checked.target or _ask_for_host())
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, str(exc)) from exc
    if checked.no_tls and not is_loopback(target.host):
        raise Failure(
            ExitCode.USAGE, "--no-tls is for this machine only: call localhost, or leave it out"
        )
    with asyncio.Runner() as runner:
        return runner.run(_connect(checked, target))


def _ask_for_host() -> str:
    if not sys.stdin.isatty():
        raise Failure(ExitCode.USAGE, "which host? socketchat connect HOST")
    try:
        while True:
            print("host name: ", end="", file=sys.stderr, flush=True)
            if name := input().strip():
                return name
    except EOFError:
        raise Failure(ExitCode.USAGE, "no host name was given") from None


async def _connect(settings: ConnectSettings, target: Target) -> int:
    main = asyncio.current_task()
    assert main is not None
    left_by: list[signal.Signals] = []
    leave: Callable[[], object] = main.cancel
    hang_up: Callable[[], object] = main.cancel

    def stop(number: signal.Signals) -> None:
        """Leave politely at the first signal, at once at the second."""
        left_by.append(number)
        if len(left_by) == 1:
            leave()
        else:
            hang_up()
            main.cancel()

    with on_signals(stop, "SIGINT", "SIGTERM", "SIGHUP"):
        try:
            session = await _open(settings, target)
            async with session:
                front = Front(
                    session,
                    plain=settings.plain,
                    no_color=settings.no_color,
                    as_json=settings.as_json,
                )
                leave, hang_up = front.leave, session.abort
                try:
                    code = await front.run()
                except Failure as exc:
                    if exc.code is ExitCode.NOT_ACKNOWLEDGED:
                        session.abort()  # it was waited for long enough
                    raise
        except asyncio.CancelledError:
            if not left_by:
                raise
            code = ExitCode.DONE
        except SessionClosed as exc:
            raise session_failure(str(target), exc) from exc
    return 128 + left_by[0] if left_by else code


async def _open(settings: ConnectSettings, target: Target) -> Session:
    say(f"calling {target}")
    known_hosts = (settings.data or default_directory()) / "known_hosts"
    try:
        known = KnownHosts(known_hosts).find(host_and_port(target.host, target.port))
        session = await connect(
            target.host,
            target.port,
            room=target.room,
            nick=clean_name(settings.nick)[:MAX_NAME] if settings.nick else "",
            trust=settings.fingerprint or settings.trust,
            known_hosts=known_hosts,
            tls=not settings.no_tls,
            reconnect=not settings.no_reconnect,
        )
    except UnicodeError as exc:
        raise Failure(ExitCode.USAGE, f"{target.host!r} is no host name") from exc
    except (OSError, HandshakeError) as exc:
        raise failure_to_connect(str(target), exc) from exc
    peer = session.peer
    say(f"connected to {clean_name(peer.nick) if peer.nick else target} ({peer.address})")
    if peer.key and known is None and not settings.fingerprint:
        say(f"its key {peer.key} is new here; it is remembered from now on")
    return session
