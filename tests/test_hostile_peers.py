"""Claims about callers who mean no good, or speak badly: each is told so, and no other suffers.

Over TCP, in the clear and under TLS. All the while a good client talks to the same server.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from socketchat import Identity, Refusal, Server, Session, connect, serve
from socketchat.framing import encode_frame
from socketchat.messages import (
    VERSION,
    Ack,
    Bye,
    Greeting,
    Hello,
    Limits,
    Ping,
    Pong,
    Reject,
    TextPost,
    Welcome,
    encode,
)
from socketchat.trust.tls import client_context
from tests.sessions import LANE, Wire, until

IDENTITY = Identity.generate()

HELLO = Hello(VERSION, LANE, "mallory")
HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BAD_UTF8 = b"\x95\x05\x01\xa2\xc3\x28\x00\xa0"  # [5, 1, "\xc3(", 0, ""]

pytestmark = pytest.mark.may_block(reason="what is logged here, pytest writes to a file")
both_ways = pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])


@asynccontextmanager
async def busy_server(*, tls: bool, **options: Any) -> AsyncIterator[Server]:
    """Serve, and let a good client talk to it all the while, which must not be disturbed."""

    async def echo_to_the_good(session: Session) -> None:
        async for message in session:
            if session.nick == "good":
                await session.send(message.body)

    async with (
        serve(echo_to_the_good, "127.0.0.1", 0, identity=IDENTITY, tls=tls, **options) as server,
        connect("127.0.0.1", server.port, tls=tls, trust=IDENTITY.fingerprint, nick="good") as good,
    ):
        answered = 0
        leaving = False

        async def talk() -> None:
            nonlocal answered
            while not leaving:
                await good.send(f"{answered}")
                assert (await good.recv()).text == f"{answered}"
                answered += 1

        talking = asyncio.create_task(talk())
        try:
            await until(lambda: answered)
            yield server
            before = answered
            await until(lambda: answered > before or talking.done())
        finally:
            leaving = True
            await talking
        assert good.close_code is None
        assert {session.nick for session in server.sessions} <= {"good", "mallory"}
        assert not server._pending


async def call(server: Server, *, tls: bool) -> Wire:
    """Call a server."""
    arguments = {"ssl": client_context(), "server_hostname": ""} if tls else {}
    return await Wire.call(server.port, **arguments)


async def expect_bye(wire: Wire, code: int) -> None:
    """Wait until a server has said goodbye with a code, and has hung up."""
    bye = await wire.read_bye()
    assert (bye.code, bool(bye.reason)) == (code, True)
    await wire.read_end()


# Instead of a greeting


@both_ways
@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\xde\xad\xbe\xef" * 100, 1009),
        (HTTP, 1009),
        (b"\xff\xff\xff\xff", 1009),
        ((4097).to_bytes(4), 1009),
        (encode_frame(b""), 1002),
        (encode_frame(b"\xc1"), 1002),
        (encode_frame(b"\x92\x02\x01"), 1002),
        (encode_frame(b"\x94\x02\x01\xc4\x10" + LANE + b"\xa2\xc3\x28"), 1007),
        (encode(Hello(2, LANE, "mallory")), 1002),
        (encode(Hello(0, LANE, "mallory")), 1002),
        (encode(TextPost(1, "too early")), 1002),
        (encode(Welcome(LANE, 0)), 1002),
        (encode(Greeting(VERSION, bytes(32))), 1002),
        (encode(HELLO) + encode(TextPost(1, "too early")), 1002),
        (encode(HELLO) + encode(HELLO), 1002),
        (encode(Hello(VERSION, LANE, "x" * 65)), 1002),
    ],
    ids=[
        "garbage",
        "HTTP",
        "4 GiB",
        "one byte too long",
        "empty frame",
        "no msgpack",
        "half a Hello",
        "bad UTF-8",
        "later version",
        "earlier version",
        "post",
        "Welcome",
        "Greeting",
        "post before the Welcome",
        "two Hellos",
        "long name",
    ],
)
async def test_who_does_not_greet_is_told_so_and_hung_up_on(
    said: bytes, code: int, tls: bool
) -> None:
    async with busy_server(tls=tls) as server, await call(server, tls=tls) as wire:
        wire.say_bytes(said)
        await expect_bye(wire, code)
        assert len(server.sessions) == 1
        assert server.refused == {Refusal.BAD_GREETING: 1}


@both_ways
@pytest.mark.parametrize("said", [b"", b"\0\0", encode(HELLO)[:20]], ids=["nothing", "2", "20"])
async def test_who_stops_in_the_middle_of_the_greeting_is_hung_up_on_in_time(
    said: bytes, tls: bool
) -> None:
    async with (
        busy_server(tls=tls, open_timeout=0.5) as server,
        await call(server, tls=tls) as wire,
    ):
        wire.say_bytes(said)
        await wire.read_end()
        assert len(server.sessions) == 1
        assert server.refused == {Refusal.TOO_SLOW: 1}


# Behind the greeting


@both_ways
@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\xff\xff\xff\xff", 1009),
        ((2**20 + 1).to_bytes(4) + bytes(1000), 1009),
        (encode_frame(b"\xc1"), 1002),
        (encode_frame(b"\x93\x05\x01\x07"), 1002),
        (encode_frame(BAD_UTF8), 1007),
        (encode(TextPost(1, "fine")) + encode_frame(BAD_UTF8), 1007),
        (encode(Bye(1000)) + encode(TextPost(1, "too late")), 1002),
        (encode(Ack(1)), 1002),
        (encode(Reject(1, 1008)), 1002),
        (encode(HELLO), 1002),
        (encode(Greeting(VERSION, bytes(32))), 1002),
        (encode(Welcome(LANE, 0)), 1002),
        (encode(TextPost(1, "x", 0, "", "y" * 65)), 1002),
    ],
    ids=[
        "4 GiB",
        "one byte too long",
        "no msgpack",
        "malformed post",
        "bad UTF-8",
        "bad UTF-8 behind a good post",
        "text behind a goodbye",
        "Ack of nothing",
        "Reject of nothing",
        "Hello",
        "Greeting",
        "Welcome",
        "long name",
    ],
)
async def test_who_breaks_the_protocol_is_told_so_and_its_session_is_over(
    said: bytes, code: int, tls: bool
) -> None:
    async with busy_server(tls=tls) as server, await call(server, tls=tls) as wire:
        await wire.greet(HELLO)
        (session,) = (each for each in server.sessions if each.nick == "mallory")
        wire.say_bytes(said)
        await expect_bye(wire, code)
        await session.wait_closed()
        assert session.close_code == code
        await until(lambda: len(server.sessions) == 1)


@both_ways
async def test_what_is_not_known_yet_is_passed_over(tls: bool) -> None:
    async with busy_server(tls=tls) as server, await call(server, tls=tls) as wire:
        await wire.greet(HELLO)
        wire.say_bytes(encode_frame(b"\x92\x63\xa5later"))
        wire.say_bytes(encode_frame(b"\x93\x09\x01\xa5later"))
        assert (await wire.expect(Pong)).number == 1


async def test_the_limit_is_the_servers_own_and_what_is_just_as_long_is_taken() -> None:
    async with (
        busy_server(tls=False, max_size=5000) as server,
        await call(server, tls=False) as wire,
    ):
        assert (await wire.expect(Greeting)).limits == Limits(5000)
        wire.say(HELLO)
        await wire.expect(Welcome)
        longest = 5004 - len(encode(TextPost(1, "x" * 1000))) + 1000
        wire.say(TextPost(1, "x" * longest))
        await wire.expect(Ack)
        wire.say(TextPost(2, "x" * (longest + 1)))
        await expect_bye(wire, 1009)


# Under TLS


@pytest.mark.parametrize(
    "said", [b"\xde\xad\xbe\xef" * 1000, HTTP, encode(HELLO)], ids=["garbage", "HTTP", "no TLS"]
)
async def test_who_does_not_speak_tls_is_hung_up_on(said: bytes) -> None:
    async with busy_server(tls=True) as server, await call(server, tls=False) as wire:
        wire.say_bytes(said)
        await wire.read_end()
        assert server.refused == {Refusal.BAD_TLS: 1}


async def test_who_speaks_no_tls_and_says_nothing_is_hung_up_on_in_time() -> None:
    async with (
        busy_server(tls=True, tls_timeout=0.2) as server,
        await call(server, tls=False) as wire,
    ):
        await wire.read_end()
        assert server.refused == {Refusal.TOO_SLOW: 1}


async def test_who_speaks_an_older_tls_is_hung_up_on() -> None:
    context = client_context()
    context.minimum_version = context.minimum_version.TLSv1_2
    context.maximum_version = context.maximum_version.TLSv1_2
    async with busy_server(tls=True) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Wire.call(server.port, ssl=context, server_hostname="")


# Too many, and those who go away


async def test_too_many_callers_from_one_address_are_turned_away_until_some_have_gone() -> None:
    async with busy_server(tls=False) as server:
        wires = [await call(server, tls=False) for _ in range(8)]
        for wire in wires:
            await wire.expect(Greeting)
        async with await call(server, tls=False) as late:
            with pytest.raises((EOFError, ConnectionError)):
                await late.expect(Greeting)
        assert server.refused == {Refusal.TOO_MANY_PENDING: 1}
        for wire in wires:
            await wire.close()
        await until(lambda: not server._pending)
        async with await call(server, tls=False) as again:
            await again.greet(HELLO)


async def go_at_once(wire: Wire) -> None:
    """Say nothing."""


async def go_when_greeted(wire: Wire) -> None:
    """Wait for the greeting."""
    await wire.expect(Greeting)


async def go_in_the_hello(wire: Wire) -> None:
    """Say half a Hello."""
    wire.say_bytes(encode(HELLO)[:10])


async def go_after_the_hello(wire: Wire) -> None:
    """Say Hello and wait for nothing."""
    await wire.expect(Greeting)
    wire.say(HELLO)


async def go_when_welcomed(wire: Wire) -> None:
    """Go through the greeting."""
    await wire.greet(HELLO)


async def go_in_a_post(wire: Wire) -> None:
    """Say half a post."""
    await wire.greet(HELLO)
    wire.say_bytes(encode(TextPost(1, "x" * 1000))[:500])


async def go_while_pinging(wire: Wire) -> None:
    """Ask and do not wait for the answer."""
    await wire.greet(HELLO)
    wire.say(*[Ping(number) for number in range(1, 1000)])


async def go_after_a_goodbye(wire: Wire) -> None:
    """Say goodbye and do not wait for the answer."""
    await wire.greet(HELLO)
    wire.say(TextPost(1, "x"), Bye(1000))


@both_ways
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize(
    "leave",
    [
        go_at_once,
        go_when_greeted,
        go_in_the_hello,
        go_after_the_hello,
        go_when_welcomed,
        go_in_a_post,
        go_while_pinging,
        go_after_a_goodbye,
    ],
)
async def test_who_goes_away_at_whatever_stage_harms_nobody(
    leave: Callable[[Wire], Awaitable[None]],
    how: str,
    tls: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with busy_server(tls=tls) as server:
        for _ in range(3):
            wire = await call(server, tls=tls)
            await leave(wire)
            if how == "reset":
                wire.reset()
            else:
                await wire.close()
        await until(lambda: not server._pending)
    # Not asyncio's own, which complains of a busy machine.
    ours = [each for each in caplog.records if each.name.startswith("socketchat")]
    assert [each for each in ours if each.levelno >= logging.WARNING] == []
