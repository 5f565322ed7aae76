"""Claims about `socketchat.cli.address`: where callers find the server, noted in a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from socketchat.cli.address import load_address, save_address
from socketchat.cli.target import Target


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [("maple", 7625, "maple:7625\n"), ("::1", 80, "[::1]:80\n"), ("bücher", 1, "bücher:1\n")],
)
def test_what_is_noted_is_found_again(tmp_path: Path, host: str, port: int, text: str) -> None:
    save_address(tmp_path, "elsewhere", 1)
    save_address(tmp_path, host, port)
    assert load_address(tmp_path) == Target(host, port)
    assert [path.read_text("utf-8") for path in tmp_path.iterdir()] == [text]


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    save_address(tmp_path, "maple", 7625)
    assert stat.S_IMODE((tmp_path / "address").stat().st_mode) == 0o600


def test_nothing_was_noted_yet(tmp_path: Path) -> None:
    assert load_address(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", [b"", b"two words", b"\xff", b"maple:0"])
def test_a_file_that_is_no_address_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "address").write_bytes(text)
    with pytest.raises(ValueError, match="address holds no address: take it away"):
        load_address(tmp_path)


def test_what_cannot_be_noted_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "address").mkdir()
    with pytest.raises(OSError, match="address"):
        save_address(tmp_path, "maple", 7625)
    assert [path.name for path in tmp_path.iterdir()] == ["address"]
