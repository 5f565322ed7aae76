"""Claims about calling a server at an invite: whom it is shown to, and what is known then."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from socketchat import Identity
from socketchat.framing import FrameDecoder
from socketchat.messages import VERSION, Greeting, Hello, Refused, decode, encode
from socketchat.trust.invites import Invite, make_token
from socketchat.trust.tls import server_context
from tests.cli.processes import last_line, stage
from tests.cli.strangers import Behaviour, fake_server


def invite_of(identity: Identity, address: str, room: str = "") -> Invite:
    """Make an invite to a server on this machine."""
    expires = int(time.time()) + 600
    token = make_token(identity.key, room=room, expires=expires, token_id=bytes(16))
    host, _, port = address.rpartition(":")
    return Invite(host, int(port), room, identity.fingerprint, token)


def refuser(identity: Identity, heard: list[Hello | None]) -> Behaviour:
    """Return a server that notes what is said to it, and lets nobody in."""
    context = server_context(identity)

    def behave(caller: socket.socket) -> None:
        with context.wrap_socket(caller, server_side=True) as secure:
            secure.sendall(encode(Greeting(VERSION, bytes(32))))
            said = [decode(body) for body in FrameDecoder(4096).frames(secure.recv(4096))]
            heard.extend(it if isinstance(it, Hello) else None for it in said)
            secure.sendall(encode(Refused(1008, "this invite has expired")))
            secure.recv(4096)

    return behave


def test_an_invite_leads_to_its_server_and_room_and_makes_it_known(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        identity = Identity.load_or_generate(tmp_path / "server")
        invite = invite_of(identity, server.address, "tea")
        ada = it.call(invite.url, "--trust", "strict", stdin=subprocess.DEVNULL)
        assert ada.wait() == 0
        assert f"calling {server.address}/tea\n" in ada.err
        assert invite.token not in ada.err + ada.out + server.err
        known = tmp_path / "client" / "known_hosts"
        assert known.read_text() == f"{server.address} {server.key}\n"
        assert it.call(server.address, "--trust", "strict", stdin=subprocess.DEVNULL).wait() == 0


def test_its_token_is_shown_to_the_server_and_to_nobody_else(tmp_path: Path) -> None:
    heard: list[Hello | None] = []
    identity = Identity.generate()
    with stage(tmp_path) as it, fake_server(refuser(identity, heard)) as address:
        invite = invite_of(identity, address, "tea")
        client = it.call(invite.url, "-vv")
        assert client.wait() == 5
        assert "this invite has expired" in client.err.splitlines()[-1]
        assert invite.token[10:] not in client.err
    (hello,) = heard
    assert hello is not None
    assert (hello.room, hello.invite) == ("tea", invite.token)
    assert not (tmp_path / "client" / "known_hosts").exists()


def test_a_server_with_another_key_than_the_invites_hears_nothing(tmp_path: Path) -> None:
    heard: list[Hello | None] = []
    identity = Identity.generate()
    with stage(tmp_path) as it, fake_server(refuser(Identity.generate(), heard)) as address:
        client = it.call(invite_of(identity, address).url, "--trust", "accept-new")
        assert client.wait() == 4
        assert identity.fingerprint in last_line(client)
    assert heard == []
    assert not (tmp_path / "client" / "known_hosts").exists()


def test_the_next_key_is_noted_at_the_first_call(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        Identity.load_or_generate(tmp_path / "server")
        assert it.start("identity", "--next", "--data", str(tmp_path / "server")).wait() == 0
        server = it.serve()
        next_pin = Identity.next_pin(tmp_path / "server")
        invite = invite_of(Identity.kept_in(tmp_path / "server"), server.address)
        assert it.call(invite.url, stdin=subprocess.DEVNULL).wait() == 0
        known = tmp_path / "client" / "known_hosts"
        assert known.read_text() == f"{server.address} {server.key} {next_pin}\n"
