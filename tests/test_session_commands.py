"""Claims about commands and their answers: `Session.command`, and what a server makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from socketchat import CommandFailed, LocalProtocolError, Session, SessionClosed
from socketchat.logged import LoggedSession
from socketchat.messages import Answer, Command
from socketchat.testing import session_pair
from tests.logged import Keeper, logged, with_client
from tests.sessions import turns, until

pytestmark = pytest.mark.virtual_time


@asynccontextmanager
async def kept() -> AsyncIterator[tuple[LoggedSession, Session, Keeper]]:
    """Open a session whose keeper notes what it is asked for, and answers nothing by itself."""
    async with with_client() as (server, client):
        keeper = Keeper()
        server.keep(keeper)
        yield server, client, keeper


async def test_a_server_without_commands_says_so() -> None:
    async with session_pair() as (client, _):
        with pytest.raises(CommandFailed, match="knows no commands") as caught:
            await client.command("kick", "eve")
        assert caught.value.code == 1008


async def test_only_a_client_has_commands() -> None:
    async with session_pair() as (_, server):
        with pytest.raises(LocalProtocolError, match="only a client has commands"):
            await server.command("kick", "eve")
        with pytest.raises(LocalProtocolError, match="only a client has commands"):
            await server.rename("eve")


async def test_a_command_is_answered_to_the_one_who_asked() -> None:
    async with kept() as (server, client, keeper):
        asking = asyncio.create_task(client.command("kick", "eve"))
        await turns()
        (command,) = keeper.commands
        assert (command.name, command.argument) == ("kick", "eve")
        server.answer(Answer(command.id + 1, 1000, "not this one"))
        server.answer(Answer(command.id, 1000, "she is gone"))
        assert await asking == "she is gone"


async def test_what_a_server_will_not_do_is_an_error_with_its_words() -> None:
    async with kept() as (server, client, keeper):
        asking = asyncio.create_task(client.command("kick", "eve"))
        await turns()
        server.answer(Answer(keeper.commands[0].id, 1008, "only operators may do that"))
        with pytest.raises(CommandFailed, match="only operators") as caught:
            await asking
        assert (caught.value.code, caught.value.reason) == (1008, "only operators may do that")


async def test_commands_are_sent_one_after_the_other() -> None:
    async with kept() as (server, client, keeper):
        asking = [asyncio.create_task(client.command("say", str(n))) for n in range(3)]
        for n in range(3):
            await turns()
            assert [command.argument for command in keeper.commands] == [
                str(k) for k in range(n + 1)
            ]
            server.answer(Answer(keeper.commands[n].id, 1000, f"done {n}"))
        assert await asyncio.gather(*asking) == ["done 0", "done 1", "done 2"]


async def test_the_answer_to_one_that_was_cancelled_harms_no_other() -> None:
    async with kept() as (server, client, keeper):
        first = asyncio.create_task(client.command("one"))
        await turns()
        first.cancel()
        second = asyncio.create_task(client.command("two"))
        await turns()
        one, two = keeper.commands
        server.answer(Answer(one.id, 1000, "one"))
        server.answer(Answer(two.id, 1000, "two"))
        assert await second == "two"


async def test_whoever_asks_learns_that_the_link_was_lost_before_the_answer() -> None:
    async with kept() as (server, client, _):
        asking = asyncio.create_task(client.command("kick", "eve"))
        await turns()
        server.abort()
        with pytest.raises(CommandFailed, match="may have been done") as caught:
            await asking
        assert caught.value.code == 1006


async def test_a_closed_session_takes_no_commands() -> None:
    async with session_pair() as (client, _):
        await client.close()
        with pytest.raises(SessionClosed):
            await client.command("kick", "eve")


async def test_a_command_waits_for_the_link_to_come_back() -> None:
    async with session_pair(reconnect=True) as pair:
        pair.link.cut()
        await turns()
        asking = asyncio.create_task(pair.client.command("kick", "eve"))
        await turns()
        assert not asking.done()
        await pair.rejoin()
        with pytest.raises(CommandFailed, match="knows no commands"):
            await asking


async def test_one_that_waits_for_the_link_learns_of_the_end() -> None:
    async with session_pair(reconnect=True) as pair:
        pair.link.cut()
        await turns()
        asking = asyncio.create_task(pair.client.command("kick", "eve"))
        await turns()
        pair.client.abort()
        with pytest.raises(SessionClosed):
            await asking


@pytest.mark.parametrize(("name", "argument"), [("x" * 33, ""), ("x", "y" * 1001)])
async def test_what_is_too_long_is_an_error_here(name: str, argument: str) -> None:
    async with session_pair() as (client, _):
        with pytest.raises(ValueError, match="at most"):
            await client.command(name, argument)


async def test_what_is_asked_before_there_is_a_keeper_waits_for_it() -> None:
    async with logged() as ends:
        ends.wire.say(Command(7, "kick", "eve"))
        await turns()
        keeper = ends.keep()
        await until(lambda: keeper.commands == [Command(7, "kick", "eve")])


async def test_one_that_reads_none_of_its_answers_does_not_fill_the_memory() -> None:
    async with logged() as ends:
        for asked in range(5000):
            ends.session.answer(Answer(asked, 1000, "x" * 4000))
        assert ends.session._link is not None
        assert ends.session._link.protocol._waiting_answers <= 1024
