"""Claims about `socketchat.cli.invite`: a host makes an invite to its own server."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from socketchat.cli.address import save_address
from socketchat.cli.failures import ExitCode
from socketchat.trust.identity import Identity
from socketchat.trust.invites import Invite, check_token
from tests.cli.processes import stage, status


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    """Make a server's key where the command looks for it."""
    return Identity.load_or_generate(tmp_path)


class Maker:
    """Makes invites with the command, in this process."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], data: Path
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self._data = data

    def make(self, *options: str) -> tuple[str, str]:
        """Return what the command prints, and what it says besides."""
        asked = ("invite", "--data", str(self._data), *options)
        assert status(self._monkeypatch, *asked) == ExitCode.DONE
        out, err = self._capfd.readouterr()
        assert out.endswith("\n")
        assert out.count("\n") == 1
        return out[:-1], err

    def fail(self, *options: str) -> str:
        """Return why it makes none."""
        asked = ("invite", "--data", str(self._data), *options)
        assert status(self._monkeypatch, *asked) == ExitCode.USAGE
        out, err = self._capfd.readouterr()
        assert out == ""
        line = err.splitlines()[-1]
        assert line.startswith("socketchat: ")
        return line


@pytest.fixture
def maker(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Maker:
    return Maker(monkeypatch, capfd, tmp_path)


def test_an_invite_is_one_line_signed_by_the_servers_key(
    tmp_path: Path, identity: Identity, maker: Maker
) -> None:
    save_address(tmp_path, "Maple.example", 4000)
    before = int(time.time())
    url, said = maker.make("--room", " tea  room", "--expires", "1h30m")
    invite = Invite.parse(url)
    assert (invite.host, invite.port, invite.room) == ("maple.example", 4000, "tea room")
    assert invite.pin == identity.fingerprint
    grant = check_token(identity.certificate, invite.token, before)
    assert grant.room == "tea room"
    assert 5400 <= grant.expires - before <= 5400 + 60
    local = datetime.fromtimestamp(grant.expires).astimezone()
    assert (
        said == f"-- it works once, until {local:%Y-%m-%d %H:%M %Z}; give it to one person alone\n"
    )


def test_an_invite_is_good_for_a_day_and_for_the_servers_first_room(
    tmp_path: Path, identity: Identity, maker: Maker
) -> None:
    save_address(tmp_path, "maple", 7625)
    invite = Invite.parse(maker.make()[0])
    grant = check_token(identity.certificate, invite.token, 0)
    assert (invite.room, grant.room) == ("", "")
    assert 86_400 - 60 <= grant.expires - time.time() <= 86_400


def test_no_two_invites_are_the_same(tmp_path: Path, identity: Identity, maker: Maker) -> None:
    made = {Invite.parse(maker.make()[0]).token for _ in range(3)}
    ids = {check_token(identity.certificate, token, 0).token_id for token in made}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("options", "host", "port"),
    [
        ([], "maple", 4000),
        (["--host", "oak.example"], "oak.example", 4000),
        (["--port", "5000"], "maple", 5000),
        (["--host", "2001:DB8::7", "--port", "5000"], "2001:db8::7", 5000),
        (["--host", "0.0.0.0", "--port", "0"], "maple", 4000),
    ],
)
def test_it_names_the_place_that_was_asked_for_or_noted(
    tmp_path: Path, identity: Identity, maker: Maker, options: list[str], host: str, port: int
) -> None:
    save_address(tmp_path, "maple", 4000)
    url, said = maker.make(*options)
    invite = Invite.parse(url)
    assert (invite.host, invite.port) == (host, port)
    assert "has not said" not in said


def test_it_names_further_servers_each_with_its_key(
    tmp_path: Path, identity: Identity, maker: Maker
) -> None:
    save_address(tmp_path, "maple", 4000)
    key = Identity.generate().fingerprint
    url, _ = maker.make("--also", "Oak.example", "--also", f"[::1]:80={key}")
    invite = Invite.parse(url)
    assert invite.servers == (
        ("maple", 4000, identity.fingerprint),
        ("oak.example", 7625, identity.fingerprint),
        ("::1", 80, key),
    )
    told = json.loads(maker.make("--also", "oak", "--json")[0])
    assert told["others"] == ["oak:7625"]


@pytest.mark.parametrize("also", ["oak/tea", "a,b", "oak=", "oak=x", "=x", "maple:4000", "a b"])
def test_what_is_no_further_server_is_told(
    tmp_path: Path, identity: Identity, maker: Maker, also: str
) -> None:
    save_address(tmp_path, "maple", 4000)
    assert "see --host, --port, --also and --room" in maker.fail("--also", also)


def test_without_a_note_it_guesses_the_place_and_says_so(identity: Identity, maker: Maker) -> None:
    url, said = maker.make()
    invite = Invite.parse(url)
    assert (invite.host, invite.port) == (socket.gethostname().lower(), 7625)
    assert f"the invite names {socket.gethostname()}, port 7625; --host and --port" in said
    assert invite.token not in said
    assert "has not said" not in maker.make("--host", "maple", "--port", "80")[1]


def test_it_may_be_one_json_object(tmp_path: Path, identity: Identity, maker: Maker) -> None:
    save_address(tmp_path, "maple", 4000)
    value = json.loads(maker.make("--json", "--room", "茶")[0])
    invite = Invite.parse(value.pop("url"))
    expires = check_token(identity.certificate, invite.token, 0).expires
    assert datetime.fromisoformat(value.pop("expires")).timestamp() == expires
    assert value == {"type": "invite", "host": "maple", "port": 4000, "room": "茶"}


def test_without_a_key_there_is_no_invite(tmp_path: Path, maker: Maker) -> None:
    line = maker.fail()
    assert f"no server has a key in {tmp_path} yet" in line
    assert "socketchat serve" in line
    assert "--cert and --key" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--expires", "59s"], "1m to 365d"),
        (["--expires", "366d"], "1m to 365d"),
        (["--host", "two words"], "--host"),
        (["--host", "bücher.example"], "xn--"),
        (["--room", "x" * 65], "room's name"),
    ],
)
def test_what_makes_no_invite_is_told(
    identity: Identity, maker: Maker, options: list[str], words: str
) -> None:
    assert words in maker.fail(*options)


@pytest.mark.parametrize(("name", "text"), [("server.pem", b"rubbish"), ("address", b"two words")])
def test_a_file_that_is_not_what_it_should_be_is_named(
    tmp_path: Path, identity: Identity, maker: Maker, name: str, text: bytes
) -> None:
    (tmp_path / name).write_bytes(text)
    assert str(tmp_path / name) in maker.fail()


def test_a_server_says_where_it_is_and_is_found_at_its_invite(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        assert (tmp_path / "server" / "address").read_text() == f"{server.address}\n"
        data = ("--data", str(tmp_path / "server"))
        made = it.start("invite", "--room", "tea", *data)
        assert made.wait() == 0
        (url,) = made.lines
        assert re.fullmatch(r"-- it works once, until .+\n", made.err)
        ada = it.call(url, "--trust", "strict", stdin=subprocess.DEVNULL)
        assert ada.wait() == 0
        assert f"calling {server.address}/tea" in ada.err
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        again = it.start("invite", *data)
        assert again.wait() == 0
        assert Invite.parse(again.lines[0]).port == int(url.split(":")[2].partition("/")[0])


def test_a_server_without_tls_notes_nothing_for_invites(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        it.serve("--no-tls")
        assert not (tmp_path / "server" / "address").exists()
        made = it.start("invite", "--data", str(tmp_path / "server"))
        assert made.wait() == ExitCode.USAGE
        assert "no server has a key" in made.err


def test_a_server_that_cannot_note_where_it_is_serves_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "server" / "address").mkdir(parents=True)
    with stage(tmp_path) as it:
        server = it.serve()
        assert "-- invites will not know this server's address: " in server.err
        assert it.call(server.address, stdin=subprocess.DEVNULL).wait() == 0


def test_an_invite_to_a_server_with_a_certificate_of_its_own_is_signed_by_that_key(
    tmp_path: Path, identity: Identity, maker: Maker
) -> None:
    del identity  # another one lies in the server's directory
    other = Identity.generate()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(other.certificate)
    key.write_bytes(other.key)
    key.chmod(0o600)
    url, _ = maker.make("--cert", str(cert), "--key", str(key), "--host", "maple", "--port", "1")
    invite = Invite.parse(url)
    assert invite.pin == other.fingerprint
    assert check_token(other.certificate, invite.token, int(time.time())).room == ""
    assert "--cert needs --key too" in maker.fail("--cert", str(cert))
