"""Claims about `import socketchat`: what it offers, and what it does not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_origin

import pytest

import socketchat

#: What only the command needs, or a room, or who meets somebody's key.
FOREIGN = (
    "click",
    "confusable_homoglyphs",
    "cryptography",
    "precis_i18n",
    "prompt_toolkit",
    "redis",
    "sqlite3",
    "uvloop",
    "zeroconf",
)
#: What only users' tests, or people in front of a terminal, need.
OURS = ("socketchat.chat", "socketchat.cli", "socketchat.testing", "socketchat.text")

#: What the library is made of, and the command needs for a session alone.
LIBRARY = ("asyncio", "cryptography", "msgspec", "ssl")

#: The public names, and their modules.
HOMES = {name: home for home, names in socketchat._NAMES.items() for name in names.split()}


def modules_loaded_by(statement: str) -> set[str]:
    """Return the names of all modules that a new interpreter has after a statement."""
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def modules_loaded_to_answer(*arguments: str) -> set[str]:
    """Return the names of all modules that the command loads, however it ends."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "socketchat", *arguments],
        capture_output=True,
        check=False,
        text=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert "socketchat.cli.main" in loaded
    return loaded


# What is not loaded


def test_the_library_loads_nothing_before_it_is_used() -> None:
    loaded = modules_loaded_by("import socketchat")
    assert [name for name in loaded if name.startswith("socketchat")] == ["socketchat"]
    assert loaded.isdisjoint((*FOREIGN, *OURS, *LIBRARY))


def test_the_library_loads_nothing_that_only_the_command_needs() -> None:
    loaded = modules_loaded_by("from socketchat import *")
    assert "socketchat.session" in loaded
    assert loaded.isdisjoint((*FOREIGN, *OURS))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["serve", "--help"], ["trust", "-h"], [], ["--version"], ["serve", "--frob"]],
    ids=" ".join,
)
def test_what_needs_no_session_is_answered_without_the_library(arguments: list[str]) -> None:
    foreign = {*FOREIGN, "sqlite3"} - {"click"}
    loaded = modules_loaded_to_answer(*arguments)
    assert loaded.isdisjoint((*foreign, *LIBRARY, "socketchat.chat", "socketchat.session"))


def test_the_data_of_look_alikes_come_without_the_code_of_their_package() -> None:
    loaded = modules_loaded_by("import socketchat.chat")
    assert loaded.isdisjoint(("confusable_homoglyphs.confusables", "http.client", "urllib.request"))


def test_rooms_in_memory_load_nothing_that_only_a_log_on_the_disk_needs() -> None:
    loaded = modules_loaded_by("import socketchat.chat; socketchat.chat.ChatServer()")
    assert loaded.isdisjoint(("sqlite3", "redis"))


def test_rooms_and_the_command_load_nothing_that_only_a_log_in_redis_needs() -> None:
    loaded = modules_loaded_by("import socketchat.chat, socketchat.cli.serve")
    assert "redis" not in loaded


# What is offered


@pytest.mark.parametrize("name", socketchat.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    offered = getattr(socketchat, name)
    if callable(offered) and get_origin(offered) is None:  # an alias has no text of its own
        assert offered.__doc__
        assert offered.__module__.startswith("socketchat.")


def test_the_names_that_are_declared_are_the_ones_that_are_found() -> None:
    assert dir(socketchat) == sorted(socketchat.__all__)
    assert sorted(HOMES) == dir(socketchat)


def test_type_checkers_are_told_the_homes_that_names_have() -> None:
    (told,) = (
        node
        for node in ast.parse(Path(socketchat.__file__).read_text("utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    homes = {
        alias.name: node.module
        for node in told.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == {name: f"socketchat.{home}" for name, home in HOMES.items()}


@pytest.mark.parametrize("first", ["socketchat.Session", "from socketchat import CloseCode"])
def test_the_first_name_that_is_asked_for_brings_all_others(first: str) -> None:
    # So that nothing is loaded later, when the event loop runs.
    loaded = modules_loaded_by(
        f"import socketchat; assert 'Peer' not in vars(socketchat); {first}; "
        "before = set(sys.modules); from socketchat import *; assert before == set(sys.modules)"
    )
    assert "socketchat.server" in loaded


def test_a_star_brings_every_name() -> None:
    names = modules_loaded_by("from socketchat import *; sys.modules = dict.fromkeys(dir())")
    assert set(socketchat.__all__) <= names


def test_a_name_that_is_not_there_is_an_error_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match=r"^module 'socketchat' has no attribute 'nope'$"):
        _ = socketchat.nope  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'nope'"):
        exec("from socketchat import nope")
    assert not hasattr(socketchat, "connect_")
