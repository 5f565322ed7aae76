"""`socketchat invite`: make an invite to this host's own server, whether or not it runs."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from socketchat.chat.inviter import Inviter
from socketchat.chat.moderation import MAX_INVITE_VALID, MIN_INVITE_VALID
from socketchat.chat.rules import room_name_of
from socketchat.cli.address import load_address
from socketchat.cli.failures import ExitCode, Failure, file_failure
from socketchat.cli.output import write_out
from socketchat.cli.render import plain_notice
from socketchat.cli.render_json import json_line
from socketchat.cli.server_key import check_pair, server_identity
from socketchat.cli.target import Target, is_everywhere, parse_target
from socketchat.cli.terminal import say
from socketchat.fingerprint import is_pin
from socketchat.trust.invites import Further, Invite
from socketchat.trust.known_hosts import default_directory, host_and_port
from socketchat.trust.masking import mask

__all__ = ["run_invite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteSettings:
    """What the command line asks for; see `main.py`."""

    room: str
    expires: float
    host: str
    port: int
    also: tuple[str, ...]
    cert: Path | None
    key: Path | None
    as_json: bool
    data: Path | None


def run_invite(**settings: Any) -> int:
    """Print an invite; return the exit code."""
    checked = InviteSettings(**settings)
    if not MIN_INVITE_VALID <= checked.expires <= MAX_INVITE_VALID:
        raise Failure(ExitCode.USAGE, "--expires: an invite is good for 1m to 365d")
    expires = int(time.time() + checked.expires)
    directory = checked.data or default_directory()
    check_pair(checked.cert, checked.key)
    identity = server_identity(directory, checked.cert, checked.key, make=False)
    place = _place(checked, directory)
    try:
        others = [_further(text, identity.fingerprint) for text in checked.also]
        inviter = Inviter(identity, place.host, place.port, others=others)
        invite = inviter.invite(room_name_of(checked.room), expires)
    except ValueError as exc:
        what = f"{exc}; see --host, --port, --also and --room"
        raise Failure(ExitCode.USAGE, what) from exc
    _print(invite, expires, as_json=checked.as_json)
    return ExitCode.DONE


def _further(text: str, pin: str) -> Further:
    """Return another server that an invite names: `HOST[:PORT]`, or with `=SHA256:...` behind it.

    Raises:
        ValueError: It is none.
    """
    name, equals, key = text.partition("=")
    target = parse_target(name)
    if target.room or target.others or target.token or (equals and not is_pin(key)):
        raise ValueError(f"{mask(text)!r} is no HOST[:PORT] or HOST[:PORT]=SHA256:...")
    return Further(target.host.lower(), target.port, key or pin)


def _place(settings: InviteSettings, directory: Path) -> Target:
    """Return where callers find the server: as asked for, else as it has said itself."""
    # What serve listens on may be in the environment, and be no address that anybody can call.
    host = "" if is_everywhere(settings.host) else settings.host
    port = settings.port
    if host and port:
        return Target(host, port)
    try:
        noted = load_address(directory)
    except OSError as exc:
        raise file_failure(exc) from exc
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, str(exc)) from exc
    place = noted or Target(socket.gethostname())
    place = Target(host or place.host, port or place.port)
    if noted is None:
        _notice(
            f"the server has not said yet where it is: the invite names {place.host}, port "
            f"{place.port}; --host and --port name another place"
        )
    return place


def _print(invite: Invite, expires: int, *, as_json: bool) -> None:
    line = f"{invite.url}\n".encode()
    if as_json:
        until = datetime.fromtimestamp(expires, UTC).isoformat().replace("+00:00", "Z")
        place: dict[str, Any] = {"host": invite.host, "port": invite.port, "room": invite.room}
        if invite.others:
            place["others"] = [host_and_port(host, port) for host, port, _ in invite.others]
        line = json_line({"type": "invite", "url": invite.url, **place, "expires": until})
    write_out([line])
    local = datetime.fromtimestamp(expires, UTC).astimezone()
    _notice(f"it works once, until {local:%Y-%m-%d %H:%M %Z}; give it to one person alone")


def _notice(text: str) -> None:
    say(plain_notice(text))
