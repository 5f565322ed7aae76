"""Claims about `socketchat.cli.lan`: what servers say of themselves, and what is made of it."""

from __future__ import annotations

import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.cli.lan import (
    MAX_ADDRESSES,
    Found,
    Network,
    addresses_of,
    chosen_interfaces,
    found_json,
    found_line,
    found_server,
)
from socketchat.cli.render_json import json_line
from socketchat.cli.target import Target, parse_target
from socketchat.messages import MAX_NAME, VERSION
from socketchat.text import clean
from tests.cli.loopback import found, service

PIN = "SHA256:" + "A" * 43
OWN: list[Network] = [
    ipaddress.ip_interface(text)
    for text in ("192.0.2.1/24", "172.17.0.1/16", "2001:db8::1/64", "fe80::1/64")
]


def said(**changes: bytes | None) -> dict[bytes, bytes | None]:
    """Return a TXT record, with some things otherwise; those that are None are left out."""
    properties = {b"v": b"1", b"key": PIN.encode(), b"name": b"The Pub"}
    return {
        key: value
        for key, value in (properties | {k.encode(): v for k, v in changes.items()}).items()
        if value is not None
    }


def server(
    properties: dict[bytes, bytes | None],
    addresses: tuple[str, ...] = ("192.0.2.7",),
    port: int | None = 4000,
) -> Found | None:
    return found_server("label", properties, addresses, port, OWN)


# What is announced


def test_what_a_server_says_is_what_is_found() -> None:
    for private in (False, True):
        it = service("The Pub ☕", private=private)
        properties: dict[bytes, bytes | None] = {
            key.encode(): value.encode() for key, value in it.properties.items()
        }
        assert server(properties) == Found(
            name="The Pub ☕",
            pin=it.pin,
            addresses=("192.0.2.7",),
            port=4000,
            private=private,
            version=VERSION,
        )


@given(name=st.text())
def test_every_name_fits_into_the_record_and_into_a_label(name: str) -> None:
    it = service(clean(name, multiline=False, limit=MAX_NAME) or "x")
    assert all(len(f"{key}={value}".encode()) <= 255 for key, value in it.properties.items())
    assert 1 <= len(it.instance.encode()) <= 63 - len("-99999")
    assert "." not in it.instance


@pytest.mark.parametrize(
    ("bound", "addresses"),
    [
        (("0.0.0.0",), ["192.0.2.1", "172.17.0.1"]),
        (("::",), ["2001:db8::1"]),
        (("::", "0.0.0.0"), ["192.0.2.1", "172.17.0.1", "2001:db8::1"]),
        (("192.0.2.1", "127.0.0.1"), ["192.0.2.1"]),
        (("fe80::1%eth0",), ["fe80::1"]),
        (("127.0.0.1", "::1"), []),
    ],
)
def test_a_server_is_announced_at_those_addresses_where_others_find_it(
    bound: tuple[str, ...], addresses: list[str]
) -> None:
    assert addresses_of(bound, OWN) == addresses


def test_no_more_addresses_are_announced_than_the_bound() -> None:
    own: list[Network] = [ipaddress.ip_interface(f"10.0.0.{number}/8") for number in range(1, 100)]
    assert len(addresses_of(["0.0.0.0"], own)) == MAX_ADDRESSES


# What others announce


@pytest.mark.parametrize(
    "changes",
    [
        {"key": None},
        {"key": b""},
        {"key": b"SHA256:short"},
        {"key": b"MD5:" + b"A" * 43},
        {"key": PIN.encode() + b"\n"},
        {"key": b"\xff" * 50},
        {"v": None},
        {"v": b""},
        {"v": b"one"},
        {"v": b"-1"},
        {"v": b"1\n"},
        {"v": b"9" * 5000},
    ],
)
def test_what_has_no_right_key_or_version_is_passed_over(changes: dict[str, bytes | None]) -> None:
    assert server(said()) is not None
    assert server(said(**changes)) is None


@pytest.mark.parametrize("port", [None, 0, -1, 65536])
def test_what_has_no_port_is_passed_over(port: int | None) -> None:
    assert server(said(), port=port) is None


@pytest.mark.parametrize(
    "address",
    [
        *("", "maple.local", "192.0.2", "192.0.2.7/24", "\x1b[2J", "::1", "::", "ff02::fb"),
        *("127.0.0.1", "127.0.0.53", "0.0.0.0", "224.0.0.251", "fe80::7", "fe80::7%", "fe80::7%;x"),
    ],
)
def test_what_cannot_be_called_is_no_address(address: str) -> None:
    assert server(said(), (address,)) is None
    one = server(said(), (address, "192.0.2.7"))
    assert one is not None
    assert one.addresses == ("192.0.2.7",)


def test_loopback_is_an_address_where_it_was_chosen() -> None:
    own = [ipaddress.ip_interface("127.0.0.1")]
    one = found_server("label", said(), ["127.0.0.1", "127.0.0.2"], 4000, own)
    assert one is not None
    assert one.addresses == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("addresses", "first"),
    [
        (("10.0.0.7", "192.0.2.7"), "192.0.2.7"),
        (("fe80::7%2", "2001:db8::7", "192.0.2.7"), "192.0.2.7"),
        (("fe80::7%2", "2001:db8::7"), "2001:db8::7"),
        (("fe80::7%2", "10.0.0.7"), "fe80::7%2"),
        # A bridge that both machines have, with the same address.
        (("172.17.0.1", "192.0.2.7"), "192.0.2.7"),
        (("172.17.0.1", "10.0.0.7"), "10.0.0.7"),
        # This machine itself.
        (("172.17.0.1", "192.0.2.1"), "172.17.0.1"),
    ],
)
def test_the_address_that_is_likeliest_to_be_reached_comes_first(
    addresses: tuple[str, ...], first: str
) -> None:
    one = server(said(), addresses)
    assert one is not None
    assert sorted(one.addresses) == sorted(addresses)
    assert one.addresses[0] == first
    assert parse_target(str(one.target)) == Target(first, 4000)


def test_a_flood_of_addresses_and_a_long_name_are_cut() -> None:
    addresses = tuple(f"10.{n // 250}.0.{n % 250 + 1}" for n in range(1000))
    one = server(said(name=b"x" * 8000), addresses)
    assert one is not None
    assert one.addresses == addresses[:MAX_ADDRESSES]
    assert one.name == "x" * MAX_NAME


def test_what_others_say_is_shown_harmless_and_given_to_programs_as_it_is() -> None:
    name = "\x1b[2J\u202eevil\r\nSHA256:" + "B" * 20
    one = server(said(name=name.encode()))
    assert one is not None
    line = found_line(one)
    assert line.isprintable()
    assert line.startswith(f"192.0.2.7:4000 {PIN} ␛[2Jevil SHA256:")
    written = json_line(found_json(one))
    assert written.count(b"\n") == 1
    assert json.loads(written)["name"] == name


def test_a_name_that_is_no_utf8_or_missing_does_no_harm() -> None:
    spoilt, missing = server(said(name=b"\xff\xfe")), server(said(name=None))
    assert spoilt is not None
    assert missing is not None
    assert (spoilt.name, missing.name) == ("\ufffd\ufffd", "label")


def test_keys_of_the_record_are_no_matter_of_case() -> None:
    one = server({b"V": b"1", b"Key": PIN.encode(), b"PRIVATE": b"1"})
    assert one is not None
    assert one.private


@given(
    properties=st.dictionaries(
        st.sampled_from([b"v", b"key", b"name", b"private"]) | st.binary(max_size=9),
        st.sampled_from([b"1", b"2", PIN.encode()]) | st.binary(max_size=99) | st.none(),
        max_size=9,
    ),
    addresses=st.lists(st.ip_addresses().map(str) | st.text(max_size=20), max_size=9),
    port=st.none() | st.integers(),
)
def test_whatever_is_announced_is_passed_over_or_can_be_typed(
    properties: dict[bytes, bytes | None], addresses: list[str], port: int | None
) -> None:
    one = found_server("label", properties, addresses, port, OWN)
    if one is not None:
        assert parse_target(str(one.target)) == one.target
        assert found_line(one).isprintable()
        assert one.pin == PIN


# What is shown


def test_a_server_is_shown_with_where_it_is_its_key_and_what_is_special() -> None:
    assert found_line(found()) == f"192.0.2.7 {PIN} The Pub"
    assert found_line(found("x", "2001:db8::7", private=True)) == f"[2001:db8::7] {PIN} x (private)"
    other = server(said(v=b"2", private=b"1"))
    assert other is not None
    assert other.label == "The Pub (private, speaks version 2 of the protocol)"


def test_a_programs_line_has_all_of_it() -> None:
    assert found_json(found("x", "192.0.2.7", "10.0.0.1", private=True)) == {
        "type": "server",
        "name": "x",
        "target": "192.0.2.7",
        "addresses": ["192.0.2.7", "10.0.0.1"],
        "port": 7625,
        "key": PIN,
        "private": True,
        "version": 1,
    }


def test_a_target_that_was_found_brings_no_key_that_would_be_trusted() -> None:
    assert found().target.pin == ""


@pytest.mark.parametrize(
    ("value", "chosen"),
    [("", ()), ("127.0.0.1", ("127.0.0.1",)), ("127.0.0.1, ::1,", ("127.0.0.1", "::1"))],
)
def test_tests_choose_interfaces_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, chosen: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SOCKETCHAT_LAN_INTERFACES", value)
    assert chosen_interfaces() == chosen
