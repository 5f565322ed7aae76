"""Claims about servers that let in not everybody, from invite to refusal, as processes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from socketchat.trust.device import Device
from socketchat.trust.identity import Identity
from socketchat.trust.invites import Invite, make_token
from tests.cli.processes import Piped, Server, Stage, last_line, stage


def invite(it: Stage, *options: str) -> str:
    """Make an invite with the command, and return it."""
    process = it.start("invite", "--data", str(it.folder / "server"), *options)
    assert process.wait() == 0
    (url,) = process.lines
    return url


def call(it: Stage, target: str, device: str, *options: str) -> Piped:
    """Call from a device, say nothing, and wait for the end."""
    data = str(it.folder / device)
    client = it.start("connect", target, "--data", data, "--nick", device, *options)
    client.end_input()
    client.wait()
    return client


def refusal(it: Stage, target: str, device: str) -> str:
    """Call, be refused with 5, and return why."""
    client = call(it, target, device)
    assert client.popen.returncode == 5
    return last_line(client)


def test_an_invite_lets_one_device_in_for_good_and_no_other(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--private")
        assert "ask its host for an invite" in refusal(it, server.address, "ada")
        url = invite(it)
        assert call(it, url, "ada").popen.returncode == 0
        assert call(it, server.address, "ada").popen.returncode == 0
        assert call(it, url, "ada").popen.returncode == 0  # from the shell's history, say
        why = refusal(it, url, "eve")
        assert why == f"socketchat: refused by {server.address}: this invite was used already"
        assert Invite.parse(url).token not in server.err


def test_the_line_that_it_prints_makes_an_invite(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--private", data="the server's")
        assert "socketchat connect" not in server.err
        (line,) = [one for one in server.err.splitlines() if one.startswith("waiting for callers")]
        assert line.startswith("waiting for callers who have an invite: socketchat invite --data ")
        _, *typed = shlex.split(line.partition(": ")[2])
        made = it.start(*typed)
        assert made.wait() == 0
        assert call(it, made.lines[0], "ada").popen.returncode == 0


def test_what_was_redeemed_is_known_after_a_restart(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--private")
        url = invite(it)
        assert call(it, url, "ada").popen.returncode == 0
        server.popen.kill()
        server.wait()
        server = it.serve("--private", port=server.port)
        assert call(it, server.address, "ada").popen.returncode == 0
        assert "used already" in refusal(it, url, "eve")


def test_an_invite_that_has_expired_or_was_altered_is_refused_with_a_reason(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--private")
        identity = Identity.kept_in(tmp_path / "server")

        def url(token: str) -> str:
            return Invite("127.0.0.1", server.port, "", identity.fingerprint, token).url

        late = make_token(identity.key, room="", expires=1_700_000_000, token_id=bytes(16))
        assert "this invite has expired" in refusal(it, url(late), "ada")
        good = make_token(identity.key, room="", expires=4_000_000_000, token_id=bytes(16))
        altered = good[:30] + ("A" if good[30] != "A" else "B") + good[31:]
        assert "was not made by this server, or was altered" in refusal(it, url(altered), "ada")


def test_an_invite_to_a_room_is_for_that_room(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--private")
        assert call(it, invite(it, "--room", "tea"), "ada").popen.returncode == 0
        assert call(it, f"{server.address}/tea", "ada").popen.returncode == 0
        assert "you were invited to tea, and not to attic" in refusal(
            it, f"{server.address}/attic", "ada"
        )


def test_an_operator_of_the_command_line_needs_no_invite(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        device = Device.load_or_generate(tmp_path / "ada")
        server = it.serve("--private", "--operator", device.fingerprint)
        assert call(it, server.address, "ada").popen.returncode == 0


@pytest.mark.parametrize("operator", ["ada", "SHA256:short"])
def test_what_is_no_key_is_no_operator(tmp_path: Path, operator: str) -> None:
    with stage(tmp_path) as it:
        server = it.start("serve", "--operator", operator, "--data", str(tmp_path), kind=Server)
        assert server.wait() == 2
        assert "--operator wants SHA256:..." in last_line(server)


def test_a_name_is_its_first_devices_and_another_one_bears_a_tag(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        for device in ("ada", "eve"):
            data = str(tmp_path / device)
            sent = it.start("send", server.address, "--nick", "ada", "--data", data, "hello")
            assert sent.wait() == 0
            assert ("-- the name ada is taken: you are ada~" in sent.err) is (device == "eve")
        reader = it.start(
            *("tail", server.address, "--json", "--no-follow", "--nick", "ada", "--data", data)
        )
        assert reader.wait() == 0
        (connected,) = reader.kinds("connected")
        assert f"you are {connected['nick']}\n" in reader.err
        first, second = reader.kinds("message")
        assert first["from"] == "ada"
        assert second["from"].startswith("ada~")
        assert first["key"] != second["key"]
        assert first["key"] == Device.load_or_generate(tmp_path / "ada").fingerprint
