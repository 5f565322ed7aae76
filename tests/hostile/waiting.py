"""Attacks that make the server wait: silence, drops of bytes, and members that do not read."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from tests.hostile.attack import Attack, Size, all_of
from tests.hostile.caller import ACK, Caller, HungUp, make_context
from tests.hostile.packing import hello, new_lane, post
from tests.hostile.target import Target

__all__ = ["ATTACKS"]

SPEAKERS = 20
#: Not longer, because the room is to be busy, and not the burst to be more than it can carry.
LINE = "x" * 2_000


def client_hello() -> bytes:
    """Return the first bytes of a TLS client."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        make_context().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


async def silent_one(target: Target, *, tls: bool) -> bool:
    """Call, say nothing, and wait until that is the end; return whether it got so far."""
    try:
        caller = await target.call(tls=tls)
    except OSError:
        return False
    async with caller:
        await caller.until_hung_up()
    return True


async def silent(target: Target, size: Size) -> str:
    """Half say nothing at all, half nothing behind TLS: all are thrown out."""
    callers = [silent_one(target, tls=bool(n % 2) and target.tls) for n in range(size.waiting)]
    came = sum(await all_of(callers))
    return f"{size.waiting} callers, {came} of them connected, all thrown out"


async def drip(caller: Caller, data: bytes) -> int:
    """Send a byte a second until the server has hung up; return how many."""
    ended = asyncio.create_task(caller.until_hung_up())
    sent = 0
    while not ended.done():
        # No end of bytes: what follows a whole greeting is no greeting.
        with suppress(HungUp):
            await caller.say(data[sent : sent + 1] or b"\0")
        sent += 1
        await asyncio.wait([ended], timeout=1)
    await ended
    return sent


async def dripping_one(target: Target, *, tls: bool) -> int:
    """Call, and drip."""
    try:
        caller = await target.call(tls=tls)
    except OSError:
        return 0
    async with caller:
        in_tls = target.tls and not tls
        return await drip(caller, client_hello() if in_tls else hello(new_lane()))


async def dripping(target: Target, size: Size) -> str:
    """Half drip their TLS, half their Hello: all are thrown out, however alive they look."""
    callers = [dripping_one(target, tls=bool(n % 2) and target.tls) for n in range(size.waiting)]
    drops = await all_of(callers)
    return f"{size.waiting} callers, {sum(map(bool, drops))} dripped, at most {max(drops)} bytes"


async def come_in(target: Target, nick: str, *, receive_buffer: int | None = None) -> Caller:
    """Become a member, however often that is tried: there may be many in the greeting."""
    while True:
        with suppress(OSError, HungUp):
            caller = await target.call(receive_buffer=receive_buffer)
            try:
                await caller.greet(nick)
            except BaseException:
                await caller.close()
                raise
            return caller
        await asyncio.sleep(0.1)


async def speak(caller: Caller, lines: int) -> None:
    """Say something long so often, read what comes, and wait until it is acknowledged."""

    async def say_all() -> None:
        for number in range(1, lines + 1):
            await caller.say(post(number, LINE))

    await all_of([say_all(), caller.expect(ACK, lines)])


async def deaf(target: Target, size: Size) -> str:
    """Many members never read while some speak: those are served as ever."""
    names = [f"deaf{number}" for number in range(size.deaf)]
    listeners = await all_of([come_in(target, name, receive_buffer=4096) for name in names])
    for listener in listeners:
        listener.stop_reading()
    speakers = await all_of([come_in(target, f"speaker{number}") for number in range(SPEAKERS)])
    await all_of([speak(speaker, size.lines) for speaker in speakers])
    for caller in (*listeners, *speakers):
        await caller.close()
    said = SPEAKERS * size.lines * len(LINE) / 1e6
    return f"{size.deaf} members never read, {SPEAKERS} others said {said:.0f} MB"


ATTACKS = (
    Attack("silent callers", silent),
    Attack("dripping callers", dripping),
    Attack("members that never read", deaf),
)
