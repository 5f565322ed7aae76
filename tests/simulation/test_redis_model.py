"""Claims about the simulated Redis: the log on it is a log, and it answers as a real one does."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from socketchat.chat.log import Log
from socketchat.chat.redis_log import RedisLog
from socketchat.chat.redis_scripts import (
    ADD,
    APPEND,
    AT,
    BEFORE,
    FORGET,
    PAGE,
    PRUNE,
    PUBLISH,
    SCRIPTS,
    SPAN,
    TAKE,
    Keys,
    as_digits,
    pack,
)
from tests.chat.log_conformance import ADA, Clock, LastingLogConformance, Opener, draft, drafts
from tests.chat.redis_logs import opened, redis_is_missing
from tests.redis_server import RedisServer, serving
from tests.sessions import turns
from tests.simulation.redis_machine import DOMAIN, RedisMachine
from tests.simulation.redis_model import Failure, RedisData, Status

RETAIN = 100


@pytest.mark.virtual_time
class TestConformance(LastingLogConformance):
    @asynccontextmanager
    async def place(self, clock: Clock) -> AsyncIterator[Opener]:
        with pytest.MonkeyPatch.context() as patch:
            self.data = RedisData(lambda: clock.now)
            machine = RedisMachine(self.data, random.Random(7), patch)
            url = f"redis://a-1{DOMAIN}"
            yield lambda: opened(url, clock=clock, retain=RETAIN)
            machine.close()
            await turns()

    # Thousands of appends; the comparison below shows that they end as on a real one.
    test_it_does_as_a_list_and_a_dict_would = None  # type: ignore[assignment]

    async def break_down(self, log: Log) -> None:
        assert isinstance(log, RedisLog)
        for key in log._keys.room("lobby"):
            self.data.do([b"SET", key.encode(), b"something else"])

    async def forget(self, log: Log, room: str, clock: Clock) -> None:
        assert isinstance(log, RedisLog)
        clock.now += RETAIN * 1_000_000 // 2
        await log.append(room, ADA, drafts(21, 25))
        clock.now += RETAIN * 1_000_000 // 2 + 1
        await log.prune()


# Beside a real one

KEYS = Keys("compared")
LOG, HEAD, LANES, NEWS = KEYS.room("lobby")
LANES_OF_ALL = [bytes([number]) * 16 for number in range(4)]

Command = tuple[str | bytes | int, ...]


class Asker:
    """Asks, at random, for what the log and the facts ask."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._now = 1_000_000
        self._asks: list[Callable[[], Command]] = [self._append] * 6 + [
            self._page,
            self._look,
            self._prune,
            self._people,
            self._streams,
        ]

    def __call__(self) -> Command:
        self._now += self._rng.randrange(1_000)
        return self._rng.choice(self._asks)()

    def _append(self) -> Command:
        rng = self._rng
        lanes = rng.choices(LANES_OF_ALL, k=rng.randint(1, 3))
        asked: list[str | bytes | int] = []
        for lane in lanes:
            first = rng.randint(1, 40)
            asked += (as_digits(rng.choice([0, 0, first - 1])), lane, b"key", 3)
            for number in range(first, first + 3):
                one = draft(number, "x" * rng.randrange(99))
                asked += (as_digits(number), len(one.body), pack(lane, one))
        keys = (LOG, HEAD, LANES, NEWS, *(KEYS.taken("lobby", lane) for lane in lanes))
        return APPEND(
            keys,
            rng.choice([0, 1]),
            self._now,
            rng.choice(["one", "two"]),
            rng.randrange(9),
            *asked,
        )

    def _page(self) -> Command:
        rng = self._rng
        at: str | int = self._now - rng.randrange(9_000) if rng.random() < 0.5 else ""
        return PAGE((LOG, HEAD), rng.randrange(60), at, rng.randint(1, 9), rng.randrange(300))

    def _look(self) -> Command:
        number = self._rng.randrange(60)
        return self._rng.choice(
            [
                SPAN((LOG, HEAD)),
                AT((LOG, HEAD), number),
                BEFORE((LOG, HEAD), self._now - self._rng.randrange(9_000)),
                PUBLISH((LOG, HEAD, NEWS), number),
            ]
        )

    def _prune(self) -> Command:
        rng = self._rng
        if rng.random() < 0.5:
            return FORGET((LANES,), 0, rng.randrange(60), self._now - rng.randrange(9_000))
        return PRUNE((LOG, HEAD), self._now, rng.randrange(20_000), rng.randint(1, 9))

    def _people(self) -> Command:
        rng = self._rng
        lane = rng.choice(LANES_OF_ALL)
        facts, who = KEYS.facts("name"), f"ada{rng.randrange(4)}"
        return rng.choice(
            [
                TAKE((HEAD, LANES, KEYS.taken("lobby", lane)), lane, rng.choice("12"), 99),
                ADD((facts,), who, rng.randrange(9)),
                ("HSET", facts, who, "bob"),
                ("HDEL", facts, who),
                ("HGET", facts, who),
                ("HLEN", facts),
                ("PERSIST", facts),
                ("PERSIST", "nothing"),
                ("SADD", KEYS.rooms, who),
            ]
        )

    def _streams(self) -> Command:
        rng = self._rng
        number = rng.randrange(60)
        return rng.choice(
            [
                ("XREAD", "STREAMS", NEWS, LOG, f"{number}-0", f"{number}-0"),
                ("XRANGE", LOG, f"{number}-0", "+", "COUNT", rng.randint(1, 4)),
                ("XADD", KEYS.wake("a"), "MAXLEN", 1, f"{number}-0", "n", ""),
                ("GET", KEYS.rooms),
                ("SETNX", KEYS.version, number),
                ("NOTHING", "of", "the", "kind"),
            ]
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory: Path = tmp_path_factory.mktemp("redis")
    with serving(directory) as running:
        yield running


@redis_is_missing
@pytest.mark.parametrize("seed", range(5))
def test_it_answers_as_a_real_one_does(server: RedisServer, seed: int) -> None:
    asker, data = Asker(random.Random(seed)), RedisData(lambda: 0)
    loading: list[Command] = [("SCRIPT", "LOAD", script.source) for script in SCRIPTS]
    with redis.Redis(port=server.port, protocol=2) as client:
        client.response_callbacks.clear()  # as it is, and not as Python's users like it
        client.execute_command("FLUSHALL")
        for command in [*loading, *(asker() for _ in range(200))]:
            try:
                answer = client.execute_command(*command)
            except redis.ResponseError as exc:
                answer = exc
            assert plain(data.do(list(map(as_bytes, command)))) == plain(answer), command


def plain(reply: Any) -> Any:
    match reply:
        case list():
            return list(map(plain, reply))
        case Exception():
            return "an error"
        case Status():
            return reply.encode()
        case _:
            return reply


def as_bytes(value: str | bytes | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def test_where_there_is_no_memory_left_nothing_is_written_and_all_is_read() -> None:
    data = RedisData(lambda: 0)
    data.do([b"HSET", b"h", b"f", b"1"])
    data.full = True
    assert isinstance(data.do([b"HSET", b"h", b"f", b"2"]), Failure)
    assert data.do([b"HGET", b"h", b"f"]) == b"1"


def test_a_snapshot_is_what_there_was() -> None:
    data = RedisData(lambda: 0)
    data.do([b"XADD", b"s", b"1-0", b"f", b"1"])
    snapshot = data.snapshot()
    data.do([b"XADD", b"s", b"2-0", b"f", b"2"])
    data.restore(snapshot)
    assert data.do([b"XRANGE", b"s", b"-", b"+"]) == [[b"1-0", [b"f", b"1"]]]
    data.do([b"XADD", b"s", b"2-0", b"f", b"3"])
    data.restore(snapshot)
    assert len(data.do([b"XRANGE", b"s", b"-", b"+"])) == 1
