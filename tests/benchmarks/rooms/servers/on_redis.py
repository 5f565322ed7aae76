"""socketchat on Redis: ``python -m tests.benchmarks.rooms.servers.on_redis PORT URL``."""

import os
import sys

import uvloop

import socketchat
from socketchat.chat import ChatServer, Rules
from socketchat.chat.redis_log import RedisLog
from tests.benchmarks.rooms.workload import HOST, ROOM

MANY = 10_000, 10_000


async def main(port: str, url: str) -> None:
    """Serve until it is ended; each run has a log of its own."""
    log = RedisLog(url, prefix=f"run{os.getpid()}")
    chat = ChatServer(log, room=ROOM, rules=Rules(rate=None))
    server = socketchat.serve(chat, HOST, int(port), tls=False, max_pending=MANY, max_sessions=MANY)
    async with server as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
