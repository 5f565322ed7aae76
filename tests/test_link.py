"""Claims about `socketchat.link`: one core, driven over one pair of streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from socketchat import HandshakeError, HandshakeRefused, Options
from socketchat.core_events import CoreEvent, Received
from socketchat.lanes import Lanes
from socketchat.link import GATHER_SIZE, HIGH_WATER, Link
from socketchat.messages import (
    VERSION,
    Ack,
    Bye,
    Greeting,
    Hello,
    Ping,
    Pong,
    Refused,
    TextPost,
    Welcome,
    WireMessage,
    encode,
)
from socketchat.outbox import MemoryOutbox
from socketchat.protocol import Protocol, Side
from socketchat.testing import End, MemoryLink, stream_pair
from tests.sessions import LANE, Wire, directed, now, turns, until

pytestmark = pytest.mark.virtual_time


@dataclass
class Ends:
    """A link under test, at the near end, and at the far end the peer that does as it is told.

    Attributes:
        writes: What the link wrote, call by call.
        events: What it gave to its sink.
    """

    link: Link
    lanes: Lanes
    wire: Wire
    between: MemoryLink
    writes: list[bytes]
    events: list[CoreEvent] = field(default_factory=list)

    def send(self, text: str) -> None:
        """Send a post over the link."""
        self.link.send_post(self.lanes.post(text, 0).frame)

    def posts(self) -> list[object]:
        """Return what was received so far."""
        received = [event.posts for event in self.events if isinstance(event, Received)]
        return [post.body for posts in received for post in posts]

    def acknowledge(self) -> None:
        """Acknowledge all that was received, at the end of this turn."""
        self.lanes.commit()
        self.link.protocol.acknowledge()
        self.link.flush_soon()


def make_ends(between: MemoryLink, side: Side, options: Options, *, direct: bool) -> Ends:
    """Put a link on the near end, and note what it writes."""
    reader, writer = directed(between.near) if direct else between.near
    writes: list[bytes] = []
    write = writer.write

    def note(data: bytes | bytearray | memoryview) -> None:
        writes.append(bytes(data))
        write(data)

    writer.write = note  # type: ignore[method-assign]
    session = bytes(16) if side is Side.SERVER else b""
    lanes = Lanes(LANE, MemoryOutbox(2**20, 2**30), session=session)
    if side is Side.CLIENT:
        hello = Hello(VERSION, LANE, "ada")
        protocol = Protocol(side, options, now(), hello=hello, lanes=lanes)
    else:
        protocol = Protocol(side, options, now(), greeting=Greeting(VERSION, bytes(32)))
    return Ends(Link(reader, writer, protocol), lanes, Wire(*between.far), between, writes)


@asynccontextmanager
async def greeting_ends(
    side: Side = Side.CLIENT, options: Options | None = None, *, direct: bool = True
) -> AsyncIterator[Ends]:
    """Make a link on which nothing was said yet."""
    with stream_pair() as between:
        ends = make_ends(between, side, options or Options(), direct=direct)
        yield ends
        ends.link.cut("the test is over")
        await ends.link.close(1)


@asynccontextmanager
async def open_ends(options: Options | None = None, *, direct: bool = True) -> AsyncIterator[Ends]:
    """Make a link on which the greeting is over."""
    async with greeting_ends(options=options, direct=direct) as ends:
        await asyncio.gather(ends.link.greet_server(), ends.wire.greet_back())
        ends.link.start(ends.events.extend, [])
        await turns()
        ends.writes.clear()
        yield ends


both_readers = pytest.mark.parametrize("direct", [True, False], ids=["direct", "pumped"])


# The greeting


async def test_a_client_learns_who_greets_and_what_came_behind_the_welcome() -> None:
    async with greeting_ends() as ends:
        # A Welcome that does not wait for a Hello is as good as one that does.
        ends.wire.say(
            Greeting(VERSION, bytes(32), "a server"),
            Welcome(bytes(16), 0, "ada", "lobby"),
            TextPost(1, "hello"),
        )
        greeted, welcomed, rest = await ends.link.greet_server()
        assert greeted.greeting.server == "a server"
        assert welcomed.welcome.room == "lobby"
        assert rest == [Received([TextPost(1, "hello")])]


async def test_a_server_learns_who_asks() -> None:
    async with greeting_ends(Side.SERVER) as ends:
        ends.wire.say(Hello(VERSION, LANE, "ada", "lobby"))
        hello = await ends.link.greet_client()
        assert (hello.lane, hello.nick, hello.room) == (LANE, "ada", "lobby")


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        (
            [Greeting(VERSION, bytes(32)), Refused(1008, "not you")],
            HandshakeRefused,
            r"refused by the server: 1008 \(policy violation\): not you",
        ),
        ([Bye(1013, "too busy")], HandshakeRefused, r"1013 \(try again later\): too busy"),
        ([Greeting(2, bytes(32))], HandshakeError, r"speaks version 2 .* this program version 1"),
        ([TextPost(1, "hello")], HandshakeError, "not a socketchat server: TextPost from"),
        ([], HandshakeError, "not a socketchat server, or it closed at once"),
    ],
)
async def test_a_client_is_told_why_it_is_not_let_in(
    said: list[WireMessage], error: type[Exception], text: str
) -> None:
    async with greeting_ends() as ends:
        ends.wire.say(*said)
        ends.wire.writer.write_eof()
        with pytest.raises(error, match=text):
            await ends.link.greet_server()


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not a socketchat client: 1009"),
        (encode(Bye(1000, "never mind")), "the caller hung up: 1000"),
        (encode(Hello(2, LANE)), "version 2 is not spoken here"),
        (encode(Hello(VERSION, LANE)) + encode(TextPost(1, "x")), "TextPost from the client"),
        (b"", r"the caller hung up \(the link broke without a goodbye\)"),
    ],
)
async def test_a_server_says_why_it_lets_nobody_in(said: bytes, text: str) -> None:
    async with greeting_ends(Side.SERVER) as ends:
        ends.wire.say_bytes(said)
        ends.wire.writer.write_eof()
        with pytest.raises(HandshakeError, match=text):
            await ends.link.greet_client()


# Writing


async def test_the_first_post_of_a_turn_is_written_at_once_and_the_rest_together() -> None:
    async with open_ends() as ends:
        for text in "abcd":
            ends.send(text)
        assert ends.writes == [encode(TextPost(1, "a"))]
        await turns(1)
        rest = b"".join(encode(TextPost(n, text)) for n, text in enumerate("bcd", 2))
        assert ends.writes[1:] == [rest]
        await turns()
        assert len(ends.writes) == 2


async def test_a_long_burst_within_one_turn_is_written_in_pieces() -> None:
    async with open_ends() as ends:
        for _ in range(17):
            ends.send("x" * (GATHER_SIZE // 8))
        sizes = [len(data) for data in ends.writes]
        assert len(sizes) == 2
        assert GATHER_SIZE <= sizes[1] < 2 * GATHER_SIZE


async def test_above_the_high_water_mark_nothing_is_written_and_below_it_all_goes_on() -> None:
    async with open_ends() as ends:
        ends.between.stall(End.NEAR)
        for _ in range(3):
            ends.send("x" * HIGH_WATER)
            await turns()
        assert len(ends.writes) == 1
        ends.between.resume()
        for number in (1, 2, 3):
            assert (await ends.wire.expect(TextPost)).number == number
        assert len(ends.writes) == 2
        await turns()
        ends.send("at once again")
        assert len(ends.writes) == 3


async def test_answers_that_nobody_reads_are_folded_into_one() -> None:
    async with open_ends() as ends:
        ends.between.stall(End.NEAR)
        ends.send("x" * 2 * HIGH_WATER)
        for number in range(1, 1001):
            ends.wire.say(TextPost(number, "x"), Ping(number))
            await turns(3)
            ends.acknowledge()
        await turns()
        assert len(ends.posts()) == 1000
        assert len(ends.writes) == 1
        ends.between.resume()
        assert (await ends.wire.expect(Pong)).number == 1000
        assert [message for message in ends.wire.heard if isinstance(message, Ack)] == [Ack(1000)]
        assert len(ends.writes[1]) < 100


async def test_nothing_is_written_to_streams_that_are_closing() -> None:
    async with open_ends() as ends:
        ends.between.near[1].close()
        ends.send("hello")
        assert ends.writes == []


@both_readers
async def test_a_link_that_breaks_under_a_full_transport_ends(direct: bool) -> None:
    async with open_ends(direct=direct) as ends:
        ends.between.stall()
        ends.send("x" * 2 * HIGH_WATER)
        await turns()
        ends.between.cut()
        assert await ends.link.wait_ended() == "Connection reset by peer"
        ends.send("into the void")
        assert len(ends.writes) == 1


# Reading


@both_readers
async def test_events_are_handed_on_in_order_those_of_the_greeting_first(direct: bool) -> None:
    async with greeting_ends(direct=direct) as ends:
        ends.wire.say(Greeting(VERSION, bytes(32)), Welcome(bytes(16), 0), TextPost(1, "a"))
        _, _, rest = await ends.link.greet_server()
        ends.wire.say(TextPost(2, "b"))
        ends.link.start(ends.events.extend, rest)
        ends.wire.say(TextPost(3, "c"))
        await until(lambda: len(ends.posts()) == 3)
        assert ends.posts() == ["a", "b", "c"]


@both_readers
async def test_an_end_without_a_goodbye_is_a_lost_link(direct: bool) -> None:
    async with open_ends(direct=direct) as ends:
        ends.wire.say(TextPost(1, "last"))
        ends.wire.writer.write_eof()
        assert await ends.link.wait_ended() == "the link broke without a goodbye"
        assert ends.posts() == ["last"]


@both_readers
async def test_a_reset_is_a_lost_link_in_the_systems_words(direct: bool) -> None:
    async with open_ends(direct=direct) as ends:
        ends.between.cut()
        assert await ends.link.wait_ended() == "Connection reset by peer"


@both_readers
async def test_an_end_that_comes_right_behind_the_greeting_is_noticed(direct: bool) -> None:
    async with greeting_ends(direct=direct) as ends:
        ends.wire.say(Greeting(VERSION, bytes(32)), Welcome(bytes(16), 0))
        ends.wire.writer.write_eof()
        _, _, rest = await ends.link.greet_server()
        await turns()
        ends.link.start(ends.events.extend, rest)
        assert await ends.link.wait_ended() == "the link broke without a goodbye"


async def test_a_link_that_was_cut_here_ends_with_the_reason_given_first() -> None:
    async with open_ends() as ends:
        ends.link.cut("because")
        ends.link.cut("for another reason")
        assert await ends.link.wait_ended() == "because"


@both_readers
async def test_nothing_is_handed_on_after_a_cut(direct: bool) -> None:
    async with open_ends(direct=direct) as ends:
        ends.wire.say(TextPost(1, "too late"))
        if not direct:
            reader = ends.between.near[0]
            await until(lambda: reader._buffer)  # type: ignore[attr-defined]
        ends.link.cut("replaced")
        await turns()
        assert ends.posts() == []
        assert ends.lanes.received == 0


@both_readers
async def test_while_it_is_paused_little_is_read_and_nothing_is_lost(direct: bool) -> None:
    async with open_ends(Options(ping_interval=None), direct=direct) as ends:
        ends.link.pause()
        ends.link.pause()
        for number in range(1, 601):
            ends.wire.say(TextPost(number, f"{number:01000}"))
        await asyncio.sleep(1000)
        # One read is under way already.
        assert len(ends.posts()) <= (0 if direct else 262)
        assert ends.wire.writer.transport.get_write_buffer_size() > 0
        ends.link.resume()
        ends.link.resume()
        await until(lambda: len(ends.posts()) == 600)
        assert ends.posts() == [f"{number:01000}" for number in range(1, 601)]


@both_readers
async def test_a_link_that_is_paused_by_its_first_events_reads_on_when_it_is_resumed(
    direct: bool,
) -> None:
    async with greeting_ends(direct=direct) as ends:
        ends.wire.say(Greeting(VERSION, bytes(32)), Welcome(bytes(16), 0), TextPost(1, "a"))
        _, _, rest = await ends.link.greet_server()

        def take(events: list[CoreEvent]) -> None:
            ends.events.extend(events)
            ends.link.pause()

        ends.link.start(take, rest)
        ends.wire.say(TextPost(2, "b"))
        await turns()
        ends.link.resume()
        await until(lambda: len(ends.posts()) == 2)


@both_readers
async def test_what_goes_wrong_where_events_go_ends_the_link_and_is_told(direct: bool) -> None:
    async with open_ends(direct=direct) as ends:

        def fail(events: list[CoreEvent]) -> None:
            raise LookupError("a bug")

        ends.link._sink = fail
        ends.wire.say(TextPost(1, "x"))
        for _ in range(2):
            with pytest.raises(LookupError, match="a bug"):
                await ends.link.wait_ended()


async def test_a_reader_of_another_kind_may_fail_in_its_own_way() -> None:
    class Channel(Exception):
        """What a library for SSH would raise."""

    async def read(n: int = -1) -> bytes:
        if not told:
            await asyncio.Event().wait()
        raise Channel("lost")

    told: list[bool] = []
    async with open_ends(direct=False) as ends:
        ends.link._reader.read = read  # type: ignore[method-assign]
        ends.wire.say(TextPost(1, "x"))
        told.append(True)
        assert await ends.link.wait_ended() == "lost"


async def test_waiting_for_the_end_may_be_given_up() -> None:
    async with open_ends() as ends:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await ends.link.wait_ended()
        ends.between.cut()
        assert await ends.link.wait_ended() == "Connection reset by peer"


# Time


async def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    async with open_ends(Options(ping_interval=20, ping_timeout=5)) as ends:
        assert (await ends.wire.expect(Ping)).number == 1
        assert now() == 20
        assert await ends.link.wait_ended() == "no sign of life for 25 s"
        assert now() == 25


async def test_any_frame_is_a_sign_of_life() -> None:
    async with open_ends(Options(ping_interval=20, ping_timeout=5)) as ends:
        for _ in range(10):
            await asyncio.sleep(24)
            ends.wire.say(Ack(0))
        assert not ends.between.near[1].is_closing()


async def test_one_that_answers_is_asked_again_after_the_interval() -> None:
    async with open_ends(Options(ping_interval=1, ping_timeout=30)) as ends:
        for asked_at in (1, 2, 3):
            number = (await ends.wire.expect(Ping)).number
            assert now() == asked_at
            ends.wire.say(Pong(number))


async def test_a_peer_that_reads_nothing_is_given_up_though_the_link_is_full() -> None:
    async with open_ends(Options(ping_interval=20, ping_timeout=5)) as ends:
        ends.between.stall()
        ends.send("x" * 2 * HIGH_WATER)
        assert await ends.link.wait_ended() == "no sign of life for 25 s"
        assert now() == 25


async def test_while_it_is_paused_nobody_is_blamed_and_signs_of_life_are_given() -> None:
    async with open_ends(Options(ping_interval=20, ping_timeout=5)) as ends:
        ends.link.pause()
        await asyncio.sleep(1000)
        assert len(ends.writes) == 50
        ends.link.resume()
        assert await ends.link.wait_ended() == "no sign of life for 25 s"
        assert now() == 1025


async def test_without_an_interval_nobody_is_pinged() -> None:
    async with open_ends(Options(ping_interval=None)) as ends:
        await asyncio.sleep(100_000)
        assert ends.writes == []
        assert not ends.between.near[1].is_closing()
