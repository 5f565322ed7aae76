"""Attacks by those who are not what they seem: replays, lanes of others, and TLS that is none."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress

from tests.hostile.attack import Attack, Size, in_turns
from tests.hostile.caller import ACK, TEXT, WELCOME, Caller, HungUp, make_context
from tests.hostile.coming import conversation, hold
from tests.hostile.packing import hello, kind_of, new_lane, post
from tests.hostile.target import Target
from tests.hostile.waiting import client_hello, come_in

__all__ = ["ATTACKS"]

HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def replays(target: Target, size: Size) -> str:
    """All that a former client has said is said again: nothing of it appears twice."""
    secret = os.urandom(8).hex()
    lane = new_lane()
    first, rest = conversation(lane)
    rest = post(1, secret) + rest[len(post(1, "hello")) :]
    for _ in range(20 * size.repeats):
        async with await target.call() as caller:
            await caller.say(first)
            await caller.expect(WELCOME)
            await hold(caller, rest)
    async with await target.call() as reader:
        await reader.say(hello(new_lane(), "reader", history=1000))
        await reader.expect(WELCOME)
        await reader.say(post(1, "that is all"))
        await reader.expect(ACK)
        said = [body for body in reader.heard if kind_of(body) == TEXT]
        assert sum(secret.encode() in body for body in said) == 1, said
    return f"{20 * size.repeats} replays"


async def lanes_in_use(target: Target, size: Size) -> str:
    """Many callers open the same lane at once: one has it in the end, and the server lives."""
    lane = new_lane()

    async def one(_: int) -> None:
        with suppress(HungUp, OSError):
            async with await target.call() as caller:
                await caller.greet(f"heir{_}", lane=lane)
                await caller.say(post(1, "mine"))
                await caller.expect(ACK)

    count = await in_turns(one, range(200 * size.repeats))
    async with await come_in(target, "late") as caller:
        await caller.expect_pong()
    return f"{count} callers on one lane"


async def _thrown_out(caller: Caller, said: bytes) -> None:
    async with caller:
        with suppress(HungUp):
            await caller.say(said)
        await caller.until_hung_up()


async def no_tls(target: Target, size: Size) -> str:
    """Garbage, HTTP, plain text and broken TLS, to a port that speaks TLS."""
    real = client_hello()
    said = [
        HTTP,
        os.urandom(5000),
        hello(new_lane()),
        b"\x16\x03\x01\xff\xff" + os.urandom(100),
        real[:-1] + b"\xff" + os.urandom(50),
        real + real,
        real + b"\x17\x03\x03\x40\x00" + os.urandom(2**14),
        b"\x15\x03\x03\x00\x02\x02\x28",
    ]

    async def one(data: bytes) -> None:
        with suppress(OSError):
            await _thrown_out(await target.call(tls=False), data)

    count = await in_turns(one, said * 10 * size.repeats)
    old = make_context()
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    for _ in range(10 * size.repeats):
        with suppress(OSError):
            await (await target.call(context=old)).close()
    return f"{count} callers without TLS, {10 * size.repeats} with an older one"


async def broken_records(target: Target, size: Size) -> str:
    """TLS is whole up to the greeting, and garbage below it after that."""

    async def one(_: int) -> None:
        with suppress(OSError, HungUp):
            async with await come_in(target, "garbler") as caller:
                os.write(caller.socket.fileno(), os.urandom(3000))
                await caller.until_hung_up()

    return f"{await in_turns(one, range(50 * size.repeats))} members"


async def tls_to_no_tls(target: Target, size: Size) -> str:
    """TLS, garbage and HTTP, to a port that speaks in the clear."""

    async def one(number: int) -> None:
        with suppress(OSError):
            data = (client_hello(), HTTP, os.urandom(5000))[number % 3]
            await _thrown_out(await target.call(), data)
            await (await target.call(tls=True)).close()

    return f"{await in_turns(one, range(50 * size.repeats))} callers"


ATTACKS = (
    Attack("replayed conversations", replays),
    Attack("lanes in use", lanes_in_use),
    Attack("no TLS to a port that speaks it", no_tls),
    Attack("broken TLS records", broken_records),
    Attack("TLS to a port that does not speak it", tls_to_no_tls, tls=False),
)
