"""Claims about `socketchat.chat.moderation`: what operators may do, and others may not."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from socketchat import (
    CommandFailed,
    Device,
    HandshakeRefused,
    Identity,
    Left,
    MessageRejected,
    Session,
    SessionState,
)
from socketchat.chat.facts import MemoryFacts
from socketchat.chat.inviter import Inviter
from socketchat.chat.moderation import host_of
from socketchat.chat.registry import Registry
from socketchat.chat.server import MAX_COMMANDS
from socketchat.messages import Answer, Command
from socketchat.trust.invites import Invite
from tests.chat.chatting import Chat, chat, say, unread
from tests.sessions import now, receive, turns, until

pytestmark = pytest.mark.virtual_time

ADA, EVE = Device.generate(), Device.generate()
IDENTITY = Identity.generate()
#: Where all callers over links in memory call from.
ADDRESS = "192.0.2.1"

COMMANDS = ["kick", "ban", "unban", "bans", "mute", "unmute", "op", "deop", "invite"]


async def refused(session: Session, name: str, argument: str = "") -> str:
    """Ask for something that is not done, and return why not."""
    with pytest.raises(CommandFailed) as caught:
        await session.command(name, argument)
    assert caught.value.code == 1008
    return caught.value.reason


async def closed(session: Session) -> str:
    """Wait until a session was shown the door, and return what it was told."""
    await until(lambda: session.state is SessionState.CLOSED)
    assert session.close_code == 1008
    return session.close_reason


async def refusal(it: Chat, nick: str, **options: Any) -> str:
    """Call and be refused; return why."""
    with pytest.raises(HandshakeRefused) as caught:
        await it.call(nick, **options)
    assert caught.value.code == 1008
    return caught.value.reason


# Who may


@pytest.mark.parametrize("name", COMMANDS)
async def test_only_operators_may(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async with chat(monkeypatch) as it:
        ada, eve = await it.call("ada", device=ADA), await it.call("eve", device=EVE)
        assert await refused(eve, name, "ada") == "only operators may do that"
        assert ada.state is SessionState.OPEN


async def test_what_operators_do_is_told_to_who_asks_but_not_what_the_host_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, str, str]] = []
    async with chat(monkeypatch) as it:
        it.server.on_moderation = lambda *what: told.append(what)
        host, eve = await it.host(), await it.call("eve", device=EVE)
        await refused(eve, "bans")
        await host.command("op", "eve")
        said = await eve.command("bans")
        assert told == [("eve", "bans", said)]


async def test_what_is_no_command_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        assert await refused(host, "dance") == "this server knows no command 'dance'"


async def test_an_operator_is_made_by_another_and_stays_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, registry=Registry(MemoryFacts())) as it:
        host, ada = await it.host(), await it.call("ada", device=ADA)
        assert await host.command("op", "ada") == "ada is an operator"
        assert await ada.command("bans") == "nobody is banned"
        await host.close()
        await it.restart(it.log)
        again = await it.call("ada", device=ADA)
        assert await again.command("bans") == "nobody is banned"
        assert await again.command("deop", "ada") == "ada is no operator any more"
        assert await refused(again, "bans") == "only operators may do that"


async def test_who_has_no_key_cannot_be_an_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        await it.call("bob")
        assert await refused(host, "op", "bob") == "bob has no key, by which an operator is known"


async def test_operators_can_be_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(operators=frozenset([ADA.fingerprint]))
    async with chat(monkeypatch, registry=registry) as it:
        ada = await it.call("ada", device=ADA)
        assert await ada.command("op", EVE.fingerprint) == f"{EVE.fingerprint} is an operator"
        eve = await it.call("eve", device=EVE)
        assert await eve.command("bans") == "nobody is banned"


# Kick


async def test_who_is_kicked_is_told_why_and_may_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        host, ada = await it.host(), await it.call("ada")
        sessions = [await it.call("eve", device=EVE) for _ in range(2)]
        unread(ada)
        assert await host.command("kick", "eve enough of that") == "eve was shown the door"
        for session in sessions:
            assert await closed(session) == "kicked by host: enough of that"
        await turns()
        assert unread(ada) == [Left("eve", key=EVE.fingerprint)]
        assert (await it.call("eve", device=EVE)).nick == "eve"


async def test_names_with_spaces_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host, other = await it.host(), await it.call("eve")
        eve = await it.call("eve of all people")
        await host.command("kick", "eve of all people go away")
        assert await closed(eve) == "kicked by host: go away"
        assert other.state is SessionState.OPEN


async def test_somebody_in_another_room_can_be_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host, eve = await it.host(), await it.call("eve", "cellar")
        await host.command("kick", "eve")
        assert await closed(eve) == "kicked by host"


@pytest.mark.parametrize("name", ["kick", "ban", "mute", "op"])
async def test_somebody_who_is_not_there_cannot_be_dealt_with(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        assert await refused(host, name, "eve") == "nobody here is called 'eve'"
        assert await refused(host, name, "") == "whom? give a name"


async def test_the_host_cannot_be_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, registry=Registry(operators=frozenset([ADA.fingerprint]))) as it:
        host, ada = await it.host(), await it.call("ada", device=ADA)
        for name in ("kick", "ban", "mute"):
            assert await refused(ada, name, "host") == "host sits at the server itself"
        assert host.state is SessionState.OPEN


# Ban


async def test_who_is_banned_does_not_come_back_under_any_name_nor_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, registry=Registry(MemoryFacts())) as it:
        host, eve = await it.host(), await it.call("eve", device=EVE)
        said = await host.command("ban", "eve spam")
        assert said == f"eve ({EVE.fingerprint}) is banned"
        assert await closed(eve) == "banned by host: spam"
        assert await refusal(it, "lady", device=EVE) == "you are banned here: spam"
        await it.restart(it.log)
        assert await refusal(it, "lady", device=EVE) == "you are banned here: spam"
        host = await it.host()
        assert await host.command("bans") == f"eve ({EVE.fingerprint}): spam"
        assert await host.command("unban", "eve") == "no longer banned: eve"
        assert (await it.call("eve", device=EVE)).nick == "eve"


async def test_who_has_no_key_is_banned_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host, eve = await it.host(), await it.call("eve")
        assert await host.command("ban", "eve") == f"eve ({ADDRESS}) is banned"
        await closed(eve)
        assert await refusal(it, "lady") == "you are banned here"
        assert host.state is SessionState.OPEN


@pytest.mark.parametrize("whom", [EVE.fingerprint, ADDRESS])
async def test_keys_and_addresses_can_be_banned_by_themselves(
    monkeypatch: pytest.MonkeyPatch, whom: str
) -> None:
    async with chat(monkeypatch) as it:
        host, eve = await it.host(), await it.call("eve", device=EVE)
        assert await host.command("ban", f"{whom} spam") == f"{whom} is banned"
        assert await closed(eve) == "banned by host: spam"
        assert await host.command("unban", whom) == f"no longer banned: {whom}"


async def test_one_that_has_left_can_still_be_banned_by_the_name_of_its_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        host, eve = await it.host(), await it.call("eve", device=EVE)
        await eve.close()
        assert await host.command("ban", "eve spam") == f"eve ({EVE.fingerprint}) is banned"
        assert await refusal(it, "eve", device=EVE) == "you are banned here: spam"


async def test_nobody_bans_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(operators=frozenset([ADA.fingerprint]))
    async with chat(monkeypatch, registry=registry) as it:
        ada = await it.call("ada", device=ADA)
        for whom in ("ada", ADA.fingerprint, ADDRESS):
            assert await refused(ada, "ban", whom) == "that would ban yourself"
        assert ada.state is SessionState.OPEN


async def test_lifting_a_ban_that_there_is_not_is_said_to_be_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        why = "nobody called 'eve' is banned; /bans lists who is"
        assert await refused(host, "unban", "eve") == why


# Mute


async def test_what_one_who_is_muted_says_is_refused_until_they_may_speak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, registry=Registry(MemoryFacts())) as it:
        host, ada = await it.host(), await it.call("ada")
        eve = await it.call("eve", device=EVE)
        assert await host.command("mute", "eve") == "eve is muted"
        with pytest.raises(MessageRejected, match="you are muted here"):
            await (await eve.send("but"))
        again = await it.call("eve", device=EVE)
        with pytest.raises(MessageRejected, match="you are muted here"):
            await (await again.send("but"))
        assert await host.command("unmute", "eve") == "eve may speak"
        await say(eve, "at last")
        assert await receive(ada, 1) == ["at last"]


async def test_who_has_no_key_is_muted_for_this_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host, eve = await it.host(), await it.call("eve")
        said = await host.command("mute", "eve")
        assert said == "eve is muted, until they come back: they have no key"
        with pytest.raises(MessageRejected, match="you are muted here"):
            await (await eve.send("but"))


# Invites


async def test_an_invite_lets_one_key_into_a_private_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inviter = Inviter(IDENTITY, "maple", 7000, clock=lambda: 1e9 + now())
    registry = Registry(private=True)
    async with chat(monkeypatch, registry=registry, invites=inviter) as it:
        host = await it.host()
        assert "ask its host for an invite" in await refusal(it, "ada", device=ADA)
        invite = Invite.parse(await host.command("invite"))
        assert (invite.host, invite.port, invite.room) == ("maple", 7000, "")
        assert invite.pin == IDENTITY.fingerprint
        assert "has shown none" in await refusal(it, "ada", invite=invite.token)
        ada = await it.call("ada", device=ADA, invite=invite.token)
        await say(ada, "hello")
        assert "was used already" in await refusal(it, "eve", device=EVE, invite=invite.token)
        await ada.close()
        assert (await it.call("ada", device=ADA)).nick == "ada"


async def test_an_invite_expires_and_is_for_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    inviter = Inviter(IDENTITY, "maple", 7000, clock=lambda: 1e9 + now())
    registry = Registry(private=True)
    async with chat(monkeypatch, registry=registry, invites=inviter) as it:
        host = await it.host()
        red = Invite.parse(await host.command("invite", "60 red room"))
        late = Invite.parse(await host.command("invite", "60"))
        assert red.room == "red room"
        why = await refusal(it, "ada", device=ADA, invite=red.token)
        assert why == "this invite is for the room red room"
        await it.call("ada", "red room", device=ADA, invite=red.token)
        assert "private" in await refusal(it, "ada", device=ADA)
        await asyncio.sleep(61)
        assert "expired" in await refusal(it, "eve", device=EVE, invite=late.token)


async def test_an_invite_of_another_server_or_one_that_was_altered_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inviter = Inviter(IDENTITY, "maple", 7000)
    registry = Registry(private=True)
    async with chat(monkeypatch, registry=registry, invites=inviter) as it:
        other = Inviter(Identity.generate(), "maple", 7000)
        token = Invite.parse(other.make("", 3600)).token
        assert "not made by this server" in await refusal(it, "ada", device=ADA, invite=token)
        assert "no invite" in await refusal(it, "ada", device=ADA, invite="nonsense")


@pytest.mark.parametrize("argument", ["59", "31536001", "99999999999999999999"])
async def test_an_invite_is_valid_for_a_minute_to_a_year(
    monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    async with chat(monkeypatch, invites=Inviter(IDENTITY, "maple", 7000)) as it:
        host = await it.host()
        why = "an invite is valid for 60 seconds to 365 days"
        assert await refused(host, "invite", argument) == why


async def test_a_server_without_a_key_makes_no_invites(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        assert await refused(await it.host(), "invite") == "this server makes no invites"


# Many commands, and bugs


async def test_commands_in_a_row_are_done_in_order_and_too_many_are_told_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        wire, _ = await it.wire("mallory")
        wire.say(*(Command(number, "kick", "ada") for number in range(MAX_COMMANDS + 5)))
        answers = [await wire.expect(Answer) for _ in range(MAX_COMMANDS + 5)]
        late = [answer.id for answer in answers if answer.code == 1013]
        done = [answer.id for answer in answers if answer.code == 1008]
        assert late == list(range(MAX_COMMANDS, MAX_COMMANDS + 5))
        assert done == list(range(MAX_COMMANDS))
        wire.say(Command(99, "kick", "ada"))
        assert (await wire.expect(Answer)).code == 1008


async def test_a_command_that_fails_is_logged_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry()

    async def fail() -> list[object]:
        raise LookupError("a bug")

    monkeypatch.setattr(registry, "bans", fail)
    async with chat(monkeypatch, registry=registry) as it:
        host = await it.host()
        with pytest.raises(CommandFailed, match="internal error") as caught:
            await host.command("bans")
        assert caught.value.code == 1011
        assert host.state is SessionState.OPEN
    assert "LookupError: a bug" in caplog.text


async def test_what_operators_do_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "socketchat.chat")
    async with chat(monkeypatch, invites=Inviter(IDENTITY, "maple", 7000)) as it:
        host = await it.host()
        await it.call("eve", device=EVE)
        await host.command("kick", "eve")
        url = await host.command("invite")
    assert "host (here): /kick: eve was shown the door" in caplog.text
    assert Invite.parse(url).token not in caplog.text


@pytest.mark.parametrize(
    ("address", "host"),
    [("192.0.2.1:50000", "192.0.2.1"), ("[2001:db8::1]:50000", "2001:db8::1"), ("", "")],
)
def test_the_host_of_an_address(address: str, host: str) -> None:
    assert host_of(address) == host
