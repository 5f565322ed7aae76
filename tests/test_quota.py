"""Claims about `socketchat.quota`: what counts as one address, and how many there may be."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.quota import Quota, Seats, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:50000", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:c000:201]:50000", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]:50000", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("/run/chat.sock", "/run/chat.sock"),
        ("example.org:22", "example.org"),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_the_same_in_every_notation(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    assert network_of(str(address)) == network_of(str(mapped)) == network_of(f"[{mapped}]:1")


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_of_a_64_counts_as_one_address(address: ipaddress.IPv6Address, host: int) -> None:
    neighbour = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert network_of(str(address)) == network_of(str(neighbour))


@given(st.text())
def test_whatever_an_address_is_it_counts_as_something(address: str) -> None:
    assert isinstance(network_of(address), str)


def test_so_many_are_counted_in_from_one_address() -> None:
    quota = Quota("here", (99, 2))
    assert quota.take("192.0.2.1")
    assert quota.take("::ffff:192.0.2.1")
    assert not quota.take("192.0.2.1")
    assert quota.take("192.0.2.2")
    quota.give_back("192.0.2.1")
    assert quota.take("192.0.2.1")
    assert len(quota) == 3


def test_so_many_are_counted_in_all() -> None:
    quota = Quota("here", (2, 99))
    assert quota.take("192.0.2.1")
    assert quota.take("2001:db8::1")
    assert not quota.take("192.0.2.3")
    quota.give_back("2001:db8::2")
    assert quota.take("192.0.2.3")


def test_those_without_an_address_do_not_count() -> None:
    quota = Quota("here", (1, 1))
    assert all(quota.take("") for _ in range(3))
    quota.give_back("")
    assert len(quota) == 0
    assert quota.take("192.0.2.1")


@pytest.mark.parametrize("most", [(0, 1), (1, 0), (-1, 5)])
def test_a_bound_below_one_is_refused_by_its_name(most: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="max_flies must be"):
        Quota("max_flies", most)


def test_a_lane_is_counted_once_where_it_began() -> None:
    seats = Seats("here", (99, 1))
    lane, other = bytes(16), bytes(15) + b"\1"
    assert seats.take(lane, "192.0.2.1")
    assert seats.take(lane, "192.0.2.2")
    assert seats.take(other, "192.0.2.2")
    assert not seats.take(bytes([9] * 16), "192.0.2.1")
    seats.leave(lane)
    seats.leave(lane)
    assert len(seats) == 1
    assert seats.take(bytes([9] * 16), "192.0.2.1")
