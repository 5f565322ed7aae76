"""Claims about keys in rooms: whose name it is, who reads what, and whose lane it was."""

from __future__ import annotations

import pytest
from msgspec import Struct

from socketchat import Device, HandshakeRefused, Joined, Left, Message, Present, Session
from socketchat.chat.facts import MemoryFacts
from socketchat.chat.registry import Registry
from socketchat.fingerprint import tag_of
from socketchat.messages import VERSION, Greeting, Hello, Refused, TextPost, Welcome
from tests.chat.chatting import Chat, acknowledged, chat, new_log, posts, say, texts, unread
from tests.sessions import LANE, Wire, next_events, receive, turns

pytestmark = pytest.mark.virtual_time

ADA, BOB, EVE = Device.generate(), Device.generate(), Device.generate()


async def enter(
    it: Chat, device: Device | None, lane: bytes = LANE, nick: str = ""
) -> tuple[Wire, Welcome | Refused]:
    """Ask to be let in on a lane, with a device's proof if there is one."""
    wire = it.listener.call_raw()
    greeting = await wire.expect(Greeting)
    hello = Hello(VERSION, lane, nick)
    if device is not None:
        signature = device.prove("", greeting.nonce, lane)
        hello = Hello(VERSION, lane, nick, key=device.public, signature=signature)
    wire.say(hello)
    answer = await wire.expect(Struct)  # the next one, whatever it is
    assert isinstance(answer, Welcome | Refused)
    await turns()
    return wire, answer


# Names


async def test_a_name_is_kept_for_the_key_that_used_it_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada", device=ADA)
        await ada.close()
        eve = await it.call("ada", device=EVE)
        assert eve.nick == f"ada~{tag_of(EVE.public)}"
        assert (await it.call("ada")).nick == "ada-2"
        assert (await it.call("ada", device=ADA)).nick == "ada"


async def test_a_name_is_kept_over_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(MemoryFacts())
    async with chat(monkeypatch, registry=registry) as it:
        ada = await it.call("ada", device=ADA)
        await ada.close()
        await it.restart(it.log)
        assert (await it.call("ada", device=EVE)).nick == f"ada~{tag_of(EVE.public)}"


@pytest.mark.parametrize("nick", ["ADA", "аda", "ａda", "ada\u200b"])  # noqa: RUF001 - that is it
async def test_a_name_that_looks_like_anothers_bears_the_tag_of_its_key(
    monkeypatch: pytest.MonkeyPatch, nick: str
) -> None:
    async with chat(monkeypatch) as it:
        await it.call("ada", device=ADA)
        eve = await it.call(nick, device=EVE)
        assert eve.nick.endswith(f"~{tag_of(EVE.public)}")


async def test_nobody_brings_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        eve = await it.call(f"ada~{tag_of(ADA.public)}", device=EVE)
        assert "~" not in eve.nick


async def test_sessions_of_one_key_share_its_name_and_come_and_go_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob", device=BOB)
        laptop = await it.call("ada", device=ADA)
        phone = await it.call("ada", device=ADA)
        assert laptop.nick == phone.nick == "ada"
        await laptop.close()
        await turns()
        assert unread(bob) == [Joined("ada", key=ADA.fingerprint)]
        await phone.close()
        await turns()
        assert unread(bob) == [Left("ada", key=ADA.fingerprint)]


async def test_what_one_session_says_the_others_of_its_key_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        laptop, phone = await it.call("ada", device=ADA), await it.call("ada", device=ADA)
        await say(laptop, "hello")
        (message,) = await next_events(phone, 1)
        assert isinstance(message, Message)
        assert (message.text, message.sender, message.own) == ("hello", "ada", False)


async def test_who_has_chosen_no_name_owns_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        guest = await it.call(device=ADA)
        assert guest.nick == "guest"
        await guest.close()
        assert (await it.call(device=EVE)).nick == "guest"


# Who is told whose key it is


async def test_all_are_told_the_keys_of_those_who_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        await it.call("ada", device=ADA)
        await it.call("bob")
        eve = await it.call("eve", device=EVE)
        assert unread(eve) == [Present(("ada", "bob"), (ADA.fingerprint, ""))]


async def test_a_message_bears_the_key_of_its_author_in_the_log_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        cleo = await it.call("cleo")
        bob, ada = await it.call("bob"), await it.call("ada", device=ADA)
        await say(ada, "hello")
        await say(bob, "hi")
        for session in (cleo, await it.call("eve", history=10)):
            found = [event for event in unread(session) if isinstance(event, Message)]
            keys = {message.text: message.key for message in found}
            assert keys == {"hello": ADA.fingerprint, "hi": ""}


# Direct messages


async def test_a_direct_message_is_for_all_sessions_of_both_keys_and_later_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada", device=ADA), await it.call("bob", device=BOB)
        others = [await it.call("ada", device=ADA), await it.call("bob", device=BOB)]
        eve = await it.call("eve", device=EVE)
        await (await ada.send("for you", to="bob"))
        for session in (bob, *others):
            assert texts(unread(session)) == ["for you"]
        assert texts(unread(eve)) == []
        for session in (ada, bob, *others):
            await session.close()
        for device, count in ((ADA, 1), (BOB, 1), (EVE, 0)):
            later = await it.call("later", device=device, history=10)
            await turns()
            assert len(texts(unread(later))) == count


async def test_one_who_takes_the_name_of_another_is_not_given_what_was_for_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada", device=ADA), await it.call("bob")
        await (await ada.send("for bob without a key", to="bob"))
        await bob.close()
        eve = await it.call("bob", device=EVE, history=10)
        assert eve.nick == "bob"
        assert texts(unread(eve)) == []


# Lanes


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
@pytest.mark.parametrize("thief", [EVE, None], ids=["with a key", "without"])
async def test_a_lane_that_was_stolen_is_refused(
    monkeypatch: pytest.MonkeyPatch, thief: Device | None, restarted: bool
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await enter(it, ADA)
        wire.say(*posts(1, 3))
        await acknowledged(wire, 3)
        if restarted:
            await it.restart(it.log)
        _, answer = await enter(it, thief)
        assert answer == Refused(1008, "this lane belongs to another key")
        if not restarted:
            wire.say(TextPost(4, "I am still here"))
            await acknowledged(wire, 4)
        _, answer = await enter(it, ADA)
        assert isinstance(answer, Welcome)
        assert answer.mark == (3 if restarted else 4)


async def test_who_reads_the_log_cannot_go_on_in_a_lane_that_has_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await enter(it, None)
        wire.say(TextPost(1, "to everyone"))
        await acknowledged(wire, 1)
        known = it.log._rooms["lobby"].entries[0].lane
        assert known != LANE
        _, answer = await enter(it, None, known)
        assert isinstance(answer, Welcome)
        assert answer.mark == 0
        wire.say(TextPost(2, "I am still here"))
        await acknowledged(wire, 2)


async def test_a_lane_on_which_nothing_was_said_belongs_to_nobody_once_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await enter(it, ADA)
        wire.reset()
        await turns()
        _, answer = await enter(it, EVE)
        assert isinstance(answer, Welcome)


async def test_one_that_has_come_by_a_key_goes_on_with_its_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await enter(it, None)
        wire.say(*posts(1, 3))
        await acknowledged(wire, 3)
        wire.reset()
        await turns()
        _, answer = await enter(it, ADA)
        assert isinstance(answer, Welcome)
        assert answer.mark == 3


async def test_a_ghost_is_replaced_by_the_same_key_and_not_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, log=new_log()) as it:
        await enter(it, ADA, nick="ada")
        _, answer = await enter(it, EVE, nick="ada")
        assert isinstance(answer, Refused)
        _, answer = await enter(it, ADA, nick="ada")
        assert isinstance(answer, Welcome)
        assert answer.nick == "ada"
        assert len(it.listener.sessions) == 1


async def test_a_key_that_is_not_proved_does_not_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        it_is_not = Device(ADA.public, EVE._private)
        with pytest.raises(HandshakeRefused, match="not proved"):
            await it.call("ada", device=it_is_not)
        assert (await it.call("ada", device=EVE)).nick == "ada"


async def test_the_host_has_a_key_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        host: Session = await it.host("host", device=BOB)
        await say(host, "hello")
        assert await receive(ada, 1) == ["hello"]
        await host.close()
        assert (await it.call("host", device=EVE)).nick != "host"
