"""What is shown to operators: the unit for systemd, the compose file, and what is said of figures.

A unit is verified by systemd itself where there is one, and YAML is parsed where there is a parser;
neither is needed to run the tests. Every `socketchat ...` in them is parsed by the command line.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from socketchat.refusals import Refusal
from tests.chat.chatting import chat
from tests.chat.test_metrics import page_of
from tests.cli.processes import Server, Stage, stage
from tests.processes import ROOT
from tests.test_documents import parse

UNIT = ROOT / "examples" / "systemd" / "socketchat.service"
COMPOSE = ROOT / "examples" / "compose.yaml"
PAGE = ROOT / "docs" / "operating.md"


def parse_known(words: list[str]) -> dict[str, str]:
    """Parse a `serve` command, and return its options that have values."""
    given = dict(itertools.pairwise(words))
    parse(words)
    return {name: value for name, value in given.items() if name.startswith("--")}


# systemd


def unit() -> dict[str, list[str]]:
    """Return the settings of the unit; each line of it must be one, a section, or a comment."""
    settings: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if line and not line.startswith("#") and not re.fullmatch(r"\[\w+\]", line):
            found = re.fullmatch(r"(\w+)=(.*)", line)
            assert found is not None, line
            settings.setdefault(found[1], []).append(found[2])
    return settings


def test_the_unit_starts_a_command_that_exists() -> None:
    (start,) = unit()["ExecStart"]
    program, *words = shlex.split(start)
    assert Path(program).is_absolute()
    assert Path(program).name == "socketchat"
    options = parse_known(words)
    assert "--headless" in words
    (state,) = unit()["StateDirectory"]
    assert options["--data"] == f"/var/lib/{state}"
    assert options["--metrics"].startswith(":")  # this machine alone


def test_the_unit_stops_and_starts_the_server_as_it_wants_it() -> None:
    settings = unit()
    assert settings["KillSignal"] == ["SIGTERM"]
    assert settings["Restart"] == ["on-failure"]
    assert int(settings["TimeoutStopSec"][0]) > 10  # `close_timeout`, and the commits
    for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome"):
        assert settings[name] == ["yes"]
    assert settings["ProtectSystem"] == ["strict"]


def test_the_unit_takes_what_is_secret_from_a_file_that_the_page_has_root_alone_read() -> None:
    (file,) = unit()["EnvironmentFile"]
    assert file.startswith("-/etc/")  # it need not be there
    assert f"install -m 0600 /dev/null {file[1:]}" in PAGE.read_text("utf-8")
    assert "Environment" not in unit()  # everybody may read that


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text("utf-8")
    (program,) = set(re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE))
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(f"ExecStart={program}", "ExecStart=/bin/true"), "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# compose


def commands_of(text: str) -> list[list[str]]:
    """Return the `socketchat ...` of the compose file: each a folded block under `command`."""
    blocks = re.findall(r"^( *)command: >-\n((?:\1 +\S.*\n)+)", text, re.MULTILINE)
    commands = [shlex.split(body) for _, body in blocks]
    return [words[1:] for words in commands if words[0] == "socketchat"]


def test_the_servers_of_the_compose_file_run_a_command_that_exists() -> None:
    (words,) = commands_of(COMPOSE.read_text("utf-8"))
    options = parse_known(words)
    assert options["--redis"].startswith("redis://redis:")
    assert options["--data"] == "/data"


def test_the_compose_file_is_well_formed() -> None:
    text = COMPOSE.read_text("utf-8")
    assert "\t" not in text
    for number, line in enumerate(text.splitlines(), 1):
        assert (len(line) - len(line.lstrip())) % 2 == 0, number
    services = text.partition("\nservices:\n")[2].partition("\nvolumes:\n")
    assert re.findall(r"^  (\w+):$", services[0], re.MULTILINE) == ["one", "two", "redis"]
    assert services[0].count("<<: *server") == 2
    volumes = re.findall(r"^  (\w+):$", services[2], re.MULTILINE)
    assert volumes == re.findall(r'volumes: \["(\w+):/data"\]', services[0])
    assert "--appendfsync always --maxmemory-policy noeviction" in services[0]
    (asked,) = re.findall(r'urlopen\("http://(\S+)/healthz"', text)
    (shown,) = re.findall(r"--metrics (\S+)", text)
    assert asked == shown


@pytest.mark.skipif(importlib.util.find_spec("yaml") is None, reason="there is no parser of YAML")
def test_the_compose_file_says_what_it_seems_to() -> None:
    parser: Any = importlib.import_module("yaml")
    told = parser.safe_load(COMPOSE.read_text("utf-8"))
    one, two = told["services"]["one"], told["services"]["two"]
    assert one["command"] == two["command"]
    assert shlex.split(one["command"])[1:] in commands_of(COMPOSE.read_text("utf-8"))
    assert one["ports"] != two["ports"]
    assert one["healthcheck"]["test"][:3] == ["CMD", "python", "-c"]
    compile(one["healthcheck"]["test"][3], "healthcheck", "exec")
    assert set(told["volumes"]) == set(told["services"])


# What the page says of the figures


@pytest.mark.virtual_time
@pytest.mark.may_block("the page is read")
async def test_the_figures_in_the_document_are_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = re.findall(r"^\| `([a-z_]+)`", PAGE.read_text("utf-8"), re.MULTILINE)
    async with chat(monkeypatch) as it:
        names = {re.sub(r"\{.*", "", name) for name in page_of(it)}
    assert set(rows) == {re.sub("_(bucket|sum|count)$", "", name) for name in names}
    assert len(rows) == len(set(rows))


def test_the_reasons_of_refusals_are_in_the_document() -> None:
    text = PAGE.read_text("utf-8")
    assert all(f"`{kind.name.lower()}`" in text for kind in Refusal)


# Back-up and restore


def back_up(source: Path, target: Path) -> None:
    """Copy a server's data while it runs, as the page says."""
    target.mkdir(mode=0o700)
    for name in ("log.db", "people.db"):
        with (
            closing(sqlite3.connect(f"file:{source / name}?mode=ro", uri=True)) as running,
            closing(sqlite3.connect(target / name)) as copy,
        ):
            running.backup(copy)
    for name in ("server.pem", "device.key", "address"):
        shutil.copy2(source / name, target)


def send(it: Stage, server: Server, *lines: str) -> None:
    ada = it.start("send", server.address, *lines, "--nick", "ada", "--data", str(it.folder / "a"))
    assert ada.wait() == 0, ada.said


def test_a_server_goes_on_from_a_copy_that_was_made_while_it_ran(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        bob = it.join(server.address, "bob")
        send(it, server, "kept")
        bob.until(lambda: bob.lines == ["ada: kept"])
        back_up(tmp_path / "server", tmp_path / "copy")
        send(it, server, "said too late")
        bob.until(lambda: bob.lines == ["ada: kept", "ada: said too late"])
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        # Here and now in another directory, at the same address and with the same key.
        restored = it.serve(data="copy", port=server.port)
        assert restored.key == server.key
        bob.until(lambda: "has started anew" in bob.err)
        send(it, restored, "and on")
        bob.until(lambda: bob.lines[-1] == "ada: and on")
        history = it.start("history", "--data", str(tmp_path / "copy"))
        assert history.wait() == 0
        assert [line.split(": ", 1)[1] for line in history.lines] == ["kept", "and on"]
