"""Claims about `socketchat.cli.presence`: who is there, and how few lines tell of it."""

from __future__ import annotations

import asyncio

import pytest

from socketchat.cli.presence import ARRIVING, QUIET, Presence
from socketchat.events import Joined, Left, Present, Renamed

pytestmark = pytest.mark.virtual_time


async def test_the_first_is_told_at_once_and_the_others_together() -> None:
    said: list[str] = []
    it = Presence(said.append)
    it.hear(Joined("ana"))
    it.hear(Joined("bob"))
    it.hear(Joined("cyd"))
    it.hear(Left("bob"))
    assert said == ["ana is online"]
    await asyncio.sleep(QUIET + 1)
    assert said[1:] == ["online: cyd; left: bob"]
    assert set(it.people) == {"ana", "cyd"}


async def test_after_a_quiet_while_the_next_is_told_at_once_again() -> None:
    said: list[str] = []
    it = Presence(said.append)
    it.hear(Joined("ana"))
    await asyncio.sleep(QUIET + 1)
    it.hear(Left("ana"))
    assert said == ["ana is online", "ana left"]


async def test_while_many_come_one_line_tells_of_each_while() -> None:
    said: list[str] = []
    it = Presence(said.append)
    for number in range(100):
        it.hear(Joined(f"guest-{number}"))
        await asyncio.sleep(0.5)
    it.close()
    assert len(said) <= 1 + 50 / QUIET + 1
    counted = sum(int(line.split()[0].removeprefix("+")) for line in said[1:])
    assert counted == 99


async def test_one_alone_is_told_of_in_words_and_its_address_is_kept() -> None:
    said: list[str] = []
    it = Presence(said.append)
    it.hear(Joined("ana", "192.0.2.1:5000"))
    it.hear(Joined("bob", "192.0.2.2:5000"))
    it.close()
    it.hear(Joined("cyd", "192.0.2.3:5000"))
    it.hear(Left("cyd", "192.0.2.3:5000"))
    it.hear(Left("dan"))
    it.close()
    assert said == [
        "ana (192.0.2.1:5000) is online",
        "bob (192.0.2.2:5000) is online",
        "cyd (192.0.2.3:5000) is online",
        "left: cyd (192.0.2.3:5000), dan",
    ]


async def test_other_names_are_gathered_too() -> None:
    said: list[str] = []
    it = Presence(said.append)
    it.hear(Joined("ana", key="SHA256:a"))
    it.hear(Joined("bob"))
    it.hear(Renamed("ana", "anna", "SHA256:a"))
    it.close()
    assert said == ["ana is online", "online: bob; ana is now anna"]
    assert it.people == {"anna": "SHA256:a", "bob": ""}


async def test_who_is_to_be_hidden_is_counted_and_not_told() -> None:
    said: list[str] = []
    it = Presence(said.append)
    it.hear(Joined("eve"), is_hidden=True)
    it.hear(Left("eve"), is_hidden=True)
    it.hear(Joined("eve"), is_hidden=True)
    assert said == []
    assert set(it.people) == {"eve"}


async def test_after_a_lost_link_those_who_are_there_are_known_anew() -> None:
    said: list[str] = []
    it = Presence(said.append)
    it.hear(Present(("ana", "bob"), ("SHA256:a", "")))
    await asyncio.sleep(ARRIVING)
    it.forget()
    it.hear(Present(("bob",)))
    assert said == ["here: ana, bob"]
    assert it.people == {"bob": ""}


async def test_names_from_outside_do_no_harm() -> None:
    said: list[str] = []
    it = Presence(said.append)
    for number in range(8):
        it.hear(Joined(f"\x1b[2J{number}", "\x1b]0;t\x07"))
    it.close()
    assert not any("\x1b" in line or "\x07" in line for line in said)
    # More keys than names, or fewer, are the other side's mistake.
    it.hear(Present(("ana", "bob"), ("SHA256:a",)))
    assert it.people["ana"] == "SHA256:a"


async def test_many_who_are_there_are_told_of_in_one_line() -> None:
    said: list[str] = []
    it = Presence(said.append)
    for start in range(0, 1024, 256):
        it.hear(Present(tuple(f"guest-{number}" for number in range(start, start + 256))))
    it.speaks("bob")
    assert len(said) == 1
    assert said[0].endswith(" and 1,013 more")
    it.hear(Present(("late",)))
    await asyncio.sleep(QUIET)
    assert len(said) == 1
