"""What a server does to Redis beside appending: retention.

Each server does it, at its start and every hour, a little at a time, so that no append waits long.
That others do it as well does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from socketchat.chat.log import LANE_LIFETIME
from socketchat.chat.redis_caller import Caller
from socketchat.chat.redis_scripts import FORGET, PRUNE, Keys
from socketchat.errors import LogUnavailable

__all__ = ["Chores"]

#: Entries that go in one step.
_STEP: Final = 4096
#: Seconds between two looks for what is too old.
_INTERVAL: Final = 3600.0

_log = logging.getLogger("socketchat.chat")


class Chores:
    """The chores.

    Args:
        caller: Asks Redis.
        keys: The names of keys.
        retain: Seconds for which entries are kept; None is for ever.
        clock: Tells the time, in microseconds since the epoch; None has Redis tell it.
    """

    def __init__(
        self,
        caller: Caller,
        keys: Keys,
        retain: float | None,
        clock: Callable[[], int] | None,
    ) -> None:
        self._caller = caller
        self._keys = keys
        self._retain = None if retain is None else int(retain * 1_000_000)
        self._clock = clock

    async def run(self) -> None:
        """Do them now and then, until it is cancelled.

        Raises:
            LogFailed: Redis holds something else than it should.
        """
        while True:
            try:
                await self.prune()
            except LogUnavailable as exc:
                _log.warning("what is too old stays for now: %s", exc)
            await asyncio.sleep(_INTERVAL)

    async def prune(self) -> None:
        """Let go of what is too old.

        Raises:
            LogError: Redis cannot be asked.
        """
        if self._retain is None:
            return
        cursor: bytes = b"0"
        while True:
            (reply,) = await self._caller.ask(("SSCAN", self._keys.rooms, cursor, "COUNT", 100))
            cursor, rooms = reply
            for room in rooms:
                await self._prune(room.decode(), self._retain)
            if cursor == b"0":
                return

    async def _prune(self, room: str, retain: int) -> None:
        log, head, lanes, _ = self._keys.room(room)
        while True:
            time = "" if self._clock is None else self._clock()
            (reply,) = await self._caller.ask(PRUNE((log, head), time, retain, _STEP))
            gone, floor, now = reply
            if not gone:
                break
        before = int(now) - int(LANE_LIFETIME * 1_000_000)
        cursor: bytes = b"0"
        while True:
            (cursor,) = await self._caller.ask(FORGET((lanes,), cursor, floor, before))
            if cursor == b"0":
                return
