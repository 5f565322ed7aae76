"""websockets: `broadcast`, which its documentation has for this, and for speed."""

import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.benchmarks.rooms.workload import HOST


async def main(port: int) -> None:
    """Serve until ended."""
    connections: set[ServerConnection] = set()

    async def handler(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            async for text in connection:
                broadcast(connections, text)
        finally:
            connections.discard(connection)

    # No pings: the members say by themselves that they are there, as those of all other servers.
    async with serve(handler, HOST, port, compression=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
