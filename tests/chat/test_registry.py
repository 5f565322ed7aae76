"""Claims about `socketchat.chat.registry`: names, bans, operators and invites that were used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from socketchat import HandshakeRefused
from socketchat.chat.facts import MemoryFacts
from socketchat.chat.registry import (
    CLAIM_TIME,
    MAX_CLAIMS,
    MAX_ISSUED,
    MAX_NAMES,
    MAX_REASON,
    Ban,
    Registry,
    Standing,
)
from socketchat.chat.sqlite_facts import FileFacts
from socketchat.fingerprint import fingerprint_of
from socketchat.trust.invites import Grant

ADA, BOB = b"a" * 32, b"b" * 32
NOBODY = b""


# Names


async def test_a_name_belongs_to_the_first_key_that_asks_for_it() -> None:
    registry = Registry()
    assert await registry.claim("ada", ADA, "")
    assert await registry.claim("ada", ADA, "")
    assert not await registry.claim("ada", BOB, "")
    assert not await registry.claim("ada", NOBODY, "")
    assert await registry.owner("ada") == fingerprint_of(ADA)


async def test_a_name_that_looks_like_anothers_is_anothers() -> None:
    registry = Registry()
    assert await registry.claim("ada", ADA, "")
    assert not await registry.claim("ADA", BOB, "")
    assert not await registry.claim("аda", BOB, "")  # noqa: RUF001 - Cyrillic


async def test_who_has_no_key_owns_no_name() -> None:
    registry = Registry()
    assert await registry.claim("ada", NOBODY, "")
    assert await registry.owner("ada") == ""
    assert await registry.claim("ada", ADA, "")


async def test_a_key_cannot_take_ever_so_many_names() -> None:
    registry = Registry()
    names = ["x" * (number + 1) for number in range(MAX_NAMES + 3)]
    assert all([await registry.claim(name, ADA, "") for name in names])
    owners = [await registry.owner(name) for name in names]
    assert owners == [fingerprint_of(ADA)] * MAX_NAMES + [""] * 3


async def test_what_is_known_outlives_the_process(tmp_path: Path) -> None:
    first = Registry(FileFacts(tmp_path), private=True)
    await first.open()
    await first.claim("ada", ADA, "")
    await first.redeem("an invite", ADA, "")
    await first.ban(Ban(fingerprint_of(BOB), "bob", "spam"))
    await first.set_muted(fingerprint_of(ADA), is_muted=True)
    await first.set_operator(fingerprint_of(ADA), is_one=True)
    await first.close()
    second = Registry(FileFacts(tmp_path), private=True)
    await second.open()
    assert await second.owner("ada") == fingerprint_of(ADA)
    assert await second.is_admitted(ADA, "lobby")
    assert await second.standing(ADA) == Standing(is_operator=True, is_muted=True)
    assert not await second.redeem("an invite", BOB, "")
    assert await second.bans() == [Ban(fingerprint_of(BOB), "bob", "spam")]
    await second.close()


async def test_names_are_counted_anew_at_each_start() -> None:
    facts = MemoryFacts()
    for _ in range(3):
        registry = Registry(facts)
        await registry.open()
        await registry.open()
    for number in range(MAX_NAMES):
        await registry.claim("x" * (number + 1), ADA, "")
    assert len(await facts.all("name")) == MAX_NAMES


async def test_of_one_name_that_is_asked_for_many_times_at_once_one_is_counted(
    tmp_path: Path,
) -> None:
    registry = Registry(FileFacts(tmp_path))
    await registry.open()
    assert all(await asyncio.gather(*(registry.claim("ada", ADA, "") for _ in range(40))))
    assert all([await registry.claim("x" * n, ADA, "") for n in range(1, MAX_NAMES)])
    assert await registry.owner("x" * (MAX_NAMES - 1)) == fingerprint_of(ADA)
    await registry.close()


async def test_from_one_network_not_all_names_can_be_taken() -> None:
    now = 0.0
    registry = Registry(clock=lambda: now)
    keys = [bytes([number] * 32) for number in range(1, MAX_CLAIMS + 10)]
    for number, key in enumerate(keys):
        assert await registry.claim("x" * (number + 1), key, "[2001:db8::1]:50000")
    owned = [bool(await registry.owner("x" * (number + 1))) for number in range(len(keys))]
    assert owned == [True] * MAX_CLAIMS + [False] * 9
    assert await registry.claim("mine", ADA, "192.0.2.1:50000")
    assert await registry.owner("mine") == fingerprint_of(ADA)
    now += CLAIM_TIME
    assert await registry.claim("x" * len(keys), BOB, "[2001:db8::1]:50000")
    assert await registry.owner("x" * len(keys)) == fingerprint_of(BOB)


async def test_two_invites_that_are_redeemed_at_once_both_count(tmp_path: Path) -> None:
    registry = Registry(FileFacts(tmp_path), private=True)
    await registry.open()
    await asyncio.gather(registry.redeem("one", ADA, "red"), registry.redeem("two", ADA, "blue"))
    assert await registry.rooms_of(ADA) == ["blue", "red"]
    await registry.close()


# Who may come in


async def test_into_an_open_server_all_may_come() -> None:
    registry = Registry()
    assert await registry.is_admitted(NOBODY, "lobby")
    assert await registry.is_admitted(ADA, "lobby")


async def test_into_a_private_one_those_who_were_invited_and_operators() -> None:
    registry = Registry(private=True, operators=frozenset([fingerprint_of(BOB)]))
    assert not await registry.is_admitted(NOBODY, "lobby")
    assert not await registry.is_admitted(ADA, "lobby")
    assert await registry.is_admitted(BOB, "lobby")
    assert await registry.redeem("an invite", ADA, "")
    assert await registry.is_admitted(ADA, "lobby")


async def test_an_invite_works_for_one_key_alone() -> None:
    registry = Registry(private=True)
    assert await registry.redeem("an invite", ADA, "")
    assert await registry.redeem("an invite", ADA, "")  # its answer may have been lost
    assert not await registry.redeem("an invite", BOB, "")
    assert not await registry.is_admitted(BOB, "lobby")


async def test_an_invite_to_a_room_is_for_that_room_alone() -> None:
    registry = Registry(private=True)
    await registry.redeem("one", ADA, "red room")
    await registry.redeem("two", ADA, "blue")
    rooms = ("red room", "blue", "green", "red")
    assert [await registry.is_admitted(ADA, room) for room in rooms] == [True, True, False, False]


async def test_an_invite_to_a_room_keeps_nobody_out_of_the_others() -> None:
    registry = Registry(private=True)
    await registry.redeem("one", ADA, "")
    await registry.redeem("two", ADA, "red")
    assert await registry.is_admitted(ADA, "blue")
    await registry.redeem("three", BOB, "red")
    await registry.redeem("four", BOB, "")
    assert await registry.is_admitted(BOB, "blue")


# Bans


@pytest.mark.parametrize(
    ("whom", "key", "address", "refused"),
    [
        (fingerprint_of(ADA), ADA, "192.0.2.1", True),
        (fingerprint_of(ADA), BOB, "192.0.2.1", False),
        (fingerprint_of(ADA), NOBODY, "192.0.2.1", False),
        ("192.0.2.1", NOBODY, "192.0.2.1", True),
        ("192.0.2.1", ADA, "192.0.2.1", True),
        ("192.0.2.1", ADA, "192.0.2.2", False),
    ],
)
async def test_a_ban_keeps_out_whom_it_names(
    whom: str, key: bytes, address: str, refused: bool
) -> None:
    registry = Registry()
    await registry.ban(Ban(whom, "", "spam"))
    if refused:
        with pytest.raises(HandshakeRefused, match="you are banned here: spam") as caught:
            await registry.check(key, address)
        assert caught.value.code == 1008
    else:
        await registry.check(key, address)


@pytest.mark.parametrize("by", ["SHA256", "name", "look-alike"])
async def test_a_ban_can_be_lifted(by: str) -> None:
    registry = Registry()
    ban = Ban(fingerprint_of(ADA), "Ada", "spam")
    await registry.ban(ban)
    whom = {"SHA256": ban.whom, "name": "Ada", "look-alike": "ADA"}[by]
    assert await registry.bans_of(whom) == [ban]
    await registry.unban(ban)
    assert await registry.bans_of(whom) == []
    await registry.check(ADA, "192.0.2.1")


async def test_bans_without_a_name_are_found_by_what_they_ban_alone() -> None:
    registry = Registry()
    await registry.ban(Ban("192.0.2.1", "", ""))
    await registry.ban(Ban("192.0.2.2", "", ""))
    assert await registry.bans_of("192.0.2.1") == [Ban("192.0.2.1", "", "")]
    assert await registry.bans_of("") == []


async def test_a_ban_of_an_ipv6_address_is_one_of_its_network() -> None:
    registry = Registry()
    await registry.ban(Ban("2001:db8::/64", "", ""))
    with pytest.raises(HandshakeRefused):
        await registry.check(NOBODY, "[2001:db8::77]:50000")
    await registry.check(NOBODY, "[2001:db8:0:1::77]:50000")


async def test_operators_of_the_servers_own_settings_cannot_be_kept_out() -> None:
    registry = Registry(operators=frozenset([fingerprint_of(ADA)]))
    await registry.ban(Ban(fingerprint_of(ADA), "ada", ""))
    await registry.ban(Ban("192.0.2.1", "", ""))
    await registry.check(ADA, "192.0.2.1:50000")


async def test_operators_of_the_servers_own_settings_cannot_be_muted() -> None:
    registry = Registry(operators=frozenset([fingerprint_of(ADA)]))
    for key in (ADA, BOB):
        await registry.set_muted(fingerprint_of(key), is_muted=True)
    assert [await registry.is_muted(key) for key in (ADA, BOB)] == [False, True]


async def test_the_reason_of_a_ban_is_not_ever_so_long() -> None:
    registry = Registry()
    await registry.ban(Ban("192.0.2.1", "", "x" * 1000))
    (ban,) = await registry.bans()
    assert len(ban.reason) == MAX_REASON


def test_a_ban_says_whom_and_why() -> None:
    assert str(Ban("192.0.2.1", "ada", "spam")) == "ada (192.0.2.1): spam"
    assert str(Ban("192.0.2.1", "", "")) == "192.0.2.1"


# What members may do


async def test_operators_can_be_made_and_unmade_unless_the_server_was_started_with_them() -> None:
    registry = Registry(operators=frozenset([fingerprint_of(BOB)]))
    assert not await registry.is_operator(ADA)
    for _ in range(2):
        await registry.set_operator(fingerprint_of(ADA), is_one=True)
    assert await registry.is_operator(ADA)
    for _ in range(2):
        await registry.set_operator(fingerprint_of(ADA), is_one=False)
    assert not await registry.is_operator(ADA)
    await registry.set_operator(fingerprint_of(BOB), is_one=False)
    assert await registry.is_operator(BOB)


async def test_who_has_no_key_is_no_operator_and_not_muted_for_good() -> None:
    registry = Registry(operators=frozenset([""]))
    assert await registry.standing(NOBODY) == Standing()


# Invites that one server makes for all


async def test_what_an_invite_gives_is_known_to_the_other_servers_and_the_invite_is_not() -> None:
    facts = MemoryFacts()
    grant = Grant(b"i" * 16, "tea room", 1000)
    assert await Registry(facts).issue("token", grant, now=0)
    assert await Registry(facts).issued("token") == grant
    assert await Registry(facts).issued("another") is None
    assert "token" not in repr(facts._facts)


async def test_invites_that_wait_to_be_used_are_so_many_and_no_more() -> None:
    registry = Registry()
    for number in range(MAX_ISSUED):
        assert await registry.issue(f"{number}", Grant(b"i" * 16, "", 1000 + number), now=0)
    late = Grant(b"i" * 16, "", 5000)
    assert not await registry.issue("late", late, now=999)
    assert await registry.issued("late") is None
    assert await registry.issue("late", late, now=1001)
    assert await registry.issued("late") == late
    assert [await registry.issued(f"{number}") for number in (0, 1)] == [None, None]
    assert await registry.issued("2") is not None
