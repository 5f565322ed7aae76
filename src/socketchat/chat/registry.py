"""What a server knows about people beyond a visit: whose name it is, who may come in, who may not.

Keys are Ed25519 keys of devices (`trust/device.py`), 32 bytes, or empty for callers without one.
The facts are kept by a store (`facts.py`); what is in the room just now is `roster.py`'s to say.
`server.py` asks at the door, `moderation.py` changes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from socketchat.chat.facts import Facts, MemoryFacts
from socketchat.chat.names import candidates, name_key
from socketchat.errors import CloseCode, HandshakeRefused
from socketchat.fingerprint import fingerprint_of, is_pin
from socketchat.quota import network_of
from socketchat.trust.invites import Grant

__all__ = ["GUEST", "Ban", "Registry", "Standing"]

#: The name of those who ask for none; nobody's own.
GUEST: Final = "guest"

#: Names that one key may own, and all keys together; more can be used, and are then nobody's.
MAX_NAMES: Final = 16
MAX_ALL_NAMES: Final = 100_000
#: Names that can come to be owned in an hour by callers from one network, so that no stranger takes
#: them all; and networks that are counted.
MAX_CLAIMS: Final = 30
CLAIM_TIME: Final = 3600.0
MAX_NETWORKS: Final = 10_000
#: Invites to several servers that may wait to be used, or to expire.
MAX_ISSUED: Final = 1000
#: The longest reason of a ban, in characters.
MAX_REASON: Final = 200

_NAME, _KNOWN, _OPERATOR = "name", "known", "operator"
#: A kind for each key that owns names.
_NAMES_OF: Final = "names of "
_TOPIC, _ISSUED = "topic", "issued invite"
_BANNED_KEY, _BANNED_ADDRESS, _MUTED, _INVITE = "banned key", "banned address", "muted", "invite"
#: What stands between the parts of a value; no name holds it.
_SEPARATOR: Final = "\n"


@dataclass(frozen=True, slots=True)
class Ban:
    """Somebody who may not come in.

    Attributes:
        whom: A key's fingerprint, or an address: of IPv6 a whole network (`network_of`).
        nick: By which name they were known; may be empty.
        reason: Why; may be empty.
    """

    whom: str
    nick: str
    reason: str

    def __str__(self) -> str:
        who = f"{self.nick} ({self.whom})" if self.nick else self.whom
        return f"{who}: {self.reason}" if self.reason else who


@dataclass(slots=True)
class Standing:
    """What a member may do; it changes while it is in the room.

    Attributes:
        is_operator: Whether it may do what operators do.
        is_muted: Whether what it says is refused.
    """

    is_operator: bool = False
    is_muted: bool = False


class Registry:
    """Names, known keys, operators, bans, invites that were used, and what rooms are about.

    Whatever is not said to raise raises `LogError`, as a log does.

    Args:
        facts: Where it is kept; None keeps it in memory.
        private: Whether only known keys may come in.
        operators: Fingerprints of keys that are operators in any case: nobody bans, mutes or
            unmakes them.
        clock: Tells the time, in seconds.

    Attributes:
        private: Whether only known keys may come in.
    """

    def __init__(
        self,
        facts: Facts | None = None,
        *,
        private: bool = False,
        operators: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._facts: Facts = facts if facts is not None else MemoryFacts()
        self.private = private
        self._operators = operators
        self._clock = clock
        # Held from what is read to what is written because of it.
        self._order = asyncio.Lock()
        # How many names came to be owned from each network since a time: at this server alone.
        self._claims: Counter[str] = Counter()
        self._counted_from = clock()

    async def open(self) -> None:
        """Make ready.

        Raises:
            OSError: The facts cannot be opened.
        """
        await self._facts.open()

    async def close(self) -> None:
        """Let everything go."""
        await self._facts.close()

    # ---- at the door ----

    async def check(self, key: bytes, address: str) -> None:
        """Check that a caller is not banned.

        Args:
            key: Its key.
            address: Its address, or empty.

        Raises:
            HandshakeRefused: It is; the reason tells why.
        """
        mine = fingerprint_of(key)
        if self.is_appointed(mine):
            return
        for kind, whom in ((_BANNED_KEY, mine), (_BANNED_ADDRESS, network_of(address))):
            value = await self._facts.get(kind, whom) if whom else None
            if value is not None:
                reason = _ban(whom, value).reason
                text = f"you are banned here: {reason}" if reason else "you are banned here"
                raise HandshakeRefused(CloseCode.POLICY_VIOLATION, text)

    async def is_admitted(self, key: bytes, room: str) -> bool:
        """Tell whether a caller may come into a room without an invite."""
        if not self.private or await self.is_operator(key):
            return True
        rooms = await self.rooms_of(key)
        return "" in rooms or room in rooms

    async def rooms_of(self, key: bytes) -> list[str]:
        """Return the rooms to which a key was invited; an empty name is all of them."""
        rooms = await self._facts.get(_KNOWN, fingerprint_of(key)) if key else None
        return [] if rooms is None else rooms.split(_SEPARATOR)

    async def redeem(self, invite: str, key: bytes, room: str) -> bool:
        """Put a key on the list of those who may come in, by an invite that was not used yet.

        The same key may use it again, so that one who has lost the answer is not locked out.

        Args:
            invite: By which the invite is known, the same each time.
            key: Who shows it; not empty.
            room: Which room it is for; empty is all.

        Returns:
            Whether it was not used by another before.
        """
        mine = fingerprint_of(key)
        async with self._order:
            if await self._facts.add(_INVITE, invite, mine) != mine:
                return False
            rooms = {room, *await self.rooms_of(key)}
            # Who may come into all rooms is not kept out of any.
            known = [""] if "" in rooms else sorted(rooms)
            await self._facts.put(_KNOWN, mine, _SEPARATOR.join(known))
        return True

    async def issue(self, token: str, grant: Grant, now: int) -> bool:
        """Have the other servers know what a token gives that one of them has made.

        Only its hash is kept: who reads it cannot come in by it.

        Args:
            token: The token.
            grant: What it gives.
            now: The time, in seconds since the epoch.

        Returns:
            Whether it is known; it is not if too many are that have not expired.
        """
        async with self._order:
            if await self._facts.count(_ISSUED) >= MAX_ISSUED:
                for subject, value in list((await self._facts.all(_ISSUED)).items()):
                    if _grant(value).expires <= now:
                        await self._facts.remove(_ISSUED, subject)
                if await self._facts.count(_ISSUED) >= MAX_ISSUED:
                    return False
            parts = grant.token_id.hex(), str(grant.expires), grant.room
            await self._facts.put(_ISSUED, _hash(token), _SEPARATOR.join(parts))
        return True

    async def issued(self, token: str) -> Grant | None:
        """Return what a token gives, if one of the servers has said that it has made it."""
        value = await self._facts.get(_ISSUED, _hash(token))
        return None if value is None else _grant(value)

    # ---- names ----

    async def owner(self, nick: str) -> str:
        """Return the fingerprint of the key that owns a name, or empty if nobody does."""
        return await self._facts.get(_NAME, name_key(nick)) or ""

    async def may_use(self, nick: str, key: bytes) -> bool:
        """Tell whether a name is nobody's, or the key's own."""
        return await self.owner(nick) in ("", fingerprint_of(key))

    async def claim(self, nick: str, key: bytes, address: str) -> bool:
        """Ask for a name: the first key that does so owns it, within bounds.

        Args:
            nick: The name.
            key: Who asks; empty owns nothing.
            address: From where, or empty.

        Returns:
            Whether it may be used: it is the key's own, or nobody's.
        """
        mine = fingerprint_of(key)
        if await self.owner(nick) or not mine:
            return await self.may_use(nick, key)
        async with self._order:
            if await self.owner(nick) or not await self._may_own_more(mine, network_of(address)):
                return await self.may_use(nick, key)
            # Another server may have been quicker.
            if await self._facts.add(_NAME, name_key(nick), mine) != mine:
                return False
            # Where all servers can count them.
            await self._facts.add(_NAMES_OF + mine, name_key(nick), "")
            self._claims[network_of(address)] += 1
        return True

    async def names_for(self, wanted: str, key: bytes, address: str) -> AsyncIterator[str]:
        """Yield names for one who wants this one, as far as they are not another's: itself first.

        Args:
            wanted: What `nick_of` returned.
            key: Who asks; empty owns nothing.
            address: From where, or empty.
        """
        for nick in candidates(wanted, key):
            # One that nobody has chosen is nobody's own, with a tag or a number behind it or not.
            if nick == wanted and wanted != GUEST:
                is_free = await self.claim(nick, key, address)
            else:
                is_free = await self.may_use(nick, key)
            if is_free:
                yield nick

    async def _may_own_more(self, key: str, network: str) -> bool:
        if self._clock() >= self._counted_from + CLAIM_TIME or len(self._claims) >= MAX_NETWORKS:
            self._claims.clear()
            self._counted_from = self._clock()
        return (
            await self._facts.count(_NAMES_OF + key) < MAX_NAMES
            and await self._facts.count(_NAME) < MAX_ALL_NAMES
            and self._claims[network] < MAX_CLAIMS
        )

    # ---- who may do what ----

    async def standing(self, key: bytes) -> Standing:
        """Return what a key may do."""
        return Standing(await self.is_operator(key), await self.is_muted(key))

    async def is_operator(self, key: bytes) -> bool:
        """Tell whether a key is that of an operator."""
        mine = fingerprint_of(key)
        return self.is_appointed(mine) or (
            bool(mine) and await self._facts.get(_OPERATOR, mine) is not None
        )

    def is_appointed(self, whom: str) -> bool:
        """Tell whether the key of a fingerprint is an operator's in any case."""
        return bool(whom) and whom in self._operators

    async def set_operator(self, whom: str, *, is_one: bool) -> None:
        """Make the key of a fingerprint an operator's, or not any more."""
        await self._set(_OPERATOR, whom, holds=is_one)

    async def is_muted(self, key: bytes) -> bool:
        """Tell whether what a key says is refused."""
        mine = fingerprint_of(key)
        return (
            bool(mine)
            and not self.is_appointed(mine)
            and await self._facts.get(_MUTED, mine) is not None
        )

    async def set_muted(self, whom: str, *, is_muted: bool) -> None:
        """Refuse what the key of a fingerprint says, or not any more."""
        await self._set(_MUTED, whom, holds=is_muted)

    async def _set(self, kind: str, whom: str, *, holds: bool) -> None:
        if holds:
            await self._facts.add(kind, whom, "")
        else:
            await self._facts.remove(kind, whom)

    async def topic(self, room: str) -> tuple[str, str]:
        """Return what a room is about and who has said so; both are empty if nobody has."""
        value = await self._facts.get(_TOPIC, room)
        nick, _, text = (value or "").partition(_SEPARATOR)
        return text, nick

    async def set_topic(self, room: str, text: str, nick: str) -> None:
        """Say what a room is about; an empty text takes away what was said."""
        if text:
            await self._facts.put(_TOPIC, room, nick + _SEPARATOR + text)
        else:
            await self._facts.remove(_TOPIC, room)

    async def ban(self, ban: Ban) -> None:
        """Let somebody come in no more."""
        value = ban.nick + _SEPARATOR + ban.reason[:MAX_REASON]
        await self._facts.put(_kind_of(ban), ban.whom, value)

    async def bans(self) -> list[Ban]:
        """Return who is banned."""
        return [
            _ban(whom, value)
            for kind in (_BANNED_KEY, _BANNED_ADDRESS)
            for whom, value in (await self._facts.all(kind)).items()
        ]

    async def bans_of(self, whom: str) -> list[Ban]:
        """Return the bans of a key or an address, else those of a name."""
        bans = await self.bans()
        exact = [ban for ban in bans if ban.whom == whom]
        return exact or [ban for ban in bans if ban.nick and name_key(ban.nick) == name_key(whom)]

    async def unban(self, ban: Ban) -> None:
        """Lift a ban."""
        await self._facts.remove(_kind_of(ban), ban.whom)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _grant(value: str) -> Grant:
    token_id, expires, room = value.split(_SEPARATOR)
    return Grant(bytes.fromhex(token_id), room, int(expires))


def _kind_of(ban: Ban) -> str:
    return _BANNED_KEY if is_pin(ban.whom) else _BANNED_ADDRESS


def _ban(whom: str, value: str) -> Ban:
    nick, _, reason = value.partition(_SEPARATOR)
    return Ban(whom, nick, reason)
