"""Attacks by those who pretend to be somebody: wrong proofs, stolen lanes, names of others.

What a proof is bound to stands in `docs/protocol.md`. Keys and proofs are the library's own here;
the frames that carry them are made by hand.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from socketchat.fingerprint import pin_of_spki
from socketchat.trust.device import Device
from tests.hostile.attack import Attack, Size, in_turns
from tests.hostile.caller import ACK, GREETING, REFUSED, WELCOME, Caller
from tests.hostile.packing import blob, hello, kind_of, new_lane, number_at, post, text
from tests.hostile.target import Target

__all__ = ["ATTACKS"]

NO_PROOF = blob(b"") + blob(b"")
#: Where the nonce stands in a Greeting whose version is 1, behind its mark and its length.
_NONCE = slice(5, 37)


@dataclass(frozen=True, slots=True)
class Proving:
    """What goes into a proof.

    Attributes:
        pin: The pin of the server's key; empty without TLS.
        nonce: The nonce of its greeting.
        lane: The lane that is asked for.
    """

    pin: str
    nonce: bytes
    lane: bytes


#: Makes the key and the signature of a Hello, packed.
Prove = Callable[[Proving], bytes]


def proof_by(device: Device) -> Prove:
    """Return what proves a device's key as it should."""
    return lambda to: blob(device.public) + blob(device.prove(to.pin, to.nonce, to.lane))


async def answer_to(
    caller: Caller, target: Target, lane: bytes, prove: Prove, *, nick: str = "owner"
) -> bytes:
    """Say Hello with a proof, and return the server's Welcome or Refused."""
    greeting = await caller.expect(GREETING)
    assert greeting[3:5] == b"\xc4\x20", greeting
    pin = target.trust if target.tls else ""
    proof = prove(Proving(pin, greeting[_NONCE], lane))
    await caller.say(hello(lane, nick, proof=proof))
    while not any(kind_of(body) in (WELCOME, REFUSED) for body in caller.heard[1:]):
        await caller.read()
    return next(body for body in caller.heard if kind_of(body) in (WELCOME, REFUSED))


def is_welcome(answer: bytes) -> bool:
    """Tell whether the server lets one in; if it does not, it must be for who it is."""
    if kind_of(answer) == WELCOME:
        return True
    assert number_at(answer, 2) == 1008, answer
    return False


async def is_let_in(target: Target, lane: bytes, prove: Prove, *, nick: str = "owner") -> bool:
    """Call, and tell whether one is let in with a proof."""
    async with await target.call() as caller:
        return is_welcome(await answer_to(caller, target, lane, prove, nick=nick))


def wrong_proofs(device: Device, other: Device) -> dict[str, Prove]:
    """Return proofs that prove nothing, by what is wrong with them."""
    key = blob(device.public)

    def signed(**changed: Any) -> Prove:
        def prove(to: Proving) -> bytes:
            it = replace(to, **changed)
            return key + blob(device.prove(it.pin, it.nonce, it.lane))

        return prove

    def flipped(to: Proving) -> bytes:
        good = bytearray(device.prove(to.pin, to.nonce, to.lane))
        good[17] ^= 4
        return key + blob(bytes(good))

    return {
        "no signature": lambda to: key + blob(b""),
        "half a signature": lambda to: key + blob(device.prove(to.pin, to.nonce, to.lane)[:32]),
        "zeros": lambda to: key + blob(bytes(64)),
        "random bytes": lambda to: key + blob(os.urandom(64)),
        "a flipped bit": flipped,
        "another device's": lambda to: key + blob(other.prove(to.pin, to.nonce, to.lane)),
        "for another server": signed(pin=pin_of_spki(b"another")),
        "for another greeting": signed(nonce=os.urandom(32)),
        "for another lane": signed(lane=new_lane()),
        "a short key": lambda to: blob(device.public[:31]) + blob(bytes(64)),
        "a key of zeros": lambda to: blob(bytes(32)) + blob(bytes(64)),
    }


async def wrong_signatures(target: Target, size: Size) -> str:
    """A Hello whose signature does not prove its key is refused; one that does is welcome."""
    device, other = Device.generate(), Device.generate()
    proofs = wrong_proofs(device, other)

    async def one(name: str) -> None:
        assert not await is_let_in(target, new_lane(), proofs[name]), name

    count = await in_turns(one, list(proofs) * 10 * size.repeats)
    assert await is_let_in(target, new_lane(), proof_by(device))
    return f"{count} wrong proofs, of {len(proofs)} kinds"


async def replayed_proofs(target: Target, size: Size) -> str:
    """What the owner of a key has said is said again by another: it proves nothing any more."""
    device, lane = Device.generate(), new_lane()
    said = b""

    def proof_once(to: Proving) -> bytes:
        nonlocal said
        said = said or proof_by(device)(to)
        return said

    assert await is_let_in(target, lane, proof_once)
    for _ in range(20 * size.repeats):
        assert not await is_let_in(target, lane, proof_once)
    assert await is_let_in(target, lane, proof_by(device))
    return f"{20 * size.repeats} replays"


async def stolen_lanes(target: Target, size: Size) -> str:
    """The lane of a key is opened by others, while its owner uses it and later: none gets it."""
    device, other = Device.generate(), Device.generate()
    thieves = {
        **wrong_proofs(device, other),
        "its own key": proof_by(other),
        "no key": lambda to: NO_PROOF,
    }
    lane = new_lane()

    async def steal(name: str) -> None:
        assert not await is_let_in(target, lane, thieves[name]), name

    attempts = list(thieves) * 5 * size.repeats
    async with await target.call() as owner:
        assert is_welcome(await answer_to(owner, target, lane, proof_by(device)))
        await owner.say(post(1, "mine"))
        await owner.expect(ACK, 1)
        await in_turns(steal, attempts)
        # Its session goes on, undisturbed.
        await owner.say(post(2, "still mine"))
        await owner.expect(ACK, 2)
        await owner.expect_pong()
    await in_turns(steal, attempts)
    async with await target.call() as owner:
        assert is_welcome(await answer_to(owner, target, lane, proof_by(device)))
    return f"{2 * len(attempts)} thieves, of {len(thieves)} kinds"


async def renamed_ghosts(target: Target, size: Size) -> str:
    """A name is asked for by others, while its owner is there, lost and away: none gets it."""
    device = Device.generate()
    nick = f"o{os.urandom(4).hex()}"
    takers: list[Prove] = [proof_by(Device.generate()), lambda to: NO_PROOF]

    async def name_given(prove: Prove) -> bool:
        async with await target.call() as caller:
            answer = await answer_to(caller, target, new_lane(), prove, nick=nick)
            return is_welcome(answer) and text(nick) in answer

    async def take(prove: Prove) -> None:
        assert not await name_given(prove)

    count = 0
    for _ in range(size.repeats):
        async with await target.call() as owner:
            answer = await answer_to(owner, target, new_lane(), proof_by(device), nick=nick)
            assert text(nick) in answer, answer
            count += await in_turns(take, takers * 5)
            owner.reset()
        count += await in_turns(take, takers * 5)
        # It comes back with a new lane, and finds no ghost of its own in its place.
        assert await name_given(proof_by(device))
    return f"{count} who wanted the name"


ATTACKS = (
    Attack("wrong signatures", wrong_signatures),
    Attack("replayed proofs", replayed_proofs),
    Attack("stolen lanes", stolen_lanes),
    Attack("renamed ghosts", renamed_ghosts),
    Attack("wrong signatures in the clear", wrong_signatures, tls=False),
)
