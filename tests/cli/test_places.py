"""Claims about `socketchat.cli.places`: up to where one has read, and no error about it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from socketchat.cli.places import MAX_PLACES, Places


def test_what_was_read_is_remembered_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "places.json"
    places = Places(path)
    assert places.find("maple/tea") == 0
    places.note({"maple/tea": 5, "maple/lobby": 7, "oak/": 0})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Places(path)
    again.note({"maple/tea": 9})
    assert [again.find(label) for label in ("maple/tea", "maple/lobby", "oak/")] == [9, 7, 0]


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"a": "b", "c": -1, "d": true, "e": 1.5}'])
def test_what_is_damaged_counts_as_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "places.json"
    path.write_bytes(data)
    places = Places(path)
    assert [places.find(label) for label in "acde"] == [0, 0, 0, 0]
    places.note({"a": 1})
    assert json.loads(path.read_bytes()) == {"a": 1}


def test_the_rooms_that_were_read_first_are_forgotten(tmp_path: Path) -> None:
    places = Places(tmp_path / "places.json")
    places.note({f"maple/{number}": number + 1 for number in range(MAX_PLACES)})
    places.note({"maple/0": 5})
    places.note({"oak/new": 6})
    assert places.find("maple/0") == 5
    assert places.find("maple/1") == 0
    assert places.find("oak/new") == 6


def test_what_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = Places(tmp_path / "file" / "places.json")
    places.note({"maple/tea": 5})
    assert places.find("maple/tea") == 0
