"""`socketchat tail`: read what is said in a room."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from socketchat.cli.calling import Call, CallerSettings, run_call, target_of
from socketchat.cli.event_writer import hear_all, hear_earlier
from socketchat.cli.lines import Lines

__all__ = ["run_tail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TailSettings(CallerSettings):
    """What the command line asks for; see `main.py`."""

    history: int
    since: datetime | None
    no_follow: bool


def run_tail(**settings: Any) -> int:
    """Write what was said in a room, and what is said; return the exit code."""
    checked = TailSettings(**settings)

    async def talk(call: Call) -> int:
        async with await call.open(history=checked.history, since=checked.since) as session:
            lines = Lines(
                session,
                as_json=checked.as_json,
                speaks=False,
                hear=hear_earlier if checked.no_follow else hear_all,
            )
            call.hang_up = session.abort
            return await call.attend(lines)

    return run_call(checked, target_of(checked), talk)
