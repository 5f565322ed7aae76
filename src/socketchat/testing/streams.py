"""asyncio streams in memory, and the link between their two ends, which can be made to fail.

What a test author touches is here; how bytes travel is `transport`'s matter. Neither knows frames,
messages or chat. Further neighbours: `clock`, on whose loop a link needs no real time, and
`session.py`, which runs over such streams.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Self

from socketchat.testing.transport import MemoryTransport, Wire

__all__ = ["End", "MemoryLink", "Streams", "stream_pair"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""One end of a link: what `asyncio.open_connection` returns."""


class End(Enum):
    """One of the two ends of a `MemoryLink`."""

    NEAR = "near"
    FAR = "far"

    @property
    def other(self) -> End:
        """The end opposite."""
        return End.FAR if self is End.NEAR else End.NEAR


# From the networks set aside for documentation: loopback might be granted privileges.
_ADDRESSES = {End.NEAR: ("192.0.2.1", 50000), End.FAR: ("192.0.2.2", 7625)}


def stream_pair(*, limit: int = 65536, high_water: int = 65536, latency: float = 0.0) -> MemoryLink:
    """Join two ends of asyncio streams in memory; call it on a running loop.

    The streams are the real ones, over a transport that behaves as a TCP transport does: what is
    written counts as buffered until the other end's protocol has taken it, `drain` waits above the
    high-water mark, a closed end answers data with a reset, and an end that is closed with its
    buffer full stays until that is taken, or until it is aborted. Unlike with TCP there is no
    kernel that takes a little more. Writers have to be closed, as ever; leaving the `with` block of
    the link does it.

    Args:
        limit: The `limit` of both readers, in bytes; above twice as many they stop reading.
        high_water: The high-water mark of both writers, in bytes; the low one is a quarter of it.
        latency: Seconds from a write to its arrival.

    Returns:
        The link, which unpacks into `(reader, writer), (far_reader, far_writer)`.
    """
    return MemoryLink(limit=limit, high_water=high_water, latency=latency)


class MemoryLink:
    """Two connected stream ends, and the power to make what joins them fail.

    Made by `stream_pair`. It unpacks into `near` and `far`. As a context manager it aborts both
    ends when its block is left. Nothing joins the ends again once the link is cut: a new link is a
    new pair.

    Attributes:
        near: Reader and writer of one end.
        far: Reader and writer of the other.
    """

    near: Streams
    far: Streams

    def __init__(self, *, limit: int, high_water: int, latency: float) -> None:
        loop = asyncio.get_running_loop()
        self._wires = {end: Wire(loop, latency) for end in End}
        self._transports = {
            end: MemoryTransport(
                loop,
                outgoing=self._wires[end],
                incoming=self._wires[end.other],
                sockname=_ADDRESSES[end],
                peername=_ADDRESSES[end.other],
            )
            for end in End
        }
        self.near, self.far = (
            transport.open_streams(limit=limit, high_water=high_water)
            for transport in self._transports.values()
        )

    def __iter__(self) -> Iterator[Streams]:
        """Yield the near end, then the far one."""
        yield self.near
        yield self.far

    def __enter__(self) -> Self:
        """Return the link."""
        return self

    def __exit__(self, *_: object) -> None:
        """Abort both ends."""
        for transport in self._transports.values():
            transport.abort()

    def cut(self, *, reset: bool = True) -> None:
        """Break the link: both ends lose it, and what was on its way is lost.

        Args:
            reset: True: both see a `ConnectionResetError`. False: both see an end of file, then a
                connection lost without an error, as under TLS when a peer dies without a word.
        """
        for transport in self._transports.values():
            transport.lose_link(reset=reset)

    def half_open(self, dead: End = End.FAR) -> None:
        """Let one end lose the link with a `ConnectionResetError`, and the other not notice.

        What the survivor writes is buffered and never arrives. After `resume` it does arrive, at a
        dead end, which answers with a reset; a survivor that writes nothing learns nothing.

        Args:
            dead: The end that loses the link.
        """
        self.stall()
        self._transports[dead].lose_link(reset=True)

    def stall(self, sender: End | None = None) -> None:
        """Let nothing pass any more, while both ends believe that the link stands.

        What is written is buffered, what is on its way stays there; ends of file and resets too.

        Args:
            sender: Hold only what this end sends; None: both directions.
        """
        for wire in self._chosen(sender):
            wire.stalled = True

    def resume(self, sender: End | None = None) -> None:
        """Let pass again what `stall` held back.

        Args:
            sender: Release only what this end sends; None: both directions.
        """
        for wire in self._chosen(sender):
            wire.stalled = False
            wire.wake()

    def deliver_chunks(
        self, sizes: Iterable[int] | random.Random, *, sender: End | None = None
    ) -> None:
        """Choose in which pieces the bytes arrive, one piece a turn of the loop.

        Without it each turn delivers all that has arrived, up to 256 KiB, however it was written.

        Args:
            sizes: The length of each piece in turn, in bytes, at least 1; a piece is shorter when
                less is there. When they are used up, the link is as before. A `random.Random`
                draws for ever, from 1 byte to 64 KiB, short ones as often as long.
            sender: Only for what this end sends; None: both directions, which go through a list
                each on its own, but share an iterator.
        """
        if isinstance(sizes, random.Random):
            sizes = _random_sizes(sizes)
        for wire in self._chosen(sender):
            wire.sizes = iter(sizes)

    def _chosen(self, sender: End | None) -> list[Wire]:
        return list(self._wires.values()) if sender is None else [self._wires[sender]]


def _random_sizes(rng: random.Random) -> Iterator[int]:
    while True:
        yield rng.randint(1, 1 << rng.randrange(17))
