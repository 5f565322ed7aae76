"""Claims about `socketchat.cli.identity`: the keys that lie here, and how a server gets another."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from socketchat import Identity
from socketchat.fingerprint import tag_of
from socketchat.trust.device import Device
from socketchat.trust.known_hosts import KnownHosts
from tests.cli.asks import Ask
from tests.cli.processes import stage


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    return Ask("identity", tmp_path, monkeypatch, capfd)


def test_a_device_has_a_key_and_a_tag_and_is_told_where_it_lies(tmp_path: Path, ask: Ask) -> None:
    code, out, err = ask()
    device = Device.load_or_generate(tmp_path)
    assert code == 0
    path = tmp_path / "device.key"
    assert out == f"device {device.fingerprint} (tag {tag_of(device.public)}) in {path}\n"
    assert "there is no server here" in err
    assert ask()[1] == out
    assert not (tmp_path / "server.pem").exists()


def test_a_server_and_its_next_key_are_shown(tmp_path: Path, ask: Ask) -> None:
    server, following = Identity.load_or_generate(tmp_path), Identity.next(tmp_path)
    code, out, err = ask()
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        f"server {server.fingerprint} in {tmp_path / 'server.pem'}",
        f"next {following.fingerprint} in {tmp_path / 'server-next.pem'}",
    ]


def test_it_is_for_programs_too(tmp_path: Path, ask: Ask) -> None:
    _, out, _ = ask("--json")
    device = Device.load_or_generate(tmp_path)
    usual = {
        "type": "identity",
        "device": device.fingerprint,
        "tag": tag_of(device.public),
        "directory": str(tmp_path),
    }
    assert json.loads(out) == {**usual, "server": None, "next": None}
    server = Identity.load_or_generate(tmp_path)
    _, out, _ = ask("--next", "--json")
    next_pin = Identity.next_pin(tmp_path)
    assert json.loads(out) == {**usual, "server": server.fingerprint, "next": next_pin}


def test_a_key_that_was_given_to_the_server_is_shown(tmp_path: Path, ask: Ask) -> None:
    assert "one that was given to it is shown with --cert and --key" in ask()[2]
    given = Identity.generate()
    Identity.load_or_generate(tmp_path)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(given.certificate)
    key.write_bytes(given.key)
    key.chmod(0o600)
    options = ("--cert", str(cert), "--key", str(key))
    code, out, err = ask(*options)
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [f"server {given.fingerprint} in {cert}"]
    assert json.loads(ask("--json", *options)[1])["server"] == given.fingerprint
    assert "--key needs --cert too" in ask("--key", str(key))[2]


@pytest.mark.parametrize("change", ["--next", "--rotate"])
def test_where_no_server_has_a_key_none_is_changed(tmp_path: Path, ask: Ask, change: str) -> None:
    code, out, err = ask(change)
    assert (code, out) == (2, "")
    assert f"no server has a key in {tmp_path} yet: start one first" in err
    code, out, err = ask(change, "--cert", "cert.pem", "--key", "key.pem")
    assert (code, out) == (2, "")
    assert "not one that --cert names" in err
    assert not list(tmp_path.iterdir())


def test_a_next_key_is_made_once_and_its_fingerprint_printed(tmp_path: Path, ask: Ask) -> None:
    Identity.load_or_generate(tmp_path)
    code, out, _ = ask("--next")
    assert code == 0
    assert out == f"{Identity.next_pin(tmp_path)}\n"
    assert ask("--next")[1] == out


def test_rotating_puts_it_into_use_and_keeps_the_one_before(tmp_path: Path, ask: Ask) -> None:
    before = Identity.load_or_generate(tmp_path)
    _, made, _ = ask("--next")
    code, out, err = ask("--rotate")
    assert code == 0
    assert out == made == f"{Identity.load_or_generate(tmp_path).fingerprint}\n"
    assert str(tmp_path / "server-old.pem") in err
    assert Identity.pin_in(tmp_path / "server-old.pem") == before.fingerprint


def test_without_a_next_key_nothing_is_rotated(tmp_path: Path, ask: Ask) -> None:
    before = Identity.load_or_generate(tmp_path)
    code, out, err = ask("--rotate")
    assert (code, out) == (2, "")
    assert err == (
        "socketchat: there is no next key: make it with --next, and let callers hear of it first\n"
    )
    assert Identity.load_or_generate(tmp_path) == before


@pytest.mark.parametrize("name", ["device.key", "server.pem", "server-next.pem"])
def test_a_file_that_is_damaged_is_named(tmp_path: Path, ask: Ask, name: str) -> None:
    (tmp_path / name).write_bytes(b"garbage")
    code, out, err = ask()
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert f"{tmp_path / name} holds no" in line
    assert line.endswith("; see --data")


def test_a_key_made_and_used_while_the_server_runs_stops_nobody_who_called(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        known = KnownHosts(tmp_path / "client" / "known_hosts")

        def announced() -> str:
            """Call, and return which next key is known after that."""
            assert it.call(server.address, stdin=subprocess.DEVNULL).wait() == 0
            found = known.find(server.address)
            assert found is not None
            return found.next_pin

        assert announced() == ""
        data = ("--data", str(tmp_path / "server"))
        made = it.start("identity", "--next", *data)
        assert made.wait() == 0
        it.until(lambda: announced() == made.out.strip())
        assert it.start("identity", "--rotate", *data).wait() == 0
        # Who calls now is told by the server, which shows the old key still, as much as before.
        assert announced() == made.out.strip()
        server.signal(signal.SIGTERM)
        server.wait()
        again = it.serve(port=server.port)
        assert again.key == made.out.strip()
        strict = it.call(again.address, "--trust", "strict", stdin=subprocess.DEVNULL)
        assert strict.wait() == 0
        assert known.path.read_text() == f"{again.address} {again.key}\n"
