"""`socketchat trust list` and `trust forget`: the servers that this device has met."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socketchat.cli.failures import ExitCode, Failure, file_failure
from socketchat.cli.output import write_out
from socketchat.cli.render_json import json_line
from socketchat.cli.target import parse_target
from socketchat.cli.terminal import notice, say
from socketchat.text import clean
from socketchat.trust.known_hosts import (
    KnownHost,
    KnownHosts,
    as_typed,
    default_directory,
    host_and_port,
)

__all__ = ["run_trust_forget", "run_trust_list"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSettings:
    """What the command line asks for; see `main.py`."""

    as_json: bool
    data: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetSettings:
    """What the command line asks for; see `main.py`."""

    host: str
    data: Path | None


def run_trust_list(**settings: Any) -> int:
    """Print whom this device knows; return the exit code."""
    checked = ListSettings(**settings)
    known = _known_hosts(checked.data)
    hosts = _all(known)
    try:
        spoilt = known.spoilt()
    except OSError as exc:
        raise file_failure(exc) from exc
    if not hosts and not spoilt:
        say("no server is known here yet")
    for what in spoilt:
        notice(f"{known.path}: {what}")
    write_out(_line(host, as_json=checked.as_json) for host in hosts)
    return ExitCode.DONE


def run_trust_forget(**settings: Any) -> int:
    """Forget one server; return the exit code."""
    checked = ForgetSettings(**settings)
    known = _known_hosts(checked.data)
    try:
        target = parse_target(checked.host)
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, str(exc)) from exc
    if target.others:
        raise Failure(ExitCode.USAGE, "one host is forgotten at a time")
    if target.room:
        what = f"a key is known for a host, not for a room: leave out /{target.room}"
        raise Failure(ExitCode.USAGE, what)
    host = host_and_port(target.host, target.port)
    try:
        forgotten = known.forget(host)
    except OSError as exc:
        raise file_failure(exc) from exc
    if not forgotten:
        raise Failure(ExitCode.USAGE, _not_known(host, target.host, _all(known)))
    say(f"{as_typed(host)} is forgotten; at the next call you are asked about its key")
    return ExitCode.DONE


def _known_hosts(data: Path | None) -> KnownHosts:
    return KnownHosts((data or default_directory()) / "known_hosts")


def _all(known: KnownHosts) -> list[KnownHost]:
    try:
        return known.all()
    except OSError as exc:
        raise file_failure(exc) from exc


def _line(host: KnownHost, *, as_json: bool) -> bytes:
    if as_json:
        return json_line(
            {
                "type": "known_host",
                "host": host.host,
                "key": host.pin,
                "next": host.next_pin or None,
                "line": host.line,
            }
        )
    name = clean(as_typed(host.host), multiline=False)
    following = f" (next {host.next_pin})" if host.next_pin else ""
    return f"{name} {host.pin}{following}\n".encode()


def _not_known(host: str, name: str, hosts: Sequence[KnownHost]) -> str:
    """Say that a host is not known, and which ones may have been meant."""
    what = f"{as_typed(host)} is not known here"
    names = [it.host for it in hosts]
    at_other_ports = [it for it in names if it.rpartition(":")[0].strip("[]") == name.lower()]
    near = at_other_ports or difflib.get_close_matches(host, names)
    if near:
        return f"{what}; known are: {', '.join(map(as_typed, near))}"
    return f"{what}; see: socketchat trust list"
