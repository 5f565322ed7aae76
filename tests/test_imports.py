"""Claims about `import socketchat`: what it offers, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import socketchat

#: What only the command needs, or a room.
FOREIGN = (
    "click",
    "confusable_homoglyphs",
    "precis_i18n",
    "prompt_toolkit",
    "redis",
    "sqlite3",
    "uvloop",
    "zeroconf",
)
#: What only users' tests, or people in front of a terminal, need.
OURS = ("socketchat.chat", "socketchat.cli", "socketchat.testing", "socketchat.text")


def modules_loaded_by(statement: str) -> set[str]:
    """Return the names of all modules that a new interpreter has after a statement."""
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_the_library_loads_nothing_that_only_the_command_needs() -> None:
    loaded = modules_loaded_by("import socketchat")
    assert "socketchat.session" in loaded
    assert loaded.isdisjoint((*FOREIGN, *OURS))


def test_help_loads_nothing_that_compares_names() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "socketchat", "--help"],
        capture_output=True,
        check=True,
        text=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "socketchat.cli.main" in loaded
    assert loaded.isdisjoint(("confusable_homoglyphs", "precis_i18n", "socketchat.chat"))


def test_the_data_of_look_alikes_come_without_the_code_of_their_package() -> None:
    loaded = modules_loaded_by("import socketchat.chat")
    assert loaded.isdisjoint(("confusable_homoglyphs.confusables", "http.client", "urllib.request"))


def test_rooms_and_the_command_load_nothing_that_only_a_log_in_redis_needs() -> None:
    loaded = modules_loaded_by("import socketchat.chat, socketchat.cli.serve")
    assert "redis" not in loaded


@pytest.mark.parametrize("name", ["cryptography", "msgspec", "platformdirs"])
def test_what_the_library_does_load_is_declared(name: str) -> None:
    assert name in modules_loaded_by("import socketchat")


@pytest.mark.parametrize("name", socketchat.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    offered = getattr(socketchat, name)
    if isinstance(offered, type) or callable(offered):
        assert offered.__doc__
        assert offered.__module__.startswith("socketchat.")


def test_there_are_no_public_names_but_those_that_are_declared() -> None:
    offered = {name for name, value in vars(socketchat).items() if not name.startswith("_")}
    modules = {name for name in offered if f"socketchat.{name}" in sys.modules}
    assert offered - modules == set(socketchat.__all__)
