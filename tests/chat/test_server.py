"""Claims about `socketchat.chat.server`: rooms and who gets into them, and what a failing log does.

How callers get to their seats is claimed in `test_admission.py`, what happens in a room in
`test_room.py`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

import pytest

from socketchat import (
    HandshakeRefused,
    Joined,
    Left,
    LocalProtocolError,
    Message,
    Renamed,
    SessionClosed,
)
from socketchat.chat import ChatServer
from socketchat.chat.log import LaneTaken
from socketchat.chat.roster import LINGER
from socketchat.chat.server import LOG_PAUSE
from socketchat.errors import LogError, LogFailed, LogUnavailable
from socketchat.messages import (
    MAX_NAME,
    Ack,
    Bye,
    Refused,
    Welcome,
)
from tests.chat.chatting import acknowledged, chat, new_log, posts, unread, waiting
from tests.chat.slow_log import SlowLog
from tests.sessions import (
    next_events,
    now,
    receive,
    send_all,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time

OTHER_LANE = bytes(16)


# Rooms


async def test_rooms_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada", "red"), await it.call("bob", "blue")
        cleo = await it.call("cleo", "red")
        assert (ada.room, bob.room, cleo.room) == ("red", "blue", "red")
        await bob.send("from blue")
        await ada.send("from red")
        await ada.close()
        await turns()
        assert await receive(cleo, 1) == ["from red"]
        assert await next_events(cleo, 1) == [Left("ada")]
        assert waiting(cleo) == waiting(bob) == 0
        assert (it.log.bodies("red"), it.log.bodies("blue")) == (["from red"], ["from blue"])


async def test_rooms_whose_names_differ_at_their_ends_are_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        rooms = ["r" * (MAX_NAME - 1) + end for end in "12"]
        ada, bob = [await it.call("ada", room) for room in rooms]
        assert [ada.room, bob.room] == rooms
        assert [ada.nick, bob.nick] == ["ada", "ada"]


@pytest.mark.parametrize("room", ["tea", "tea\u200b", " tea", "t\u202eea", "tea\n"])
async def test_rooms_that_look_the_same_are_the_same(
    monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    async with chat(monkeypatch, room="tea") as it:
        assert (await it.call("ada", room)).room == "tea"


async def test_a_room_whose_name_grows_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        with pytest.raises(HandshakeRefused, match="room's name has at most 64") as caught:
            await it.call("ada", " \u0301" * 32)
        assert caught.value.code == 1008
        assert not it.server._rooms


async def test_who_asks_for_no_room_is_in_the_servers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, room="tea  room") as it:
        ada, bob = await it.call("ada"), await it.call("bob", "tea room")
        assert ada.room == bob.room == "tea room"
        await ada.send("hello")
        assert await receive(bob, 1) == ["hello"]


@pytest.mark.parametrize("room", ["", " \u200b", "r" * (MAX_NAME + 1)])
def test_the_servers_own_room_has_a_name_that_can_be_sent(room: str) -> None:
    with pytest.raises(ValueError, match="a room's name"):
        ChatServer(room=room)


async def test_by_default_the_log_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        await it.server.close()
        it.server = ChatServer()
        it.listener._handler = it.server
        ada, bob = await it.call("ada"), await it.call("bob")
        await (await ada.send("hello"))
        assert await receive(bob, 1) == ["hello"]
        assert ada.room == "lobby"


async def test_a_room_that_all_have_left_is_closed_and_opens_again_with_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        for number in range(3):
            ada, bob = await it.call("ada", "red", history=99), await it.call("bob", "red")
            assert set(it.server._rooms) == {"red"}
            await (await ada.send(f"line {number}"))
            assert await receive(ada, number) == [f"line {n}" for n in range(number)]
            await ada.close()
            await bob.close()
            await until(lambda: not it.server._rooms)
            assert not it.log._rooms["red"].watchers


async def test_a_room_is_closed_when_the_last_one_whose_link_was_lost_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada", reconnect=False)
        bob = await it.call("bob")
        it.link(ada).cut()
        await bob.close()
        await turns()
        assert set(it.server._rooms) == {"lobby"}
        before = now()
        await until(lambda: not it.server._rooms)
        assert now() - before == pytest.approx(LINGER, abs=0.1)
        assert not it.log._rooms


async def test_a_room_stays_open_for_one_that_is_about_to_come_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        it.log.readable.clear()
        wire = await it.ask()
        await turns()
        await ada.close()
        await turns()
        assert set(it.server._rooms) == {"lobby"}
        it.log.readable.set()
        await wire.expect(Welcome)
        wire.say(*posts(1, 1))
        await acknowledged(wire, 1)


async def test_a_room_into_which_nobody_came_after_all_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        it.log.readable.clear()
        wire = await it.ask()
        await turns()
        await ada.close()
        it.log.unreadable = LogUnavailable("the store is away")
        it.log.readable.set()
        await wire.expect(Refused)
        assert not it.server._rooms
        assert not it.log._rooms


async def test_many_who_open_a_room_together_are_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        it.log.readable.clear()
        wires = [await it.ask(f"nick {n}", lane=bytes([n] * 16), room="red") for n in range(8)]
        await turns()
        it.log.readable.set()
        for wire in wires:
            await wire.expect(Welcome)
        assert len(it.log._rooms["red"].watchers) == 1
        assert len(it.server._rooms["red"].members) == 8


async def test_nothing_is_slipped_into_a_room_past_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        for session in it.listener.sessions:
            with pytest.raises(LocalProtocolError):
                await session.send("the server restarts at noon")
        await send_all(bob, ["one", "two"])
        assert await receive(ada, 2) == ["one", "two"]


# A log that fails


async def test_while_the_log_cannot_be_written_nobody_is_let_in_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 1))
        await turns()
        it.log.fail(LogUnavailable("the disk is full"))
        await turns()
        with pytest.raises(HandshakeRefused, match="the log cannot be written") as caught:
            await it.call("ada")
        assert caught.value.code == 1013
        await asyncio.sleep(LOG_PAUSE)
        assert (await it.call("ada")).nick == "ada"


async def test_one_whose_lane_is_at_another_server_is_turned_away_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 1))
        await turns()
        it.log.fail(LaneTaken("the author has gone on at another server"))
        assert (await wire.read_bye()).code == 1013
        assert (await it.call("ada")).nick == "ada"


async def test_who_is_turned_away_for_a_moment_stays_in_the_room_under_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        bob, ada = await it.call("bob"), await it.call("ada")
        assert await next_events(bob, 1) == [Joined("ada")]
        receipt = await ada.send("hello")
        await turns()
        it.log.fail(LogUnavailable("the disk is full"))
        it.log.speed_up()
        await receipt
        assert ada.nick == "ada"
        assert [type(event) for event in unread(bob)] == [Message]


async def test_a_log_that_has_failed_for_good_turns_everyone_away_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        given_up = asyncio.create_task(it.server.wait_failed())
        waits = asyncio.create_task(it.server.wait_failed())
        wire, _ = await it.wire()
        bob = await it.call("bob", reconnect=False)
        cleo = await it.call("cleo", "elsewhere", reconnect=False)
        given_up.cancel()
        wire.say(*posts(1, 2))
        await turns()
        receipts = await send_all(bob, ["one", "two"])
        await turns()
        assert not waits.done()
        failure = LogFailed("fsync failed")
        it.log.fail(failure)
        assert await waits is await it.server.wait_failed() is failure
        assert await wire.read_bye() == Bye(1013, "the log has failed")
        it.log.commit()  # even if it should come to that: who would know for sure?
        for session in (bob, cleo):
            await session.wait_closed()
            assert (session.close_code, session.close_reason) == (1013, "the log has failed")
        assert all(isinstance(receipt.error, SessionClosed) for receipt in receipts)
        assert not [one for one in wire.heard if isinstance(one, Ack)]
        with pytest.raises(HandshakeRefused, match="the log cannot be written"):
            await it.call("dora")


async def test_a_log_that_fails_while_nobody_speaks_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        waits = asyncio.create_task(it.server.wait_failed())
        ada = await it.call("ada", reconnect=False)
        assert it.server.failure is None
        failure = LogFailed("a checkpoint failed")
        it.log.break_down(failure)
        assert await waits is it.server.failure is failure
        await ada.wait_closed()
        assert (ada.close_code, ada.close_reason) == (1013, "the log has failed")
        with pytest.raises(HandshakeRefused, match="the log cannot be written"):
            await it.call("bob")


async def test_a_log_that_fails_while_somebody_comes_in_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada", reconnect=False)
        it.log.unreadable = LogFailed("a page is damaged")
        with pytest.raises(HandshakeRefused, match="a page is damaged"):
            await it.call("bob")
        assert await it.server.wait_failed() is it.log.unreadable
        await ada.wait_closed()
        assert ada.close_code == 1013


async def test_who_is_let_in_as_the_log_fails_does_not_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire = await it.ask()
        await wire.expect(Welcome)
        it.log.break_down(LogFailed("a checkpoint failed"))
        assert await wire.read_bye() == Bye(1013, "the log has failed")
        wire.say(Bye(1013))
        await wire.read_end()


async def test_a_log_that_fails_as_it_is_closed_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class FailingAtTheEnd(SlowLog):
        async def close(self) -> None:
            self.break_down(LogFailed("the last commit failed"))

    async with chat(monkeypatch, FailingAtTheEnd()) as it:
        await it.listener.close()
        assert it.server.failure is it.log.failure is not None


async def test_what_a_failed_log_does_not_say_is_a_failure_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 1))
        await turns()
        it.log.fail(cast("LogError", ZeroDivisionError("a bug")))
        failure = await it.server.wait_failed()
        assert isinstance(failure, LogFailed)
        assert str(failure) == "the log has failed: ZeroDivisionError('a bug')"
        await wire.read_bye()


# The end


async def test_a_server_that_restarts_acknowledges_what_was_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True)) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 3))
        await turns()
        closing = asyncio.create_task(it.listener.close(1012, "the server is stopping"))
        assert await wire.read_bye() == Bye(1012, "the server is stopping")
        wire.say(*posts(4, 5), Bye(1012))  # said before its author knew
        await turns()
        assert not closing.done()
        it.log.commit()
        await acknowledged(wire, 5)
        await closing
        assert len(it.log.bodies()) == 5


async def test_after_a_restart_everyone_goes_on_and_all_is_there_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob, ada = await it.call("bob"), await it.call("ada")
        lines = [f"line {number}" for number in range(200)]
        receipts = []
        for number, line in enumerate(lines):
            receipts.append(await ada.send(line))
            if number % 50 == 49:
                await it.restart(it.log)
        await asyncio.gather(*receipts)
        assert it.log.bodies() == lines
        assert await receive(bob, 200) == lines
        assert (ada.nick, bob.nick) == ("ada", "bob")


async def test_a_server_that_stops_commits_what_its_log_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, new_log(slow=True), close_timeout=2) as it:
        wire, _ = await it.wire()
        wire.say(*posts(1, 3))
        await turns()
        await it.listener.close()
        assert it.log.bodies() == ["line 1", "line 2", "line 3"]


async def test_who_comes_and_goes_in_any_room_is_told_to_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, Joined | Left | Renamed]] = []
    async with chat(monkeypatch) as it:
        it.server.on_presence = lambda room, event: told.append((room, event))
        ada, bob = await it.call("ada"), await it.call("bob", room="tea")
        await ada.close()
        await bob.rename("rob")
        await bob.close()
        await turns()
    assert [(room, type(event), event.nick) for room, event in told] == [
        ("lobby", Joined, "ada"),
        ("tea", Joined, "bob"),
        ("lobby", Left, "ada"),
        ("tea", Renamed, "bob"),
        ("tea", Left, "rob"),
    ]
    addresses = [event.address for _, event in told if not isinstance(event, Renamed)]
    assert all(address.startswith("192.0.2.") for address in addresses)


async def test_who_comes_and_goes_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "socketchat.chat"):
        async with chat(monkeypatch) as it:
            host, ada = await it.host(), await it.call("ada")
            await ada.close()
            await host.close()
            await turns()
    assert [one.message for one in caplog.records if one.name == "socketchat.chat"] == [
        "host (here) is online",
        "ada (192.0.2.1:50000) is online",
        "ada (192.0.2.1:50000) has left",
        "host (here) has left",
    ]
