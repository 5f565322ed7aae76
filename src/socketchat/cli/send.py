"""`socketchat send`: say something in a room, and leave once it is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from socketchat.cli.calling import Call, CallerSettings, run_call, target_of
from socketchat.cli.event_writer import hear_of_the_link
from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.keeping import piped_input
from socketchat.cli.lines import Lines
from socketchat.messages import MAX_NAME

__all__ = ["run_send"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSettings(CallerSettings):
    """What the command line asks for; see `main.py`."""

    text: tuple[str, ...]
    to: str | None


def run_send(**settings: Any) -> int:
    """Send a text, or each line of stdin, until all is acknowledged; return the exit code."""
    checked = SendSettings(**settings)
    to = checked.to or ""
    if len(to) > MAX_NAME:
        raise Failure(ExitCode.USAGE, f"a name has at most {MAX_NAME} characters: see --to")
    text = " ".join(checked.text)
    try:
        (text + to).encode()
    except UnicodeEncodeError as exc:
        raise Failure(ExitCode.USAGE, "the text is not UTF-8: convert it first") from exc

    async def talk(call: Call) -> int:
        unsaid = _one(text) if checked.text else piped_input()
        async with call.conversation(said=unsaid, to=to) as session:
            said = _one(text) if checked.text else None
            lines = Lines(
                session,
                as_json=checked.as_json,
                said=said,
                commands=False,
                to=to,
                hear=hear_of_the_link,
            )
            return await call.attend(lines)

    return run_call(checked, target_of(checked), talk)


async def _one(text: str) -> AsyncGenerator[str, None]:
    yield text
