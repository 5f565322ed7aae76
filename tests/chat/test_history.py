"""Claims about `socketchat.chat.history`: an embedded log as it is read without its server.

Each claim about what is found is made twice: of texts that are indexed, and of texts that are not.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.chat.history import open_history
from socketchat.chat.log import Draft, Entry
from socketchat.chat.sqlite_log import SQLiteLog
from tests.chat.log_conformance import ADA, BOB, Clock, drafts
from tests.chat.test_sqlite_log import ask, looks_at_files, opened, until

TEXTS = ["The quick brown fox", "jumps over", "the lazy dog", "Caf\u00e9 fox-dog, 50%"]


class Indexing:
    """Whether the writer finds time to index what is said."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted

    async def settled(self, directory: Path) -> None:
        """Wait until all is indexed, if it is to be; else see that nothing is."""
        if self._wanted:
            await until(directory, "SELECT sum(head - indexed) FROM rooms", 0)
        else:
            await until(directory, "SELECT sum(indexed) FROM rooms", 0)


@pytest.fixture(params=[True, False], ids=["indexed", "not indexed"])
def indexing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Indexing:
    patience = 0.0 if request.param else 3600.0
    monkeypatch.setattr("socketchat.chat.sqlite_writer._QUIET", patience)
    monkeypatch.setattr("socketchat.chat.sqlite_writer._OVERDUE", patience)
    return Indexing(wanted=request.param)


def read_history(directory: Path, **asked: Any) -> list[tuple[str, Entry]]:
    """Return what one who is not the server finds."""
    with open_history(directory) as history:
        return list(history.find(**asked).entries)


def found(hits: list[tuple[str, Entry]]) -> list[tuple[str, int]]:
    return [(room, entry.number) for room, entry in hits]


async def search(
    directory: Path, room: str | None, words: str, *, since: int = 0, limit: int | None = 1000
) -> list[tuple[str, Entry]]:
    """Read a history in a thread, as a program beside the server does."""
    return await asyncio.to_thread(
        read_history, directory, room=room, words=words, since=since, limit=limit
    )


async def say_texts(log: SQLiteLog, clock: Clock, room: str = "lobby") -> None:
    """Say `TEXTS` and some data, a microsecond apart."""
    bodies: list[str | bytes] = [*TEXTS, b"fox"]
    for number, body in enumerate(bodies, 1):
        clock.now += 1
        await log.append(room, ADA, [Draft(number, body)])


# What is found


async def test_all_words_must_be_there_in_any_order(tmp_path: Path, indexing: Indexing) -> None:
    async with opened(tmp_path, clock := Clock()) as log:
        await say_texts(log, clock)
        await indexing.settled(tmp_path)
        for words, numbers in {
            "fox": [1, 4],
            "FOX Brown": [1],
            "dog the": [3],
            "quick dog": [],
            "cafe": [4],
            "fox-dog": [4],
            "dog-fox": [],
            "do": [],
            "50": [4],
            "": [1, 2, 3, 4, 5],
            " \0 ": [1, 2, 3, 4, 5],
        }.items():
            assert found(await search(tmp_path, "lobby", words)) == [("lobby", n) for n in numbers]


async def test_a_room_is_searched_or_all_in_the_order_of_time(
    tmp_path: Path, indexing: Indexing
) -> None:
    async with opened(tmp_path, clock := Clock()) as log:
        for number in (1, 2):
            for room in ("two", "one", "three"):
                clock.now += 1
                await log.append(room, ADA, [Draft(number, f"a fox in {room}")])
        await indexing.settled(tmp_path)
        for words in ("fox", ""):
            assert found(await search(tmp_path, "one", words)) == [("one", 1), ("one", 2)]
            rooms = [room for room, _ in await search(tmp_path, None, words)]
            assert rooms == ["two", "one", "three"] * 2
            assert await search(tmp_path, "nowhere", words) == []


async def test_the_newest_are_kept_if_there_are_too_many(
    tmp_path: Path, indexing: Indexing
) -> None:
    async with opened(tmp_path, Clock()) as log:
        await log.append("lobby", ADA, drafts(1, 500))
        await indexing.settled(tmp_path)
        for words in ("text", ""):
            for room in ("lobby", None):
                hits = await search(tmp_path, room, words, limit=3)
                assert found(hits) == [("lobby", number) for number in (498, 499, 500)]
                assert len(await search(tmp_path, room, words, limit=None)) == 500
                assert await search(tmp_path, room, words, limit=0) == []


async def test_what_is_older_than_asked_for_is_left_out(tmp_path: Path, indexing: Indexing) -> None:
    async with opened(tmp_path, clock := Clock(0)) as log:
        await say_texts(log, clock)
        await indexing.settled(tmp_path)
        for room in ("lobby", None):
            assert found(await search(tmp_path, room, "fox", since=2)) == [("lobby", 4)]
            assert found(await search(tmp_path, room, "", since=4)) == [("lobby", 4), ("lobby", 5)]
            assert await search(tmp_path, room, "fox", since=2**70) == []


async def test_what_was_let_go_is_not_found(tmp_path: Path, indexing: Indexing) -> None:
    async with opened(tmp_path, clock := Clock(), retain=100) as log:
        await say_texts(log, clock)
        await log.append("lobby", BOB, drafts(1, 1))
        await indexing.settled(tmp_path)
        clock.now += 100 * 1_000_000 - 1
        await log.prune()
        assert found(await search(tmp_path, "lobby", "fox")) == [("lobby", 4)]
        clock.now += 1000
        await log.prune()
        for words in ("fox", "text", ""):
            assert await search(tmp_path, None, words) == []
        # The index knows no word of what is gone.
        await until(tmp_path, "SELECT count(*) FROM words WHERE words MATCH 'fox OR text'", 0)


async def test_what_is_said_during_a_search_of_the_rest_is_no_trouble(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as log:
        for first in range(1, 2001, 100):
            saying = log.append("lobby", ADA, drafts(first, first + 99))
            hits = await search(tmp_path, "lobby", "text", limit=None)
            assert [entry.number for _, entry in hits] == list(range(1, len(hits) + 1))
            await saying
            assert len(await search(tmp_path, "lobby", "text", limit=None)) == first + 99


@looks_at_files
@given(words=st.text(), room=st.none() | st.text())
async def test_no_words_are_an_error(
    tmp_path_factory: pytest.TempPathFactory, words: str, room: str | None
) -> None:
    directory = tmp_path_factory.getbasetemp() / "any words"
    async with opened(directory) as log:
        await log.append("lobby", ADA, drafts(1, 1))
        await search(directory, room, words)
        await search(directory, room, f'{words}" OR NOT (')
        await search(directory, room, f"{words}\udcff")


# Beside a server, and without one


@looks_at_files
async def test_history_is_read_while_a_server_writes(tmp_path: Path) -> None:
    async with opened(tmp_path, clock := Clock()) as log:
        await say_texts(log, clock)
        await say_texts(log, clock, "other")
        direct = Draft(6, "for you", "ada", "bob", BOB)
        await log.append("other", ADA, [direct])
        assert len(read_history(tmp_path)) == 11
        assert read_history(tmp_path)[-1][1].to == "bob"
        hits = read_history(tmp_path, room="other", words="fox", since=clock.now - 1, limit=5)
        assert found(hits) == [("other", 4)]
        with open_history(tmp_path) as history:
            assert history.rooms == ["lobby", "other"]
        assert await log.append("other", ADA, [Draft(7, "on it goes")]) == 7


@looks_at_files
@pytest.mark.parametrize(("limit", "more"), [(0, True), (1, True), (5, False), (None, False)])
@pytest.mark.parametrize("room", ["lobby", None])
async def test_it_is_known_whether_there_is_more(
    tmp_path: Path, room: str | None, limit: int | None, more: bool
) -> None:
    async with opened(tmp_path, clock := Clock()) as log:
        await say_texts(log, clock)
        with open_history(tmp_path) as history:
            assert history.find(room=room, limit=limit).more is more


@looks_at_files
async def test_history_is_read_without_a_server_and_leaves_the_log_alone(tmp_path: Path) -> None:
    async with opened(tmp_path, clock := Clock()) as log:
        await say_texts(log, clock)
    before = (tmp_path / "log.db").read_bytes()
    assert len(read_history(tmp_path)) == 5
    assert found(read_history(tmp_path, words="lazy")) == [("lobby", 3)]
    assert (tmp_path / "log.db").read_bytes() == before


def test_a_directory_without_a_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no server has kept a log there"):
        read_history(tmp_path)
    assert not list(tmp_path.iterdir())


@looks_at_files
async def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append("lobby", ADA, drafts(1, 1))
    ask(tmp_path, "UPDATE entries SET record = x'00'")
    with pytest.raises(OSError, match="cannot be used") as raised:
        read_history(tmp_path)
    assert raised.value.filename == str(tmp_path / "log.db")
    for version, words in ((0, "serve it once"), (1000, "newer version")):
        ask(tmp_path, f"PRAGMA user_version = {version}")
        with pytest.raises(OSError, match=words):
            read_history(tmp_path)


@looks_at_files
@pytest.mark.parametrize("words", ["", "text"])
async def test_however_much_is_found_little_of_it_is_in_memory(tmp_path: Path, words: str) -> None:
    async with opened(tmp_path) as log:
        for first in range(1, 2000, 100):
            said = [Draft(n, f"text {n} {'x' * 10_000}") for n in range(first, first + 100)]
            for room in ("lobby", "tea"):
                await log.append(room, ADA, said)
        await until(tmp_path, "SELECT sum(head - indexed) FROM rooms", 0)
    tracemalloc.start()
    try:
        with open_history(tmp_path) as history:
            hits = history.find(words=words, limit=None)
            assert sum(len(entry.body) for _, entry in hits.entries) > 40_000_000
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@looks_at_files
async def test_more_can_be_found_than_one_value_of_the_database_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as log:
        await log.append("lobby", ADA, [Draft(n, "text " + "x" * 1000) for n in range(1, 200)])
    connect = sqlite3.connect

    def limited(*args: Any, **settings: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **settings)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
        return connection

    monkeypatch.setattr(sqlite3, "connect", limited)
    with closing(sqlite3.connect(":memory:")) as database, pytest.raises(sqlite3.DataError):
        database.execute("SELECT zeroblob(100001)").fetchone()
    for words in ("", "text"):
        assert len(read_history(tmp_path, words=words, limit=None)) == 199
