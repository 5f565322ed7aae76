"""The console's slash commands: a table, and how a typed line is read.

To add one, write a function and put it into the table. It knows the console only as what commands
may do with it (`CommandHost`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from socketchat.cli.duration import parse_duration

__all__ = ["COMMANDS", "Command", "CommandHost", "interpret"]


class CommandHost(Protocol):
    """What a command may do."""

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
    """

    summary: str
    run: Callable[[CommandHost, str], None]
    usage: str = ""


def _help(host: CommandHost, _argument: str) -> None:
    forms = {name: f"/{name} {command.usage}".rstrip() for name, command in COMMANDS.items()}
    forms["/"] = "//text"
    wide = max(map(len, forms.values()))
    lines = [f"{forms[name]:<{wide}}  {command.summary}" for name, command in COMMANDS.items()]
    lines.append(f"{forms['/']:<{wide}}  send a line that starts with a slash")
    lines.append("Enter sends, Alt-Enter starts a new line, Ctrl-C clears the line.")
    lines.append("On an empty line, Ctrl-C and Ctrl-D leave.")
    host.notice("\n".join(lines))


def _quit(host: CommandHost, _argument: str) -> None:
    host.leave()


def _asks(name: str) -> Callable[[CommandHost, str], None]:
    """Return what has the server do a thing of this name."""
    return lambda host, argument: host.ask(name, argument)


def _invite(host: CommandHost, argument: str) -> None:
    first, _, room = argument.partition(" ")
    seconds = parse_duration(first)
    host.ask("invite", argument if seconds is None else f"{seconds} {room}".rstrip())


COMMANDS: Mapping[str, Command] = {
    "help": Command("show this", _help),
    "invite": Command("make an invite, for operators", _invite, "[24h] [ROOM]"),
    "kick": Command("show somebody the door, for operators", _asks("kick"), "NAME [REASON]"),
    "ban": Command(
        "let a name, a key or an address in no more, for operators", _asks("ban"), "WHOM [REASON]"
    ),
    "unban": Command("lift a ban, for operators", _asks("unban"), "WHOM"),
    "bans": Command("list who is banned, for operators", _asks("bans")),
    "mute": Command("let somebody say nothing more, for operators", _asks("mute"), "NAME"),
    "unmute": Command("let them speak again, for operators", _asks("unmute"), "NAME"),
    "op": Command("make somebody an operator, for operators", _asks("op"), "NAME"),
    "deop": Command("make them none any more, for operators", _asks("deop"), "NAME"),
    "quit": Command("leave", _quit),
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
