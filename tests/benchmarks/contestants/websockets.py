"""websockets: the asyncio implementation, no compression, otherwise its defaults."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

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


class WebSockets:
    """`serve` and `connect` as their documentation shows them."""

    def describe(self) -> str:
        """Return the version, and whether the masks are made in C."""
        c = importlib.util.find_spec("websockets.speedups") is not None
        return f"{version('websockets')} ({'C speedups' if c else 'no C speedups'})"

    async def serve(self, work: Work, place: Place, ready: Ready) -> None:
        """Receive with ``async for``."""

        async def echo(connection: ServerConnection) -> None:
            async for text in connection:
                await connection.send(text)

        async def count(connection: ServerConnection) -> None:
            due, received = work.confirmations, 0
            async for text in connection:
                received += 1
                if received in due:
                    assert isinstance(text, str)
                    await connection.send(confirmation(received, text))

        handler = echo if work.kind is Kind.ROUND_TRIP else count
        context = certificate.server_context(place.folder)
        async with serve(handler, HOST, 0, ssl=context, compression=None) as server:
            ready(next(iter(server.sockets)).getsockname()[1], "")
            await server.serve_forever()

    @asynccontextmanager
    async def connect(self, place: Place) -> AsyncIterator[Link]:
        """Send with `send`, receive with `recv`."""
        scheme = "ws" if place.folder is None else "wss"
        async with connect(
            f"{scheme}://{HOST}:{place.port}",
            ssl=certificate.client_context(place.folder),
            compression=None,
            proxy=None,
        ) as connection:
            yield ConfirmedLink(connection.send, connection.recv)


contestant: Contestant = WebSockets()
