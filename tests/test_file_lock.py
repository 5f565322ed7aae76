"""Claims about `socketchat.file_lock`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from socketchat.file_lock import FileLock

HOLDER = """
import sys
from pathlib import Path
from socketchat.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    assert not first.acquire()
    second.release()


def test_releasing_what_is_not_held_does_nothing(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.release()
    assert first.acquire()
    assert not second.acquire()
    second.release()
    assert not second.acquire()
    first.release()


def test_reading_its_file_does_not_release_it(tmp_path: Path) -> None:
    first = FileLock(tmp_path / "lock")
    assert first.acquire()
    (tmp_path / "lock").read_bytes()
    assert not FileLock(tmp_path / "lock").acquire()
    first.release()


def test_a_killed_process_holds_it_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"True"
        lock = FileLock(path)
        assert not lock.acquire()
        holder.kill()
        holder.wait()
        assert lock.acquire()
        lock.release()


def test_a_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "nowhere" / "lock").acquire()
    assert not list(tmp_path.iterdir())
