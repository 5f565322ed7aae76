"""Claims about `socketchat.chat.redis_history`: a log in Redis as it is read by no server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socketchat.chat.log import Draft
from socketchat.chat.redis_history import open_redis_history
from socketchat.chat.redis_log import RedisLog
from tests.chat.redis_logs import opened, prefixes, redis_is_missing
from tests.redis_server import RedisServer, serving

pytestmark = redis_is_missing

#: Room and body, in the order in which they are said.
TALK: list[tuple[str, str | bytes]] = [
    (("lobby", "tea", "tea")[number % 3], f"line {number}, {'odd' if number % 2 else 'Even'}")
    for number in range(1, 41)
] + [("lobby", b"odd data"), ("lobby", "CAF\u00c9 odd")]


@pytest.fixture
def prefix(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Keep `TALK`, a microsecond each from 1 on, and have it read in small pages."""
    monkeypatch.setattr("socketchat.chat.redis_history._AT_ONCE", 4)
    monkeypatch.setattr("socketchat.chat.redis_history.READ_SIZE", 40)
    prefix = next(prefixes)
    keep(redis_server, prefix)
    return prefix


def with_log(redis_server: RedisServer, work: Callable[[RedisLog], Any], **options: Any) -> None:
    async def main() -> None:
        async with opened(redis_server, **options) as log:
            await work(log)

    asyncio.run(main())


def keep(redis_server: RedisServer, prefix: str) -> None:
    times = iter(range(1, 1000))

    async def say(log: RedisLog) -> None:
        for number, (room, body) in enumerate(TALK, 1):
            await log.append(room, b"l" * 16, [Draft(number, body)])

    with_log(redis_server, say, prefix=prefix, clock=lambda: next(times))


def find(redis_server: RedisServer, prefix: str, **asked: Any) -> tuple[bool, list[Any]]:
    with open_redis_history(redis_server.url, prefix=prefix) as history:
        hits = history.find(**asked)
        return hits.more, [(room, entry.at, entry.body) for room, entry in hits.entries]


ALL = [(room, at, body) for at, (room, body) in enumerate(TALK, 1)]
ODD = [one for one in ALL if isinstance(one[2], str) and "odd" in one[2]]


def test_everything_is_found_in_the_order_of_its_times(
    redis_server: RedisServer, prefix: str
) -> None:
    assert find(redis_server, prefix, limit=None) == (False, ALL)
    assert find(redis_server, prefix) == (False, ALL)
    with open_redis_history(redis_server.url, prefix=prefix) as history:
        assert history.rooms == ["lobby", "tea"]


@pytest.mark.parametrize("limit", [0, 1, 7, len(ALL) - 1, len(ALL), None])
def test_the_newest_are_found_and_that_there_are_more(
    redis_server: RedisServer, prefix: str, limit: int | None
) -> None:
    newest = ALL if limit is None else ALL[len(ALL) - limit :]
    assert find(redis_server, prefix, limit=limit) == (len(newest) < len(ALL), newest)


def test_one_may_ask_for_a_room_a_time_and_words(redis_server: RedisServer, prefix: str) -> None:
    tea = [one for one in ALL if one[0] == "tea"]
    assert find(redis_server, prefix, room="tea") == (False, tea)
    assert find(redis_server, prefix, room="pub") == (False, [])
    assert find(redis_server, prefix, since=17) == (False, ALL[16:])
    assert find(redis_server, prefix, since=10**18) == (False, [])
    assert find(redis_server, prefix, words="odd") == (False, ODD)
    assert find(redis_server, prefix, words="LINE even", limit=2) == (True, ALL[37:40:2])
    assert find(redis_server, prefix, words="cafe") == (False, ALL[-1:])
    odd_tea = [one for one in ODD if one[0] == "tea" and one[1] >= 17]
    assert find(redis_server, prefix, room="tea", since=17, words="odd", limit=3) == (
        True,
        odd_tea[-3:],
    )


def test_what_was_let_go_of_is_not_found(redis_server: RedisServer, prefix: str) -> None:
    with_log(
        redis_server, lambda log: log.prune(), prefix=prefix, retain=1, clock=lambda: 1_000_021
    )
    more, found = find(redis_server, prefix)
    assert not more
    assert found
    assert found == ALL[-len(found) :]
    assert len(found) < len(ALL)


def test_what_is_said_meanwhile_is_not_found(redis_server: RedisServer, prefix: str) -> None:
    with open_redis_history(redis_server.url, prefix=prefix) as history:
        hits = history.find(room="lobby", limit=3)
        # Of other lanes than before, whose marks are higher.
        later = [Draft(number, "later") for number in range(1, 9)]
        with_log(redis_server, lambda log: log.append("lobby", b"m" * 16, later), prefix=prefix)
        assert [entry.body for _, entry in hits.entries] == [
            TALK[38][1],
            *(b for _, b in TALK[40:]),
        ]


def test_a_redis_without_a_log_and_one_of_a_newer_version_are_told(
    redis_server: RedisServer,
) -> None:
    prefix = next(prefixes)
    for version, words in ((None, "no server has kept a log there"), ("2", "newer version")):
        if version is not None:
            redis_server.ask("SET", f"{prefix}:version", version)
        with (
            pytest.raises(OSError, match=words) as caught,
            open_redis_history(redis_server.url, prefix=prefix),
        ):
            pass
        assert caught.value.filename == redis_server.url


def test_a_redis_that_goes_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socketchat.chat.redis_history.PATIENCE", 0.1)
    monkeypatch.setattr("socketchat.chat.redis_history._AT_ONCE", 4)
    with serving(tmp_path) as redis:
        keep(redis, "socketchat")

        def read() -> None:
            with open_redis_history(redis.url) as history:
                entries = history.find().entries
                assert next(entries)[1].body == TALK[0][1]
                redis.kill()
                list(entries)

        with pytest.raises(OSError, match=r"Redis is away|cannot be reached") as caught:
            read()
        assert caught.value.filename == redis.url
