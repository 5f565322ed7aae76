"""The thread that alone writes the embedded log's database, and alone checkpoints it.

(Two connections that do can corrupt it before SQLite 3.51.3: sqlite.org/wal.html, "The WAL-reset
bug".) It takes whatever has queued up, commits it as one transaction, and tells what became of it
with one call: so a commit is as big as the one before it was slow, and no timer is needed. Between
commits it does its chores (`sqlite_chores.py`). It knows no event loop: what it has to tell, it
hands to a function.
"""

from __future__ import annotations

import enum
import logging
import queue
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from socketchat.chat.log import Entry
from socketchat.chat.sqlite_batch import Append, Heads
from socketchat.chat.sqlite_chores import Chores
from socketchat.chat.sqlite_schema import checkpoint, log_error
from socketchat.errors import LogFailed, LogUnavailable

__all__ = ["Command", "Done", "Ended", "Outcome", "Pruned", "Writer"]

_log = logging.getLogger("socketchat.chat")

#: Appends and drafts, about, of one transaction: what bounds the wait for it.
_MAX_APPENDS: Final = 4096
_MAX_DRAFTS: Final = 16_384
#: Bytes, about, that are committed between two checkpoints.
_CHECKPOINT_SIZE: Final = 4 * 2**20
#: What a transaction writes beside its records, about.
_TRANSACTION_SIZE: Final = 24 * 2**10
#: Seconds without an append before chores are done, and after which one is done all the same.
_QUIET: Final = 0.02
_OVERDUE: Final = 1.0
#: Seconds until a chore is tried again that could not be done.
_RETRY: Final = 10.0
#: Seconds between two looks for what is too old.
_PRUNE_INTERVAL: Final = 3600.0

_T = TypeVar("_T")


class Command(enum.Enum):
    """What can be asked of the writer, beside an `Append`."""

    #: Let go of what is too old.
    PRUNE = enum.auto()
    #: End, once all that was asked before is done.
    STOP = enum.auto()


@dataclass(frozen=True, slots=True)
class Done:
    """The next appends, in the order in which they were asked for, are committed or refused.

    Attributes:
        results: For each append the lane's mark, or why nothing was done.
        news: The new entries of each room.
    """

    results: list[int | LogUnavailable]
    news: dict[str, list[Entry]]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was too old is gone, or why not: the answer to every `PRUNE` so far."""

    error: LogUnavailable | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The writer has ended; with an error, if it is not known what the database holds."""

    error: LogFailed | None = None


Outcome = Done | Pruned | Ended


class Writer:
    """Serves what is asked through `ask`, in order, in the thread that runs `run`.

    Args:
        connection: From `connect_writer`; nobody else uses it until the writer has ended.
        tell: Called in the writer's thread with each outcome; the last is an `Ended`.
        retain: Seconds for which entries are kept; None is for ever.
        clock: Tells the time, in microseconds since the epoch.

    Raises:
        sqlite3.Error: The database cannot be read.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        tell: Callable[[Outcome], object],
        *,
        retain: float | None,
        clock: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._tell = tell
        self._retain = retain
        self._asked: queue.SimpleQueue[Append | Command] = queue.SimpleQueue()
        self._heads = Heads(connection, clock)
        self._chores = Chores(connection, None if retain is None else int(retain * 1e6), clock)
        #: When a chore is done even if it is not quiet, and before when none is done.
        self._overdue = time.monotonic() + _OVERDUE
        self._not_before = 0.0
        self._next_pruning = 0.0
        self._is_quiet = False
        self._pruning_asked = False
        #: Bytes that were committed since the last checkpoint.
        self._unchecked = 0

    def ask(self, what: Append | Command) -> None:
        """Have something done, after all that was asked before; from any thread."""
        self._asked.put(what)

    def run(self) -> None:
        """Serve until `STOP`, or until there is no telling what the database holds."""
        error: LogFailed | None = None
        try:
            while self._serve():
                pass
        except LogFailed as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001 - it must not end without a word
            _log.exception("the log's writer has failed")
            error = LogFailed(repr(exc))
        self._tell(Ended(error))

    def _serve(self) -> bool:
        """Do what was asked, or a chore; return whether to go on."""
        now = time.monotonic()
        if self._retain is not None and now >= self._next_pruning:
            self._next_pruning = now + _PRUNE_INTERVAL
            self._chores.start_pruning()
        try:
            first = self._asked.get(timeout=self._patience(now))
        except queue.Empty:
            self._is_quiet = True
            self._do_chore()
            return True
        self._is_quiet = False
        appends, stop = self._gather(first)
        if appends:
            self._append(appends)
        if time.monotonic() >= self._overdue:
            self._do_chore()
        self._check()
        return not stop

    def _patience(self, now: float) -> float | None:
        """Return the seconds to wait for what is asked before anything else is to be done."""
        if self._chores.is_due or self._pruning_asked:
            quiet = 0.0 if self._is_quiet or self._pruning_asked else _QUIET
            return max(quiet, self._not_before - now)
        return None if self._retain is None else self._next_pruning - now

    def _gather(self, first: Append | Command) -> tuple[list[Append], bool]:
        """Take what has queued up, as far as it makes one transaction; and whether to stop."""
        appends: list[Append] = []
        drafts = 0
        asked = first
        while True:
            match asked:
                case Append():
                    appends.append(asked)
                    drafts += len(asked.drafts)
                case Command.PRUNE:
                    self._chores.start_pruning()
                    self._pruning_asked = True
                    self._not_before = 0.0
                case Command.STOP:
                    return appends, True
            if len(appends) >= _MAX_APPENDS or drafts >= _MAX_DRAFTS:
                return appends, False
            try:
                asked = self._asked.get_nowait()
            except queue.Empty:
                return appends, False

    def _append(self, appends: list[Append]) -> None:
        """Commit appends, and tell what became of them."""
        batch = self._transact(lambda: self._heads.write(appends))
        if isinstance(batch, LogUnavailable):
            self._heads.forget()
            self._tell(Done([batch] * len(appends), {}))
            return
        self._tell(Done(batch.results, batch.news))
        if batch.rows:
            self._unchecked += batch.size + _TRANSACTION_SIZE
            self._chores.add_news(head.id for head in batch.heads.values())

    def _do_chore(self) -> None:
        """Do a step of the chores, if there are any."""
        now = time.monotonic()
        self._overdue = now + _OVERDUE
        error: LogUnavailable | None = None
        if self._chores.is_due and now >= self._not_before:
            self._heads.forget()  # marks may go
            size = self._transact(self._chores.step)
            if isinstance(size, LogUnavailable):
                error = size
                self._not_before = now + _RETRY
            else:
                self._unchecked += size + _TRANSACTION_SIZE
                self._check()
        if self._pruning_asked and (error is not None or not self._chores.is_pruning):
            self._pruning_asked = False
            self._tell(Pruned(error))

    def _transact(self, write: Callable[[], _T]) -> _T | LogUnavailable:
        """Write in one transaction, and return what `write` does; or why nothing was done.

        Raises:
            LogFailed: It may have been done, or not.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            result = write()
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            error = log_error(exc)
            if isinstance(error, LogUnavailable):
                self._roll_back()
                return error
            raise error from exc
        return result

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:  # a full disk has ended it already
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as exc:
            raise LogFailed(str(exc)) from exc

    def _check(self) -> None:
        """Bring what is committed from the write-ahead log into the database, if it is due.

        Raises:
            LogFailed: A write or an fsync failed.
        """
        if self._unchecked < _CHECKPOINT_SIZE:
            return
        self._unchecked = 0
        try:
            checkpoint(self._connection)
        except sqlite3.Error as exc:
            error = log_error(exc)
            if isinstance(error, LogFailed):
                raise error from exc
            # The disk is full; what is committed stays in the write-ahead log, and is safe there.
