"""Attacks by those who come and go: quickly, by halves, and with resets."""

from __future__ import annotations

import itertools
from contextlib import suppress

from tests.hostile.attack import Attack, Size, in_turns
from tests.hostile.caller import ACK, BYE, WELCOME, Caller, HungUp
from tests.hostile.packing import bye, event, hello, kind_of, new_lane, number_at, ping, post
from tests.hostile.target import Target

__all__ = ["ATTACKS", "conversation", "hold"]


def conversation(lane: bytes | None = None) -> tuple[bytes, bytes]:
    """Return what a good client says: up to the Welcome, and behind it."""
    said = post(1, "hello") + event("typing") + ping(1) + post(2, "thrée") + bye()
    return hello(lane or new_lane(), "replica"), said


async def hold(caller: Caller, said: bytes) -> None:
    """Say the second half of the conversation, and check that it is answered as it should be."""
    await caller.say(said)
    bodies = await caller.until_hung_up()
    goodbyes = [number_at(body, 2) for body in bodies if kind_of(body) == BYE]
    assert goodbyes == [1000], bodies  # as was said: a complaint would have another code
    acknowledged = [number_at(body, 2) for body in bodies if kind_of(body) == ACK]
    assert acknowledged[-1:] == [2], bodies


async def rapid(target: Target, size: Size) -> str:
    """Callers come and go at every stage, by close and by reset, as quickly as they can."""
    first, rest = conversation()
    stages = (None, b"", first[:10], first, first + rest[:5])

    async def one(number: int) -> None:
        stage = stages[number % len(stages)]
        with suppress(OSError, HungUp):
            caller = await target.call(tls=target.tls and stage is not None)
            try:
                await caller.say(stage or b"")
            finally:
                if number % 2:
                    caller.reset()
                await caller.close()

    return f"{await in_turns(one, range(size.rapid), at_once=100)} callers"


async def half_closed(target: Target, size: Size) -> str:
    """Callers say at every stage that nothing more comes, and listen on: they are let go."""
    first, rest = conversation()
    stages = (b"", first[:10], first, first[:-1])

    async def one(number: int) -> None:
        with suppress(OSError, HungUp):
            async with await target.call() as caller:
                await caller.say(stages[number % len(stages)])
                caller.half_close()
                await caller.until_hung_up()
            async with await target.call() as caller:
                await caller.say(first)
                await caller.expect(WELCOME)
                await caller.say(rest[: number % len(rest)])
                caller.half_close()
                await caller.until_hung_up()

    return f"{2 * await in_turns(one, range(100 * size.repeats))} callers"


async def every_split(target: Target, size: Size) -> str:
    """A good conversation comes in two pieces, split at every byte: it is answered as ever."""
    length = sum(map(len, conversation()))

    async def one(place: int) -> None:
        first, rest = conversation()
        async with await target.call() as caller:
            await caller.say(first[:place])
            await caller.say(first[place:])
            await caller.expect(WELCOME)
            await caller.say(rest[: max(0, place - len(first))])
            await hold(caller, rest[max(0, place - len(first)) :])

    places = itertools.chain.from_iterable([range(length + 1)] * size.repeats)
    return f"{await in_turns(one, places)} conversations, {length} bytes each"


async def every_cut(target: Target, size: Size) -> str:
    """A good conversation is cut off behind every byte, by close and by reset."""
    length = sum(map(len, conversation()))

    async def one(place: int) -> None:
        for reset in (True, False):
            first, rest = conversation()
            with suppress(HungUp):
                async with await target.call() as caller:
                    await caller.say(first[:place])
                    if place > len(first):
                        await caller.expect(WELCOME)
                        await caller.say(rest[: place - len(first)])
                    if reset:
                        caller.reset()

    places = itertools.chain.from_iterable([range(length + 1)] * size.repeats)
    return f"{2 * await in_turns(one, places)} conversations"


ATTACKS = (
    Attack("rapid connects", rapid),
    Attack("half-closed connections", half_closed),
    Attack("half-closed connections in the clear", half_closed, tls=False),
    Attack("every split", every_split),
    Attack("every cut", every_cut),
    Attack("every cut in the clear", every_cut, tls=False),
)
