"""Claims about `socketchat.chat.orders`: what is read from the facts while orders come.

What comes of orders at several servers is claimed in `test_redis_neighbours.py`.
"""

from __future__ import annotations

import asyncio

import pytest

from socketchat import Device, SessionState
from socketchat.chat.facts import MemoryFacts
from socketchat.chat.member import Member
from socketchat.chat.neighbours import ShowOut, StandingChanged, Topic
from socketchat.chat.registry import Ban, Registry, Standing
from socketchat.errors import LogUnavailable
from tests.chat.chatting import Chat, chat
from tests.sessions import turns, until

ADA = Device.generate()


class SlowFacts(MemoryFacts):
    """Facts that are read, and told when the test lets them be.

    Attributes:
        are_told: Whether they are.
        are_away: Whether they cannot be read.
        reading: Whether one is read, and not told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.are_told = asyncio.Event()
        self.are_told.set()
        self.are_away = False
        self.reading = False

    async def get(self, kind: str, subject: str) -> str | None:
        """Return what there was when it was asked for."""
        if self.are_away:
            raise LogUnavailable("Redis is away")
        value = await super().get(kind, subject)
        self.reading = not self.are_told.is_set()
        await self.are_told.wait()
        return value


def member(it: Chat) -> Member:
    """Return the only seat."""
    (one,) = it.server._rooms["lobby"].members.values()
    return one


async def test_what_was_read_before_an_order_came_does_not_undo_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = SlowFacts()
    registry = Registry(facts)
    await registry.set_operator(ADA.fingerprint, is_one=True)
    async with chat(monkeypatch, registry=registry) as it:
        await it.call("ada", device=ADA)
        assert member(it).standing == Standing(is_operator=True)
        facts.are_told.clear()
        it.server._around.missed()
        # Of two facts that are read, the first is known when the order comes.
        for _ in range(3):
            await until(lambda: facts.reading)
            facts.reading = False
            facts.are_told.set()
            facts.are_told.clear()
        await until(lambda: facts.reading)
        await registry.set_operator(ADA.fingerprint, is_one=False)
        it.server._around.heard("two", StandingChanged(ADA.fingerprint, b"", is_operator=False))
        facts.are_told.set()
        await asyncio.wait(it.server._around.orders.looking)
        assert member(it).standing == Standing()


async def test_who_is_shown_out_is_given_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SlowFacts()
    registry = Registry(facts)
    await registry.set_operator(ADA.fingerprint, is_one=True)
    async with chat(monkeypatch, registry=registry) as it:
        ada = await it.call("ada", device=ADA)
        seat = member(it)
        facts.are_told.clear()
        it.server._around.missed()
        await until(lambda: facts.reading)
        it.stall(ada)  # it does not leave at once
        it.server._around.heard("two", ShowOut(ADA.fingerprint, b"", "out"))
        facts.are_told.set()
        await asyncio.wait(it.server._around.orders.looking)
        assert seat.standing == Standing()
        it.resume(ada)
        await until(lambda: ada.state is SessionState.CLOSED)


async def test_a_ban_that_comes_while_one_is_let_in_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = SlowFacts()
    registry = Registry(facts)
    async with chat(monkeypatch, registry=registry) as it:
        host = await it.host()
        is_muted = registry.is_muted

        async def ban_first(key: bytes) -> bool:
            await registry.ban(Ban(ADA.fingerprint, "ada", ""))
            it.server._around.heard("two", ShowOut(ADA.fingerprint, b"", "out"))
            return await is_muted(key)

        monkeypatch.setattr(registry, "is_muted", ban_first)
        ada = await it.call("ada", device=ADA)
        await until(lambda: ada.state is SessionState.CLOSED)
        assert ada.close_reason == "you are banned here"
        assert host.state is SessionState.OPEN


async def test_a_topic_that_changes_while_its_room_is_opened_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = SlowFacts()
    registry = Registry(facts)
    async with chat(monkeypatch, registry=registry) as it:
        span = it.log.span

        async def change_first(room: str) -> object:
            monkeypatch.setattr(it.log, "span", span)
            await registry.set_topic(room, "tea", "ada")
            it.server._around.heard("two", Topic(room, "ada"))
            return await span(room)

        monkeypatch.setattr(it.log, "span", change_first)
        await it.call("ada")
        await until(lambda: it.server._rooms["lobby"].topic == ("tea", "ada"))


async def test_a_topic_that_cannot_be_read_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socketchat.chat.orders._PAUSE", 0.001)
    facts = SlowFacts()
    registry = Registry(facts)
    async with chat(monkeypatch, registry=registry) as it:
        await it.call("ada")
        await registry.set_topic("lobby", "tea", "ada")
        facts.are_away = True
        it.server._around.heard("two", Topic("lobby", "ada"))
        with pytest.raises(LogUnavailable):
            await it.server._around.topic_changed("lobby", "ada")
        await turns()
        facts.are_away = False
        await until(lambda: it.server._rooms["lobby"].topic == ("tea", "ada"))
