"""Attacks by frames: spoilt and made up, too long, held back, and without end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress

from socketchat.messages import Ack, DataPost, Event, MalformedMessage, Ping, Pong, TextPost, decode
from tests.hostile.attack import Attack, Size, all_of, in_turns
from tests.hostile.caller import BYE, REFUSED, HungUp
from tests.hostile.packing import (
    NIL,
    array,
    blob,
    bye,
    data_post,
    event,
    frame,
    hello,
    kind_of,
    number,
    ping,
    post,
    text,
)
from tests.hostile.target import Target
from tests.hostile.waiting import come_in

__all__ = ["ATTACKS", "expect_complaint", "spoilt"]

#: What is spoilt: bodies of frames that a good client might send.
GOOD = [
    each[4:]
    for each in (
        post(1, "hello"),
        post(2, "thrée" * 20, "ada"),
        data_post(3, bytes(range(256))),
        frame(array(number(7), number(0))),
        ping(1),
        ping(2**40),
        frame(array(number(10), number(1))),
        event("typing"),
        bye(4000),
        frame(array(number(8), number(1), number(1008), text("no"))),
        frame(array(number(99), text("later"), array(NIL, blob(b"x")))),
        hello(bytes(16)),
    )
]
#: What no server takes.
NO_MSGPACK = frame(b"\xc1")
MIB = 2**20
#: Frames to a connection, on average: the last one ends it.
PER_CONNECTION = 30
#: Of the posts that came out whole so many are sent: those that are taken are written to a disk.
POSTS_TAKEN = 0.02


def spoilt(rng: random.Random) -> bytes:
    """Return a frame's body: one with some bytes changed, or nothing but random bytes."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(60))
    body = bytearray(rng.choice(GOOD))
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(body) + 1)
        match rng.randrange(5):
            case 0:
                body[place : place + 1] = rng.randbytes(1)
            case 1:
                body[place:place] = rng.randbytes(rng.randint(1, 4))
            case 2:
                del body[place : place + rng.randint(1, 4)]
            case 3:
                body[place:place] = body[place : place + rng.randrange(40)]
            case 4 if place < len(body):
                body[place] ^= 1 << rng.randrange(8)
    return bytes(body)


def is_taken(body: bytes) -> bool | None:
    """Tell whether an open session takes a frame; None if it is a post, which it does."""
    try:
        match decode(body):
            case None | Event() | Ping() | Pong() | Ack(0):
                return True
            case TextPost() | DataPost():
                return None
            case _:
                return False
    except MalformedMessage:
        return False


def spoilt_batch(rng: random.Random) -> list[bytes]:
    """Return frames of which all are looked at, since only the last one ends the session."""
    batch: list[bytes] = []
    wanted = rng.randrange(2 * PER_CONNECTION)
    while len(batch) < wanted:
        body = spoilt(rng)
        taken = is_taken(body)
        if taken or (taken is None and rng.random() < POSTS_TAKEN):
            batch.append(frame(body))
    while is_taken(body := spoilt(rng)) is not False:
        pass
    return [*batch, frame(body)]


def greeting_batch(rng: random.Random) -> list[bytes]:
    """Return frames instead of a greeting: of kinds that nobody knows, and one that is spoilt."""
    wanted = rng.randrange(2 * PER_CONNECTION)
    unknown = [
        array(number(rng.randrange(14, 2**32)), blob(rng.randbytes(9))) for _ in range(wanted)
    ]
    return [*map(frame, unknown), frame(spoilt(rng))]


def batches(
    make: Callable[[random.Random], list[bytes]], rng: random.Random, frames: int
) -> Iterator[list[bytes]]:
    """Make batches until there are so many frames."""
    while frames > 0:
        batch = make(rng)
        frames -= len(batch)
        yield batch


async def expect_complaint(target: Target, data: bytes, *, greet: bool) -> None:
    """Say what is wrong, and wait until the server has said so and hung up."""
    with suppress(HungUp):  # it may be that it does not read on while we still write
        caller = await come_in(target, "mallory") if greet else await target.call()
        async with caller:
            await caller.say(data + NO_MSGPACK)
            heard = await caller.until_hung_up()
            # A reset may have overtaken it, as the server had not read all; and it is no wrong
            # frame that is a goodbye instead of a greeting.
            complained = any(kind_of(body) in (BYE, REFUSED) for body in heard)
            assert complained or caller.was_reset or not greet, heard


async def spoilt_frames(target: Target, size: Size) -> str:
    """Frames with some bytes changed, behind the greeting and instead of one."""
    rng = random.Random(size.seed)
    counts = {True: 0, False: 0}

    async def one(batch: list[bytes], *, greet: bool) -> None:
        counts[greet] += len(batch)
        await expect_complaint(target, b"".join(batch), greet=greet)

    before = size.frames // 10
    some = batches(greeting_batch, rng, before)
    connections = await in_turns(lambda batch: one(batch, greet=False), some)
    others = batches(spoilt_batch, rng, size.frames - before)
    connections += await in_turns(lambda batch: one(batch, greet=True), others)
    return f"{counts[True]} frames behind and {counts[False]} before it, {connections} connections"


async def bombs(target: Target, size: Size) -> str:
    """Frames that say they are 4 GiB long, and those that are as long as may be, and as deep."""
    nested = (b"\x91", b"\x81\xc0", b"\xdd\0\0\0\1", b"\xdc\0\1", b"\xde\0\1\xc0")
    heads = (b"", b"\x92\x63", b"\x92\x05", b"\x93\x05\x01", b"\x93\x0d", b"\x9d\x0d\x90")
    deep = [frame((head + nest * MIB)[:MIB]) for nest in nested for head in heads]
    too_long = [b"\xff\xff\xff\xff", b"\xff\xff\xff\xff" + bytes(MIB), (MIB + 1).to_bytes(4, "big")]
    wide = [frame(head + b"\xdd" + MIB.to_bytes(4, "big") + NIL * (MIB - 9)) for head in heads]
    all_bombs = [*deep, *too_long, *wide] * size.repeats

    await in_turns(lambda bomb: expect_complaint(target, bomb, greet=True), all_bombs, at_once=8)
    early = [*too_long, *deep, (4097).to_bytes(4, "big"), (4097).to_bytes(4, "big") + bytes(4097)]
    early *= size.repeats
    await in_turns(lambda bomb: expect_complaint(target, bomb, greet=False), early, at_once=8)
    return f"{len(all_bombs)} behind the greeting, {len(early)} before it"


async def held_back(target: Target, size: Size) -> str:
    """Members announce a frame of 1 MiB and send all but its last byte."""
    callers = await all_of([come_in(target, f"bomber{number}") for number in range(size.bombs)])
    almost = MIB.to_bytes(4, "big") + bytes(MIB - 1)
    await all_of([caller.say(almost) for caller in callers])
    for caller in callers:
        await caller.close()
    return f"{size.bombs} members, {size.bombs} MiB"


async def floods(target: Target, size: Size) -> str:
    """Members send small frames without end, which cost nothing to make and are taken."""
    kinds = [
        ping(1),
        frame(array(number(99))),
        event("typing"),
        event("nothing"),
        frame(array(number(7), number(0))),
        post(1, "x"),
    ]

    async def one(place: int) -> None:
        each = kinds[place % len(kinds)]
        async with await come_in(target, f"flood{place}") as caller:
            chunk = each * (2**16 // len(each))

            async def say_all() -> None:
                for _ in range(size.flood // len(chunk)):
                    await caller.say(chunk)
                await caller.say(NO_MSGPACK)

            with suppress(HungUp):
                await all_of([say_all(), caller.until_hung_up()])

    await all_of([one(place) for place in range(size.floods)])
    return f"{size.floods} members, {size.flood / 1e6:.0f} MB each"


ATTACKS = (
    Attack("spoilt and random frames", spoilt_frames),
    Attack("frame bombs", bombs),
    Attack("frames held back", held_back),
    Attack("floods of small frames", floods),
)
