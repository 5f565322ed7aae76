"""A lock that a process holds through a file, and that the system drops when the process is gone.

A leaf: it knows nothing of what it guards.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["FileLock"]


class FileLock:
    """A lock on a path, held by one process at a time, or by one `FileLock` within a process.

    However the process ends, it is released. The file stays: if it were deleted, the next two
    comers could hold a lock each, one on the old file and one on the new.

    Args:
        path: The file; it is made if it is not there, and only its owner can read it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock, if it is free.

        Returns:
            Whether it is held now; False if another holds it.

        Raises:
            OSError: The file cannot be opened, or its filesystem knows no locks.
        """
        assert self._file is None, "held already"
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            taken = _take(file)
        except BaseException:
            os.close(file)
            raise
        if taken:
            self._file = file
        else:
            os.close(file)
        return taken

    def release(self) -> None:
        """Let the lock go, if it is held."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


if sys.platform == "win32":
    import msvcrt

    def _take(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _take(file: int) -> bool:
        # Not lockf: that lock is lost when the process closes any other descriptor of the file.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
