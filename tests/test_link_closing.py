"""Claims about how a link is closed, and about the streams that it takes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from socketchat import Options
from socketchat.core_events import Acknowledged, SaidBye
from socketchat.link import HIGH_WATER, Link
from socketchat.messages import VERSION, Ack, Bye, Greeting, TextPost
from socketchat.protocol import Protocol, Side
from socketchat.testing import End, stream_pair
from tests.sessions import Wire, now, turns, until
from tests.test_link import both_readers, make_ends, open_ends

pytestmark = pytest.mark.virtual_time


@both_readers
async def test_closing_writes_what_is_due_and_waits_until_it_is_taken(direct: bool) -> None:
    async with open_ends(direct=direct) as ends:
        ends.wire.say(TextPost(1, "x"))
        await until(ends.posts)
        ends.acknowledge()
        await ends.link.close(5)
        assert (await ends.wire.expect(Ack)).number == 1
        await ends.wire.read_end()


async def test_closing_writes_what_is_due_though_the_transport_has_enough_to_do() -> None:
    async with open_ends() as ends:
        ends.between.stall(End.NEAR)
        ends.send("x" * 2 * HIGH_WATER)
        ends.link.say_bye(1000, "so long")
        closing = asyncio.create_task(ends.link.close(5))
        await turns()
        assert not closing.done()
        ends.between.resume()
        assert (await ends.wire.read_bye()).reason == "so long"
        await closing


async def test_closing_cuts_a_link_that_takes_too_long() -> None:
    async with open_ends() as ends:
        ends.between.stall()
        ends.send("x" * 2 * HIGH_WATER)
        await ends.link.close(5)
        assert now() == 5
        assert ends.between.near[1].transport.is_closing()


async def test_closing_without_a_limit_waits_for_ever() -> None:
    async with open_ends() as ends:
        ends.between.stall()
        ends.send("x" * 2 * HIGH_WATER)
        closing = asyncio.create_task(ends.link.close(None))
        await asyncio.sleep(100_000)
        assert not closing.done()
        ends.between.cut()
        await closing


async def test_closing_that_is_cancelled_cuts_the_link_at_once() -> None:
    async with open_ends() as ends:
        ends.between.stall()
        ends.send("x" * 2 * HIGH_WATER)
        closing = asyncio.create_task(ends.link.close(None))
        await turns()
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        await turns()
        await ends.link.close(None)
        assert now() == 0


async def test_closing_twice_and_closing_after_a_cut_do_nothing_more() -> None:
    async with open_ends() as ends:
        await ends.link.close(5)
        await ends.link.close(5)
        ends.link.cut("late")
        await ends.link.close(5)
        assert now() == 0


async def test_a_goodbye_that_is_not_answered_in_time_cuts_the_link() -> None:
    async with open_ends(Options(close_timeout=3)) as ends:
        ends.link.say_bye(1000, "")
        assert await ends.link.wait_ended() == "no goodbye within 3 s"
        assert now() == 3


@both_readers
async def test_a_link_on_which_both_said_goodbye_ends_without_a_reason(direct: bool) -> None:
    async with open_ends(direct=direct) as ends:
        ends.send("last words")
        await ends.wire.expect(TextPost)
        ends.wire.say(Ack(1), Bye(1001, "going"))
        assert await ends.link.wait_ended() == ""
        assert [type(event) for event in ends.events] == [Acknowledged, SaidBye]
        await ends.link.close(5)
        assert (await ends.wire.read_bye()).code == 1001


# Whom it talks to


@pytest.mark.parametrize(
    ("peername", "address"),
    [
        (("192.0.2.1", 7625), "192.0.2.1:7625"),
        (("2001:db8::1", 7625, 0, 0), "[2001:db8::1]:7625"),
        ("/run/socket", "/run/socket"),
        ("", ""),
        (None, ""),
        (b"\0abstract", "b'\\x00abstract'"),
    ],
)
async def test_an_address_reads_as_people_write_it(peername: object, address: str) -> None:
    def get_extra_info(name: str, default: object = None) -> object:
        return peername if name == "peername" else default

    with stream_pair() as between:
        between.near[1].get_extra_info = get_extra_info  # type: ignore[method-assign]
        ends = make_ends(between, Side.CLIENT, Options(), direct=False)
        assert ends.link.address == address


async def test_a_writer_may_call_its_transport_a_channel() -> None:
    with stream_pair() as between:
        reader, writer = between.near
        methods = ("write", "drain", "close", "wait_closed", "get_extra_info")
        writer_of_a_channel = SimpleNamespace(
            channel=writer.transport, **{name: getattr(writer, name) for name in methods}
        )
        protocol = Protocol(Side.SERVER, Options(), 0, greeting=Greeting(VERSION, bytes(32)))
        link = Link(reader, writer_of_a_channel, protocol)
        await Wire(*between.far).expect(Greeting)
        await link.close(1)
