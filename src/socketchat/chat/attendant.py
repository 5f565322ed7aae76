"""What every member may ask of the server: who is here, another name, the topic, what was said.

A command comes as a name and an argument (`docs/protocol.md`, "Commands"); `command_queue.py` hands
it over. What operators may do is in `moderation.py`. To add one, write a method and put it into the
table.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from socketchat.chat.log import Entry
from socketchat.chat.names import nick_of, untagged
from socketchat.chat.registry import Registry
from socketchat.errors import CloseCode, CommandFailed
from socketchat.messages import MAX_ANSWER, MAX_TOPIC
from socketchat.text import clean

if TYPE_CHECKING:
    from socketchat.chat.member import Member
    from socketchat.chat.room import Room

__all__ = ["Attendant"]

_log = logging.getLogger("socketchat.chat")

#: Seconds between two changes of a member's name: everybody in the room is told of each.
RENAME_INTERVAL: Final = 5.0
#: Entries that a search finds at most, and the characters that are given of each.
MOST_FOUND: Final = 20
MOST_SHOWN: Final = 160
#: Room for the line that counts the names that were left out, in characters.
_ROOM_TO_COUNT: Final = 40


class Attendant:
    """Carries out the commands that are everybody's.

    Args:
        registry: What is known about people and rooms.
        rooms: The rooms that are open, by name.
    """

    def __init__(self, registry: Registry, rooms: Mapping[str, Room]) -> None:
        self._registry = registry
        self._rooms = rooms
        # When members last took another name, by the loop's clock.
        self._renamed_at: WeakKeyDictionary[Member, float] = WeakKeyDictionary()
        self._commands: Mapping[str, Callable[[Member, Room, str], Awaitable[str]]] = {
            "names": self._names,
            "nick": self._nick,
            "search": self._search,
            "topic": self._topic,
        }

    async def carry_out(self, member: Member, name: str, argument: str) -> str | None:
        """Do what a member asks for, and return the answer; None if it is no command of these.

        Raises:
            CommandFailed: It is not done; the reason says why.
            LogError: The log or the registry cannot do it.
        """
        command = self._commands.get(name.lower())
        if command is None:
            return None
        return await command(member, self._rooms[member.session.room], argument.strip())

    async def _names(self, _member: Member, room: Room, _argument: str) -> str:
        return _as_many_as_fit(sorted((one.nick for one in room.roster), key=str.casefold))

    async def _nick(self, member: Member, room: Room, argument: str) -> str:
        asked = untagged(argument, member.session.key)
        wanted = nick_of(asked) if asked else ""
        if wanted in ("", "?"):
            raise CommandFailed(CloseCode.POLICY_VIOLATION, "which name? give one")
        if wanted == member.nick:
            return wanted
        now = asyncio.get_running_loop().time()
        if now < self._renamed_at.get(member, float("-inf")) + RENAME_INTERVAL:
            raise CommandFailed(CloseCode.TRY_AGAIN_LATER, "that is too soon after the last one")
        self._renamed_at[member] = now
        key, address = member.session.key, member.session.peer.address
        async for nick in self._registry.names_for(wanted, key, address):
            if room.members.get(member.lane) is not member:
                break
            old, given = member.nick, room.rename(member, nick)
            if given is not None:
                _log.info("%s is now %s", old, given)
                return given
        raise CommandFailed(CloseCode.GOING_AWAY, "you have left the room")

    async def _topic(self, member: Member, room: Room, argument: str) -> str:
        text = clean(argument, multiline=False)
        if not text:
            text, nick = room.topic
            return f"{text} (by {nick})" if text else "the room has no topic"
        if not member.standing.is_operator:
            reason = "only operators may say what the room is about"
            raise CommandFailed(CloseCode.POLICY_VIOLATION, reason)
        if len(text) > MAX_TOPIC:
            reason = f"a topic has at most {MAX_TOPIC} characters, this one has {len(text)}"
            raise CommandFailed(CloseCode.TOO_BIG, reason)
        if text == "-":
            text = ""
        await self._registry.set_topic(room.name, text, member.nick)
        await room.topic_changed(member.nick)
        _log.info("%s: the topic of %s is now %r", member.nick, room.name, text)
        return ""  # all in the room are told, this one too

    async def _search(self, member: Member, room: Room, argument: str) -> str:
        if not argument:
            raise CommandFailed(CloseCode.POLICY_VIOLATION, "for what? give words")
        found = await room.log.search(room.name, argument, member.sees, limit=MOST_FOUND)
        kept: list[str] = []
        free = MAX_ANSWER
        for entry in reversed(found):
            line = _found_line(entry)
            free -= len(line) + 1
            if free < 0:
                break
            kept.append(line)
        return "\n".join(reversed(kept))


def _found_line(entry: Entry) -> str:
    """Return a line that tells of an entry: time, name, addressee and text, with tabs between."""
    assert isinstance(entry.body, str)
    text = " ".join(entry.body[: 4 * MOST_SHOWN].split())
    if len(text) > MOST_SHOWN or len(entry.body) > 4 * MOST_SHOWN:
        text = text[: MOST_SHOWN - 1] + "…"
    return f"{entry.at}\t{entry.sender}\t{entry.to}\t{text}"


def _as_many_as_fit(names: list[str]) -> str:
    """List names, a line each, and count those that do not fit into an answer."""
    lines = list(_fitting(names, MAX_ANSWER - _ROOM_TO_COUNT))
    if more := len(names) - len(lines):
        lines.append(f"… and {more:,} more")
    return "\n".join(lines)


def _fitting(lines: list[str], free: int) -> Iterator[str]:
    for line in lines:
        free -= len(line) + 1
        if free < 0:
            return
        yield line
