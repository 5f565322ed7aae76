"""Claims about `socketchat.chat.redis_link`: what a connection does whose other end is no Redis."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from redis.asyncio.connection import AbstractConnection

from socketchat.chat.redis_link import RedisLink, RedisLost, RedisStore, Subscription


class Strange:
    """A connection whose other end sends what the parser does not understand, after a while."""

    is_connected = True

    def __init__(self) -> None:
        self.sends = asyncio.Event()

    async def send_packed_command(self, _data: bytes, **_: Any) -> None:
        pass

    async def read_response(self, **_: Any) -> None:
        await self.sends.wait()
        raise ValueError("invalid literal for int() with base 10: b'abc'")

    async def disconnect(self, **_: Any) -> None:
        pass


async def test_all_who_ask_over_a_connection_are_told_that_it_is_no_use() -> None:
    strange = Strange()
    link = RedisLink(cast("AbstractConnection", strange), 60)
    asking = [asyncio.create_task(link.ask([("PING",)])) for _ in range(3)]
    await asyncio.sleep(0)
    strange.sends.set()
    for one in asking:
        with pytest.raises(RedisLost, match="invalid literal"):
            await one
    assert link.is_lost
    with pytest.raises(RedisLost):
        await link.ask([("PING",)])
    await link.close()


async def test_who_hears_a_channel_is_told_that_its_connection_is_no_use() -> None:
    strange = Strange()
    strange.sends.set()
    subscription = Subscription(cast("AbstractConnection", strange))
    for hearing in (subscription.begin("channel", 60), subscription.next(60)):
        with pytest.raises(RedisLost, match="invalid literal"):
            await hearing


async def test_what_is_no_redis_is_an_error_of_opening() -> None:
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(2**16):
            writer.write(b":abc\r\n")
        writer.close()
        ended.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="invalid literal") as raised:
            await RedisStore(f"redis://127.0.0.1:{port}/0").check()
        await ended.wait()
    assert raised.value.filename == f"redis://127.0.0.1:{port}/0"
