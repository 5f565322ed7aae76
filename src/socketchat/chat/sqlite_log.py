"""The embedded log: an engine that keeps rooms in one SQLite database. See `log.py`.

This is the event loop's side of it. Appends go to the one thread that writes (`sqlite_writer.py`),
which answers by waking the loop once for each transaction; reads go to a few threads with
connections that can only read (`sqlite_queries.py`). `sqlite_schema.py` says how it lies on the
disk.

A message is on the disk before its future is done, and a watcher told of it: the database is
written with `synchronous = FULL`. What was told can be read from then on; what is read may be a
moment ahead of what was told.
"""

from __future__ import annotations

import asyncio
import errno
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar, assert_never

from msgspec import MsgspecError

from socketchat.chat import sqlite_queries as queries
from socketchat.chat.log import READ_SIZE, Diverged, Draft, Entry, Span, Watcher
from socketchat.chat.sqlite_batch import Append
from socketchat.chat.sqlite_schema import (
    DATABASE,
    connect_reader,
    connect_writer,
    log_error,
    os_error,
)
from socketchat.chat.sqlite_search import newest_seen
from socketchat.chat.sqlite_writer import Command, Done, Ended, Outcome, Pruned, Writer
from socketchat.chat.watchers import Watchers, own_copy, settle
from socketchat.errors import LogError, LogFailed, LogUnavailable
from socketchat.file_lock import FileLock
from socketchat.messages import MAX_NUMBER as MAX_LANE_NUMBER

__all__ = ["IN_USE", "LOCK", "SQLiteLog"]

#: The lock in a server's directory that keeps other servers out of it, and why they stay out.
LOCK: Final = "server.lock"
IN_USE: Final = "it is in use by another server"
#: Threads that read, each with a connection.
_READERS: Final = 3

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SQLiteLog:
    """Logs in one database, `log.db` in a directory of its own server.

    A lane's mark is kept as long as an entry of the lane, and for 30 days after the last one.

    Attributes:
        error: Why the log has failed for good; None if it has not. See `failed`.
        commits: See `Log.commits`.

    Args:
        directory: The server's data directory; it is made if it is not there.
        retain: Seconds for which entries are kept; None is for ever.
        clock: Tells the time, in microseconds since the epoch; called in the writer's thread.
    """

    def __init__(
        self,
        directory: Path,
        *,
        retain: float | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.error: LogFailed | None = None
        self.commits: int = 0
        self._directory = directory
        self._path = directory / DATABASE
        self._retain = retain
        self._clock = clock
        self._lock = FileLock(directory / LOCK)
        self._writing: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        #: Connections that no thread reads with at the moment.
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(_READERS, "socketchat-log-reader")
        # A search may take long: it must not take all threads from those who read on.
        self._searching = asyncio.Lock()
        self._watchers: dict[str, Watchers] = {}
        #: Appends that the writer has not answered, in their order.
        self._pending: deque[asyncio.Future[int]] = deque()
        self._prunings: list[asyncio.Future[None]] = []
        self._closed: asyncio.Future[None] | None = None

    # Opening and closing

    async def open(self) -> None:
        """Make ready; before anything else. It may be opened only once.

        Raises:
            OSError: The directory or the database cannot be opened, is in use by another server, or
                was written by a newer version; `strerror` says which.
        """
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        opening = self._loop.run_in_executor(self._threads, self._open)
        self._closed = self._loop.create_future()
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # It cannot be stopped half-way, and what it opened must not stay open.
            await asyncio.wait([opening])
            if opening.exception() is None:
                await self.close()
            raise
        except OSError:
            self._closed = None
            self._threads.shutdown(wait=False)
            raise

    def _open(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._lock.acquire():
            raise OSError(errno.EBUSY, IN_USE, str(self._directory))
        opened: list[sqlite3.Connection] = []
        try:
            opened.append(connect_writer(self._path))
            opened.extend(connect_reader(self._path) for _ in range(_READERS))
            self._writing, *reading = opened
            writer = Writer(self._writing, self._tell, retain=self._retain, clock=self._clock)
        except BaseException as exc:
            for connection in opened:
                connection.close()
            self._lock.release()
            if isinstance(exc, sqlite3.Error):
                raise os_error(exc, self._path) from exc
            raise
        for connection in reading:
            self._idle.put(connection)
        # A daemon, for a program whose loop ends without closing the log.
        threading.Thread(target=writer.run, name="socketchat-log-writer", daemon=True).start()
        self._writer = writer

    async def close(self) -> None:
        """Finish the commits and reads under way, and let everything go. Twice does no harm.

        Cancellation: it goes on by itself.
        """
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.ask(Command.STOP)
        if self._closed is not None:
            await asyncio.shield(self._closed)

    async def failed(self) -> LogFailed | None:
        """See `Log.failed`.

        A write or an fsync failed, and nobody knows what is on the disk.
        """
        await asyncio.shield(self._over)
        return self.error

    def _close(self) -> None:
        """Finish the reads under way, close every connection, and let other servers in."""
        assert self._writing is not None
        # Once they are idle, and not as they become so: a read that a thread has only just taken up
        # would wait for a connection for ever.
        self._threads.shutdown()
        failed = self.error is not None
        if failed:
            # Before the others, so that it is not the last one, which would write a checkpoint.
            self._writing.close()
        while not self._idle.empty():
            self._idle.get().close()
        if not failed:
            self._writing.close()
        self._lock.release()

    # Appending

    def append(
        self, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        """See `Log.append`.

        Raises:
            ValueError: A draft's number is too great, or a text holds what is no character
                (surrogates).
        """
        for draft in drafts:
            if draft.number > MAX_LANE_NUMBER:
                raise ValueError(f"the number {draft.number} is too great")
            _check_text(draft.sender)
            _check_text(draft.to)
            if isinstance(draft.body, str):
                _check_text(draft.body)
        _check_text(room)
        done: asyncio.Future[int] = self._loop.create_future()
        if self._writer is None:
            done.set_exception(self._why_not())
        else:
            self._pending.append(done)
            self._writer.ask(Append(room, lane, drafts, after))
        return done

    def watch(
        self,
        room: str,
        watcher: Watcher,
        diverged: Diverged | None = None,  # noqa: ARG002 - it does not
    ) -> Callable[[], None]:
        """See `Log.watch`."""
        watchers = self._watchers.setdefault(room, Watchers(room))
        unwatch = watchers.watch(watcher)

        def stop() -> None:
            unwatch()
            if not watchers:
                del self._watchers[room]

        return stop

    async def prune(self) -> None:
        """Let go now of what is older than `retain`.

        It happens by itself at the opening and every hour.

        Raises:
            LogUnavailable: The disk is full, another program holds the database, or it is closed.
            LogFailed: The log has failed.
        """
        if self._writer is None:
            raise self._why_not()
        done: asyncio.Future[None] = self._loop.create_future()
        self._prunings.append(done)
        self._writer.ask(Command.PRUNE)
        await done

    def _tell(self, outcome: Outcome) -> None:
        """Hand on what the writer has to tell; in its thread."""
        try:
            self._loop.call_soon_threadsafe(self._told, outcome)
        except RuntimeError:
            # The loop is closed: there is nobody left to be told.
            if not self._loop.is_closed():
                raise

    def _told(self, outcome: Outcome) -> None:
        match outcome:
            case Done() if self.error is not None:
                pass  # it was told before that nobody knows
            case Done(results, news):
                self.commits += bool(news)
                for room, entries in news.items():
                    if (watchers := self._watchers.get(room)) is not None:
                        watchers.show(entries)
                for result in results:
                    settle(self._pending.popleft(), result)
            case Pruned(error):
                self._settle_prunings(error)
            case Ended(error):
                if error is not None:
                    self._fail(error)
                self._settle_prunings(self._why_not())
                # Not by one of the threads that it waits for.
                closing = self._loop.run_in_executor(None, self._close)
                closing.add_done_callback(self._let_go)
            case _:
                assert_never(outcome)

    def _settle_prunings(self, error: LogError | None) -> None:
        prunings, self._prunings = self._prunings, []
        for done in prunings:
            settle(done, error)

    def _let_go(self, closing: asyncio.Future[None]) -> None:
        assert self._closed is not None
        if not self._over.done():
            self._over.set_result(None)
        if (error := closing.exception()) is None:
            self._closed.set_result(None)
        else:
            self._closed.set_exception(error)

    def _fail(self, error: LogFailed) -> None:
        """Acknowledge nothing any more."""
        if self.error is not None:
            return
        self.error = error
        if not self._over.done():
            self._over.set_result(None)
        if self._writer is not None:
            self._writer.ask(Command.STOP)
            self._writer = None
        pending, self._pending = self._pending, deque()
        for done in pending:
            settle(done, error)

    def _why_not(self) -> LogError:
        """Return what is raised by a log that is closed or has failed."""
        if self.error is not None:
            return own_copy(self.error)
        return LogUnavailable("the log is closed")

    # Reading

    async def mark(self, room: str, lane: bytes) -> int:
        """See `Log.mark`."""
        return await self._ask(queries.mark, room, lane)

    async def owner(self, room: str, lane: bytes) -> bytes:
        """See `Log.owner`."""
        return await self._ask(queries.owner, room, lane)

    async def span(self, room: str) -> Span:
        """See `Log.span`."""
        return await self._ask(queries.span, room)

    async def at(self, room: str, number: int) -> int | None:
        """See `Log.at`."""
        return await self._ask(queries.at, room, number)

    async def before(self, room: str, at: int) -> int:
        """See `Log.before`."""
        return await self._ask(queries.before, room, at)

    async def read(
        self, room: str, after: int, *, limit: int = 1024, size: int = READ_SIZE
    ) -> list[Entry]:
        """See `Log.read`."""
        return await self._ask(queries.read, room, after, limit, size)

    async def search(
        self, room: str, words: str, sees: Callable[[Entry], bool], *, limit: int
    ) -> list[Entry]:
        """See `Log.search`; by the full-text index, one search at a time."""
        async with self._searching:
            return await self._ask(newest_seen, room, words, sees, limit)

    async def _ask(
        self,
        question: Callable[Concatenate[sqlite3.Connection, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Have a question answered by one of the threads that read."""
        if self._writer is None:
            raise self._why_not()

        def answer() -> _T:
            connection = self._idle.get()
            try:
                return question(connection, *args, **kwargs)
            finally:
                self._idle.put(connection)

        try:
            return await self._loop.run_in_executor(self._threads, answer)
        except (sqlite3.Error, MsgspecError) as exc:
            error = log_error(exc)
            if isinstance(error, LogFailed):
                self._fail(error)
            raise error from exc


def _check_text(text: str) -> None:
    if not text.isascii():
        text.encode()  # UnicodeEncodeError is a ValueError
