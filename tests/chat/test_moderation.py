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
    LogFailed,
    MessageRejected,
    Session,
    SessionState,
)
from socketchat.chat.command_queue import MAX_COMMANDS
from socketchat.chat.facts import MemoryFacts
from socketchat.chat.inviter import Inviter
from socketchat.chat.registry import Ban, Registry
from socketchat.messages import (
    MAX_ANSWER,
    VERSION,
    Answer,
    Command,
    Greeting,
    Hello,
    Refused,
    Welcome,
)
from socketchat.session import Side
from socketchat.testing import stream_pair
from socketchat.trust.invites import Invite
from tests.chat.chatting import Chat, chat, new_log, say, unread
from tests.sessions import LANE, now, receive, turns, until

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


def invite_of(answer: str) -> Invite:
    """Return the invite in an answer."""
    return Invite.parse(answer.splitlines()[0])


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
        for name in ("kick", "ban", "mute", "deop"):
            assert await refused(ada, name, "host") == "host sits at the server itself"
        assert host.state is SessionState.OPEN


# Ban


async def test_who_is_banned_does_not_come_back_under_any_name_nor_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, registry=Registry(MemoryFacts())) as it:
        host, eve = await it.host(), await it.call("eve", device=EVE)
        said = await host.command("ban", "eve spam")
        assert said == (
            f"eve ({EVE.fingerprint}) is banned; with a new key they can come back, "
            f"unless you also /ban {ADDRESS}"
        )
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
        assert (await host.command("ban", f"{whom} spam")).startswith(f"{whom} is banned")
        assert await closed(eve) == "banned by host: spam"
        assert await host.command("unban", whom) == f"no longer banned: {whom}"


async def test_a_banned_address_does_not_show_out_the_operators_of_the_servers_own_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, registry=Registry(operators=frozenset([ADA.fingerprint]))) as it:
        host, ada = await it.host(), await it.call("ada", device=ADA)
        eve = await it.call("eve", device=EVE)
        await host.command("ban", ADDRESS)
        await closed(eve)
        assert await ada.command("bans") == ADDRESS


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
        assert await refused(ada, "ban", ADDRESS) == "that would ban yourself"
        for whom in ("ada", ADA.fingerprint):
            assert "by the server's own settings" in await refused(ada, "ban", whom)
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
        invite = invite_of(await host.command("invite"))
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
        red = invite_of(await host.command("invite", "60 red room"))
        late = invite_of(await host.command("invite", "60"))
        assert red.room == "red room"
        why = await refusal(it, "ada", device=ADA, invite=red.token)
        assert why == "this invite is for the room red room"
        await it.call("ada", "red room", device=ADA, invite=red.token)
        why = await refusal(it, "ada", device=ADA)
        assert why == "you were invited to red room, and not to lobby"
        await asyncio.sleep(61)
        assert "expired" in await refusal(it, "eve", device=EVE, invite=late.token)


async def test_an_invite_of_another_server_or_one_that_was_altered_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inviter = Inviter(IDENTITY, "maple", 7000)
    registry = Registry(private=True)
    async with chat(monkeypatch, registry=registry, invites=inviter) as it:
        other = Inviter(Identity.generate(), "maple", 7000)
        token = other.make("", 3600).token
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
        assert (
            await refused(await it.host(), "invite")
            == "this server makes no invites: it has no key, as without TLS"
        )


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


async def test_a_command_of_which_nobody_knows_what_became_ends_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry()

    async def fail(_ban: Ban) -> None:
        raise LogFailed("disk I/O error")

    monkeypatch.setattr(registry, "ban", fail)
    async with chat(monkeypatch, registry=registry) as it:
        host = await it.host()
        with pytest.raises(CommandFailed, match="disk I/O error"):
            await host.command("ban", "192.0.2.77")
        assert isinstance(await it.server.wait_failed(), LogFailed)


async def test_what_operators_do_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "socketchat.chat")
    async with chat(monkeypatch, invites=Inviter(IDENTITY, "maple", 7000)) as it:
        host = await it.host()
        await it.call("eve", device=EVE)
        await host.command("kick", "eve")
        invite = invite_of(await host.command("invite"))
    assert "host (here): /kick: eve was shown the door" in caplog.text
    assert invite.token not in caplog.text


# Who is meant


@pytest.mark.parametrize("name", ["op", "deop", "mute", "unmute"])
async def test_what_needs_no_reason_takes_all_of_it_for_the_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        await it.call("bob", device=EVE)
        assert await refused(host, name, "bob smith") == "nobody here is called 'bob smith'"


async def test_one_with_a_longer_name_who_is_away_is_meant_rather_than_one_who_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        smith = await it.call("bob smith", device=ADA)
        await smith.close()
        bob = await it.call("bob", device=EVE)
        assert await refused(host, "kick", "bob smith") == "bob smith is not here"
        said = await host.command("ban", "bob smith go away")
        assert said == f"bob smith ({ADA.fingerprint}) is banned"
        assert bob.state is SessionState.OPEN


@pytest.mark.parametrize("argument", ["", " ", "\u200b"])
@pytest.mark.parametrize("name", ["kick", "ban", "mute", "op"])
async def test_nobody_is_meant_where_no_name_is_given(
    monkeypatch: pytest.MonkeyPatch, name: str, argument: str
) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        question = await it.call("?", device=EVE)
        assert question.nick == "?"
        await question.close()
        await refused(host, name, argument)


async def test_the_owner_of_a_name_is_meant_under_whatever_name_it_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        first = await it.call("grace", device=ADA)
        await first.close()
        grace = await it.call("gg", device=ADA)
        await host.command("op", "grace")
        assert await grace.command("bans") == "nobody is banned"
        await host.command("deop", "grace")
        assert await refused(grace, "bans") == "only operators may do that"
        await host.command("mute", "grace")
        with pytest.raises(MessageRejected):
            await (await grace.send("but"))


async def test_a_name_that_fits_in_several_rooms_is_told_as_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        await it.call("lamb", device=EVE)
        await it.call("eve", "cellar", device=EVE)
        assert (await host.command("ban", "eve")).startswith(f"eve ({EVE.fingerprint})")
        assert await host.command("unban", "eve") == "no longer banned: eve"


async def test_of_several_who_had_one_name_none_is_let_in_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        for device in (ADA, EVE):
            guest = await it.call(device=device)
            await host.command("ban", guest.nick)
        said = await refused(host, "unban", "guest")
        assert said.startswith("that is the name of several")
        assert ADA.fingerprint in said
        assert await host.command("unban", ADA.fingerprint) == "no longer banned: guest"


async def test_a_member_cannot_be_called_like_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        assert (await it.call("10.9.8.7")).nick == "10-9-8-7"


# At the same time


async def test_one_who_was_shown_out_does_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        await host.command("op", ADA.fingerprint)
        wire = it.listener.call_raw()
        greeting = await wire.expect(Greeting)
        signature = ADA.prove("", greeting.nonce, LANE)
        wire.say(Hello(VERSION, LANE, "ada", key=ADA.public, signature=signature))
        await wire.expect(Welcome)
        await turns()
        wire.say(Command(1, "bans"))
        assert (await wire.expect(Answer)).code == 1000
        await host.command("ban", "ada")
        wire.say(Command(2, "unban", "ada"), Command(3, "op", EVE.fingerprint))
        await turns(100)
        assert "ada" in await host.command("bans")
        eve = await it.call("eve", device=EVE)
        assert await refused(eve, "bans") == "only operators may do that"


async def test_one_who_was_banned_in_the_greeting_is_not_seated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry()
    async with chat(monkeypatch, registry=registry) as it:
        claim = registry.claim

        async def ban_then_claim(nick: str, key: bytes, address: str) -> bool:
            await registry.ban(Ban(EVE.fingerprint, "eve", "spam"))
            return await claim(nick, key, address)

        monkeypatch.setattr(registry, "claim", ban_then_claim)
        eve = await it.call("eve", device=EVE, reconnect=False)
        assert await closed(eve) == "you are banned here: spam"
        await turns()
        assert not it.server._rooms


async def test_one_who_comes_in_while_it_is_muted_is_muted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry()
    async with chat(monkeypatch, registry=registry) as it:
        host, eve = await it.host(), await it.call("eve", device=EVE)
        writing, written = asyncio.Event(), asyncio.Event()
        set_muted = registry.set_muted

        async def slowly(whom: str, *, is_muted: bool) -> None:
            writing.set()
            await written.wait()
            await set_muted(whom, is_muted=is_muted)

        monkeypatch.setattr(registry, "set_muted", slowly)
        muting = asyncio.create_task(host.command("mute", "eve"))
        await writing.wait()
        phone = await it.call("eve", device=EVE)
        written.set()
        await muting
        for session in (eve, phone):
            with pytest.raises(MessageRejected):
                await (await session.send("but"))


async def test_answers_are_never_longer_than_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        host = await it.host()
        for number in range(30):
            await host.command("ban", f"198.51.100.{number} {'x' * 900}")
        assert len(await host.command("bans")) <= MAX_ANSWER
        assert len(await refused(host, "kick", "y" * 1000)) < 200
        assert host.state is SessionState.OPEN


async def test_a_name_is_not_kept_for_one_that_was_overtaken_by_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, log=new_log()) as it:
        older = await it.ask("eve", room="cellar")
        newer = await it.ask("eve", room=" \u0301" * 32)
        assert isinstance(await newer.expect(Refused), Refused)
        await turns(100)
        older.reset()
        await turns(100)
        assert not it.server._rooms or not it.server._rooms["cellar"].members
        assert (await it.call("eve", "cellar", device=ADA)).nick == "eve"


async def test_one_that_comes_without_an_address_is_not_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, registry=Registry(private=True)) as it:
        link = stream_pair()
        link.far[1].transport._extra.clear()  # type: ignore[attr-defined]
        serving = asyncio.create_task(it.listener.accept(*link.far))
        with pytest.raises(HandshakeRefused, match="private"):
            await Session.from_streams(*link.near, side=Side.CLIENT, nick="eve")
        await asyncio.wait([serving])
        assert isinstance(serving.exception(), HandshakeRefused)
