"""`socketchat history`: read a server's log, whether or not it runs; this host's, or in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from socketchat.chat.history import History, open_history
from socketchat.chat.log import Entry
from socketchat.chat.rules import room_name_of
from socketchat.cli.failures import ExitCode, file_failure
from socketchat.cli.output import write_out
from socketchat.cli.render import dated
from socketchat.cli.render_json import json_line, to_json
from socketchat.cli.stores import redis_history
from socketchat.cli.terminal import notice
from socketchat.events import Message
from socketchat.trust.known_hosts import default_directory

if TYPE_CHECKING:
    from socketchat.chat.redis_history import RedisHistory

__all__ = ["run_history"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """What the command line asks for; see `main.py`."""

    room: str | None
    search: str
    since: datetime | None
    limit: int
    redis: str
    as_json: bool
    data: Path | None


def run_history(**settings: Any) -> int:
    """Print what the log holds; return the exit code."""
    checked = HistorySettings(**settings)
    room = None if checked.room is None else room_name_of(checked.room)
    since = int(checked.since.timestamp() * 1_000_000) if checked.since else 0
    with _opened(checked) as history:
        if room is not None and room not in history.rooms:
            known = (
                f"there are: {', '.join(history.rooms)}" if history.rooms else "nor in any other"
            )
            notice(f"nobody has said anything in {room!r} yet; {known}")
        _write(history, checked, room, since)
    return ExitCode.DONE


@contextmanager
def _opened(settings: HistorySettings) -> Iterator[History | RedisHistory]:
    """Open the log that is meant.

    Raises:
        Failure: It cannot be read.
    """
    if settings.redis:
        with redis_history(settings.redis) as shared:
            yield shared
        return
    try:
        with open_history(settings.data or default_directory()) as history:
            yield history
    except OSError as exc:
        raise file_failure(exc) from exc


def _write(
    history: History | RedisHistory, asked: HistorySettings, room: str | None, since: int
) -> None:
    """Write what is found, as it is found."""
    limit = asked.limit or None
    hits = history.find(room=room, words=asked.search, since=since, limit=limit)
    if hits.more:
        notice("earlier messages are left out; --limit 0 shows all")
    named = room is None and len(history.rooms) > 1
    first = next(hits.entries, None)
    if first is not None:
        found = chain([first], hits.entries)
        write_out(_line(name, one, named=named, as_json=asked.as_json) for name, one in found)
    elif asked.search:
        notice("nothing was found: no message there has all of these words in it")


def _line(room: str, entry: Entry, *, named: bool, as_json: bool) -> bytes:
    message = Message(
        entry.body,
        entry.sender,
        entry.number,
        entry.at,
        entry.to,
        replayed=True,
        public=entry.key,
    )
    if as_json:
        value = to_json(message, room)
        assert value is not None
        return json_line(value)
    return f"{dated(message, room if named else '')}\n".encode()
