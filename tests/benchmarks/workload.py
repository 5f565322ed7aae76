"""What is measured, and what a contestant has to offer for it.

This file is the contract between the peers (`peer`) and the contestants (`contestants`). It knows
no library that is measured, starts no process and prints nothing.

Two kinds of work, both with texts of 64 ASCII characters:

* ``ONE_WAY``: one side sends as fast as it may, the other confirms. A library that acknowledges by
  itself is used as it is. For the others the receiving application sends back how many texts it has
  had, every 256 texts and at the end, and the sending one keeps at most 4096 unconfirmed: the same
  bound that socketchat has by default. The clock runs from the first send until all is confirmed.
* ``ROUND_TRIP``: one text at a time, sent back by the other side.

A link does its warm-up first, then what is timed.
"""

import string
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

HOST = "127.0.0.1"
TEXT = string.ascii_letters + string.digits + "+-"
assert len(TEXT) == 64

CONFIRM_EVERY = 256
WINDOW = 4096


class Kind(StrEnum):
    """The two things that are measured."""

    ONE_WAY = "one-way"
    ROUND_TRIP = "round-trip"


@dataclass(frozen=True, slots=True)
class Work:
    """What one link has to carry: `warm_up` texts untimed, then `count` timed."""

    kind: Kind
    warm_up: int
    count: int

    @property
    def ends(self) -> frozenset[int]:
        """Say after how many texts a part of the work is over."""
        return frozenset({self.warm_up, self.warm_up + self.count})

    @property
    def confirmations(self) -> frozenset[int]:
        """Say after how many texts a receiver confirms when its library does not acknowledge."""
        return self.ends | frozenset(range(CONFIRM_EVERY, self.warm_up + self.count, CONFIRM_EVERY))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens, and what its callers need in order to trust it.

    `folder` holds the certificate (see `certificate`); `None` asks for no encryption. `key` is what
    the server told about itself when it was ready: a pin, a public key, or nothing.
    """

    folder: Path | None
    port: int = 0
    key: str = ""


Ready = Callable[[int, str], None]
"""Called by a server once it accepts callers, with its port and its key (or an empty text)."""


class Link(Protocol):
    """The calling side of one open connection."""

    async def send_all(self, text: str, count: int) -> None:
        """Send `text` `count` times and return once the other side has confirmed all of it."""

    async def round_trips(self, text: str, count: int) -> list[int]:
        """Have `text` sent back `count` times, one at a time, and return what each took, in ns."""


class Contestant(Protocol):
    """One library, used the way its own documentation recommends for speed."""

    def describe(self) -> str:
        """Return version, accelerators in use and, if it is not TLS 1.3, the encryption."""

    async def serve(self, work: Work, place: Place, ready: Ready) -> None:
        """Listen on a free port of HOST, call `ready`, and be the receiver until ended."""

    def connect(self, place: Place) -> AbstractAsyncContextManager[Link]:
        """Open a link to the server at `place`."""


def confirmation(count: int, text: str) -> str:
    """Return what a receiver sends to confirm `count` texts, the last of which is `text`."""
    if text != TEXT:
        raise ValueError(f"text number {count} arrived as {text!r}")
    return str(count)


class ConfirmedLink:
    """A `Link` made of a library's coroutines to send and to receive a text.

    For libraries without acknowledgements. The sender itself reads the confirmations, when its
    window is full and at the end; at most 17 of them are ever under way. A task beside it that
    reads them as they come made no difference to most, and nearly halved the rate of pyzmq.
    """

    def __init__(
        self,
        send: Callable[[str], Awaitable[object]],
        receive: Callable[[], Awaitable[str | bytes]],
    ) -> None:
        """Use `send` and `receive`: best the library's own bound methods."""
        self._send = send
        self._receive = receive
        self._sent = 0
        self._confirmed = 0

    async def send_all(self, text: str, count: int) -> None:
        """Send with at most WINDOW texts unconfirmed."""
        send, receive = self._send, self._receive
        sent, confirmed = self._sent, self._confirmed
        for _ in range(count):
            if sent - confirmed >= WINDOW:
                confirmed = int(await receive())
            await send(text)
            sent += 1
        while confirmed < sent:
            confirmed = int(await receive())
        self._sent, self._confirmed = sent, confirmed

    async def round_trips(self, text: str, count: int) -> list[int]:
        """Send, receive, and look at the clock."""
        return await round_trips(self._send, self._receive, text, count)


async def round_trips(
    send: Callable[[str], Awaitable[object]],
    receive: Callable[[], Awaitable[str | bytes]],
    text: str,
    count: int,
) -> list[int]:
    """Do `Link.round_trips` with a library's coroutines."""
    clock = time.perf_counter_ns
    took = []
    for _ in range(count):
        start = clock()
        await send(text)
        answer = await receive()
        took.append(clock() - start)
        if answer != text:
            raise ValueError(f"the echo of {text!r} is {answer!r}")
    return took
