"""Claims about `socketchat.cli.places`: up to where one has read, and no error about it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from socketchat.cli.places import MAX_PLACES, NOWHERE, Place, Places


def reading(path: Path) -> Places:
    places = Places(path)
    places.load()
    return places


def save(path: Path, **read: int) -> None:
    places = reading(path)
    for label, at in read.items():
        places.note(label, Place(at, at))
    places.save()


def test_what_was_read_is_remembered_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "places.json"
    assert reading(path).find("tea") is None
    save(path, tea=5, lobby=7, nothing=0)
    reading(path).note("nothing", NOWHERE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    save(path, tea=9)
    again = reading(path)
    assert [again.find(label) for label in ("tea", "lobby", "nothing")] == [(9, 9), (7, 7), None]
    assert again.labels == ["lobby", "tea"]


def test_what_was_noted_counts_before_it_is_saved(tmp_path: Path) -> None:
    places = reading(tmp_path / "places.json")
    places.note("tea", Place(5, 2))
    assert places.find("tea") == Place(5, 2)
    assert reading(tmp_path / "places.json").find("tea") is None


def test_what_others_have_saved_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "places.json"
    places = reading(path)
    places.note("tea", Place(5, 2))
    save(path, lobby=7)
    places.save()
    assert sorted(reading(path).labels) == ["lobby", "tea"]


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b'{"a": "b", "c": [1], "d": [1, true], "e": [1, -1], "f": 1}']
)
def test_what_is_damaged_counts_as_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "places.json"
    path.write_bytes(data)
    assert [reading(path).find(label) for label in "acdef"] == [None] * 5
    save(path, a=1)
    assert json.loads(path.read_bytes()) == {"a": [1, 1]}


def test_the_rooms_that_were_read_first_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "places.json"
    save(path, **{f"room{number}": number + 1 for number in range(MAX_PLACES)})
    save(path, room0=5)
    save(path, new=6)
    places = reading(path)
    assert [places.find(label) for label in ("room0", "room1", "new")] == [(5, 5), None, (6, 6)]


def test_what_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    save(tmp_path / "file" / "places.json", tea=5)
    assert reading(tmp_path / "file" / "places.json").find("tea") is None
