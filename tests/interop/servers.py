"""The servers that `docs/conformance.md` asks for.

Those with rooms on a disk are processes, as people run them; the others are in this one.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import socketchat
from socketchat.chat import ChatServer, MemoryLog, Rules
from tests.processes import start

__all__ = ["Address", "all_servers", "room"]

#: Without asyncio's debug mode, which takes half as long again and is on in most other tests.
PYTHON = (sys.executable, "-W", "error")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, and by which key it is known."""

    port: int
    pin: str
    host: str = "127.0.0.1"

    def __str__(self) -> str:
        return f"{self.host}:{self.port},{self.pin}"


async def echo(session: socketchat.Session) -> None:
    """Post what comes, and say goodbye when told to."""
    async for message in session:
        word, _, code = str(message.body).partition(" ")
        if word == "goodbye":
            await session.close(int(code), "as asked")
            return
        await session.send(message.body)


@asynccontextmanager
async def room(directory: Path, *options: str) -> AsyncIterator[Address]:
    """Run `socketchat serve --headless`, and stop it by SIGTERM, which must do."""
    at = ("--host", "127.0.0.1", "--port", "0", "--data", "data")
    command = ("-m", "socketchat", "serve", "--headless", *at, *options)
    async with start(*command, cwd=directory, python=PYTHON) as program:
        port = int((await program.prints(r"^listening on 127.0.0.1 port (\d+)"))[1])
        pin = (await program.prints("^key (SHA256:.*)"))[1]
        yield Address(port, pin)
        assert await program.ends_by(signal.SIGTERM) == 0, str(program)
        assert not any("Traceback" in line for line in program.stderr), str(program)


@asynccontextmanager
async def all_servers(directory: Path, operator: str) -> AsyncIterator[dict[str, Address]]:
    """Run one server of each kind.

    Args:
        directory: Where they keep what they keep.
        operator: The fingerprint of the device `operator`.
    """
    async with AsyncExitStack() as stack:
        options = ("--rate", "0", "--operator", operator)
        rooms = {"room": options, "private": (*options, "--private")}
        for name in rooms:
            (directory / name).mkdir()
        processes = [room(directory / name, *options) for name, options in rooms.items()]
        # Beside each other: most of the time is that of starting.
        started = await asyncio.gather(*(stack.enter_async_context(one) for one in processes))
        servers = dict(zip(rooms, started, strict=True))
        short = ChatServer(MemoryLog(max_entries=4), rules=Rules(rate=None))
        for name, opening in {
            "echo": socketchat.serve(echo, "127.0.0.1", 0, max_size=65536),
            "impatient": socketchat.serve(
                echo, "127.0.0.1", 0, ping_interval=0.1, ping_timeout=1.0
            ),
            "full": socketchat.serve(echo, "127.0.0.1", 0, max_sessions=(1, 1)),
            "short": socketchat.serve(short, "127.0.0.1", 0),
        }.items():
            server = await stack.enter_async_context(opening)
            servers[name] = Address(server.port, server.fingerprint)
        yield servers
