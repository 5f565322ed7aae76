"""Claims about `socketchat.trust.secret_files`: files that are whole, and their owner's alone."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from socketchat.trust.secret_files import create_secret, replace_secret, warn_if_exposed

needs_modes = pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")


def mode_of(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


@needs_modes
def test_a_secret_is_written_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret"
    assert create_secret(path, b"one" * 100_000)
    assert path.read_bytes() == b"one" * 100_000
    assert mode_of(path) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_is_there_already_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert create_secret(path, b"first")
    assert not create_secret(path, b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_a_secret_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        create_secret(tmp_path / "secret", b"new")
    assert list(tmp_path.iterdir()) == []


@needs_modes
def test_a_secret_is_replaced_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret"
    replace_secret(path, b"first")
    path.chmod(0o644)
    replace_secret(path, b"two" * 100_000)
    assert path.read_bytes() == b"two" * 100_000
    assert mode_of(path) == 0o600
    assert mode_of(path.parent) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    replace_secret(path, b"first")

    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        replace_secret(path, b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


@needs_modes
@pytest.mark.parametrize(
    ("of_file", "of_folder", "words"),
    [
        (0o600, 0o700, []),
        (0o400, 0o755, []),
        (0o640, 0o700, ["secret can be read by others: chmod 600"]),
        (0o604, 0o700, ["secret can be read by others: chmod 600"]),
        (0o600, 0o777, ["can be written by others: chmod 700"]),
        (0o666, 0o720, ["secret can be read by others", "can be written by others"]),
    ],
)
def test_a_secret_that_is_open_to_others_is_warned_of(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    of_file: int,
    of_folder: int,
    words: list[str],
) -> None:
    folder = tmp_path / "folder"
    create_secret(folder / "secret", b"x")
    (folder / "secret").chmod(of_file)
    folder.chmod(of_folder)
    with caplog.at_level(logging.WARNING, "socketchat.trust"):
        warn_if_exposed(folder / "secret")
    folder.chmod(0o700)
    assert len(caplog.messages) == len(words)
    for message, part in zip(caplog.messages, words, strict=True):
        assert part in message
