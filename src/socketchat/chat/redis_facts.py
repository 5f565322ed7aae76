"""What is known about people, in Redis, where several servers share it. See `facts.py`.

Nothing is kept in memory: what one server has written, the next question at any other finds. Each
call is one step for Redis, so that of two servers one is first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from socketchat.chat.redis_caller import PATIENCE, Caller
from socketchat.chat.redis_link import TIMEOUT, Command, RedisStore
from socketchat.chat.redis_scripts import ADD, PREFIX, Keys
from socketchat.errors import LogUnavailable

__all__ = ["RedisFacts"]

#: Seconds for which replicas are waited for.
_WAIT: Final = 2.0


class RedisFacts:
    """Facts in a Redis server.

    Args:
        url: As that of `RedisLog`.
        wait: How many replicas must have what is written before the call returns. If too few have
            it in time, the call raises `LogUnavailable`, and it may be kept all the same.
        prefix: What all keys begin with.
        timeout: Seconds without an answer after which a connection is lost.
        patience: Seconds for which anything is tried before it is unavailable.

    Raises:
        ValueError: The URL is none of Redis.
    """

    def __init__(
        self,
        url: str,
        *,
        wait: int = 0,
        prefix: str = PREFIX,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        self._store = RedisStore(url, timeout=timeout)
        self._keys = Keys(prefix)
        self._wait = wait
        self._patience = patience
        self._caller: Caller | None = None

    async def open(self) -> None:
        """See `Facts.open`."""
        link = await self._store.check()
        self._caller = Caller(
            self._store,
            patience=self._patience,
            what=_WHAT,
            link=link,
            touch=self._keys.touch,
        )

    async def close(self) -> None:
        """See `Facts.close`."""
        if self._caller is not None:
            await self._caller.close()

    async def get(self, kind: str, subject: str) -> str | None:
        """See `Facts.get`."""
        value: bytes | None = await self._ask("HGET", self._keys.facts(kind), subject)
        return None if value is None else value.decode()

    async def all(self, kind: str) -> Mapping[str, str]:
        """See `Facts.all`."""
        texts = [each.decode() for each in await self._ask("HGETALL", self._keys.facts(kind))]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    async def count(self, kind: str) -> int:
        """See `Facts.count`."""
        number: int = await self._ask("HLEN", self._keys.facts(kind))
        return number

    async def add(self, kind: str, subject: str, value: str) -> str:
        """See `Facts.add`."""
        kept: bytes = await self._write(ADD((self._keys.facts(kind),), subject, value))
        return kept.decode()

    async def put(self, kind: str, subject: str, value: str) -> None:
        """See `Facts.put`."""
        await self._write(("HSET", self._keys.facts(kind), subject, value))

    async def remove(self, kind: str, subject: str) -> bool:
        """See `Facts.remove`."""
        # Not twice: the second time there would be none.
        command = ("HDEL", self._keys.facts(kind), subject)
        return bool(await self._write(command, twice=False))

    async def _ask(self, *command: str) -> Any:
        (reply,) = await self._called().ask(command)
        return reply

    async def _write(self, command: Command, *, twice: bool = True) -> Any:
        """Write for good, and return the reply."""
        if not self._wait:
            (reply,) = await self._called().ask(command, twice=twice)
            return reply
        reply, _, _ = await self._called().ask(
            command,
            # What was kept before by another server, and is only found, must have got there too.
            ("SET", self._keys.touch, ""),
            ("WAIT", self._wait, int(_WAIT * 1000)),
            longer=_WAIT,
            refuse=self._refuse,
            twice=twice,
        )
        return reply

    def _refuse(self, replies: list[Any]) -> LogUnavailable | None:
        """Return why what was written is not kept for good; None if it is."""
        if replies[-1] >= self._wait:
            return None
        return LogUnavailable(f"{self._wait} replicas of Redis are to have it, {replies[-1]} have")

    def _called(self) -> Caller:
        if self._caller is None:
            raise LogUnavailable(f"{_WHAT} is closed")
        return self._caller


_WHAT: Final = "what is known about people"
