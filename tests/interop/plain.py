"""The servers of `docs/conformance.md` that no command starts: `python -m tests.interop.plain`.

Prints a line, NAME=HOST:PORT,PIN, for each, and serves until it is ended.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import socketchat
from socketchat.chat import ChatServer, MemoryLog, Rules

__all__: list[str] = []

HOST = "127.0.0.1"


async def echo(session: socketchat.Session) -> None:
    """Post what comes, and say goodbye when told to."""
    async for message in session:
        word, _, code = str(message.body).partition(" ")
        if word == "goodbye":
            await session.close(int(code), "as asked")
            return
        await session.send(message.body)


async def main() -> None:
    short = ChatServer(MemoryLog(max_entries=4), rules=Rules(rate=None))
    servers = {
        # In the clear, as a server may speak as well: and most of the time goes into TLS.
        "echo": socketchat.serve(echo, HOST, 0, max_size=65536, tls=False),
        "impatient": socketchat.serve(echo, HOST, 0, ping_interval=0.1, ping_timeout=1.0),
        "full": socketchat.serve(echo, HOST, 0, max_sessions=(1, 1)),
        "short": socketchat.serve(short, HOST, 0),
    }
    async with AsyncExitStack() as stack:
        for name, opening in servers.items():
            server = await stack.enter_async_context(opening)
            pin = "" if name == "echo" else server.fingerprint
            print(f"{name}={HOST}:{server.port},{pin}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
