"""aiohttp: its websocket client and server, no compression, otherwise its defaults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from aiohttp import ClientSession, WSMsgType, web
from aiohttp.http_websocket import WebSocketReader

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


class AioHttp:
    """`WebSocketResponse` and `ws_connect` as their documentation shows them."""

    def describe(self) -> str:
        """Return the version, and whether frames are read in C."""
        c = WebSocketReader.__module__.endswith("reader_c")
        return f"{version('aiohttp')} ({'C extensions' if c else 'no C extensions'})"

    async def serve(self, work: Work, place: Place, ready: Ready) -> None:
        """Receive with ``async for``."""

        async def echo(socket: web.WebSocketResponse) -> None:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await socket.send_str(message.data)

        async def count(socket: web.WebSocketResponse) -> None:
            due, received = work.confirmations, 0
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    text = message.data
                    received += 1
                    if received in due:
                        await socket.send_str(confirmation(received, text))

        async def handler(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse(compress=False)
            await socket.prepare(request)
            await (echo if work.kind is Kind.ROUND_TRIP else count)(socket)
            return socket

        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        context = certificate.server_context(place.folder)
        await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
        ready(runner.addresses[0][1], "")
        await asyncio.Event().wait()

    @asynccontextmanager
    async def connect(self, place: Place) -> AsyncIterator[Link]:
        """Send with `send_str`, receive with `receive_str`."""
        context = certificate.client_context(place.folder)
        scheme = "ws" if context is None else "wss"
        async with (
            ClientSession() as session,
            session.ws_connect(
                f"{scheme}://{HOST}:{place.port}/", ssl=context or True, compress=0
            ) as socket,
        ):
            yield ConfirmedLink(socket.send_str, socket.receive_str)


contestant: Contestant = AioHttp()
