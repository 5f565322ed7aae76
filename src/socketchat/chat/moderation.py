"""What operators may do to members, and how they ask for it: `/kick`, `/ban` and the like.

A command comes as a name and an argument (`docs/protocol.md`, "Commands"). What it changes for good
is kept by the registry; those who are in a room are dealt with at once. `server.py` hands commands
over. To add one, write a method and put it into the table.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from socketchat.chat.names import name_key
from socketchat.chat.registry import Ban, Registry
from socketchat.errors import CloseCode, CommandFailed
from socketchat.fingerprint import fingerprint_of, is_pin

if TYPE_CHECKING:
    from socketchat.chat.member import Member
    from socketchat.chat.room import Room
    from socketchat.chat.server import Invites

__all__ = ["Moderator", "host_of"]

#: Seconds for which an invite is valid if nothing else is said, and at most.
INVITE_VALID: Final = 24 * 3600
MAX_INVITE_VALID: Final = 365 * 24 * 3600
#: Bans that one answer lists.
MOST_LISTED: Final = 20

_log = logging.getLogger("socketchat.chat")


def host_of(address: str) -> str:
    """Return the host of `host:port` or `[host]:port`."""
    return address.rpartition(":")[0].strip("[]")


class Moderator:
    """Carries out the commands of members.

    Args:
        registry: What is known about people.
        rooms: The rooms that are open, by name.
        invites: Makes invites; None has none.
    """

    def __init__(
        self, registry: Registry, rooms: Mapping[str, Room], invites: Invites | None
    ) -> None:
        self._registry = registry
        self._rooms = rooms
        self._invites = invites
        self._commands: Mapping[str, Callable[[Member, str], Awaitable[str]]] = {
            "ban": self._ban,
            "bans": self._bans,
            "deop": self._deop,
            "invite": self._invite,
            "kick": self._kick,
            "mute": self._mute,
            "op": self._op,
            "unban": self._unban,
            "unmute": self._unmute,
        }

    async def carry_out(self, member: Member, name: str, argument: str) -> str:
        """Do what a member asks for, and say what was done.

        Raises:
            CommandFailed: It is not done; the reason says why.
            LogError: The registry cannot be written.
        """
        command = self._commands.get(name.lower())
        if command is None:
            raise _refused(f"this server knows no command {name!r}")
        if not member.standing.is_operator:
            raise _refused("only operators may do that")
        said = await command(member, argument.strip())
        _log.info("%s (%s): /%s: %s", member.nick, _who(member), name, said)
        return said

    # ---- those who are here ----

    async def _kick(self, member: Member, argument: str) -> str:
        targets, reason = self._targets(member, argument)
        self._show_out(targets, f"kicked by {member.nick}", reason)
        return f"{targets[0].nick} was shown the door"

    async def _mute(self, member: Member, argument: str) -> str:
        return await self._set_muted(member, argument, is_muted=True)

    async def _unmute(self, member: Member, argument: str) -> str:
        return await self._set_muted(member, argument, is_muted=False)

    async def _set_muted(self, member: Member, argument: str, *, is_muted: bool) -> str:
        whom, nick, seats = await self._key_or_seats(member, argument)
        if whom:
            await self._registry.set_muted(whom, is_muted=is_muted)
        for seat in seats:
            seat.standing.is_muted = is_muted
        until = "" if whom or not is_muted else ", until they come back: they have no key"
        return f"{nick} {'is muted' if is_muted else 'may speak'}{until}"

    # ---- operators ----

    async def _op(self, member: Member, argument: str) -> str:
        return await self._set_operator(member, argument, is_one=True)

    async def _deop(self, member: Member, argument: str) -> str:
        return await self._set_operator(member, argument, is_one=False)

    async def _set_operator(self, member: Member, argument: str, *, is_one: bool) -> str:
        whom, nick, seats = await self._key_or_seats(member, argument)
        if not whom:
            raise _refused(f"{nick} has no key, by which an operator is known")
        await self._registry.set_operator(whom, is_one=is_one)
        for seat in seats:
            seat.standing = await self._registry.standing(seat.session.key)
            seat.standing.is_operator |= seat.is_host
        return f"{nick} is {'an operator' if is_one else 'no operator any more'}"

    # ---- bans ----

    async def _ban(self, member: Member, argument: str) -> str:
        first, _, rest = argument.partition(" ")
        if is_pin(first):
            ban = Ban(first, "", rest.strip())
        elif address := _address(first):
            ban = Ban(address, "", rest.strip())
        else:
            ban = await self._ban_by_name(member, argument)
        mine = fingerprint_of(member.session.key)
        if ban.whom in (mine, host_of(member.session.peer.address)):
            raise _refused("that would ban yourself")
        await self._registry.ban(ban)
        hit = [seat for seat in self._all_seats() if not seat.is_host and _is_hit(ban, seat)]
        self._show_out(hit, f"banned by {member.nick}", ban.reason)
        return f"{ban.nick} ({ban.whom}) is banned" if ban.nick else f"{ban.whom} is banned"

    async def _ban_by_name(self, member: Member, argument: str) -> Ban:
        try:
            targets, reason = self._targets(member, argument)
        except CommandFailed:
            first, _, reason = argument.partition(" ")
            owner = await self._registry.owner(first)
            if not owner:
                raise
            return Ban(owner, first, reason.strip())
        target = targets[0]
        key = fingerprint_of(target.session.key)
        return Ban(key or host_of(target.session.peer.address), target.nick, reason)

    async def _unban(self, _member: Member, argument: str) -> str:
        lifted = await self._registry.unban(_address(argument) or argument)
        if not lifted:
            raise _refused(f"nobody called {argument!r} is banned; /bans lists who is")
        return "no longer banned: " + ", ".join(ban.nick or ban.whom for ban in lifted)

    async def _bans(self, _member: Member, _argument: str) -> str:
        bans = [str(ban) for ban in await self._registry.bans()]
        if not bans:
            return "nobody is banned"
        more = len(bans) - MOST_LISTED
        shown = bans[-MOST_LISTED:] + ([f"and {more} more"] if more > 0 else [])
        return "\n".join(shown)

    # ---- invites ----

    async def _invite(self, _member: Member, argument: str) -> str:
        if self._invites is None:
            raise _refused("this server makes no invites")
        seconds, room = INVITE_VALID, argument
        first, _, rest = argument.partition(" ")
        if first.isascii() and first.isdigit():
            seconds, room = int(first), rest.strip()
        if not 60 <= seconds <= MAX_INVITE_VALID:
            raise _refused("an invite is valid for 60 seconds to 365 days")
        return self._invites.make(room, seconds)

    # ---- who is meant ----

    def _targets(self, member: Member, argument: str) -> tuple[list[Member], str]:
        """Return the sessions of the one whose name the argument begins with, and what follows.

        Names may have spaces in them: the longest that somebody here has is meant.

        Raises:
            CommandFailed: It names nobody, or one with whom that cannot be done.
        """
        for name, rest in _splits(argument):
            for room in self._rooms_from(member):
                holder = room.roster.find(name)
                seats = self._seats_of(holder.identity) if holder is not None else []
                if not seats:
                    continue
                if any(seat.is_host for seat in seats):
                    raise _refused(f"{seats[0].nick} sits at the server itself")
                return seats, rest
        raise _refused(f"nobody here is called {argument!r}" if argument else "whom? give a name")

    async def _key_or_seats(self, member: Member, argument: str) -> tuple[str, str, list[Member]]:
        """Return the fingerprint of whom is meant, what they are called, and their sessions.

        Raises:
            CommandFailed: Nobody is meant.
        """
        if is_pin(argument):
            seats = [seat for seat in self._all_seats() if seat.session.peer.key == argument]
            return argument, argument, seats
        try:
            seats, _ = self._targets(member, argument)
        except CommandFailed:
            owner = await self._registry.owner(argument)
            if not owner:
                raise
            return owner, argument, []
        return seats[0].session.peer.key, seats[0].nick, seats

    def _rooms_from(self, member: Member) -> Iterator[Room]:
        """Yield the rooms, the member's own first."""
        mine = self._rooms.get(member.session.room)
        if mine is not None:
            yield mine
        yield from (room for room in self._rooms.values() if room is not mine)

    def _all_seats(self) -> list[Member]:
        return [seat for room in self._rooms.values() for seat in room.members.values()]

    def _seats_of(self, identity: bytes) -> list[Member]:
        return [seat for room in self._rooms.values() for seat in room.sessions_of(identity)]

    @staticmethod
    def _show_out(seats: list[Member], what: str, reason: str) -> None:
        for seat in seats:
            text = f"{what}: {reason}" if reason else what
            seat.session.turn_away(CloseCode.POLICY_VIOLATION, text)


def _refused(reason: str) -> CommandFailed:
    return CommandFailed(CloseCode.POLICY_VIOLATION, reason)


def _who(member: Member) -> str:
    return member.session.peer.key or member.session.peer.address or "here"


def _is_hit(ban: Ban, seat: Member) -> bool:
    return ban.whom in (seat.session.peer.key, host_of(seat.session.peer.address))


def _address(text: str) -> str:
    """Return an IP address as callers' are written, or nothing if it is none."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return ""


def _splits(argument: str) -> Iterator[tuple[str, str]]:
    """Yield all ways to read an argument as a name and what follows, the longest name first."""
    words = argument.split(" ")
    for count in range(len(words), 0, -1):
        name = " ".join(words[:count])
        if name_key(name):
            yield name, " ".join(words[count:]).strip()
