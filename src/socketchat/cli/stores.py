"""Where a server keeps what is said and what it knows of people: in its directory, or in Redis."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from socketchat.chat.facts import Facts
from socketchat.chat.log import Log
from socketchat.chat.neighbours import Neighbours, NoNeighbours
from socketchat.chat.sqlite_facts import FileFacts
from socketchat.chat.sqlite_log import SQLiteLog
from socketchat.cli.failures import ExitCode, Failure, file_failure

if TYPE_CHECKING:
    from socketchat.chat.redis_history import RedisHistory

__all__ = ["Stores", "redis_history", "stores_in", "stores_in_redis"]


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
        return _redis_failure(exc)


def stores_in(directory: Path, *, retain: float | None) -> Stores:
    """Return what lies in a directory; entries are kept for `retain` seconds, or for ever."""
    return Stores(SQLiteLog(directory, retain=retain), FileFacts(directory), NoNeighbours())


def stores_in_redis(url: str, *, retain: float | None, wait: int) -> Stores:
    """Return what several servers share; `wait` is how many replicas must have what is kept.

    Raises:
        Failure: The package redis is missing, or the URL is none of Redis.
    """
    with _redis_at_hand():
        from socketchat.chat.redis_facts import RedisFacts
        from socketchat.chat.redis_link import shown
        from socketchat.chat.redis_log import RedisLog
        from socketchat.chat.redis_neighbours import RedisNeighbours

        log, facts = RedisLog(url, retain=retain, wait=wait), RedisFacts(url, wait=wait)
        return Stores(log, facts, RedisNeighbours(url), shown(url))


@contextmanager
def redis_history(url: str) -> Iterator[RedisHistory]:
    """Read in what several servers share.

    Raises:
        Failure: The package redis is missing, the URL is none of Redis, or it cannot be read.
    """
    with _redis_at_hand():
        from socketchat.chat.redis_history import open_redis_history

        opening = open_redis_history(url)
    try:
        with opening as history:
            yield history
    except OSError as exc:
        raise _redis_failure(exc) from exc


@contextmanager
def _redis_at_hand() -> Iterator[None]:
    """Say what to do about a URL that is none, and a package that is missing."""
    try:
        yield
    except ImportError as exc:
        if (exc.name or "").partition(".")[0] != "redis":
            raise
        what = "--redis needs the package redis: pip install 'socketchat[redis]'"
        raise Failure(ExitCode.USAGE, what) from exc
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, f"--redis: {exc}") from exc


def _redis_failure(exc: OSError) -> Failure:
    is_wrong = exc.errno in (errno.ENOTSUP, errno.ENOENT)
    what = f"{exc.filename}: {exc.strerror}; see --redis"
    return Failure(ExitCode.USAGE if is_wrong else ExitCode.CANNOT_REACH, what)
