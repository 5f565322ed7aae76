"""aiohttp: a `WebSocketResponse` for each member, and `send_str` to one after the other."""

import asyncio
import sys

import uvloop
from aiohttp import WSMsgType, web

from tests.benchmarks.rooms.workload import HOST


async def main(port: int) -> None:
    """Serve until ended."""
    sockets: set[web.WebSocketResponse] = set()

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    for member in tuple(sockets):
                        await member.send_str(message.data)
        finally:
            sockets.discard(socket)
        return socket

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
