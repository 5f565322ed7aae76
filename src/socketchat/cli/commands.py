"""The console's slash commands: a table, and how a typed line is read.

To add one, write a function and put it into the table. It knows the console only as what commands
may do with it (`CommandHost`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from socketchat.cli.duration import parse_duration

__all__ = ["COMMANDS", "Command", "CommandHost", "interpret"]


class CommandHost(Protocol):
    """What a command may do.

    Attributes:
        keys: Which keys do what, for `/help`.
    """

    keys: ClassVar[str]

    def notice(self, text: str) -> None:
        """Print a line that is no message."""

    def leave(self) -> None:
        """Leave, as soon as what was typed is on its way."""

    def ask(self, name: str, argument: str) -> None:
        """Ask the server to do something, and print what it says to that."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        summary: What it does, for `/help`.
        run: Does it, given what stands behind the command's name.
        usage: What may stand there, for `/help`.
        for_operators: Whether only operators may do it, so that it stands behind the others.
    """

    summary: str
    run: Callable[[CommandHost, str], None]
    usage: str = ""
    for_operators: bool = False


def _help(host: CommandHost, _argument: str) -> None:
    forms = {name: f"/{name} {command.usage}".rstrip() for name, command in COMMANDS.items()}
    forms["/"] = "//text"
    wide = max(map(len, forms.values()))
    rows = [
        (command.for_operators, f"{forms[name]:<{wide}}  {command.summary}")
        for name, command in COMMANDS.items()
    ]
    lines = [row for for_operators, row in rows if not for_operators]
    lines.append(f"{forms['/']:<{wide}}  send a line that starts with a slash")
    lines.append("For operators:")
    lines += [row for for_operators, row in rows if for_operators]
    lines.append(host.keys)
    host.notice("\n".join(lines))


def _quit(host: CommandHost, _argument: str) -> None:
    host.leave()


def _asks(name: str) -> Callable[[CommandHost, str], None]:
    """Return what has the server do a thing of this name."""
    return lambda host, argument: host.ask(name, argument)


#: Seconds for which an invite is valid if nothing else is said.
_INVITE_VALID = 24 * 3600


def _invite(host: CommandHost, argument: str) -> None:
    first, _, room = argument.partition(" ")
    seconds = parse_duration(first)
    if seconds is None:
        seconds, room = _INVITE_VALID, argument
    host.ask("invite", f"{seconds} {room}".rstrip())


COMMANDS: Mapping[str, Command] = {
    "help": Command("show this", _help),
    "quit": Command("leave", _quit),
    "kick": Command("show somebody the door", _asks("kick"), "NAME [WHY]", for_operators=True),
    "ban": Command(
        "keep a name, key or address out", _asks("ban"), "WHOM [WHY]", for_operators=True
    ),
    "unban": Command("let them in again", _asks("unban"), "WHOM", for_operators=True),
    "bans": Command("list who is kept out", _asks("bans"), for_operators=True),
    "mute": Command("let somebody say nothing more", _asks("mute"), "NAME", for_operators=True),
    "unmute": Command("let them speak again", _asks("unmute"), "NAME", for_operators=True),
    "op": Command("make somebody an operator", _asks("op"), "NAME", for_operators=True),
    "deop": Command("make them none any more", _asks("deop"), "NAME", for_operators=True),
    "invite": Command("make an invite", _invite, "[24h] [ROOM]", for_operators=True),
}


def interpret(host: CommandHost, line: str) -> str | None:
    """Carry out what was typed if it is a command.

    Returns:
        What is to be sent: the line, or `/x` for `//x`; None if it was a command, known or not. An
        unknown one is never sent: it may hold a password.
    """
    if not line.startswith("/"):
        return line
    if line.startswith("//"):
        return line[1:]
    name, *rest = line[1:].split(maxsplit=1) or [""]
    command = COMMANDS.get(name.lower())
    if command is None:
        host.notice(f"there is no command /{name}; /help lists them, // sends a slash")
    else:
        command.run(host, rest[0] if rest else "")
    return None
