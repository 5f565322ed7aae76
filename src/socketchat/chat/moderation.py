"""What operators may do to members, and how they ask for it: `/kick`, `/ban` and the like.

A command comes as a name and an argument (`docs/protocol.md`, "Commands"). What it changes for good
is kept by the registry; those who are in a room are dealt with at once. `server.py` hands commands
over. To add one, write a method and put it into the table.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from socketchat.chat.names import nick_of
from socketchat.chat.neighbourhood import Neighbourhood
from socketchat.chat.neighbours import Seat, ShowOut, StandingChanged
from socketchat.chat.registry import MAX_REASON, Ban, Registry
from socketchat.chat.rules import room_name_of
from socketchat.errors import CloseCode, CommandFailed
from socketchat.fingerprint import fingerprint_of, is_pin
from socketchat.messages import MAX_NAME
from socketchat.quota import network_of
from socketchat.trust.masking import mask

if TYPE_CHECKING:
    from socketchat.chat.member import Member
    from socketchat.chat.room import Room
    from socketchat.chat.roster import Holder
    from socketchat.chat.server import Invites

__all__ = ["MAX_INVITE_VALID", "MIN_INVITE_VALID", "Moderator"]

#: Seconds for which an invite is valid if nothing else is said, at least, and at most.
INVITE_VALID: Final = 24 * 3600
MIN_INVITE_VALID: Final = 60
MAX_INVITE_VALID: Final = 365 * 24 * 3600
#: Bans that one answer lists.
MOST_LISTED: Final = 20

_log = logging.getLogger("socketchat.chat")


@dataclass(frozen=True, slots=True)
class _Person:
    """One who is meant by a command.

    Attributes:
        nick: What they are called.
        key: The fingerprint of their key; empty if they have none.
        identity: Who it is in rooms, if they have no key.
    """

    nick: str
    key: str
    identity: bytes = b""


class Moderator:
    """Carries out the commands of members.

    Args:
        registry: What is known about people.
        rooms: The rooms that are open, by name.
        invites: Makes invites; None has none.
        around: Who is at other servers.
    """

    def __init__(
        self,
        registry: Registry,
        rooms: Mapping[str, Room],
        invites: Invites | None,
        around: Neighbourhood,
    ) -> None:
        self._around = around
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
        _log.info("%s (%s): /%s: %s", member.nick, _who(member), name, mask(said))
        return said

    # ---- those who are here ----

    async def _kick(self, member: Member, argument: str) -> str:
        person, reason = await self._whom_and_why(member, argument)
        seats = self._seats(person)
        if not seats and not self._seats_elsewhere(person):
            raise _refused(f"{person.nick} is not here")
        text = _with_reason(f"kicked by {member.nick}", reason)
        self._show_out(seats, text)
        await self._around.order(ShowOut(person.key, person.identity, text))
        return f"{person.nick} was shown the door"

    async def _mute(self, member: Member, argument: str) -> str:
        person = await self._set_muted(member, argument, is_muted=True)
        until = "" if person.key else ", until they come back: they have no key"
        return f"{person.nick} is muted{until}"

    async def _unmute(self, member: Member, argument: str) -> str:
        person = await self._set_muted(member, argument, is_muted=False)
        return f"{person.nick} may speak"

    async def _set_muted(self, member: Member, argument: str, *, is_muted: bool) -> _Person:
        person = await self._whom(member, argument)
        if person.key:
            await self._registry.set_muted(person.key, is_muted=is_muted)
        for seat in self._seats(person):  # those who came in meanwhile too
            seat.standing.is_muted = is_muted
        await self._around.order(StandingChanged(person.key, person.identity, is_muted=is_muted))
        return person

    # ---- operators ----

    async def _op(self, member: Member, argument: str) -> str:
        person = await self._set_operator(member, argument, is_one=True)
        return f"{person.nick} is an operator"

    async def _deop(self, member: Member, argument: str) -> str:
        person = await self._set_operator(member, argument, is_one=False)
        return f"{person.nick} is no operator any more"

    async def _set_operator(self, member: Member, argument: str, *, is_one: bool) -> _Person:
        person = await self._whom(member, argument)
        if not person.key:
            raise _refused(f"{person.nick} has no key, by which an operator is known")
        await self._registry.set_operator(person.key, is_one=is_one)
        for seat in self._seats(person):
            seat.standing.is_operator = is_one
        await self._around.order(StandingChanged(person.key, b"", is_operator=is_one))
        return person

    # ---- bans ----

    async def _ban(self, member: Member, argument: str) -> str:
        ban = await self._ban_of(member, argument)
        mine = fingerprint_of(member.session.key), network_of(member.session.peer.address)
        if ban.whom in mine:
            raise _refused("that would ban yourself")
        await self._registry.ban(ban)
        hit = [seat for seat in self._all_seats() if self._is_hit(ban, seat)]
        text = _with_reason(f"banned by {member.nick}", ban.reason)
        self._show_out(hit, text)
        await self._around.order(ShowOut(ban.whom, b"", text))
        said = f"{ban.nick} ({ban.whom}) is banned" if ban.nick else f"{ban.whom} is banned"
        if is_pin(ban.whom) and hit and not self._registry.private:
            address = network_of(hit[0].session.peer.address)
            said += f"; with a new key they can come back, unless you also /ban {address}"
        return said

    async def _ban_of(self, member: Member, argument: str) -> Ban:
        """Read whom to ban, and why: a name, a key, or else an address."""
        first, _, rest = argument.partition(" ")
        address = _address(first)
        if address:
            return Ban(address, "", rest.strip()[:MAX_REASON])
        person, reason = await self._whom_and_why(member, argument)
        if person.key:
            return Ban(person.key, "" if is_pin(person.nick) else person.nick, reason)
        for seat in self._seats(person):
            return Ban(network_of(seat.session.peer.address), person.nick, reason)
        for there in self._seats_elsewhere(person):
            return Ban(network_of(there.address), person.nick, reason)
        raise _refused(f"{person.nick} has left, and has no key by which to know them again")

    async def _unban(self, _member: Member, argument: str) -> str:
        bans = await self._registry.bans_of(_address(argument) or argument)
        if not bans:
            raise _refused(f"nobody called {_short(argument)!r} is banned; /bans lists who is")
        if len(bans) > 1:
            several = ", ".join(ban.whom for ban in bans[:MOST_LISTED])
            raise _refused(f"that is the name of several: say which, {several}")
        await self._registry.unban(bans[0])
        return f"no longer banned: {bans[0].nick or bans[0].whom}"

    async def _bans(self, _member: Member, _argument: str) -> str:
        bans = [str(ban) for ban in await self._registry.bans()]
        if not bans:
            return "nobody is banned"
        more = len(bans) - MOST_LISTED
        shown = ([f"{more} earlier ones, and"] if more > 0 else []) + bans[-MOST_LISTED:]
        return "\n".join(shown)

    # ---- invites ----

    async def _invite(self, _member: Member, argument: str) -> str:
        if self._invites is None:
            raise _refused("this server makes no invites: it has no key, as without TLS")
        first, _, rest = argument.partition(" ")
        if not first:
            first = str(INVITE_VALID)
        if not (first.isascii() and first.isdigit()):
            raise _refused("an invite wants the seconds that it is valid, and then a room, if any")
        seconds, room = int(first), room_name_of(rest)
        if not MIN_INVITE_VALID <= seconds <= MAX_INVITE_VALID:
            raise _refused("an invite is valid for 60 seconds to 365 days")
        try:
            invite = self._invites.make(room, seconds, self._around.places())
        except ValueError as exc:
            raise _refused(str(exc)) from exc
        where = f"the room {room}" if room else "all rooms"
        if invite.others:
            where += f", at any of {len(invite.servers)} servers"
            grant = self._invites.check(invite.token, None)
            if not await self._registry.issue(invite.token, grant, int(time.time())):
                raise _refused("too many invites wait to be used: let some of them expire first")
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        return f"{invite.url}\nIt works once, until {until:%Y-%m-%d %H:%M} UTC, for {where}."

    # ---- who is meant ----

    async def _whom(self, member: Member, argument: str) -> _Person:
        """Return whom an argument names, which is nothing but a name or a key.

        Raises:
            CommandFailed: It names nobody, or one with whom nothing can be done.
        """
        person = await self._find(member, argument)
        if person is None:
            raise _nobody(argument)
        return person

    async def _whom_and_why(self, member: Member, argument: str) -> tuple[_Person, str]:
        """Return whom an argument begins with, and what follows: why, as far as it can be told.

        Names may have spaces in them: the longest that is known is meant.

        Raises:
            CommandFailed: It names nobody, or one with whom nothing can be done.
        """
        words = argument.split(" ")
        for count in range(len(words), 0, -1):
            person = await self._find(member, " ".join(words[:count]))
            if person is not None:
                return person, " ".join(words[count:]).strip()[:MAX_REASON]
        raise _nobody(argument)

    async def _find(self, member: Member, name: str) -> _Person | None:
        """Return who has a key, or is called so: here, in another room, or not at the moment.

        Raises:
            CommandFailed: With that one nothing can be done.
        """
        person: _Person | None = None
        if is_pin(name):
            person = _Person(name, name)
        elif nick_of(name) == "?" and name != "?":
            return None  # nothing is left of it
        else:
            found = (room.roster.find(name) for room in self._rooms_from(member))
            holder: Holder | Seat | None = next((one for one in found if one is not None), None)
            holder = holder or self._around.find_anywhere(name)
            if holder is not None:
                person = _Person(holder.nick, fingerprint_of(holder.public), holder.identity)
            else:
                owner = await self._registry.owner(name)
                person = _Person(name, owner) if owner else None
        if person is not None and self._is_host(person):
            raise _refused(f"{person.nick} sits at the server itself")
        if person is not None and self._registry.is_appointed(person.key):
            raise _refused(f"{person.nick} is an operator by the server's own settings")
        return person

    def _seats(self, person: _Person) -> list[Member]:
        """Return the sessions of one who is meant, in all rooms."""
        if person.key:
            return [seat for seat in self._all_seats() if seat.session.peer.key == person.key]
        rooms = self._rooms.values()
        return [seat for room in rooms for seat in room.sessions_of(person.identity)]

    def _seats_elsewhere(self, person: _Person) -> list[Seat]:
        """Return the seats of one who is meant at other servers."""
        return self._around.seats_of(person.identity, person.key)

    def _is_host(self, person: _Person) -> bool:
        here = any(seat.is_host for seat in self._seats(person))
        return here or any(not seat.address for seat in self._seats_elsewhere(person))

    def _rooms_from(self, member: Member) -> Iterator[Room]:
        """Yield the rooms, the member's own first."""
        mine = self._rooms.get(member.session.room)
        if mine is not None:
            yield mine
        yield from (room for room in self._rooms.values() if room is not mine)

    def _all_seats(self) -> list[Member]:
        return [seat for room in self._rooms.values() for seat in room.members.values()]

    def _is_hit(self, ban: Ban, seat: Member) -> bool:
        peer = seat.session.peer
        if seat.is_host or self._registry.is_appointed(peer.key):
            return False
        return ban.whom in (peer.key, network_of(peer.address))

    @staticmethod
    def _show_out(seats: list[Member], text: str) -> None:
        for seat in seats:
            seat.show_out(text)


def _with_reason(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what


def _refused(reason: str) -> CommandFailed:
    return CommandFailed(CloseCode.POLICY_VIOLATION, reason)


def _nobody(argument: str) -> CommandFailed:
    if not argument:
        return _refused("whom? give a name")
    return _refused(f"nobody here is called {_short(argument)!r}")


def _short(text: str) -> str:
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def _who(member: Member) -> str:
    return member.session.peer.key or member.session.peer.address or "here"


def _address(text: str) -> str:
    """Return an IP address as bans have it, or nothing if it is none."""
    plain = text.strip("[]")
    try:
        ipaddress.ip_network(plain, strict=False)
    except ValueError:
        return ""
    return network_of(plain.partition("/")[0])
