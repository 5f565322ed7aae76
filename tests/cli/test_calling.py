"""Claims about `socketchat.cli.calling`: whom a command calls, and as whom.

That what is not delivered stays in a file is claimed in `test_leftovers.py`, and what signals do in
`test_connect.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from socketchat.cli.calling import Call, CallerSettings, target_of
from socketchat.cli.failures import ExitCode, Failure

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
    ],
)
def test_what_cannot_be_called_is_told(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(Failure, match=words) as caught:
        call(**asked)
    assert caught.value.code is ExitCode.USAGE


def test_this_machine_may_be_called_in_the_clear() -> None:
    assert call(no_tls=True, target="[::1]:80").target.port == 80
