"""`socketchat history`: read this host's own log, whether or not its server runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from socketchat.chat.history import read_history, room_names
from socketchat.chat.log import Entry
from socketchat.chat.rules import room_name_of
from socketchat.cli.failures import ExitCode, Failure, file_failure
from socketchat.cli.render import dated
from socketchat.cli.render_json import json_line, to_json
from socketchat.cli.terminal import notice
from socketchat.events import Message
from socketchat.trust.known_hosts import default_directory

__all__ = ["run_history"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """What the command line asks for; see `main.py`."""

    room: str | None
    search: str
    since: datetime | None
    limit: int
    as_json: bool
    data: Path | None


def run_history(**settings: Any) -> int:
    """Print what the log holds; return the exit code."""
    checked = HistorySettings(**settings)
    directory = checked.data or default_directory()
    room = None if checked.room is None else room_name_of(checked.room)
    since = int(checked.since.timestamp() * 1_000_000) if checked.since else 0
    # One more than is shown, so that it is known whether there are more.
    most = checked.limit + 1 if checked.limit else None
    try:
        rooms = room_names(directory)
        found = read_history(directory, room=room, words=checked.search, since=since, limit=most)
    except OSError as exc:
        raise file_failure(exc) from exc
    if room is not None and room not in rooms:
        known = f"there are: {', '.join(rooms)}" if rooms else "nor in any other"
        notice(f"nobody has said anything in {room!r} yet; {known}")
    if most is not None and len(found) == most:
        del found[0]
        notice("earlier messages are left out; --limit 0 shows all")
    named = room is None and len(rooms) > 1
    try:
        with open(sys.stdout.fileno(), "wb", closefd=False) as output:
            output.writelines(
                _line(name, entry, named=named, as_json=checked.as_json) for name, entry in found
            )
    except BrokenPipeError:
        pass  # as after `| head`
    except OSError as exc:
        what = f"cannot write the output: {exc.strerror}"
        raise Failure(ExitCode.INTERNAL_ERROR, what) from exc
    return ExitCode.DONE


def _line(room: str, entry: Entry, *, named: bool, as_json: bool) -> bytes:
    message = Message(entry.body, entry.sender, entry.number, entry.at, entry.to, replayed=True)
    if as_json:
        value = to_json(message, room)
        assert value is not None
        return json_line(value)
    return f"{dated(message, room if named else '')}\n".encode()
