"""Claims about `FileOutbox.waiting`: what waits for which lanes is counted, and nothing is held."""

from __future__ import annotations

from pathlib import Path

from socketchat.file_outbox import FileOutbox
from socketchat.outbox import Outgoing


def leave(directory: Path, label: str, count: int) -> Path:
    """Leave so many posts undelivered; return the file."""
    outbox = FileOutbox.create(directory, label, 100, 2**20)
    for number in range(1, count + 1):
        outbox.append(Outgoing(number, b"frame"))
    outbox.close()
    return outbox.path


def test_what_waits_is_counted_by_label_but_for_one(tmp_path: Path) -> None:
    for label, count in (("here", 1), ("there", 2), ("there", 3), ("\udcff", 4), ("empty", 0)):
        leave(tmp_path, label, count)
    assert FileOutbox.waiting(tmp_path, but="here") == {"there": 5, "\udcff": 4}


def test_what_a_living_process_has_does_not_count(tmp_path: Path) -> None:
    outbox = FileOutbox.create(tmp_path, "there", 100, 2**20)
    outbox.append(Outgoing(1, b"frame"))
    assert FileOutbox.waiting(tmp_path, but="here") == {}
    outbox.close()
    assert FileOutbox.waiting(tmp_path, but="here") == {"there": 1}


def test_it_is_still_there_to_be_sent(tmp_path: Path) -> None:
    leave(tmp_path, "there", 1)
    before = sorted(tmp_path.iterdir())
    FileOutbox.waiting(tmp_path, but="here")
    assert sorted(tmp_path.iterdir()) == before
    (found,) = FileOutbox.leftovers(tmp_path, "there")
    assert len(found) == 1
    found.close()


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    leave(tmp_path, "there", 1).write_bytes(b"garbage" * 1000)
    (tmp_path / "empty.outbox").touch()
    assert FileOutbox.waiting(tmp_path, but="here") == {}
    assert FileOutbox.waiting(tmp_path / "nowhere", but="here") == {}
