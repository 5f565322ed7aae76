"""Where a server keeps what is said and what it knows of people: in its directory, or in Redis."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from socketchat.chat.facts import Facts, FileFacts
from socketchat.chat.log import Log
from socketchat.chat.neighbours import Neighbours, NoNeighbours
from socketchat.chat.sqlite_log import SQLiteLog
from socketchat.cli.failures import ExitCode, Failure, file_failure

__all__ = ["Stores", "stores_in", "stores_in_redis"]


@dataclass(frozen=True, slots=True)
class Stores:
    """What a server keeps, and where.

    Attributes:
        log: The log of all rooms.
        facts: What is known about people.
        neighbours: The other servers that keep theirs there.
        redis: The URL of Redis as it may be shown; empty if all of it is in files.
    """

    log: Log
    facts: Facts
    neighbours: Neighbours
    redis: str = ""

    @property
    def help(self) -> str:
        """What to look at when the log has failed."""
        return f"see that {self.redis or 'the disk'} is in order, and start again"

    def failure(self, exc: OSError) -> Failure:
        """Say why it cannot be opened, and what may help."""
        if not self.redis or exc.filename not in (None, self.redis):
            return file_failure(exc)
        what = f"{self.redis}: {exc.strerror}; see --redis"
        is_wrong = exc.errno == errno.ENOTSUP
        return Failure(ExitCode.USAGE if is_wrong else ExitCode.CANNOT_REACH, what)


def stores_in(directory: Path, *, retain: float | None) -> Stores:
    """Return what lies in a directory; entries are kept for `retain` seconds, or for ever."""
    return Stores(SQLiteLog(directory, retain=retain), FileFacts(directory), NoNeighbours())


def stores_in_redis(url: str, *, retain: float | None, wait: int) -> Stores:
    """Return what several servers share; `wait` is how many replicas must have what is kept.

    Raises:
        Failure: The package redis is missing, or the URL is none of Redis.
    """
    try:
        from socketchat.chat.redis_facts import RedisFacts
        from socketchat.chat.redis_link import shown
        from socketchat.chat.redis_log import RedisLog
        from socketchat.chat.redis_neighbours import RedisNeighbours
    except ImportError as exc:
        if (exc.name or "").partition(".")[0] != "redis":
            raise
        what = "--redis needs the package redis: pip install 'socketchat[redis]'"
        raise Failure(ExitCode.USAGE, what) from exc
    try:
        log, facts = RedisLog(url, retain=retain, wait=wait), RedisFacts(url, wait=wait)
        return Stores(log, facts, RedisNeighbours(url), shown(url))
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, f"--redis: {exc}") from exc
