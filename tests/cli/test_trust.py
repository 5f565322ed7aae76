"""Claims about `socketchat.cli.trust`: whom this device knows, and how one is forgotten."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from socketchat import Identity
from socketchat.trust.known_hosts import KnownHosts
from tests.cli.asks import Ask
from tests.cli.processes import last_line, stage

ONE, OTHER = (Identity.generate().fingerprint for _ in range(2))


def known(folder: Path, *hosts: str) -> KnownHosts:
    it = KnownHosts(folder / "known_hosts")
    for host in hosts:
        it.add(host, ONE)
    return it


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    return Ask("trust", tmp_path, monkeypatch, capfd)


# Listing


def test_whom_one_knows_is_listed_as_one_would_call_it(tmp_path: Path, ask: Ask) -> None:
    hosts = known(tmp_path, "maple:7625", "maple:80", "[::1]:7625")
    hosts.announce("maple:80", OTHER)
    code, out, err = ask("list")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"maple {ONE}",
        f"maple:80 {ONE} (next {OTHER})",
        f"[::1] {ONE}",
    ]


def test_the_list_is_for_programs_too(tmp_path: Path, ask: Ask) -> None:
    known(tmp_path, "maple:7625", "b\x1b[2J:80").announce("maple:7625", OTHER)
    code, out, _ = ask("list", "--json")
    assert code == 0
    usual = {"type": "known_host", "key": ONE}
    assert [json.loads(line) for line in out.splitlines()] == [
        {**usual, "host": "maple:7625", "next": OTHER, "line": 1},
        {**usual, "host": "b\x1b[2j:80", "next": None, "line": 2},
    ]
    assert "\x1b" not in out


def test_a_name_that_a_terminal_would_obey_is_shown_harmlessly(tmp_path: Path, ask: Ask) -> None:
    known(tmp_path, "b\x1b[2j:80")
    assert ask("list")[1] == f"b␛[2j:80 {ONE}\n"


def test_where_nobody_is_known_that_is_said(ask: Ask) -> None:
    assert ask("list") == (0, "", "no server is known here yet\n")


def test_a_line_at_which_a_call_would_stop_is_told_of(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"# mine\nmaple:7625 SHA256:short\noak:80 {ONE}\noak:80 rubbish\n")
    code, out, err = ask("list")
    assert (code, out) == (0, f"oak:80 {ONE}\n")
    (line,) = err.splitlines()
    assert line.startswith(f"-- {path}: line 2 has no SHA256:... behind maple:7625: mend it, or")
    assert "socketchat trust forget maple" in line
    assert ask("forget", "maple")[0] == 0
    assert ask("list") == (0, out, "")


@pytest.mark.parametrize("arguments", [("list",), ("forget", "maple")], ids=str)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, ask: Ask, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "known_hosts").mkdir()
    code, out, err = ask(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"socketchat: {tmp_path / 'known_hosts'}: Is a directory")


# Forgetting


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        ("maple", "maple:7625"),
        ("MAPLE", "maple:7625"),
        ("maple:7625", "maple:7625"),
        ("maple:80", "maple:80"),
        ("[::1]", "[::1]:7625"),
        ("[2001:DB8::1]:80", "[2001:db8::1]:80"),
    ],
)
def test_a_host_is_forgotten_by_the_name_it_is_called_by(
    tmp_path: Path, ask: Ask, typed: str, host: str
) -> None:
    hosts = known(tmp_path, "other:7625", host)
    code, out, err = ask("forget", typed)
    assert (code, out) == (0, "")
    assert "is forgotten" in err
    assert [it.host for it in hosts.all()] == ["other:7625"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("maple", "maple is not known here; known are: maple:80, maple:81"),
        ("mable:80", "mable:80 is not known here; known are: maple:80"),
        ("[::1]:9", "[::1]:9 is not known here; known are: [::1]"),
        ("zzz", "zzz is not known here; see: socketchat trust list"),
    ],
)
def test_a_host_that_is_not_known_is_told_with_those_that_may_be_meant(
    tmp_path: Path, ask: Ask, typed: str, words: str
) -> None:
    known(tmp_path, "maple:80", "maple:81", "[::1]:7625")
    code, out, err = ask("forget", typed)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert words in line


def test_what_a_changed_key_says_may_be_typed_as_it_stands(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        KnownHosts(tmp_path / "client" / "known_hosts").add(server.address, ONE)
        client = it.call(server.address)
        assert client.wait() == 4
        command = last_line(client).rpartition(": socketchat ")[2].split()
        assert command[:2] == ["trust", "forget"]
        assert it.start(*command).wait() == 0
        assert it.call(server.address, stdin=subprocess.DEVNULL).wait() == 0
