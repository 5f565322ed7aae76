"""Claims about `socketchat.cli.target`: what names a server, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socketchat.cli.target import At, Target, is_loopback, parse_target
from socketchat.trust.identity import Identity
from socketchat.trust.invites import Invite, make_token

GOOD = {
    "localhost": Target("localhost"),
    "example.org": Target("example.org"),
    "example.org.": Target("example.org."),
    "xn--bcher-kva.example": Target("xn--bcher-kva.example"),
    "bücher.example": Target("bücher.example"),
    "my_host-1": Target("my_host-1"),
    "192.0.2.7": Target("192.0.2.7"),
    "  localhost\n": Target("localhost"),
    "localhost:7625": Target("localhost", 7625),
    "localhost:1": Target("localhost", 1),
    "localhost:65535": Target("localhost", 65535),
    "localhost:00080": Target("localhost", 80),
    "localhost/tea": Target("localhost", room="tea"),
    "localhost/": Target("localhost"),
    "localhost:80/": Target("localhost", 80),
    "localhost:80/tea-room": Target("localhost", 80, "tea-room"),
    "localhost/#tea": Target("localhost", room="#tea"),
    "localhost/a:b": Target("localhost", room="a:b"),
    "localhost/茶": Target("localhost", room="茶"),
    "[::1]": Target("::1"),
    "[::1]:80": Target("::1", 80),
    "[::1]/tea": Target("::1", room="tea"),
    "[::1]:80/tea": Target("::1", 80, "tea"),
    "[2001:DB8::7]": Target("2001:DB8::7"),
    "[::ffff:192.0.2.7]:80": Target("::ffff:192.0.2.7", 80),
    "[fe80::1%eth0]": Target("fe80::1%eth0"),
    "[fe80::1%eth0.7]:80/tea": Target("fe80::1%eth0.7", 80, "tea"),
    "maple,oak": Target("maple", others=(At("oak", 7625),)),
    "maple:80,oak/tea": Target("maple", 80, "tea", others=(At("oak", 7625),)),
    "maple,[::1]:80,oak:7625/a,b": Target(
        "maple", room="a,b", others=(At("::1", 80), At("oak", 7625))
    ),
    "maple,oak,MAPLE:7625,oak": Target("maple", others=(At("oak", 7625),)),
    "maple,maple:80": Target("maple", others=(At("maple", 80),)),
}

BAD = [
    "",
    "   ",
    ":80",
    "/tea",
    "localhost:",
    "localhost:http",
    "localhost:-1",
    "localhost:0",
    "localhost:65536",
    "localhost:99999",
    "localhost:123456",
    "localhost:٨٠",
    "local host",
    "localhost:80 /tea",
    "localhost/tea/cups",
    "localhost/tea room",
    "localhost/" + "x" * 65,
    "::1",
    "::1:80",
    "2001:db8::7",
    "fe80::1%eth0",
    ",",
    "maple,",
    ",maple",
    "maple,,oak",
    "maple, oak",
    "maple/tea,oak/tea/",
    "maple,oak:0",
    "maple,::1",
    "[::1",
    "::1]",
    "[::1]80",
    "[]",
    "[localhost]",
    "[fe80::1%]",
    "[fe80::1%[]",
    "localhost\0",
    "localhost/\x1b[2J",
    "localhost/\udcff",
    "\udcff",
]


@pytest.mark.parametrize("text", list(GOOD))
def test_what_names_a_server(text: str) -> None:
    assert parse_target(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_what_names_none_is_a_value_error_of_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|is no port|room's name") as caught:
        parse_target(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["maple,::1/tea", "::1", "::1:80", "2001:db8::7", "fe80::1%eth0"])
def test_ipv6_without_brackets_is_told_of_them(text: str) -> None:
    with pytest.raises(ValueError, match="brackets"):
        parse_target(text)


@pytest.mark.parametrize("text", ["localhost:80x", "a:1,b:2,c:x", ""])
def test_others_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT") as caught:
        parse_target(text)
    assert "brackets" not in str(caught.value)


@pytest.mark.parametrize("text", ["localhost/tea room", "localhost:80/a/b", "[::1]/tea room"])
def test_a_room_that_cannot_be_named_is_told_why(text: str) -> None:
    with pytest.raises(ValueError, match="a room's name has neither blanks nor slashes"):
        parse_target(text)


@pytest.mark.parametrize("target", list(GOOD.values()), ids=str)
def test_a_target_is_shown_as_it_can_be_typed(target: Target) -> None:
    assert parse_target(str(target)) == target


def test_a_target_is_shown_as_short_as_it_can_be() -> None:
    assert str(Target("localhost", 7625, "")) == "localhost"
    assert str(Target("localhost", 80, "tea")) == "localhost:80/tea"
    assert str(Target("::1", 80)) == "[::1]:80"


def test_several_servers_are_one_place_in_whichever_order() -> None:
    assert parse_target("maple,oak:80/tea").place == "maple:7625,oak:80"
    assert parse_target("OAK:80,maple/den").place == "maple:7625,oak:80"
    assert parse_target("maple").place == "maple:7625"
    assert str(parse_target("oak:80,maple/tea")) == "oak:80,maple/tea"


PIN = "SHA256:LHQ08yQDYpA5t7xi8hn0c2nw1vakp3+e5mLmmrKZAV4"
TOKEN = make_token(Identity.generate().key, room="", expires=2_000_000_000, token_id=bytes(16))
INVITE = Invite("maple.example", 80, "tea room", PIN, TOKEN).url


def test_an_invite_is_a_target_with_a_pin_and_a_token() -> None:
    target = parse_target(f" {INVITE}\n")
    assert target == Target("maple.example", 80, "tea room", PIN, TOKEN)
    assert parse_target(INVITE.replace("socketchat", "SOCKETCHAT")) == target


def test_a_target_does_not_show_its_token() -> None:
    target = parse_target(INVITE)
    assert str(target) == "maple.example:80/tea room"
    assert TOKEN not in repr(target)


@pytest.mark.parametrize(
    "text",
    [
        INVITE.partition(".A")[0],
        INVITE + "=",
        INVITE.replace("/tea", "?tea"),
        INVITE.replace("maple", "m@ple"),
        INVITE.replace("#", "#x"),
        INVITE.replace("#", "%23"),
        INVITE.replace("//", "/"),
        INVITE.replace("socketchat", "http"),
        INVITE.replace("#", " # "),
        INVITE.partition("//")[2],
        INVITE.partition("#")[2],
        "x" + INVITE,
        "oak," + INVITE,
        INVITE + ",oak",
        INVITE + "," + INVITE,
        TOKEN,
        "maple#" + TOKEN,
        "maple/" + TOKEN,
    ],
)
def test_what_is_no_invite_is_refused_without_a_word_of_its_token(text: str) -> None:
    with pytest.raises(ValueError, match="invite") as caught:
        parse_target(text)
    assert str(caught.value).isprintable()
    assert TOKEN[:-1] not in str(caught.value)
    assert TOKEN[20:50] not in str(caught.value)


def test_a_host_may_be_called_as_the_program_is() -> None:
    assert parse_target("socketchat:80/#tea") == Target("socketchat", 80, "#tea")


@given(st.text() | st.text("[]:/%.,0123456789abcdef \n\udcff"))
@example("[1%[]")
@example("[1%a:b]")
def test_any_text_is_a_target_or_a_value_error(text: str) -> None:
    try:
        target = parse_target(text)
    except ValueError:
        return
    assert 1 <= target.port <= 65535
    assert target.host
    assert len(target.room) <= 64
    assert parse_target(str(target)) == target


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "192.0.2.7", "example.org", "localhost.example.org", "127.0.0.1.nip.io"],
)
def test_anything_else_may_be_another(host: str) -> None:
    assert not is_loopback(host)
