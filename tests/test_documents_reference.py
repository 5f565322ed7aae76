"""What the reference lists is what the code has: nothing is missing, and every value is right."""

from __future__ import annotations

import importlib
import re
import stat
from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pytest

import socketchat
import socketchat.chat
import socketchat.testing
from socketchat.chat.memory_log import MemoryLog
from socketchat.cli.commands import COMMANDS
from socketchat.cli.outcome import ExitCode
from tests.cli.processes import stage
from tests.processes import ROOT

REFERENCE = ROOT / "docs" / "reference"
SOURCE = ROOT / "src" / "socketchat"


def rows_of(page: str) -> Iterator[list[str]]:
    """Return the cells of all tables of a page."""
    for line in (REFERENCE / page).read_text("utf-8").splitlines():
        if line.startswith("|") and not line.startswith("| ---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


# The library


@pytest.mark.parametrize(
    ("module", "page"),
    [
        (socketchat, "library.md"),
        (socketchat.chat, "chat.md"),
        (socketchat.testing, "testing.md"),
    ],
)
def test_every_public_name_is_described_once(module: object, page: str) -> None:
    name, names = getattr(module, "__name__"), getattr(module, "__all__")  # noqa: B009
    text = (REFERENCE / page).read_text("utf-8")
    described = re.findall(rf"^\.\. (?:auto|py:)\w+:: {name}\.(\w+)$", text, re.MULTILINE)
    assert sorted(described) == sorted(names)


# Codes


def test_the_close_codes_are_those_of_the_code() -> None:
    shown = {
        int(code): (name, back == "yes")
        for code, name, _, back in (row for row in rows_of("codes.md") if len(row) == 4)
        if code.isdecimal()
    }
    assert shown == {
        code.value: (code.name, socketchat.CloseCode.is_temporary(code))
        for code in socketchat.CloseCode
    }


def test_the_exit_codes_are_those_of_the_code() -> None:
    rows = [row for row in rows_of("codes.md") if len(row) == 3 and row[0].isdecimal()]
    assert {name: int(code) for code, name, _ in rows} == dict(ExitCode.__members__)


# The console


def test_the_slash_commands_are_those_of_the_table_in_its_order() -> None:
    shown = [row for row in rows_of("console.md") if row[0].startswith("`/")]
    assert shown == [
        [
            f"`{f'/{name} {command.usage}'.rstrip()}`".replace("|", r"\|"),
            command.summary + ("; for operators" if command.for_operators else ""),
        ]
        for name, command in COMMANDS.items()
    ]


# Limits

UNITS = {
    "KiB": 2**10,
    "MiB": 2**20,
    "s": 1,
    "d": timedelta(days=1).total_seconds(),
    "characters": 1,
    "columns": 1,
    "": 1,
}


def value_of(text: str) -> float:
    """Return the value that a cell gives: `1 MiB`, `10,000`, `0.2 s`, `2^63 - 1`."""
    if found := re.fullmatch(r"2\^(\d+) - 1", text):
        return (1 << int(found[1])) - 1
    number, _, unit = text.partition(" ")
    value = float(number.replace(",", "")) * UNITS[unit]
    return int(value) if value.is_integer() else value


def in_code(name: str) -> list[float]:
    """Return what the code has for a name of the page: a constant, or a default of a class."""
    home, _, attribute = name.rpartition(".")
    match home:
        case "Options":
            value = getattr(socketchat.Options(), attribute)
        case "Rules" | "Rate":
            value = getattr(getattr(socketchat.chat, home)(), attribute)
        case "MemoryLog":
            value = (MemoryLog.__init__.__kwdefaults__ or {})[attribute]
        case _:
            value = getattr(importlib.import_module(f"socketchat.{home}"), attribute)
    return list(value) if isinstance(value, tuple) else [value]


def limits() -> dict[tuple[str, ...], list[float]]:
    """Return the values of the page, by the names in their rows."""
    return {
        tuple(quoted(names)): [value_of(one) for one in values.split(", ")]
        for _, names, values, _ in rows_of("limits.md")
        if names != "name"
    }


def test_every_limit_is_what_the_code_has() -> None:
    shown = limits()
    assert shown
    for names, values in shown.items():
        assert [value for name in names for value in in_code(name)] == values, names


def test_every_bound_of_the_code_is_on_the_page() -> None:
    names = {name for row in limits() for name in row}
    for path in SOURCE.rglob("*.py"):
        home = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for name in re.findall(r"^(_?MAX_\w+)\b.*= ", path.read_text("utf-8"), re.MULTILINE):
            assert f"{home}.{name}" in names or home.startswith("testing.")


# The house


def listed_in_the_house() -> set[str]:
    """Return what the architecture has in its list of files: their paths, perhaps with a star."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    block, beside = re.findall(r"\n## The house\n\n```\n(.*?)```\n(.*?)\n## ", text, re.DOTALL)[0]
    listed = set(re.findall(r"`([\w/]+(?:\.py|/))`", beside))
    home = ""
    for line in block.splitlines():
        if not line.startswith(" "):
            found = re.match(r"(\w+/) ", line)
            home = found[1] if found else ""
        listed |= {home + name for name in re.findall(r"[\w*]+\.py", line)}
    return listed


def test_the_house_in_the_architecture_is_the_one_that_there_is() -> None:
    listed = listed_in_the_house()
    files = [path.relative_to(SOURCE) for path in SOURCE.rglob("*.py")]
    names = [str(PurePosixPath(path)) for path in files if not path.stem.startswith("__")]

    def is_of(name: str, entry: str) -> bool:
        return name.startswith(entry) if entry.endswith("/") else fnmatchcase(name, entry)

    assert [name for name in names if not any(is_of(name, entry) for entry in listed)] == []
    assert [entry for entry in listed if not any(is_of(name, entry) for name in names)] == []


# Files


def test_every_file_is_on_the_page_and_nobody_elses_to_read(tmp_path: Path) -> None:
    listed = {name.rstrip("/") for row in rows_of("files.md") for name in quoted(row[0])}
    with stage(tmp_path) as it:
        server = it.serve()
        it.join(f"127.0.0.1:{server.port}", "ada")
        made = [path for home in ("server", "client") for path in (tmp_path / home).iterdir()]
        assert {"server.pem", "log.db", "device.key", "known_hosts"} < {one.name for one in made}
        assert {one.name for one in made} <= listed
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in made}
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def quoted(cell: str) -> list[str]:
    """Return what is in backticks."""
    return re.findall(r"`([^`]+)`", cell)
