"""Files for their owner alone, written whole or not at all: keys, and the hosts that are known.

A leaf: it knows nothing of what it writes. Modes are a matter of POSIX; elsewhere a user's
directory is the user's own already.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["create_secret", "replace_secret", "warn_if_exposed"]

_log = logging.getLogger("socketchat.trust")


def create_secret(path: Path, data: bytes) -> bool:
    """Put `data` into a new file that only its owner can read, whole or not at all.

    Returns:
        Whether it was made: False if there is one already.

    Raises:
        OSError: It cannot be written.
    """
    with _written(path, data) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        return True


def replace_secret(path: Path, data: bytes) -> None:
    """Put `data` into a file that only its owner can read, in place of the one that may be there.

    Whoever reads meanwhile finds the old file or the new one, never a part.

    Raises:
        OSError: It cannot be written; the old one is as it was.
    """
    # Where people keep the file elsewhere and a link to it here, the link stays one.
    path = Path(os.path.realpath(path))
    with _written(path, data) as temporary:
        temporary.replace(path)


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """Write a temporary file beside `path`, flushed to the disk; it is gone at the end."""
    import tempfile  # noqa: PLC0415 - it loads five modules to compress files, for a rare write

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file 0600.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def warn_if_exposed(path: Path) -> None:
    """Warn in the log if others than its owner can read a secret, or put another in its place.

    Raises:
        OSError: It is not there.
    """
    if os.name != "posix":
        return
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        _log.warning("%s can be read by others: chmod 600 it, or have a new one made", path)
    if stat.S_IMODE(path.parent.stat().st_mode) & 0o022:
        _log.warning("%s can be written by others: chmod 700 it", path.parent)
