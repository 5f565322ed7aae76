"""Claims about `socketchat.cli.completion`: what shells are told, and what they make of it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from socketchat.cli.outcome import ExitCode
from tests.cli.processes import Stage, Terminal, stage, status
from tests.cli.test_main import HEAVY, WATCHED, imported

SHELLS = ("bash", "zsh", "fish")
PIN = f"SHA256:{'A' * 43}"
KNOWN = f"""\
# a comment
maple:7625 {PIN}
maple:4000 {PIN} {PIN}
[::1]:4000 {PIN}
oak:7625 no pin
$(touch${{IFS}}x):7625 {PIN}
müller.example:7625 {PIN}
"""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def remember(folder: Path, text: str = KNOWN) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "known_hosts").write_text(text, "utf-8")
    return str(folder)


def asked_by(shell: str, line: str) -> dict[str, str]:
    """Return the variables with which the script of a shell asks what may stand at a line's end."""
    words = line.split(" ")
    asked = {"_SOCKETCHAT_COMPLETE": f"{shell}_complete", "COMP_WORDS": line}
    match shell:
        case "bash":
            return asked | {"COMP_LINE": line, "COMP_WORDBREAKS": " \t\n\"'><=;|&(:"}
        case "zsh":
            return asked | {"COMP_CWORD": str(len(words) - 1)}
        case _:
            return asked | {"COMP_CWORD": words[-1]}


def answer(out: str, shell: str) -> list[str]:
    """Return the values that the script of a shell is told."""
    lines = out.removesuffix("\n").split("\n")
    if shell == "zsh":
        return [value.replace("\\:", ":") for value in lines[1::3]]
    return [line.partition(",")[2].partition("\t")[0] for line in lines if line]


def completed(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    line: str,
    shell: str = "zsh",
) -> list[str]:
    """Return what may stand at the end of a line."""
    for name, value in asked_by(shell, line).items():
        monkeypatch.setenv(name, value)
    assert status(monkeypatch) in (0, 1)
    out, err = capfd.readouterr()
    assert err == ""
    return answer(out, shell)


# What is completed


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("socketchat conn", ["connect"]),
        ("socketchat trust ", ["forget", "list"]),
        ("socketchat trust forget map", ["maple", "maple:4000"]),
        ("socketchat serve --max", ["--max-callers", "--max-per-address"]),
        ("socketchat connect --trust a", ["ask", "accept-new"]),
        ("socketchat connect ", ["[::1]:4000", "maple", "maple:4000", "müller.example"]),
        ("socketchat connect MAP", ["maple", "maple:4000"]),
        ("socketchat send --no-tls o", []),
        ("socketchat send maple o", []),
        ("socketchat tail --nick ada m", ["maple", "maple:4000", "müller.example"]),
        ("socketchat completion ", ["bash", "zsh", "fish"]),
        ("socketchat --conf", ["--config"]),
    ],
)
def test_commands_options_choices_and_servers_are_completed(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    shell: str,
    line: str,
    values: list[str],
) -> None:
    monkeypatch.setenv("SOCKETCHAT_DATA", remember(tmp_path))
    assert completed(monkeypatch, capfd, line, shell) == values


@pytest.mark.parametrize("shell", ["bash", "zsh"])  # click's script for fish cuts at commas
@pytest.mark.parametrize(
    ("last", "values"),
    [
        ("oak,ma", ["oak,maple", "oak,maple:4000"]),
        ("oak:80,[::", ["oak:80,[::1]:4000"]),
        ("MAPLE,maple", ["MAPLE,maple:4000"]),
        ("maple/tea,ma", []),
    ],
)
def test_servers_behind_a_comma_are_completed_but_for_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    shell: str,
    last: str,
    values: list[str],
) -> None:
    monkeypatch.setenv("SOCKETCHAT_DATA", remember(tmp_path))
    found = completed(monkeypatch, capfd, f"socketchat connect {last}", shell)
    if shell == "bash":  # which takes what stands behind the last colon alone
        values = [value.removeprefix(last[: last.rfind(":") + 1]) for value in values]
    assert found == values


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("socketchat serve --cert ", "file"),
        ("socketchat serve --data ", "dir"),
        ("socketchat --config ", "file"),
    ],
)
def test_files_are_left_to_the_shell(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], line: str, kind: str
) -> None:
    for name, value in asked_by("bash", line).items():
        monkeypatch.setenv(name, value)
    assert status(monkeypatch) == 0
    assert capfd.readouterr() == (f"{kind},\n", "")


def test_servers_are_looked_up_where_the_command_would(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    variable = remember(tmp_path / "a", f"aspen:7625 {PIN}\n")
    option = remember(tmp_path / "b", f"birch:7625 {PIN}\n")
    remember(tmp_path / "c", f"cedar:7625 {PIN}\n")
    config = tmp_path / "config.toml"
    config.write_text('data = "c"', "utf-8")

    assert completed(monkeypatch, capfd, f"socketchat --config {config} connect ") == ["cedar"]
    monkeypatch.setenv("SOCKETCHAT_CONFIG", str(config))
    assert completed(monkeypatch, capfd, "socketchat connect ") == ["cedar"]
    monkeypatch.setenv("SOCKETCHAT_DATA", variable)
    assert completed(monkeypatch, capfd, "socketchat connect ") == ["aspen"]
    assert completed(monkeypatch, capfd, f"socketchat connect --data {option} ") == ["birch"]
    assert completed(monkeypatch, capfd, f"socketchat trust forget --data {option} ") == ["birch"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("socketchat connect maple:", ["4000"]),
        ("socketchat connect maple:4", ["4000"]),
        ("socketchat connect [::1]:", ["4000"]),
        ("socketchat connect [", ["[::1]:4000"]),
        ("socketchat connect --trust=st", ["strict"]),
        ("socketchat connect 'map", ["maple", "maple:4000"]),
        ("socketchat connect --nick 'Ada L' m", ["maple", "maple:4000", "müller.example"]),
    ],
)
def test_bash_is_told_what_stands_behind_the_last_place_where_it_cuts(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    line: str,
    values: list[str],
) -> None:
    monkeypatch.setenv("SOCKETCHAT_DATA", remember(tmp_path))
    assert completed(monkeypatch, capfd, line, "bash") == values


# What goes wrong


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_broken_completes_nothing_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, shell: str
) -> None:
    line = "socketchat connect "
    (tmp_path / "known_hosts").mkdir()
    monkeypatch.setenv("SOCKETCHAT_DATA", str(tmp_path))
    assert completed(monkeypatch, capfd, line, shell) == []
    monkeypatch.setenv("SOCKETCHAT_DATA", str(tmp_path / "missing"))
    assert completed(monkeypatch, capfd, line, shell) == []
    monkeypatch.setenv("SOCKETCHAT_DATA", __file__)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert completed(monkeypatch, capfd, line, shell) == []


@pytest.mark.parametrize("text", ["no TOML", "data = 1", "frob = 1"])
def test_a_broken_configuration_is_no_matter_while_somebody_types(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text, "utf-8")
    monkeypatch.setenv("SOCKETCHAT_CONFIG", str(config))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    remember(tmp_path / "socketchat")
    values = completed(monkeypatch, capfd, "socketchat connect map")
    assert values == ["maple", "maple:4000"]


@pytest.mark.parametrize("asked", ["bash_complete", "tcsh_complete", "zsh_frob", "x"])
def test_a_question_that_is_none_gets_no_answer(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], asked: str
) -> None:
    monkeypatch.delenv("COMP_LINE", raising=False)
    monkeypatch.setenv("_SOCKETCHAT_COMPLETE", asked)
    assert status(monkeypatch) == ExitCode.INTERNAL_ERROR
    assert capfd.readouterr() == ("", "")


def test_completing_loads_nothing_that_takes_time(tmp_path: Path) -> None:
    data = {"SOCKETCHAT_DATA": remember(tmp_path)}
    with stage(tmp_path) as it:
        asked = it.start(env=WATCHED | data | asked_by("zsh", "socketchat connect map"))
        assert asked.wait() == 0
        assert answer(asked.out, "zsh") == ["maple", "maple:4000"]
        heavy = HEAVY | {"asyncio", "ssl", "msgspec", "cryptography", "sqlite3"}
        assert not imported(asked) & heavy


def test_the_installed_command_completes_too(tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("socketchat")
    if not installed.exists():
        pytest.skip("not installed")
    done = subprocess.run(
        [installed],
        capture_output=True,
        check=True,
        env=os.environ | asked_by("fish", "socketchat conn"),
        text=True,
    )
    assert done.stdout == "plain,connect\tCall a server, and chat.\n"


# Scripts


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_asks_the_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], shell: str
) -> None:
    assert status(monkeypatch, "completion", shell) == ExitCode.DONE
    out, err = capfd.readouterr()
    assert f"_SOCKETCHAT_COMPLETE={shell}_complete" in out
    assert err == ""


def test_no_other_shell_has_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert status(monkeypatch, "completion", "tcsh") == ExitCode.USAGE
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in capfd.readouterr().err


# Real shells


def at_shell(it: Stage, shell: str, *arguments: str) -> Terminal:
    """Start a shell at a terminal, in which `socketchat` is found."""
    folder = it.folder / "bin"
    folder.mkdir()
    program = folder / "socketchat"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m socketchat "$@"\n')
    program.chmod(0o700)
    env = {
        "PATH": f"{folder}:{it.environment['PATH']}",
        "SOCKETCHAT_DATA": remember(it.folder / "data"),
        "PS1": "$ ",
    }
    return it.open_terminal(*arguments, program=shell, env=env)


def last_row(terminal: Terminal) -> str:
    return terminal.text.rpartition("\n")[2]


@needs("bash")
def test_bash_completes(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        bash = at_shell(it, "bash", "--norc", "--noprofile", "-i")
        bash.until(lambda: last_row(bash) == "$")
        bash.write('eval "$(socketchat completion bash)"; clear; echo ready\n')
        bash.until(lambda: bash.rows[:2] == ["ready", "$"])
        bash.write("socketchat conn\t")
        bash.until(lambda: last_row(bash) == "$ socketchat connect")
        bash.write("map\t:\t--trust=st\t")
        bash.until(lambda: last_row(bash) == "$ socketchat connect maple:4000 --trust=strict")
        (tmp_path / "some-file").touch()
        bash.write("\x15socketchat serve --cert some\t")
        bash.until(lambda: last_row(bash) == "$ socketchat serve --cert some-file")


@needs("zsh")
def test_zsh_completes(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        zsh = at_shell(it, "zsh", "-f", "-i")
        zsh.until(lambda: last_row(zsh) == "$")
        zsh.write("autoload -U compinit; compinit -u -D; zle_highlight=(none); ")
        zsh.write('eval "$(socketchat completion zsh)"; clear; echo ready\n')
        zsh.until(lambda: zsh.rows[:2] == ["ready", "$"])
        zsh.write("socketchat conn\t")
        zsh.until(lambda: last_row(zsh) == "$ socketchat connect")
        zsh.write("maple:\t --trust st\t")
        zsh.until(lambda: last_row(zsh) == "$ socketchat connect maple:4000 --trust strict")


@needs("fish")
def test_fish_completes(tmp_path: Path) -> None:
    script = (
        "socketchat completion fish | source; complete -C 'socketchat conn'; "
        "complete -C 'socketchat connect maple:'; complete -C 'socketchat connect --trust st'"
    )
    with stage(tmp_path) as it:
        fish = at_shell(it, "fish", "--no-config", "-c", script)
        assert fish.wait() == 0
        names = [row.split()[0] for row in fish.rows if row]
        assert names == ["connect", "maple:4000", "strict"]
