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
from socketchat.chat.sqlite_log import IN_USE, LOCK, SQLiteLog
from socketchat.cli.failures import ExitCode, Failure, file_failure
from socketchat.file_lock import FileLock

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
        lock: What keeps other servers out of the directory, if the log does not.
    """

    log: Log
    facts: Facts
    neighbours: Neighbours
    redis: str = ""
    lock: FileLock | None = None

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


def stores_in_redis(directory: Path, url: str, *, retain: float | None, wait: int) -> Stores:
    """Return what several servers share, each of which has a directory of its own.

    Args:
        directory: The server's directory.
        url: Which Redis.
        retain: For how many seconds entries are kept; None is for ever.
        wait: How many replicas must have what is kept.

    Raises:
        Failure: The package redis is missing, the URL is none of Redis, or another server has the
            directory.
    """
    with _redis_at_hand():
        from socketchat.chat.redis_facts import RedisFacts
        from socketchat.chat.redis_link import shown
        from socketchat.chat.redis_log import RedisLog
        from socketchat.chat.redis_neighbours import RedisNeighbours

        log, facts = RedisLog(url, retain=retain, wait=wait), RedisFacts(url, wait=wait)
        neighbours = RedisNeighbours(url)
    return Stores(log, facts, neighbours, shown(url), _locked(directory))


def _locked(directory: Path) -> FileLock:
    """Keep other servers out of a directory, which is there."""
    lock = FileLock(directory / LOCK)
    try:
        is_free = lock.acquire()
    except OSError as exc:
        raise file_failure(exc) from exc
    if not is_free:
        raise file_failure(OSError(errno.EBUSY, IN_USE, str(directory)))
    return lock


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
