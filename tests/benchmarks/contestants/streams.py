"""asyncio streams with nothing on top, as people write them: a line a text, a `drain` a line.

A length and a body, read by two `readexactly`, came out the same within the noise.
"""

import asyncio
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.benchmarks import certificate
from tests.benchmarks.workload import (
    HOST,
    ConfirmedLink,
    Contestant,
    Kind,
    Link,
    Place,
    Ready,
    Work,
    confirmation,
)


class Streams:
    """`start_server` and `open_connection`."""

    def describe(self) -> str:
        """Return the version of Python."""
        return platform.python_version()

    async def serve(self, work: Work, place: Place, ready: Ready) -> None:
        """Receive with ``async for``."""

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async for line in reader:
                text = line[:-1].decode()
                writer.write(f"{text}\n".encode())
                await writer.drain()
            writer.close()

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            due, received = work.confirmations, 0
            async for line in reader:
                text = line[:-1].decode()
                received += 1
                if received in due:
                    writer.write(f"{confirmation(received, text)}\n".encode())
                    await writer.drain()
            writer.close()

        handler = echo if work.kind is Kind.ROUND_TRIP else count
        context = certificate.server_context(place.folder)
        server = await asyncio.start_server(handler, HOST, 0, ssl=context)
        ready(server.sockets[0].getsockname()[1], "")
        await server.serve_forever()

    @asynccontextmanager
    async def connect(self, place: Place) -> AsyncIterator[Link]:
        """Send with `write` and `drain`, receive with `readline`."""
        context = certificate.client_context(place.folder)
        reader, writer = await asyncio.open_connection(HOST, place.port, ssl=context)

        async def send(text: str) -> None:
            writer.write(f"{text}\n".encode())
            await writer.drain()

        async def receive() -> str:
            return (await reader.readline())[:-1].decode()

        try:
            yield ConfirmedLink(send, receive)
        finally:
            writer.close()


contestant: Contestant = Streams()
