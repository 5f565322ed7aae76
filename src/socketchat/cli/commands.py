"""The slash commands: a table, and how a typed line is read.

To add one, write a function and put it into the table; `lookups.py` has what takes more than a
line. It knows the front ends only as what commands may do with them (`CommandHost`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from socketchat.cli.asking import Question, Teller
from socketchat.cli.duration import parse_duration
from socketchat.cli.ignoring import Ignored
from socketchat.cli.lookups import (
    SessionStatus,
    found_words,
    look_back,
    look_back_of,
    status_words,
)
from socketchat.cli.render import listed, other_name_words
from socketchat.cli.rooms import Rooms

__all__ = [
    "COMMANDS",
    "Argument",
    "Command",
    "CommandHost",
    "CommandSession",
    "interpret",
    "is_unknown",
]


class CommandSession(SessionStatus, Protocol):
    """What commands need of a `Session`."""

    async def command(self, name: str, argument: str = "") -> str:
        """Ask the server to do something, and return what it says to that."""

    async def rename(self, nick: str) -> str:
        """Go by another name, and return the one that was given."""

    def reconnect(self) -> bool:
        """Have a new link opened at once; tell whether that can be."""


class CommandHost(Protocol):
    """What a command may do.

    Attributes:
        keys: Which keys do what, for `/help`.
        ignored: Whom one does not want to hear.
    """

    keys: str
    ignored: Ignored

    @property
    def session(self) -> CommandSession:
        """The session of the room that one is looking at."""

    @property
    def sessions(self) -> Sequence[CommandSession]:
        """The sessions of all rooms that one is in, that one first."""

    @property
    def rooms(self) -> Rooms | None:
        """How one comes into other rooms; None if one does not."""

    def notice(self, text: str) -> None:
        """Print a line that is no message."""

    def say(self, text: str, to: str = "") -> None:
        """Send a message, to everyone or to one member."""

    def ask(self, name: str, question: Question) -> None:
        """Have something done that takes a while, and print what comes of it."""

    def join(self, room: str) -> None:
        """Take part in another room as well, and look at it."""

    def part(self, room: str = "") -> None:
        """Leave a room, or the one that one is looking at."""

    def leave(self) -> None:
        """Leave, as soon as what was typed is on its way."""

    def people(self) -> Mapping[str, str]:
        """Return who is known to be in the room: names, and fingerprints of keys or nothing."""


class Argument(Enum):
    """What may stand behind a command, for completion."""

    NONE = "nothing"
    NAME = "name"
    IGNORED = "ignored name"
    ROOM = "room"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        summary: What it does, for `/help`.
        run: Does it, given what stands behind the command's name.
        usage: What may stand there, for `/help`.
        details: More about it, for `/help COMMAND`.
        argument: What is completed there.
        for_operators: Whether only operators may do it, so that it stands behind the others.
    """

    summary: str
    run: Callable[[CommandHost, str], None]
    usage: str = ""
    details: str = ""
    argument: Argument = Argument.NONE
    for_operators: bool = False


# What needs nobody else


def _help(host: CommandHost, argument: str) -> None:
    if argument:
        name = argument.removeprefix("/").lower()
        command = COMMANDS.get(name)
        host.notice(_unknown(name) if command is None else _help_for(name, command))
        return
    forms = {name: _form(name, command) for name, command in COMMANDS.items()}
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


def _form(name: str, command: Command) -> str:
    return f"/{name} {command.usage}".rstrip()


def _help_for(name: str, command: Command) -> str:
    lines = [f"{_form(name, command)}: {command.summary}"]
    if command.details:
        lines.append(command.details)
    if command.for_operators:
        lines.append("Only operators may do it.")
    return "\n".join(lines)


def _unknown(name: str) -> str:
    return f"there is no command /{name}; /help lists them, // sends a slash"


def _quit(host: CommandHost, _argument: str) -> None:
    host.leave()


def _status(host: CommandHost, _argument: str) -> None:
    host.notice(status_words(host.session))


def _reconnect(host: CommandHost, _argument: str) -> None:
    if not host.session.reconnect():
        host.notice("there is nothing to reconnect: this session does not come back")


def _ignore(host: CommandHost, argument: str) -> None:
    if not argument:
        names = host.ignored.names
        host.notice(f"you ignore {listed(names)}" if names else "you ignore nobody")
        return
    if argument == host.session.nick:
        host.notice("that is you")
        return
    name, key = _known(host, argument)
    host.ignored.add(name, key)
    host.notice(f"what {name} says is not shown; /unignore {name} shows it again")


def _known(host: CommandHost, name: str) -> tuple[str, str]:
    """Return somebody's name as it is spelled, and the key if it is known."""
    for one, key in host.people().items():
        if one.casefold() == name.casefold():
            return one, key
    return name, ""


def _unignore(host: CommandHost, argument: str) -> None:
    known = host.ignored.remove(argument)
    host.notice(f"what {argument} says is shown" if known else f"you do not ignore {argument!r}")


# What is said


def _me(host: CommandHost, argument: str) -> None:
    if argument:
        host.say(f"/me {argument}")
    else:
        host.notice("what do you do? /me waves")


def _msg(host: CommandHost, argument: str) -> None:
    name, text = _addressee(argument, host.people())
    if name and text:
        host.say(text, name)
    else:
        host.notice("to whom, and what? /msg NAME TEXT")


def _addressee(argument: str, people: Mapping[str, str]) -> tuple[str, str]:
    """Return whom a message is for, and what it says; names may have blanks in them."""
    lowered = argument.casefold()
    for name in sorted(people, key=len, reverse=True):
        if lowered.startswith(name.casefold()) and argument[len(name) :][:1].isspace():
            return name, argument[len(name) :].strip()
    name, _, text = argument.partition(" ")
    return name, text.strip()


# Rooms


def _join(host: CommandHost, argument: str) -> None:
    if argument:
        host.join(argument)
    else:
        host.notice("which room? /join ROOM")


def _part(host: CommandHost, argument: str) -> None:
    host.part(argument)


def _history(host: CommandHost, argument: str) -> None:
    rooms, session = host.rooms, host.session
    if rooms is None:
        host.notice("nothing is kept here")
        return
    try:
        back = look_back_of(argument)
    except ValueError as exc:
        host.notice(f"/history: {exc}")
        return
    host.ask("history", lambda teller: look_back(rooms, session, back, teller))


# What the server does


def _asks(name: str) -> Callable[[CommandHost, str], None]:
    """Return what has the server do a thing of this name."""

    def ask(host: CommandHost, argument: str) -> None:
        session = host.session
        host.ask(name, lambda _: session.command(name, argument))

    return ask


def _names(host: CommandHost, _argument: str) -> None:
    session = host.session

    async def names(_: Teller) -> str:
        found = (await session.command("names")).splitlines()
        return f"here: {listed(found, most=len(found))}"

    host.ask("names", names)


def _nick(host: CommandHost, argument: str) -> None:
    session, sessions = host.session, host.sessions

    async def rename(_: Teller) -> str:
        given = {one.room: await one.rename(argument) for one in sessions}
        if len(set(given.values())) == 1:
            nick = given[session.room]
            return other_name_words(argument, nick) or f"you are {nick} now"
        return "\n".join(f"in {room} you are {nick} now" for room, nick in given.items())

    if argument:
        host.ask("nick", rename)
    else:
        host.notice(f"you are {session.nick}; /nick NAME gives you another name")


def _search(host: CommandHost, argument: str) -> None:
    session = host.session

    async def search(_: Teller) -> str:
        return found_words(await session.command("search", argument))

    host.ask("search", search)


#: Seconds for which an invite is valid if nothing else is said.
_INVITE_VALID = 24 * 3600


def _invite(host: CommandHost, argument: str) -> None:
    first, _, room = argument.partition(" ")
    seconds = parse_duration(first)
    if seconds is None:
        seconds, room = _INVITE_VALID, argument
    _asks("invite")(host, f"{seconds} {room}".rstrip())


def _for_operators(
    name: str, summary: str, usage: str = "", details: str = "", *, whom: bool = True
) -> Command:
    argument = Argument.NAME if whom else Argument.NONE
    return Command(summary, _asks(name), usage, details, argument, for_operators=True)


_WHOM = "WHOM is a name, a key (SHA256:...) or an address."

COMMANDS: Mapping[str, Command] = {
    "help": Command("show this, or more about one", _help, "[COMMAND]", argument=Argument.COMMAND),
    "join": Command(
        "take part in another room as well",
        _join,
        "ROOM",
        "Alt-1 to Alt-9 change between rooms, and so does /join with one that you are in. The last "
        "line of the terminal lists them, with what is unread in each.",
        Argument.ROOM,
    ),
    "part": Command(
        "leave a room",
        _part,
        "[ROOM]",
        "Without a name it is the one that you look at. With the last one you leave altogether.",
        Argument.ROOM,
    ),
    "names": Command("list who is here", _names),
    "msg": Command(
        "send a message to one member",
        _msg,
        "NAME TEXT",
        "It is kept in the room's log, and given to nobody but the two of you.",
        Argument.NAME,
    ),
    "me": Command("say what you do", _me, "TEXT", "/me waves is shown as: * ada waves"),
    "nick": Command(
        "go by another name",
        _nick,
        "NAME",
        "A name belongs to the first key that used it; who comes later gets one with a tag. It is "
        "for all rooms that you are in, and can be changed every 5 seconds.",
    ),
    "topic": Command(
        "show what the room is about",
        _asks("topic"),
        "[TEXT]",
        "Operators may say what it is: /topic TEXT, and /topic - takes it away.",
    ),
    "history": Command(
        "show what was said before",
        _history,
        "[N|TIME]",
        "/history shows the last 50 messages, /history 500 so many, /history 2h those since then.",
    ),
    "search": Command(
        "find messages",
        _search,
        "WORDS",
        "It shows the last 20 messages of this room that have all of these words in them.",
    ),
    "ignore": Command(
        "hear nothing more from somebody",
        _ignore,
        "[NAME]",
        "It lasts until you leave. Without a name it lists whom you ignore.",
        Argument.NAME,
    ),
    "unignore": Command("hear them again", _unignore, "NAME", argument=Argument.IGNORED),
    "status": Command("show how the connection is", _status),
    "reconnect": Command("have a new link opened, at once", _reconnect),
    "quit": Command("leave", _quit),
    "kick": _for_operators("kick", "show somebody the door", "NAME [WHY]"),
    "ban": _for_operators("ban", "keep a name, key or address out", "WHOM [WHY]", _WHOM),
    "unban": _for_operators("unban", "let them in again", "WHOM", _WHOM),
    "bans": _for_operators("bans", "list who is kept out", whom=False),
    "mute": _for_operators("mute", "let somebody say nothing more", "NAME"),
    "unmute": _for_operators("unmute", "let them speak again", "NAME"),
    "op": _for_operators("op", "make somebody an operator", "NAME"),
    "deop": _for_operators("deop", "make them none any more", "NAME"),
    "invite": Command(
        "make an invite",
        _invite,
        "[24h] [ROOM]",
        "It lets one device in, once. Without a room it is for all of them.",
        for_operators=True,
    ),
}


def is_unknown(line: str) -> bool:
    """Tell whether a line looks like a command, and is none: it may hold a password."""
    if not line.startswith("/") or line.startswith("//"):
        return False
    return (line[1:].split(maxsplit=1) or [""])[0].lower() not in COMMANDS


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
        host.notice(_unknown(name))
    else:
        command.run(host, rest[0].strip() if rest else "")
    return None
