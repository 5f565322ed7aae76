"""Claims about `socketchat.servers`: how several servers are named, and whose turn it is."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest

from socketchat.errors import (
    HandshakeError,
    HandshakeRefused,
    UnsupportedVersion,
    UntrustedBecause,
    UntrustedPeer,
)
from socketchat.servers import Place, Rota, places_of

PIN = "SHA256:" + "A" * 43
STRANGER = UntrustedPeer("who is it?", fingerprint=PIN, reason=UntrustedBecause.UNKNOWN)


def named(host: Any, port: int = 7625) -> list[tuple[str, int]]:
    return [(place.host, place.port) for place in places_of(host, port, "strict")]


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ("maple", ("maple", 80)),
        ("maple:81", ("maple", 81)),
        ("192.0.2.7:81", ("192.0.2.7", 81)),
        ("::1", ("::1", 80)),
        ("[::1]", ("::1", 80)),
        ("[::1]:81", ("::1", 81)),
        ("[fe80::1%eth0]:81", ("fe80::1%eth0", 81)),
        (("maple", 81), ("maple", 81)),
        (("::1", 81), ("::1", 81)),
    ],
)
def test_what_names_one_of_several_servers(item: str | tuple[str, int], place: object) -> None:
    assert named([item], 80) == [place]
    assert named((item, "oak"), 80) == [place, ("oak", 80)]


@pytest.mark.parametrize(
    "item",
    [
        *("", ":80", "maple:", "maple:0", "maple:65536", "maple:http", "[::1", "a:b:c", "a" * 64),
        *(("", 80), ("maple", 0)),
    ],
)
def test_what_names_none_is_refused_at_once(item: object) -> None:
    with pytest.raises(ValueError, match=r"is no host, host:port or \[IPv6\]:port|label"):
        named(["maple", item])


def test_no_server_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="must name a server"):
        named([])


@pytest.mark.parametrize("host", ["maple", "maple:80", "::1", "a,b", ""])
def test_one_name_alone_is_taken_as_it_is(host: str) -> None:
    assert named(host, 81) == [(host, 81)]


def test_trust_is_for_all_or_one_for_each() -> None:
    context = ssl.create_default_context()
    assert [it.trust for it in places_of(["a", "b"], 1, PIN)] == [PIN, PIN]
    assert [it.trust for it in places_of(["a", "b"], 1, [context, "strict"])] == [context, "strict"]
    with pytest.raises(ValueError, match="1 items for 2 servers"):
        places_of(["a", "b"], 1, [PIN])
    with pytest.raises(ValueError, match="trust must be"):
        places_of(["a", "b"], 1, [PIN, "ask"])


def rota(*hosts: str) -> Rota:
    return Rota(places_of(hosts, 7625, "strict"))


def test_a_round_calls_each_once_from_the_one_behind_the_last() -> None:
    it = rota("a", "b", "c")
    a, b, c = it.round()
    assert [place.name for place in (a, b, c)] == ["a:7625", "b:7625", "c:7625"]
    it.settle(b)
    assert it.current == b
    assert list(it.round()) == [c, a, b]
    it.settle(c)
    assert list(it.round()) == [a, b, c]


REFUSED, BUSY = HandshakeRefused(1008, "banned"), HandshakeRefused(1013, "full")
GONE, FILE = ConnectionRefusedError("gone"), OSError(13, "no access", "/known_hosts")
BAD_NAME = ssl.SSLCertVerificationError("another name")


@pytest.mark.parametrize(
    ("errors", "worst", "is_over"),
    [
        ([GONE], GONE, False),
        ([GONE, TimeoutError()], GONE, False),
        ([GONE, BUSY], BUSY, False),
        ([BUSY, REFUSED, GONE], REFUSED, False),
        ([REFUSED, STRANGER], STRANGER, True),
        ([STRANGER, GONE], STRANGER, False),
        ([GONE, BAD_NAME], BAD_NAME, False),
        ([UnsupportedVersion(2, 1), REFUSED, FILE], None, True),
        ([HandshakeError("no server of ours"), GONE], None, False),
    ],
)
def test_the_most_serious_error_is_raised_and_it_is_over_when_all_of_them_last(
    errors: list[Exception], worst: Exception | None, is_over: bool
) -> None:
    it = rota(*"abc"[: len(errors)])
    for place, exc in zip(it.round(), errors, strict=True):
        it.pass_over(place, exc)
    assert it.is_over is is_over
    raised = it.worst()
    assert raised is (worst or errors[0])
    notes = raised.__dict__.pop("__notes__", [])
    assert len(notes) == (len(errors) if len(errors) > 1 else 0)
    for note, name, exc in zip(notes, ("a:7625", "b:7625", "c:7625"), errors, strict=False):
        assert note == f"{name}: {exc}"


def test_what_will_not_pass_is_told_once_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    it = rota("a", "b")
    caplog.set_level(logging.INFO)
    a, b = it.round()
    for _ in range(3):
        it.pass_over(a, STRANGER)
        it.pass_over(b, GONE)
    it.pass_over(a, REFUSED)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings[0] == "a:7625 is passed over: who is it?"
    assert len(warnings) == 2
    assert "banned" in warnings[1]


def test_a_server_alone_is_not_told_of_twice(caplog: pytest.LogCaptureFixture) -> None:
    Rota((Place("a", 1, "strict"),)).pass_over(Place("a", 1, "strict"), STRANGER)
    assert caplog.records == []


def test_an_invite_is_for_those_whose_key_it_names_and_for_those_like_the_first() -> None:
    strict = Rota(places_of(["maple", "oak"], 7625, "strict"))
    assert [strict.may_see_invite(place) for place in strict.round()] == [True, True]
    other = "SHA256:" + "B" * 43
    mixed = Rota(places_of(["maple", "oak", "elm"], 7625, [PIN, other, "accept-new"]))
    assert [mixed.may_see_invite(place) for place in mixed.round()] == [True, True, False]
