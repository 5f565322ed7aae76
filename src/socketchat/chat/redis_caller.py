"""Asks a Redis server what may be asked twice, over one connection after the other.

`redis_link.py` has the connections. It knows neither redis nor what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from socketchat.chat.redis_link import Command, RedisLink, RedisLost, RedisStore, delays, dry_write
from socketchat.errors import LogError, LogUnavailable

__all__ = ["PATIENCE", "Caller"]

#: Seconds for which anything is tried before it is unavailable, unless it is given.
PATIENCE: Final = 10.0
#: Seconds for which one that took writes is asked without a look whether it still does.
_TAKES_WRITES: Final = 1.0


class Caller:
    """Asks Redis what may be asked twice, over one connection, and another one when it is lost.

    Args:
        store: Where to connect to.
        patience: Seconds for which it tries.
        what: What is closed, when it is; for errors.
        link: The first connection.
        touch: A key of the log's, by which it finds out, before it asks, whether the server has
            become a replica meanwhile; None is for one that may ask a replica.
    """

    def __init__(
        self,
        store: RedisStore,
        *,
        patience: float,
        what: str,
        link: RedisLink | None = None,
        touch: str | None = None,
    ) -> None:
        self._store = store
        self._patience = patience
        self._closed = f"{what} is closed"
        self._link = link
        self._look = [] if touch is None else [dry_write(touch)]
        self._looked_at = 0.0
        self._order = asyncio.Lock()
        self._is_open = True

    async def ask(
        self,
        *commands: Command,
        longer: float = 0.0,
        refuse: Callable[[list[Any]], LogUnavailable | None] = lambda _: None,
        twice: bool = True,
    ) -> list[Any]:
        """Have commands carried out, and return the replies.

        Args:
            commands: What is to be done.
            longer: Seconds that it may take beyond the usual time.
            refuse: Looks at the replies, and says why they are not good enough, if so.
            twice: Whether it may be done twice.

        Raises:
            LogUnavailable: Redis is away, or cannot do it for now.
            LogFailed: It is not as it should be.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        for delay in delays():
            try:
                async with asyncio.timeout_at(deadline):
                    link = await self._linked()
            except (RedisLost, TimeoutError) as exc:
                why = str(exc) or "Redis does not answer"
            else:
                try:
                    replies = await self._ask(link, commands, longer)
                except RedisLost as exc:
                    why = str(exc)
                    if not twice:
                        raise LogUnavailable(why) from exc
                else:
                    _raise_errors(replies, refuse)
                    return replies
            if loop.time() + delay >= deadline or not self._is_open:
                raise LogUnavailable(why)
            await asyncio.sleep(delay)
        raise AssertionError("unreachable")

    async def _ask(self, link: RedisLink, commands: Sequence[Command], longer: float) -> list[Any]:
        now = asyncio.get_running_loop().time()
        look = self._look if now >= self._looked_at + _TAKES_WRITES else []
        replies = await link.ask([*look, *commands], longer=longer)
        if look:
            self._looked_at = now
        return replies[len(look) :]

    async def _linked(self) -> RedisLink:
        async with self._order:
            if not self._is_open:
                raise LogUnavailable(self._closed)
            if self._link is not None and self._link.is_lost:
                await self._link.close()
                self._link = None
            if self._link is None:
                self._link = await self._store.connect()
            return self._link

    async def close(self) -> None:
        """Close the connection; what is asked over it is asked in vain."""
        self._is_open = False
        async with self._order:
            if self._link is not None:
                await self._link.close()


def _raise_errors(replies: list[Any], refuse: Callable[[list[Any]], LogUnavailable | None]) -> None:
    for reply in replies:
        if isinstance(reply, LogError):
            raise reply
    if (refused := refuse(replies)) is not None:
        raise refused
