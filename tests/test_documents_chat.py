"""The first chat of the tutorial is what two people see who type the same at two terminals."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest

from tests.documents.pages import Block, blocks_of
from tests.processes import ROOT

if sys.platform == "win32":
    pytest.skip("terminals are a Unix thing", allow_module_level=True)

from tests.cli.processes import stage

TUTORIAL = ROOT / "docs" / "tutorial.md"
HOSTS = rf"(?:maple|localhost|127\.0\.0\.1|0\.0\.0\.0, \[::\]|{re.escape(socket.gethostname())})"


def transcript(begin: str) -> list[str]:
    """Return the lines of the first block with this command, without the command."""
    for block in blocks_of(TUTORIAL.read_text("utf-8")):
        if block.body.startswith(f"$ {begin}\n"):
            return shown_by(block)
    raise AssertionError(begin)


def shown_by(block: Block) -> list[str]:
    return block.body.splitlines()[1:]


def comparable(row: str) -> str:
    """Return a row without where and when it was."""
    row = re.sub(rf"{HOSTS}(?::\d+)?", "HOST", row)
    return re.sub(r"^\d\d:\d\d|(?<=SHA256:)[\w+/]+|(?<=port )\d+|\(HOST\)", "~", row).rstrip()


def assert_shown(rows: list[str], lines: list[str]) -> None:
    """Claim that all lines are among the rows, in their order."""
    seen = iter(map(comparable, rows))
    for line in lines:
        assert comparable(line) in seen, "\n".join(
            [line, "is missing, or not in its place:", *rows]
        )


def test_two_terminals_show_the_first_chat(tmp_path: Path) -> None:
    hosts = transcript("socketchat serve --nick ada")
    callers = transcript("socketchat connect localhost --nick grace")
    said = [found.groups() for line in hosts if (found := re.match(r"[\d:]{5} +(\w+): (.+)", line))]
    assert len(said) == 3
    with stage(tmp_path) as it:
        ada = it.open_terminal(
            *("serve", "--nick", "ada", "--host", "127.0.0.1", "--port", "0"),
            *("--data", str(tmp_path / "ada")),
            columns=150,
        )
        ada.shows("-- ada in lobby", ">>")
        port = next(row for row in ada.everything if row.startswith("listening on")).split()[-1]
        grace = it.open_terminal(
            *("connect", f"127.0.0.1:{port}", "--nick", "grace", "--data", str(tmp_path / "grace")),
            env={"SOCKETCHAT_TRUST": "ask"},
            columns=150,
        )
        grace.shows("Is that the right one?")
        grace.write("yes\r")
        grace.shows("-- here: ada", ">>")
        ada.shows("is online")
        for name, words in said:
            text = words.removesuffix(" ✓ sent")
            author, reader = (ada, grace) if name == "ada" else (grace, ada)
            author.write(f"{text}\r")
            author.shows(f"{text} ✓ sent")
            reader.shows(f"{name}: {text}")
        grace.write("\x04")
        ada.shows(") left")
        assert_shown(grace.everything, callers)
        assert_shown(ada.everything, hosts)


def test_a_line_that_is_not_shown_in_its_place_is_found_out() -> None:
    assert_shown(["05:25 ada: a", "x", "06:01 ada: b"], ["07:00 ada: a", "07:00 ada: b"])
    for lines in (["07:00 ada: c"], ["07:00 ada: b", "07:00 ada: a"], ["07:00 eve: a"]):
        with pytest.raises(AssertionError):
            assert_shown(["05:25 ada: a", "x", "06:01 ada: b"], lines)
