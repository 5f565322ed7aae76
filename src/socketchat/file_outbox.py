"""An outbox in a file: what was sent and is not yet acknowledged survives a kill of its process.

`outbox.py` says what an outbox is, and keeps the posts in memory; this adds a file for each lane,
in which a post is before `append` returns, and from which it is gone once it is acknowledged or
refused. It knows nothing of links or sessions.

A lane is only ever extended by the process that made it. At its end the file of a lane that still
holds posts is a leftover: sealed, for a later process to send under its old lane. Each number in
it stands for one text for good, so a directory that is copied, shared or rolled back to an older
state does no harm: whatever is sent from it again bears the lane and the number that it had, and
the server drops it by its mark of that lane, for as long as it keeps one. If a lane could be
extended by two, they would give one number to two texts, and one of these would be lost.

The file is a database of SQLite, locked by SQLite itself for as long as it is open: there is no
lock beside it to be left behind or to be deleted under somebody's feet, and the system lets go of
it when the process is gone. (POSIX drops such a lock when any other descriptor of the same file is
closed in the same process; nobody but SQLite opens these files.) Nothing is ever flushed to the
disk: the system keeps what a killed process wrote, and a power cut may take it. In return a post
costs microseconds, and the event loop need not be spared. The journal is a rollback journal that
stays in place: no slower here than a write-ahead log, and without its checkpoints.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from socketchat.errors import LocalProtocolError
from socketchat.messages import MAX_NUMBER
from socketchat.outbox import MemoryOutbox, Outgoing

__all__ = ["FileOutbox"]

_log = logging.getLogger("socketchat")

_SUFFIX: Final = ".outbox"
_VERSION: Final = 1
#: The label is bytes, since a text from the command line may hold what is no UTF-8. The checksum is
#: for files that were copied or damaged half-way: SQLite has none, and a number must not get
#: another text.
_SCHEMA: Final = (
    "CREATE TABLE lane (name BLOB, label BLOB, made INTEGER)",
    "CREATE TABLE post (number INTEGER PRIMARY KEY, at INTEGER, frame BLOB, checksum INTEGER)",
    f"PRAGMA user_version = {_VERSION}",
)
#: How often a new file is made, should another process take it for a dead one's meanwhile.
_ATTEMPTS: Final = 10
#: Seconds to wait for a lock: two that try at the same time may both fail, and shall try again.
_PATIENCE: Final = 0.02

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
#: What SQLite says of a file that is not what it was; whatever else it says may pass.
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class FileOutbox(MemoryOutbox):
    """An outbox that outlives its process, though not a power cut.

    It comes from `create` or from `leftovers`, and must be closed.

    Concurrency: one thread at a time; it need not be the one that opened it.

    Attributes:
        lane: The lane's name, 16 random bytes; a secret.
        label: What the caller calls its lanes to this place, such as `host:port/room`.
        made: When the lane was made, in nanoseconds since the epoch.
        sealed: Whether nothing more may be appended.
        undelivered: How many posts the file keeps though their session is over.
        path: Its file.
    """

    __slots__ = (
        "_closed",
        "_complained",
        "_db",
        "label",
        "lane",
        "made",
        "path",
        "sealed",
        "undelivered",
    )

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        lane: tuple[bytes, str, int],
        bounds: tuple[int, int] | None = None,
    ) -> None:
        """For `create` and `leftovers` alone; without bounds it is sealed."""
        super().__init__(*(bounds or (sys.maxsize, sys.maxsize)))
        self._db = db
        self.path: Path = path
        self.label: str
        self.lane: bytes
        self.made: int
        self.lane, self.label, self.made = lane
        self.sealed: bool = bounds is None
        if self.sealed:
            # The file may be older than what was sent: the other side's mark may be anything.
            self.numbered = MAX_NUMBER
        self.undelivered: int = 0
        self._complained = False
        self._closed = False

    # ---- opening ----

    @classmethod
    def create(cls, directory: Path, label: str, max_messages: int, max_size: int) -> Self:
        """Make a new lane, and its file.

        Args:
            directory: Where the file goes; made, for this user alone, if it is not there.
            label: What the lane leads to; any text.
            max_messages: The outbox is full at so many posts,
            max_size: or so many bytes.

        Raises:
            OSError: The file cannot be made or written.
        """
        directory = directory.absolute()
        # Those that are made above it do not get the mode, and keys may come to lie beside it.
        for each in (directory.parent, directory):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        lane = os.urandom(16), label, time.time_ns()
        for _ in range(_ATTEMPTS):
            # Its name does not tell the lane's: names of files are logged.
            path = directory / f"{_digest(label)}-{os.urandom(16).hex()}{_SUFFIX}"
            # SQLite gives its journal the same mode.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
            db = _make(path, *lane)
            if db is not None:
                return cls(db, path, lane, (max_messages, max_size))
        raise OSError(errno.EAGAIN, "the outbox cannot be locked", str(path))

    @classmethod
    def leftovers(
        cls,
        directory: Path,
        label: str | None = None,
        *,
        new_post: Callable[[int, bytes, int], Outgoing] = Outgoing,
    ) -> list[Self]:
        """Open what processes that are gone have left undelivered, oldest first.

        Each is locked until it is closed. Files that hold nothing are deleted, those of processes
        that live are left alone. A damaged one is renamed, to end in `.damaged`, and named in a
        warning.

        Args:
            directory: Where the files are; it need not be there.
            label: What the lanes must lead to; None is anything.
            new_post: Makes a post of its number, its frame and its time; for `connect`, `Receipt`.

        Raises:
            OSError: The directory cannot be read.
        """
        prefix = "" if label is None else _digest(label) + "-"
        paths = [path for path in _files(directory) if path.name.startswith(prefix)]
        found = []
        with contextlib.ExitStack() as undo:
            for path in paths:
                outbox = cls._open_leftover(path, new_post)
                if outbox is None:
                    continue
                if len(outbox):
                    undo.callback(outbox.close)
                    found.append(outbox)
                else:
                    outbox.close()
            undo.pop_all()
        return sorted(found, key=lambda outbox: outbox.made)

    @staticmethod
    def waiting(directory: Path, *, but: str) -> dict[str, int]:
        """Count what processes that are gone have left undelivered, by label, but for one label.

        Nothing is kept from others meanwhile, and what cannot be read is passed over.

        Args:
            directory: Where the files are; it need not be there.
            but: The label that is left out.

        Raises:
            OSError: The directory cannot be read.
        """
        counts: dict[str, int] = {}
        for path in _files(directory):
            if path.name.startswith(_digest(but)):
                continue
            with contextlib.suppress(sqlite3.DatabaseError, TypeError, ValueError):
                label, count = _peek(path)
                if count:
                    counts[label] = counts.get(label, 0) + count
        return counts

    @classmethod
    def _open_leftover(
        cls, path: Path, new_post: Callable[[int, bytes, int], Outgoing]
    ) -> Self | None:
        """Open a file, unless it is in use, or not to be read; then say why in the log."""
        try:
            db = _open(path)
            try:
                return cls._read(db, path, new_post)
            except BaseException:
                db.close()
                raise
        except (sqlite3.DatabaseError, OSError, TypeError, ValueError) as exc:
            code = _code(exc)
            if code in _BUSY or not path.exists():
                pass  # another process has it, or has sent it meanwhile
            elif isinstance(exc, OSError) or (code is not None and code not in _DAMAGED):
                _log.warning("what is undelivered in %s cannot be read: %s", path, exc)
            else:
                _set_aside(path, exc)
            return None

    @classmethod
    def _read(
        cls,
        db: sqlite3.Connection,
        path: Path,
        new_post: Callable[[int, bytes, int], Outgoing],
    ) -> Self:
        """Return the outbox in a database.

        Raises:
            OSError: A newer version of this program wrote it.
            sqlite3.DatabaseError, TypeError, ValueError: It is damaged.
        """
        if _value(db, "PRAGMA schema_version") == 0:
            return cls(db, path, (b"", "", 0))  # its process did not get further than that
        if _value(db, "PRAGMA user_version") > _VERSION:
            raise OSError(errno.ENOTSUP, "it was written by a newer version")
        fault = _value(db, "PRAGMA quick_check(1)")
        if fault != "ok":
            raise ValueError(fault)
        name, label, made = db.execute("SELECT name, label, made FROM lane").fetchone()
        if len(name) != 16:
            raise ValueError("the lane has no name")
        outbox = cls(db, path, (name, label.decode("utf-8", "surrogatepass"), made))
        rows = db.execute("SELECT number, frame, at, checksum FROM post ORDER BY number")
        for number, frame, at, checksum in rows:
            if checksum != _checksum(number, frame):
                raise ValueError(f"post {number} is not what it was")
            MemoryOutbox.append(outbox, new_post(number, frame, at))
        return outbox

    # ---- using ----

    def append(self, post: Outgoing) -> None:
        """Keep `post`, in the file too, until it is acknowledged.

        Raises:
            OSError: It cannot be written; the post is not taken. `strerror` names the file.
            LocalProtocolError: It is sealed, or closed.
        """
        if self.sealed:
            raise LocalProtocolError("a lane that another process made must not be extended")
        number, frame = post.number, post.frame
        try:
            self._db.execute(
                "INSERT INTO post VALUES (?, ?, ?, ?)",
                (number, post.at, frame, _checksum(number, frame)),
            )
        except sqlite3.DatabaseError as exc:
            raise _os_error(exc, self.path) from exc
        super().append(post)

    def acknowledge(self, number: int) -> list[Outgoing]:
        """Let go of every post up to `number` and return them, in order, but for refused ones."""
        done = super().acknowledge(number)
        if done:
            # Also of what an earlier error left there.
            self._forget("DELETE FROM post WHERE number <= ?", number)
        return done

    def reject(self, number: int) -> Outgoing | None:
        """Blank the post `number`, so that it is never sent again, and return it if it is here."""
        post = super().reject(number)
        if post is not None:
            self._forget("DELETE FROM post WHERE number = ?", number)
        return post

    def _forget(self, statement: str, number: int) -> None:
        try:
            self._db.execute(statement, (number,))
        except sqlite3.DatabaseError as exc:
            # What stays in the file may be sent again, and is then dropped by the server.
            if not self._complained:
                self._complained = True
                _log.warning("what was delivered stays in %s: %s", self.path, exc)

    def clear(self) -> list[Outgoing]:
        """Let go of everything in memory and return it, in order; the file keeps it."""
        posts = super().clear()
        self.undelivered += sum(1 for post in posts if post.frame)
        return posts

    def close(self) -> None:
        """Unlock the file, for another process to deliver; or delete it, if it holds nothing."""
        if self._closed:
            return
        self._closed = self.sealed = True
        if self.undelivered or len(self):  # the first in it is never a refused one
            self._db.close()
        else:
            _delete(self._db, self.path)


# ---- files ----


def _files(directory: Path) -> list[Path]:
    """Return the files of outboxes in a directory, which need not be there."""
    try:
        return [path for path in directory.absolute().iterdir() if path.name.endswith(_SUFFIX)]
    except FileNotFoundError:
        return []


def _peek(path: Path) -> tuple[str, int]:
    """Return the label of an outbox that nobody has open, and how many posts there are in it.

    Raises:
        sqlite3.DatabaseError, TypeError, ValueError: It is in use, or cannot be read.
    """
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0)) as db:
        label, count = db.execute("SELECT label, (SELECT count(*) FROM post) FROM lane").fetchone()
    return label.decode("utf-8", "surrogatepass"), count


def _digest(label: str) -> str:
    """Return what stands for a label in the name of a file."""
    return hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _checksum(number: int, frame: bytes) -> int:
    return zlib.crc32(frame, number & 0xFFFFFFFF)


def _value(db: sqlite3.Connection, statement: str) -> Any:
    return db.execute(statement).fetchone()[0]


def _open(path: Path) -> sqlite3.Connection:
    """Open a file that is there, and lock it for as long as it is open.

    Raises:
        sqlite3.DatabaseError: It cannot be locked, read or written.
    """
    db = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,  # each statement is committed at once
        check_same_thread=False,
    )
    try:
        # Not the other way round: whoever fails to lock it must not keep half a lock.
        db.execute("BEGIN EXCLUSIVE")
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = PERSIST")
        db.execute("PRAGMA synchronous = OFF")
    except BaseException:
        db.close()
        raise
    return db


def _make(path: Path, lane: bytes, label: str, made: int) -> sqlite3.Connection | None:
    """Make an empty file a database for a lane, and lock it.

    Returns:
        None if another process was quicker: until it is locked it looks like a dead one's.

    Raises:
        OSError: It cannot be written.
    """
    try:
        db = _open(path)
        try:
            db.execute("BEGIN")
            for statement in _SCHEMA:
                db.execute(statement)
            encoded = label.encode("utf-8", "surrogatepass")
            db.execute("INSERT INTO lane VALUES (?, ?, ?)", (lane, encoded, made))
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
    except sqlite3.DatabaseError as exc:
        if _code(exc) in _BUSY or not path.exists():
            return None
        _unlink(path)
        raise _os_error(exc, path) from exc
    if not path.exists():
        db.close()
        return None
    return db


def _delete(db: sqlite3.Connection, path: Path) -> None:
    """Delete a file while it is locked, and close it."""
    try:
        _unlink(path)
    except PermissionError:
        # Windows does not delete what is open. Whoever opens it in between deletes it likewise.
        db.close()
        with contextlib.suppress(OSError):
            _unlink(path)
    except OSError as exc:
        _log.warning("%s cannot be deleted: %s", path, exc)
    db.close()


def _unlink(path: Path) -> None:
    # The journal first: should we be killed in between, the rest is found and deleted later.
    _journal(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _set_aside(path: Path, why: Exception) -> None:
    """Rename a damaged file, with its journal, and say so."""
    aside = path.with_name(path.name + ".damaged")
    try:
        with contextlib.suppress(FileNotFoundError):
            _journal(path).rename(_journal(aside))
        path.rename(aside)
    except FileNotFoundError:
        return  # another process has done it
    except OSError as exc:
        _log.warning("%s is damaged (%s), and cannot be renamed: %s", path, why, exc)
        return
    _log.warning("what was undelivered in %s is damaged (%s): it is kept as %s", path, why, aside)


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


# ---- errors ----


def _code(exc: Exception) -> int | None:
    """Return SQLite's primary result code, if it has one for `exc`."""
    code = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _os_error(exc: sqlite3.DatabaseError, path: Path) -> OSError:
    match _code(exc):
        case sqlite3.SQLITE_FULL:
            number = errno.ENOSPC
        case sqlite3.SQLITE_READONLY:
            number = errno.EROFS
        case _:
            number = errno.EIO
    return OSError(number, f"the outbox {path} cannot be written: {exc}", str(path))
