"""Claims about `socketchat.chat.attendant`: what every member may ask of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from socketchat import (
    CommandFailed,
    Device,
    Joined,
    Left,
    Message,
    Present,
    Renamed,
    Session,
    Topic,
)
from socketchat.chat.attendant import MOST_FOUND, MOST_SHOWN, RENAME_INTERVAL
from socketchat.chat.registry import Registry
from socketchat.chat.roster import LINGER
from socketchat.events import Event
from socketchat.fingerprint import tag_of
from socketchat.messages import MAX_ANSWER, MAX_TOPIC
from tests.chat.chatting import chat, say, unread
from tests.sessions import turns, until

pytestmark = pytest.mark.virtual_time

ADA, BOB = Device.generate(), Device.generate()


async def failed(session: Session, name: str, argument: str = "") -> str:
    """Ask for something that is not done, and return why not."""
    with pytest.raises(CommandFailed) as caught:
        await session.command(name, argument)
    return caught.value.reason


async def heard(session: Session) -> Sequence[Event]:
    """Return what a session has been told since, that is no message."""
    await turns()
    told = [event for event in unread(session) if not isinstance(event, Message)]
    session._inbox.items.clear()
    return told


def operated() -> Registry:
    """Make a registry in which ada is an operator."""
    return Registry(operators=frozenset((ADA.fingerprint,)))


# Who is here


async def test_everybody_may_ask_who_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await it.call("Bob")
        await it.call("cyd", "tea")
        assert await ada.command("names") == "ada\nBob"


async def test_a_crowd_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 500
    monkeypatch.setattr("socketchat.chat.attendant.MAX_ANSWER", most)
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        names = [f"{'x' * 20}{number:03}" for number in range(30)]
        for name in names:
            await it.call(name)
        answer = await ada.command("names")
        assert len(answer) <= most
        *listed, last = answer.splitlines()
        assert last == f"… and {31 - len(listed)} more"
        assert set(listed) < {"ada", *names}


# Other names


async def test_one_may_go_by_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await heard(bob)
        assert await ada.rename("lovelace") == "lovelace"
        assert ada.nick == "lovelace"
        assert await heard(bob) == [Renamed("ada", "lovelace")]
        assert await bob.command("names") == "bob\nlovelace"
        await say(ada, "hello")
        assert (await bob.recv()).sender == "lovelace"
        # The old one is free again, and whoever comes is told the new one.
        other = await it.call("ada")
        assert other.nick == "ada"
        (present,) = await heard(other)
        assert isinstance(present, Present)
        assert set(present.nicks) == {"bob", "lovelace"}


async def test_the_name_outlasts_a_lost_link(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await ada.rename("lovelace")
        await it.cut(ada)
        await until(lambda: ada.linked)
        assert ada.nick == "lovelace"
        assert await bob.command("names") == "bob\nlovelace"


async def test_a_name_with_a_tag_outlasts_a_lost_link_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        await it.call("ada", device=ADA)
        bob = await it.call("bob", device=BOB)
        given = await bob.rename("ada")
        assert given == f"ada~{tag_of(BOB.public)}"
        for _ in range(2):
            links = len(it.network.links)
            assert bob.reconnect()
            await until(lambda links=links: len(it.network.links) > links and bob.linked)  # type: ignore[misc]
            assert bob.nick == given
        # A tag of somebody else's is still no tag.
        eve = await it.call(f"ada~{tag_of(ADA.public)}")
        assert "~" not in eve.nick


async def test_a_name_that_is_taken_is_given_with_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada", device=ADA)
        await it.call("bob", device=BOB)
        given = await ada.rename("B0b")
        assert given.startswith("B0b~")
        assert given == ada.nick


async def test_only_the_spelling_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada", device=ADA), await it.call("bob")
        await heard(bob)
        assert await ada.rename("Ada") == "Ada"
        assert await heard(bob) == [Renamed("ada", "Ada", ADA.fingerprint)]
        assert await ada.rename("Ada") == "Ada"  # which costs nothing
        assert await heard(bob) == []


async def test_one_of_two_sessions_leaves_the_name_to_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        first, second = await it.call("ada", device=ADA), await it.call("ada", device=ADA)
        await heard(bob)
        assert await first.rename("Ada") == "ada"  # the other one has it as it was
        await asyncio.sleep(RENAME_INTERVAL)
        assert await first.rename("lovelace") == "lovelace"
        assert await heard(bob) == [Joined("lovelace", key=ADA.fingerprint)]
        assert await bob.command("names") == "ada\nbob\nlovelace"
        await asyncio.sleep(RENAME_INTERVAL)
        assert await first.rename("ada") == "ada"
        assert await heard(bob) == [Left("lovelace", key=ADA.fingerprint)]
        await first.close()
        await second.close()
        assert await heard(bob) == [Left("ada", key=ADA.fingerprint)]


async def test_names_do_not_change_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await ada.rename("one")
        assert "too soon" in await failed(ada, "nick", "two")
        await asyncio.sleep(RENAME_INTERVAL)
        assert await ada.rename("two") == "two"


@pytest.mark.parametrize("name", ["", " ", "\u200b", "?"])
async def test_a_name_of_nothing_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        assert await failed(ada, "nick", name) == "which name? give one"
        assert ada.nick == "ada"


async def test_who_leaves_meanwhile_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        asking = asyncio.create_task(ada.rename("lovelace"))
        await asyncio.sleep(0)
        ada.abort()
        with pytest.raises(Exception):  # noqa: B017, PT011 - closed, or the link was lost
            await asking
        await asyncio.sleep(LINGER + 1)
        bob = await it.call("bob")
        assert await bob.command("names") == "bob"


# What the room is about


async def test_operators_say_what_a_room_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, registry=operated()) as it:
        ada, bob = await it.call("ada", device=ADA), await it.call("bob")
        await heard(bob)
        assert await bob.command("topic") == "the room has no topic"
        assert "only operators" in await failed(bob, "topic", "mine")
        assert await ada.command("topic", "tea\x1b and\ncake") == ""  # it is told as everybody is
        assert Topic("tea␛ and cake", "ada") in await heard(ada)
        assert await heard(bob) == [Topic("tea␛ and cake", "ada")]
        assert await bob.command("topic") == "tea␛ and cake (by ada)"
        # Who comes is told, in this room alone, also after a restart.
        await it.restart(it.log)
        cyd = await it.call("cyd")
        assert Topic("tea␛ and cake", "ada") in await heard(cyd)
        dan = await it.call("dan", "tea")
        assert await dan.command("topic") == "the room has no topic"
        await until(lambda: ada.linked)
        await ada.command("topic", "-")
        assert Topic("", "ada") in await heard(cyd)
        assert await cyd.command("topic") == "the room has no topic"


async def test_a_topic_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, registry=operated()) as it:
        ada = await it.call("ada", device=ADA)
        assert "at most 300 characters" in await failed(ada, "topic", "x" * (MAX_TOPIC + 1))
        await ada.command("topic", "x" * MAX_TOPIC)


# What was said


async def test_what_was_said_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await say(ada, "tea at four", "cake\tat  five", "nothing")
        found = await bob.command("search", "at")
        lines = [line.split("\t") for line in found.splitlines()]
        assert [line[1:] for line in lines] == [
            ["ada", "", "tea at four"],
            ["ada", "", "cake at five"],
        ]
        assert all(int(line[0]) > 0 for line in lines)
        assert await bob.command("search", "coffee") == ""
        assert await failed(bob, "search") == "for what? give words"


async def test_what_is_for_others_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob, eve = [await it.call(name) for name in ("ada", "bob", "eve")]
        await (await ada.send("a secret", to="bob"))
        for one in (ada, bob):
            assert "a secret" in await one.command("search", "secret")
        assert await eve.command("search", "secret") == ""


async def test_the_newest_are_found_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await say(ada, *(f"text {number}" for number in range(30)))
        found = [line.split("\t")[3] for line in (await ada.command("search", "text")).splitlines()]
        assert found == [f"text {number}" for number in range(30 - MOST_FOUND, 30)]
        await say(ada, *(f"long {number} " + "x" * 1000 for number in range(30)))
        answer = await ada.command("search", "long")
        assert len(answer) <= MAX_ANSWER
        texts = [line.split("\t")[3] for line in answer.splitlines()]
        assert all(len(text) == MOST_SHOWN and text.endswith("…") for text in texts)
        assert texts[-1].startswith("long 29 ")


async def test_who_is_no_operator_may_ask_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        assert "only operators" in await failed(ada, "kick", "ada")
        assert "knows no command" in await failed(ada, "frob")
