"""Claims about `socketchat.chat.health`: what is wrong is said, and no longer than it is."""

from __future__ import annotations

import asyncio

import pytest

from socketchat.chat.health import FRESH, REMEMBERED, STUCK, Health
from socketchat.chat.log import Span
from socketchat.errors import LogFailed, LogUnavailable
from tests.chat.chatting import Chat, chat, new_log, say
from tests.sessions import turns, until

pytestmark = pytest.mark.virtual_time


def health(it: Chat) -> Health:
    return Health(it.listener, it.server)


async def test_a_server_that_works_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        assert not await health(it).trouble()
        await say(await it.call("ada"), "hello")
        assert not await health(it).trouble()


async def test_a_server_that_stops_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        at = health(it)
        assert not it.listener.is_closing
        closing = asyncio.create_task(it.listener.close())
        await asyncio.sleep(0)
        assert it.listener.is_closing
        assert await at.trouble() == "the server is stopping"
        await closing


async def test_a_log_that_has_failed_is_not_well_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        at = health(it)
        it.log.break_down(LogFailed("I/O error in /a/path"))
        await turns()
        assert await at.trouble() == "the log has failed"
        await asyncio.sleep(10 * REMEMBERED)
        assert await at.trouble() == "the log has failed"


async def test_a_log_that_could_not_be_written_is_not_well_until_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = new_log(slow=True)
    async with chat(monkeypatch, log) as it:
        at = health(it)
        ada = await it.call("ada")
        receipt = await ada.send("one")
        await until(lambda: log.under_way)
        log.fail(LogUnavailable("the disk is full"))
        await turns()
        assert await at.trouble() == "the log cannot be written just now"
        log.speed_up()
        await receipt
        assert not await at.trouble()


async def test_a_log_that_nobody_has_written_to_since_it_failed_gets_another_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = new_log(slow=True)
    async with chat(monkeypatch, log) as it:
        at = health(it)
        ada = await it.call("ada", reconnect=False)
        await ada.send("one")
        await until(lambda: log.under_way)
        log.fail(LogUnavailable("the disk is full"))
        await turns()
        await asyncio.sleep(REMEMBERED - 1)
        assert await at.trouble()
        await asyncio.sleep(1)
        assert not await at.trouble()
        log.speed_up()


async def test_a_log_that_answers_no_append_is_not_well_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = new_log(slow=True)
    async with chat(monkeypatch, log) as it:
        at = health(it)
        ada = await it.call("ada")
        receipt = await ada.send("one")
        await until(lambda: log.under_way)
        assert not await at.trouble()
        await asyncio.sleep(STUCK)
        assert await at.trouble() == f"the log has committed nothing for {STUCK:.0f} s"
        log.speed_up()
        await receipt
        assert not await at.trouble()


async def test_a_log_that_cannot_be_read_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        at = health(it)
        it.log.unreadable = LogUnavailable("redis://ada:secret@example.org is away")
        assert await at.trouble() == "the log cannot be read just now"
        it.log.unreadable = None
        await asyncio.sleep(FRESH)
        assert not await at.trouble()


async def test_a_log_that_does_not_answer_is_asked_once_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        at = health(it)
        asked: list[str] = []
        span = it.log.span

        async def counted(room: str) -> Span:
            asked.append(room)
            return await span(room)

        monkeypatch.setattr(it.log, "span", counted)
        it.log.readable.clear()
        answers = await asyncio.gather(*(at.trouble() for _ in range(30)))
        assert set(answers) == {"the log has not answered in 2 s"}
        assert len(asked) == 1
        it.log.readable.set()
        await asyncio.sleep(FRESH)
        assert not await at.trouble()


async def test_a_question_may_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        at = health(it)
        it.log.readable.clear()
        one, other = (asyncio.create_task(at.trouble()) for _ in range(2))
        await turns()
        one.cancel()
        it.log.readable.set()
        assert not await other
        assert one.cancelled()
