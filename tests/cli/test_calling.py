"""Claims about `socketchat.cli.calling`: whom a command calls, and as whom.

That what is not delivered stays in a file is claimed in `test_leftovers.py`, and what signals do in
`test_connect.py`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from socketchat.cli.calling import Call, CallerSettings, target_of
from socketchat.cli.failures import ExitCode, Failure
from socketchat.peers import Peer
from socketchat.trust.identity import Identity
from socketchat.trust.invites import Further, Invite, make_token
from socketchat.trust.known_hosts import KnownHosts, host_and_port

IDENTITY = Identity.generate()
TOKEN = make_token(IDENTITY.key, room="tea", expires=2_000_000_000, token_id=bytes(16))
INVITE = Invite("localhost", 7625, "tea", IDENTITY.fingerprint, TOKEN).url
OTHER = "SHA256:LHQ08yQDYpA5t7xi8hn0c2nw1vakp3+e5mLmmrKZAV4"

PIN = "SHA256:" + "A" * 43


def settings(**asked: Any) -> CallerSettings:
    usual: dict[str, Any] = {
        "target": "maple/tea",
        "nick": "ada",
        "trust": "strict",
        "fingerprint": "",
        "ca": False,
        "no_reconnect": False,
        "no_tls": False,
        "as_json": False,
        "data": Path("/data"),
    }
    return CallerSettings(**usual | asked)


def call(**asked: Any) -> Call:
    made = settings(**asked)
    return Call(made, target_of(made))


def test_what_is_said_in_a_room_under_a_name_is_kept_for_that_room_and_name() -> None:
    labels = [
        call().label,
        call(target="maple:7625/tea").label,
        call(target="maple").label,
        call(target="maple:80/tea").label,
        call(target="[::1]/tea").label,
        call(nick="bob").label,
        call(nick="").label,
    ]
    assert labels == [
        "ada@maple:7625/tea",
        "ada@maple:7625/tea",
        "ada@maple:7625/",
        "ada@maple:80/tea",
        "ada@[::1]:7625/tea",
        "bob@maple:7625/tea",
        "@maple:7625/tea",
    ]


def test_outboxes_are_where_the_data_is() -> None:
    assert call().outboxes == Path("/data/outbox")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"target": "not a host"}, "HOST:PORT"),
        ({"fingerprint": "x"}, "--fingerprint"),
        ({"no_tls": True}, "--no-tls"),
        ({"ca": True, "fingerprint": PIN}, "^--fingerprint and --ca exclude each other: either"),
        ({"ca": True, "no_tls": True, "target": "::1"}, "^--ca and --no-tls .* without TLS no key"),
        ({"fingerprint": PIN, "no_tls": True}, "^--fingerprint and --no-tls exclude each other"),
        ({"target": INVITE, "ca": True}, "--ca does not go with an invite"),
        ({"target": INVITE, "no_tls": True}, "--no-tls does not go with an invite"),
        ({"target": INVITE, "fingerprint": OTHER}, "--fingerprint is not the key in the invite"),
        ({"target": INVITE + "="}, "incomplete"),
        ({"target": "localhost,maple", "no_tls": True}, "--no-tls is for this machine only"),
        ({"target": "maple,oak", "fingerprint": f"{PIN},"}, "--fingerprint wants SHA256"),
        ({"target": "maple,oak", "fingerprint": f"{PIN},{PIN},{PIN}"}, "one for each"),
        ({"target": "maple", "fingerprint": f"{PIN},{PIN}"}, "one for each"),
    ],
)
def test_what_cannot_be_called_is_told(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(Failure, match=words) as caught:
        call(**asked)
    assert caught.value.code is ExitCode.USAGE
    assert TOKEN[:-1] not in str(caught.value)


def test_this_machine_may_be_called_in_the_clear() -> None:
    assert call(no_tls=True, target="[::1]:80").target.port == 80


def test_a_fingerprint_that_is_the_one_in_the_invite_does_no_harm() -> None:
    assert call(target=INVITE, fingerprint=IDENTITY.fingerprint).target.token == TOKEN


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Have every call succeed at once, and note how it was made."""
    calls: list[dict[str, Any]] = []

    async def connect(*_: object, **asked: Any) -> object:
        calls.append(asked)
        host = asked["host"]
        name = host_and_port(*((host, asked["port"]) if isinstance(host, str) else host[-1]))
        peer = Peer("maple", IDENTITY.fingerprint, "127.0.0.1:7625", name)
        return SimpleNamespace(nick="", peer=peer, next_pin="")

    monkeypatch.setattr("socketchat.cli.calling.connect", connect)
    return calls


@pytest.mark.parametrize("trust", ["strict", "accept-new"])
def test_an_invite_is_trusted_and_used_once_and_its_server_known_from_then_on(
    tmp_path: Path,
    dialled: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    trust: str,
) -> None:
    calling = call(target=INVITE, trust=trust, data=tmp_path)
    for _ in range(2):
        asyncio.run(calling.open())
    assert [asked["trust"] for asked in dialled] == [IDENTITY.fingerprint] * 2
    assert [asked["invite"] for asked in dialled] == [TOKEN, ""]
    known = tmp_path / "known_hosts"
    assert known.read_text() == f"localhost:7625 {IDENTITY.fingerprint}\n"
    err = capsys.readouterr().err
    assert "calling localhost/tea\n" in err
    assert "is new here; it is remembered from now on" in err
    assert TOKEN not in err
    asyncio.run(call(target=INVITE, data=tmp_path).open())
    assert known.read_text().count("\n") == 1


def test_a_server_that_is_known_by_another_key_is_not_called_at_an_invite(
    tmp_path: Path, dialled: list[dict[str, Any]]
) -> None:
    KnownHosts(tmp_path / "known_hosts").add("localhost:7625", OTHER)
    with pytest.raises(Failure, match="one of them is another server") as caught:
        asyncio.run(call(target=INVITE, data=tmp_path).open())
    assert caught.value.code is ExitCode.NOT_TRUSTED
    for told in (OTHER, IDENTITY.fingerprint, "line 1 of", str(tmp_path / "known_hosts")):
        assert told in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert dialled == []


# Several servers


@pytest.mark.parametrize("pins", [[PIN], [PIN, OTHER]], ids=["one for all", "one for each"])
def test_several_servers_are_called_with_their_pins_and_then_from_where_one_is(
    tmp_path: Path,
    dialled: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    pins: list[str],
) -> None:
    calling = call(target="maple,oak:80/tea", fingerprint=",".join(pins), data=tmp_path)
    for _ in range(2):
        asyncio.run(calling.open())
    asyncio.run(calling.beside("den", "ada").open())
    maple, oak = ("maple", 7625), ("oak", 80)
    assert [asked["host"] for asked in dialled] == [[maple, oak], [oak, maple], [maple, oak]]
    assert [asked["trust"] for asked in dialled[:2]] == [[pins[0], pins[-1]], [pins[-1], pins[0]]]
    assert [asked["room"] for asked in dialled] == ["tea", "tea", "den"]
    assert (tmp_path / "known_hosts").read_text().splitlines()[0] == f"oak:80 {pins[-1]}"
    assert "connected to maple, at oak:80 (127.0.0.1:7625)" in capsys.readouterr().err


def test_an_invite_to_several_has_its_pin_for_each_of_them(
    tmp_path: Path, dialled: list[dict[str, Any]]
) -> None:
    invite = Invite("maple", 80, "tea", PIN, TOKEN, (Further("oak", 80, OTHER),))
    asyncio.run(call(target=invite.url, data=tmp_path).open())
    assert dialled[0]["host"] == [("maple", 80), ("oak", 80)]
    assert dialled[0]["trust"] == [PIN, OTHER]
    assert dialled[0]["invite"] == TOKEN
    assert (tmp_path / "known_hosts").read_text() == f"oak:80 {OTHER}\n"
    KnownHosts(tmp_path / "known_hosts").add("maple:80", OTHER)
    with pytest.raises(Failure, match=f"is for a server with the key {PIN}, but maple:80 is known"):
        asyncio.run(call(target=invite.url, data=tmp_path).open())
