"""A faulty proxy: TCP between clients and a server, and the power to make it fail.

It forwards bytes and knows nothing of what they mean. `FaultyProxy` does harm when it is told to,
and may stand before several servers; `CuttingProxy` does it to every link after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, Self

__all__ = ["CUTS", "Cut", "CuttingProxy", "Delay", "Fault", "FaultyProxy"]

#: Seconds that a stall lasts at most, and each piece of bytes on a slow link.
MAX_STALL = 1.5
MAX_SLOWNESS = 0.1
#: Seconds after which what a half-open link has swallowed comes out of it at the latest.
MAX_LATENESS = 2.0


class Cut(Enum):
    """In which way a link breaks."""

    RESET = "reset"  # both ends see a reset
    EOF = "end of file"  # both ends see an end of file
    ZOMBIE = "zombie"  # the client sees a reset, the server notices nothing
    # Half-open: one end hears nothing any more, the other hears and notices nothing.
    DEAF_SERVER = "deaf server"  # once the client has given up, it hears what is old by then
    DEAF_CLIENT = "deaf client"


class Delay(Enum):
    """In which way a link is slow."""

    STALL = "stall"  # nothing passes for a while
    SLOW = "slow"  # from now on each piece comes a little later


Fault = Cut | Delay
#: After these a link is over.
CUTS = (Cut.RESET, Cut.EOF, Cut.ZOMBIE)
#: After these one end believes that it goes on.
HALF_OPEN = (Cut.DEAF_SERVER, Cut.DEAF_CLIENT)


class _End(NamedTuple):
    """One of the two connections of a link."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        """Close it in such a way that the other side sees a reset."""
        with contextlib.suppress(OSError, ValueError):  # it is closed already
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def outlive(self) -> None:
        """Keep it open until the other side closes it, and say nothing."""
        with contextlib.suppress(OSError):
            while await self.reader.read(2**16):
                pass


class _Link:
    """A client's connection, and the one to the server that was made for it.

    Attributes:
        struck: What has happened to it last; None until then.
    """

    def __init__(self, proxy: FaultyProxy, near: _End, far: _End) -> None:
        self.struck: Fault | None = None
        self._proxy = proxy
        self._near = near
        self._far = far
        self._armed: Fault | None = None
        self._left = 0
        self._over = False
        self._news: asyncio.Future[bool] | None = None
        self._passes = asyncio.Event()
        self._passes.set()
        self._swallowed = bytearray()

    def arm(self, fault: Fault, after: int) -> asyncio.Future[bool]:
        """Have a fault strike when so many bytes more have passed, in both directions together.

        Returns:
            Whether it has struck; False if the link ended before that.
        """
        self._armed, self._left = fault, after
        self._news = asyncio.get_running_loop().create_future()
        return self._news

    def disarm(self) -> None:
        """Have no fault strike that has not yet."""
        self._armed = None

    def reset(self) -> None:
        """Have the client see a reset, now."""
        self._near.reset()

    @property
    def is_sound(self) -> bool:
        """Whether it lives and is neither broken nor stalled, nor about to be."""
        return not self._over and self._armed is None and self.struck in (None, Delay.SLOW)

    @property
    def deceives_the_client(self) -> bool:
        """Whether it is half-open, and the client has not given it up."""
        return self.struck in HALF_OPEN and not self._near.writer.is_closing()

    # ---- while it lives ----

    async def run(self) -> None:
        """Forward in both directions until one of the ends is gone, or a fault ends it."""
        pumps = [
            asyncio.create_task(self._pump(self._near, self._far, Cut.DEAF_SERVER)),
            asyncio.create_task(self._pump(self._far, self._near, Cut.DEAF_CLIENT)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            far_ended = pumps[1].done()
        finally:
            self._over = True
            if self._news is not None and not self._news.done():
                self._news.set_result(False)
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        await self._end(far_ended=far_ended)

    async def _pump(self, source: _End, sink: _End, deaf: Cut) -> None:
        while data := await source.reader.read(2**16):
            if self._armed is not None and not self._proxy.calm:
                passing = data[: self._left]
                self._left -= len(passing)
                if not self._left:
                    self._strike(self._armed)
                    if self.struck in CUTS:
                        sink.writer.write(passing)
                        return
            await self._passes.wait()
            if self.struck is Delay.SLOW:
                await asyncio.sleep(self._proxy.rng.uniform(0, MAX_SLOWNESS))
            if self.struck is not deaf:
                sink.writer.write(data)
                await sink.writer.drain()
            elif deaf is Cut.DEAF_SERVER:
                self._swallowed += data

    def _strike(self, fault: Fault) -> None:
        self._armed, self.struck = None, fault
        if fault is Delay.STALL:
            self._passes.clear()
            seconds = self._proxy.rng.uniform(0, MAX_STALL)
            asyncio.get_running_loop().call_later(seconds, self._let_pass)
        assert self._news is not None
        self._news.set_result(True)
        self._proxy.note(fault)

    def _let_pass(self) -> None:
        self._passes.set()
        self.struck = None
        self._proxy.note_end()

    # ---- its end ----

    async def _end(self, *, far_ended: bool) -> None:
        match self.struck:
            case Cut.EOF:
                self._near.writer.close()
                self._far.writer.close()
            case Cut.ZOMBIE:
                self._near.reset()
                await self._far.outlive()
            case Cut.DEAF_CLIENT if far_ended:
                await self._near.outlive()  # the server is gone, and the client does not hear of it
            case Cut.DEAF_CLIENT | Cut.DEAF_SERVER if not far_ended:
                self._near.reset()
                await asyncio.sleep(self._proxy.rng.uniform(0, MAX_LATENESS))
                self._far.writer.write(self._swallowed)
                await self._far.outlive()
            case Cut.RESET:
                self._near.reset()
                self._far.reset()
            case _:
                pass  # an end hung up: the other one is told


class FaultyProxy:
    """Forwards between callers and a port of this machine, and harms their links when told to.

    Args:
        target: The server's port.
        rng: What decides where the harm is done.
        sources: Addresses of this machine from which the server is called, by turns: a server
            bounds how many may be in the greeting from one. None are the system's choice.

    Attributes:
        port: Where to call it.
        target: The port of the server to which new links lead; it may be another one later.
        links: How many links there were.
        calm: Whether links are left alone from now on.
        rng: What decides where the harm is done.
        struck: How often each fault has struck.
        last_fault: When the last fault struck, or the last stall was over, by the loop's time.
    """

    port: int

    def __init__(self, target: int, rng: random.Random, *, sources: Sequence[str] = ()) -> None:
        self.links = 0
        self.calm = False
        self.rng = rng
        self.struck: Counter[Fault] = Counter()
        self.last_fault = 0.0
        self.target = target
        self._sources = sources
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._living: list[_Link] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.port = await self._listen(lambda: self.target)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        await self.hang_up()
        for server in self._servers:
            await server.wait_closed()

    def reset(self) -> None:
        """Have all callers see a reset, now."""
        for link in self._living:
            link.reset()

    async def hang_up(self) -> None:
        """End all links, those too of which one end believes that they go on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def deceives_anybody(self) -> bool:
        """Whether a client has still to find out that its link is half-open."""
        return any(link.deceives_the_client for link in self._living)

    async def stand_before(self, target: int) -> int:
        """Forward to another server as well, whose links are harmed like the others.

        Returns:
            Where to call it.
        """
        return await self._listen(lambda: target)

    async def _listen(self, target: Callable[[], int]) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(_End(reader, writer), target())

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def strike(
        self, fault: Fault, *, within: int = 100, patience: float | None = None
    ) -> None:
        """Do harm to one of the links, within so many bytes, and wait until it has happened.

        Args:
            fault: What is to happen.
            within: How many bytes may pass before.
            patience: Seconds after which another link is chosen, if over this one nothing passes;
                None waits for it.

        Cancellation: safe.
        """
        while True:
            self._news.clear()
            sound = [link for link in self._living if link.is_sound]
            if not sound:
                await self._news.wait()
                continue
            link = self.rng.choice(sound)
            struck = link.arm(fault, self.rng.randrange(within))
            await asyncio.wait([struck], timeout=patience)
            if struck.done() and struck.result():
                return
            link.disarm()

    def note(self, fault: Fault) -> None:
        """Count a fault; for links alone."""
        self.struck[fault] += 1
        self.note_end()

    def note_end(self) -> None:
        """Take the time; for links alone."""
        self.last_fault = asyncio.get_running_loop().time()
        self._news.set()

    def _opened(self, link: _Link) -> None:
        self._living.append(link)
        self._news.set()

    async def _serve(self, near: _End, target: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [near.writer]
        link: _Link | None = None
        try:
            source = (self.rng.choice(self._sources), 0) if self._sources else None
            far = _End(*await asyncio.open_connection("127.0.0.1", target, local_addr=source))
            writers.append(far.writer)
            self.links += 1
            link = _Link(self, near, far)
            self._opened(link)
            await link.run()
        except (OSError, asyncio.CancelledError):
            pass  # the server is away, or the test is over
        finally:
            if link is not None:
                self._living.remove(link)
            for each in writers:
                if not each.is_closing():
                    each.transport.abort()
            self._tasks.discard(task)


class CuttingProxy(FaultyProxy):
    """Forwards between callers and a port of this machine, and breaks every link after a while."""

    def __init__(self, target: int, rng: random.Random, *, max_bytes: int) -> None:
        """Break each link after at most `max_bytes`, of both directions together."""
        super().__init__(target, rng)
        self._max_bytes = max_bytes

    def _opened(self, link: _Link) -> None:
        super()._opened(link)
        link.arm(self.rng.choice(CUTS), self.rng.randrange(self._max_bytes))
