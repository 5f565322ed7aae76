"""`socketchat connect`: call a server, and chat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from socketchat.cli.calling import Call, CallerSettings, run_call, target_of
from socketchat.cli.calling_rooms import CalledRooms
from socketchat.cli.front import Front
from socketchat.cli.host_question import ask_for_host
from socketchat.cli.keeping import piped_input

__all__ = ["run_connect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSettings(CallerSettings):
    """What the command line asks for; see `main.py`."""

    history: int
    plain: bool
    no_color: bool
    no_lan: bool


def run_connect(**settings: Any) -> int:
    """Chat with a server until one side leaves; return the exit code."""
    checked = ConnectSettings(**settings)
    if not checked.target:
        # Only servers with TLS are announced.
        look_around = not (checked.no_lan or checked.no_tls)
        checked = replace(checked, target=ask_for_host(look_around=look_around))

    async def talk(call: Call) -> int:
        async with call.conversation(history=checked.history, said=piped_input()) as session:
            front = Front(
                session,
                plain=checked.plain,
                no_color=checked.no_color,
                as_json=checked.as_json,
                rooms=CalledRooms(call),
                directory=call.directory,
            )
            code = await call.attend(front)
            if front.at_console and session.unacknowledged:
                session.abort()  # it was waited for, and is in its file
            return code

    return run_call(checked, target_of(checked), talk)
