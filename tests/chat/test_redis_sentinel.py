"""Claims about Redis behind Sentinel: how it is named, and that its master is found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from socketchat.chat.redis_log import RedisLog
from socketchat.chat.redis_sentinel import Watch, watch_of
from tests.chat.log_conformance import ADA, everything, numbers, say
from tests.chat.redis_logs import ask, author, opened, redis_is_missing, until, watched
from tests.chat.test_redis_log_replicas import Pair, paired
from tests.redis_server import Sentinel


@pytest.mark.parametrize(
    ("url", "watch"),
    [
        (
            "redis+sentinel://maple:1,oak/chat",
            Watch("chat", (("maple", 1), ("oak", 26379)), "redis://localhost/"),
        ),
        (
            "rediss+sentinel://me:word@[::1]:2/chat/3?a=b",
            Watch("chat", (("::1", 2),), "rediss://me:word@localhost/3?a=b"),
        ),
        ("redis://maple:1/0", None),
        ("unix:///run/redis", None),
    ],
)
def test_a_master_is_named_by_its_sentinels(url: str, watch: Watch | None) -> None:
    assert watch_of(url) == watch


@pytest.mark.parametrize(
    "url", ["maple:1", "maple/", "maple,/chat", "/chat", "maple:x/chat", "maple:99999/chat"]
)
def test_what_names_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"looks like .*redis\+sentinel://HOST"):
        RedisLog(f"redis+sentinel://{url}")


@asynccontextmanager
async def guarded(directory: Path) -> AsyncIterator[tuple[Pair, Sentinel]]:
    """Run a master, a replica, and a Sentinel that knows both."""
    async with paired(directory) as pair:
        await asyncio.to_thread((directory / "sentinel").mkdir)
        sentinel = Sentinel(directory / "sentinel", pair.master)
        try:
            await asyncio.to_thread(sentinel.start)
            async with asyncio.timeout(60):
                while not await _is_ready(sentinel):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            yield pair, sentinel
        finally:
            await asyncio.to_thread(sentinel.kill)


async def _is_ready(sentinel: Sentinel) -> bool:
    """Tell whether it has heard of the replica, and from it."""
    replicas = await ask(sentinel, "SENTINEL", "REPLICAS", "chat")
    return [dict(one)["flags"] for one in map(_pairs, replicas)] == ["slave"]


def _pairs(replica: list[bytes] | dict[str, str]) -> dict[str, str]:
    if isinstance(replica, dict):
        return replica
    texts = [each.decode() for each in replica]
    return dict(zip(texts[::2], texts[1::2], strict=True))


@redis_is_missing
@pytest.mark.may_block("what is logged here, pytest writes to a file")
async def test_a_log_goes_on_at_the_master_that_sentinel_makes(tmp_path: Path) -> None:
    async with (
        guarded(tmp_path) as (pair, sentinel),
        opened(sentinel.url, patience=60) as log,
        # Of a Sentinel that is away, the next one is asked.
        opened(sentinel.url.replace("//", "//127.0.0.1:1,"), patience=60) as other,
    ):
        seen = await watched(other)
        await say(log, 3)
        await until(lambda: seen.numbers == [1, 2, 3])
        await pair.replicated()
        await asyncio.to_thread(pair.master.kill)
        await author(log, ADA, 6)
        await until(lambda: seen.numbers == [1, 2, 3, 4, 5, 6])
        assert seen.diverged == []
        assert numbers(await everything(other)) == [1, 2, 3, 4, 5, 6]
        facts = await ask(pair.replica, "INFO", "replication")
        assert facts["role"] == "master"


@redis_is_missing
async def test_a_master_that_no_sentinel_knows_is_told(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (_, sentinel):
        for url, words in (
            (sentinel.url.replace("/chat", "/another"), "no Sentinel knows 'another'"),
            ("redis+sentinel://127.0.0.1:1/chat", "no Sentinel can be asked: Redis cannot be"),
        ):
            with pytest.raises(OSError, match=words):
                await RedisLog(url).open()
