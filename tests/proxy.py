"""A proxy that cuts: TCP between a client and a server, and the power to make it fail.

It forwards bytes and knows nothing of what they mean.
"""

from __future__ import annotations

import asyncio
import random
from enum import Enum
from typing import Self

__all__ = ["Cut", "CuttingProxy"]


class Cut(Enum):
    """In which way a link breaks."""

    RESET = "reset"  # both ends see a reset
    EOF = "end of file"  # both ends see an end of file
    ZOMBIE = "zombie"  # the client sees a reset, the server notices nothing


class CuttingProxy:
    """Forwards between callers and a port of this machine, and breaks every link after a while.

    Attributes:
        port: Where to call it.
        links: How many links there were.
        calm: Whether links are left alone from now on.
    """

    port: int

    def __init__(self, target: int, rng: random.Random, *, max_bytes: int) -> None:
        """Break each link after at most `max_bytes`, of both directions together."""
        self.links = 0
        self.calm = False
        self._target = target
        self._rng = rng
        self._max_bytes = max_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._zombies: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for writer in self._zombies:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        how = self._rng.choice(list(Cut))
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(far_writer)
            self.links += 1
            await self._forward(reader, writer, far_reader, far_writer)
            if how is Cut.ZOMBIE and not self.calm:
                self._zombies.append(writers.pop())
            if how is Cut.EOF:
                for each in writers:
                    each.close()
                writers.clear()
        except (OSError, asyncio.CancelledError):
            pass  # an end hung up, or the test is over
        finally:
            for each in writers:
                each.transport.abort()
            self._tasks.discard(task)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        """Forward in both directions until one of them ends, or so many bytes have passed."""
        left = self._rng.randrange(self._max_bytes)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            nonlocal left
            while data := await source.read(2**16):
                if not self.calm:
                    data = data[:left]
                    left -= len(data)
                sink.write(data)
                await sink.drain()
                if not left and not self.calm:
                    break

        pumps = [
            asyncio.create_task(pump(reader, far_writer)),
            asyncio.create_task(pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
