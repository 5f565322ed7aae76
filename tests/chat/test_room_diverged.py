"""Claims about rooms whose log loses its end while members are there, and goes on.

That happens where another program keeps the log: it is restored, or replaced by a replica.
"""

from __future__ import annotations

import asyncio

import pytest

from socketchat import HandshakeRefused, LinkLost, LinkRestored, Restarted
from socketchat.chat import Draft
from socketchat.messages import Bye, Welcome
from tests.chat.chatting import chat, found, say, texts, unread
from tests.sessions import LANE, receive, turns, until

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(("kept", "said_since"), [(0, 0), (0, 2), (1, 0), (1, 1), (1, 5)])
async def test_everybody_comes_back_is_told_and_shown_what_the_log_holds(
    monkeypatch: pytest.MonkeyPatch, kept: int, said_since: int
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        await say(ada, "old 1", "old 2", "old 3")
        assert await receive(bob, 3) == ["old 1", "old 2", "old 3"]
        await asyncio.sleep(1)  # what is said then is of other times
        unread(ada)
        unread(bob)
        it.log.diverge("lobby", kept)
        lines = [f"line {number}" for number in range(said_since)]
        for number, line in enumerate(lines, 1):
            await it.log.append("lobby", b"z" * 16, [Draft(number, line, "zoe")])
        await turns()
        await found(ada, bob)
        await turns()
        for session in (ada, bob):
            told = unread(session)
            assert isinstance(told[0], LinkLost)
            assert told[0].code == 1012
            assert told[1:3] == [Restarted(), LinkRestored()]
            # What it said itself is for those who iterate over `events()`.
            kept_lines = [] if session is ada else ["old 1"][:kept]
            assert texts(told) == kept_lines + lines
        await say(ada, "new")
        assert await receive(bob, 1) == ["new"]


async def test_what_was_not_acknowledged_goes_into_what_the_log_is_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await say(ada, "old 1", "old 2")
        it.log.slow = True
        receipt = await ada.send("new")
        await turns()
        it.log.diverge("lobby", 1)
        it.log.speed_up()
        await receipt
        assert it.log.bodies() == ["old 1", "new"]


async def test_who_was_let_in_before_and_is_seated_after_has_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await say(ada, "old 1", "old 2", "old 3")
        standing = it.server._standing
        waits = asyncio.Event()

        async def slowly(session: object) -> object:
            await waits.wait()
            return await standing(session)  # type: ignore[arg-type]

        monkeypatch.setattr(it.server, "_standing", slowly)
        wire = await it.ask("mallory", lane=LANE)
        welcome = await wire.expect(Welcome)
        assert welcome.head == 3
        it.log.diverge("lobby", 1)
        waits.set()
        bye = await wire.expect(Bye)
        assert bye.code == 1012


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_nobody_is_let_in_before_the_room_knows_that_its_log_is_another_one(
    monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await say(ada, "old 1", "old 2", "old 3")
        it.log.lose_end("lobby", kept)
        with pytest.raises(HandshakeRefused, match="another one") as caught:
            await it.call("bob", history=10)  # would be shown what the room remembers of the old
        assert caught.value.code == 1013
        it.log.tell_diverged("lobby")
        bob = await it.call("bob", history=10)
        assert await receive(bob, kept) == ["old 1", "old 2"][:kept]


async def test_nobody_in_another_room_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada", "one"), await it.call("bob", "two")
        await say(ada, "old 1")
        await say(bob, "other 1")
        unread(bob)
        it.log.diverge("one", 0)
        await until(lambda: any(isinstance(one, Restarted) for one in unread(ada)))
        assert unread(bob) == []
