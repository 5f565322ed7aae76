"""Claims about `socketchat.cli.delivery`: how long acknowledgements are waited for."""

from __future__ import annotations

import asyncio

import pytest

from socketchat import SessionClosed
from socketchat.cli.delivery import (
    PATIENCE,
    acknowledged,
    kept_words,
    lines_were,
    waiting_words,
)
from socketchat.cli.labels import label_of
from socketchat.cli.target import Target
from socketchat.messages import Ack, Bye
from tests.sessions import now, raw_server, send_all

pytestmark = pytest.mark.virtual_time


async def test_it_is_waited_for_as_long_as_it_goes_on() -> None:
    async with raw_server(ping_interval=None) as (client, wire):
        await send_all(client, "abcde")
        waiting = asyncio.create_task(acknowledged(client))
        for number in range(1, 6):
            await asyncio.sleep(PATIENCE - 1)
            assert not waiting.done()
            wire.say(Ack(number))
        await waiting
        assert now() == 5 * (PATIENCE - 1)


async def test_a_silence_is_waited_for_only_so_long() -> None:
    async with raw_server(ping_interval=None) as (client, wire):
        await send_all(client, "ab")
        waiting = asyncio.create_task(acknowledged(client))
        await asyncio.sleep(1)
        wire.say(Ack(1))
        with pytest.raises(TimeoutError):
            await waiting
        assert PATIENCE < now() <= 2 * PATIENCE
        assert client.unacknowledged == 1


async def test_nothing_is_waited_for_when_nothing_is_on_its_way() -> None:
    async with raw_server() as (client, _):
        await acknowledged(client)
        assert now() == 0


async def test_the_end_of_the_session_ends_it() -> None:
    async with raw_server() as (client, wire):
        await client.send("a")
        wire.say(Bye(1001, "closing time"))
        with pytest.raises(SessionClosed):
            await acknowledged(client)


def test_lines_are_counted_in_words() -> None:
    assert (lines_were(1), lines_were(1234)) == ("1 line was", "1,234 lines were")
    label = label_of(Target("maple", room="tea"), "ada")
    assert (kept_words(1, label), kept_words(2, label)) == (
        "1 line is kept, and goes out when maple/tea is called as ada again",
        "2 lines are kept, and go out when maple/tea is called as ada again",
    )


def test_lines_that_wait_for_other_calls_are_counted_for_each_and_for_many_together() -> None:
    labels = [label_of(Target(host), "ada") for host in "abcde"]
    assert waiting_words({labels[0]: 2}) == "2 lines wait until a is called as ada"
    assert waiting_words(dict.fromkeys(labels, 1)) == (
        "1 line waits until a is called as ada; 1 line waits until b is called as ada; "
        "1 line waits until c is called as ada; 2 lines wait for other calls"
    )
