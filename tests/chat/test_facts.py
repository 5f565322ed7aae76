"""Claims about `socketchat.chat.facts`, which hold for every store of facts."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from socketchat import LogError, LogUnavailable
from socketchat.chat.facts import Facts, MemoryFacts
from socketchat.chat.redis_facts import RedisFacts
from socketchat.chat.sqlite_facts import FileFacts

Make = Callable[[], Facts]


@pytest.fixture(params=["memory", "file", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return what makes a store; where it is kept, each is the next one of the same facts."""
    match request.param:
        case "memory":
            return MemoryFacts
        case "file":
            return lambda: FileFacts(tmp_path / "data")
    server = request.getfixturevalue("redis_server")
    prefix = uuid.uuid4().hex
    return lambda: RedisFacts(server.url, prefix=prefix)


@asynccontextmanager
async def opened(make: Make) -> AsyncIterator[Facts]:
    """Open a store, and close it."""
    facts = make()
    await facts.open()
    try:
        yield facts
    finally:
        await facts.close()


async def test_what_is_put_is_there_until_it_is_removed(make: Make) -> None:
    async with opened(make) as facts:
        assert await facts.get("name", "ada") is None
        await facts.put("name", "ada", "one")
        await facts.put("name", "ada", "two")
        assert await facts.get("name", "ada") == "two"
        assert await facts.remove("name", "ada")
        assert not await facts.remove("name", "ada")
        assert await facts.get("name", "ada") is None


async def test_kinds_and_subjects_are_apart(make: Make) -> None:
    async with opened(make) as facts:
        await facts.put("name", "ada", "one")
        await facts.put("name", "bob", "two")
        await facts.put("known", "ada", "three")
        assert dict(await facts.all("name")) == {"ada": "one", "bob": "two"}
        assert dict(await facts.all("known")) == {"ada": "three"}
        assert dict(await facts.all("other")) == {}
        counts = [await facts.count(kind) for kind in ("name", "known", "other")]
        assert counts == [2, 1, 0]


async def test_what_is_added_is_the_first_ones(make: Make) -> None:
    async with opened(make) as facts:
        assert await facts.add("name", "ada", "one") == "one"
        assert await facts.add("name", "ada", "two") == "one"
        assert await facts.get("name", "ada") == "one"


async def test_of_many_who_add_at_once_one_is_first(make: Make) -> None:
    async with opened(make) as facts:
        values = [str(number) for number in range(50)]
        found = await asyncio.gather(*(facts.add("name", "ada", value) for value in values))
        assert len(set(found)) == 1
        assert await facts.get("name", "ada") == found[0]


@pytest.mark.parametrize("text", ["", "\0", "'; DROP TABLE facts", "日本", "🦊" * 1000])
async def test_any_text_can_be_kept(make: Make, text: str) -> None:
    async with opened(make) as facts:
        await facts.put("kind", text, text)
        assert await facts.get("kind", text) == text


async def test_facts_outlive_their_process(tmp_path: Path) -> None:
    make: Make = lambda: FileFacts(tmp_path)  # noqa: E731
    async with opened(make) as facts:
        await facts.put("name", "ada", "one")
        await facts.put("name", "bob", "two")
        await facts.remove("name", "bob")
    async with opened(make) as facts:
        assert dict(await facts.all("name")) == {"ada": "one"}


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
async def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    async with opened(lambda: FileFacts(tmp_path / "data")):
        modes = [
            stat.S_IMODE((await asyncio.to_thread(path.stat)).st_mode)
            for path in (tmp_path / "data", tmp_path / "data" / "people.db")
        ]
    assert modes == [0o700, 0o600]


async def test_a_file_that_holds_something_else_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    await asyncio.to_thread(path.write_bytes, b"not a database at all" * 100)
    with pytest.raises(OSError, match="it cannot be used") as caught:
        await FileFacts(tmp_path).open()
    assert caught.value.filename == str(path)


async def test_what_could_not_be_written_is_not_known_either(tmp_path: Path) -> None:
    async with opened(lambda: FileFacts(tmp_path)) as facts:
        other = await asyncio.to_thread(
            lambda: sqlite3.connect(tmp_path / "people.db", check_same_thread=False)
        )
        assert isinstance(facts, FileFacts)
        assert facts._connection is not None
        await asyncio.to_thread(facts._connection.execute, "PRAGMA busy_timeout = 1")
        await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
        with pytest.raises(LogUnavailable, match="another program"):
            await facts.put("name", "ada", "one")
        assert await facts.get("name", "ada") is None
        await asyncio.to_thread(other.close)
        await facts.put("name", "ada", "one")
        assert await facts.get("name", "ada") == "one"


async def test_one_that_is_cancelled_leaves_memory_and_file_as_one(tmp_path: Path) -> None:
    make: Make = lambda: FileFacts(tmp_path)  # noqa: E731
    async with opened(make) as facts:
        putting = asyncio.create_task(facts.put("name", "ada", "one"))
        await asyncio.sleep(0)
        putting.cancel()
        await asyncio.gather(putting, return_exceptions=True)
        known = await facts.get("name", "ada")
    async with opened(make) as facts:
        assert await facts.get("name", "ada") == known


async def test_a_store_that_is_closed_is_an_error(tmp_path: Path) -> None:
    async with opened(lambda: FileFacts(tmp_path)) as facts:
        pass
    with pytest.raises(LogError, match="closed"):
        await facts.put("name", "ada", "one")


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    async with opened(lambda: FileFacts(tmp_path)) as facts:
        await facts.put("name", "ada", "one")

    def make_newer() -> None:
        with closing(sqlite3.connect(tmp_path / "people.db")) as connection:
            connection.execute("PRAGMA user_version = 99")

    await asyncio.to_thread(make_newer)
    with pytest.raises(OSError, match="newer version of socketchat"):
        await FileFacts(tmp_path).open()
