"""The servers that are compared, and a proxy between one of them and a member.

Each is started as its documentation says, with its defaults; only limits on how fast one may talk
are switched off. The library websockets has no server of its own: here it is the one that its
documentation builds with `broadcast`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.benchmarks.rooms.contestants import Contestant, Missing
from tests.benchmarks.rooms.contestants import contestants as benchmarked
from tests.comparison.members import (
    HOST,
    IrcMember,
    LineMember,
    Member,
    SocketchatMember,
    WebsocketMember,
)

__all__ = ["Process", "Room", "Tap", "rooms", "tapped"]


@dataclass(frozen=True, slots=True)
class Room:
    """A server, how to be in its room, and what starts its usual client; IRC has many.

    Attributes:
        client: Given a port, returns the command; it is empty if there is none.
    """

    server: Contestant
    member: type[Member]
    client: Callable[[int], Sequence[str]] = lambda _: ()


def rooms() -> list[Room]:
    """Return all of them."""
    ours, library = (partial(version, name) for name in ("socketchat", "websockets"))
    return [
        Room(_contestant("socketchat", ours, _socketchat), SocketchatMember, _socketchat_client),
        Room(_contestant("ncat --chat", _ncat_version, _ncat), LineMember, _ncat_client),
        Room(benchmarked()["ngircd"], IrcMember),
        Room(_contestant("websockets", library, _websockets), WebsocketMember, _websockets_client),
    ]


def _contestant(
    name: str, describe: Callable[[], str], command: Callable[[Path, int], Sequence[str]]
) -> Contestant:
    return Contestant(name=name, wire="", describe=describe, command=command)


def _socketchat(folder: Path, port: int) -> Sequence[str]:
    serve = (sys.executable, "-m", "socketchat", "serve", "--headless", "--no-lan", "--rate", "0")
    return (*serve, "--host", HOST, "--port", str(port), "--data", str(folder))


def _socketchat_client(port: int) -> Sequence[str]:
    call = (sys.executable, "-m", "socketchat", "connect", f"{HOST}:{port}")
    return (*call, "--nick", "ada", "--trust", "accept-new")


def _ncat_client(port: int) -> Sequence[str]:
    return "ncat", HOST, str(port)


def _websockets_client(port: int) -> Sequence[str]:
    return sys.executable, "-m", "websockets", f"ws://{HOST}:{port}"


def _ncat_version() -> str:
    if shutil.which("ncat") is None:
        raise Missing("ncat is not installed: apt-get install ncat")
    ran = subprocess.run(["ncat", "--version"], capture_output=True, text=True, check=True)
    return (ran.stdout + ran.stderr).split("Version ")[1].split()[0]


def _ncat(_: Path, port: int) -> Sequence[str]:
    return "ncat", "--listen", "--chat", HOST, str(port)


def _websockets(_: Path, port: int) -> Sequence[str]:
    return sys.executable, "-m", "tests.comparison.rooms", str(port)


class Process:
    """A server's process; for callers it is there once the system lists its port.

    Nobody calls to try it: ncat --chat quits when a caller hangs up at once.

    Attributes:
        port: Where it listens, also when it is started again.
    """

    def __init__(self, server: Contestant, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        self._command = server.command(folder, self.port)
        self._output = folder / "output"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=DEVNULL, stdout=output, stderr=STDOUT
            )
        async with asyncio.timeout(30):
            while not self._listens():
                assert self._process.returncode is None, self._output.read_text()
                await asyncio.sleep(0.05)

    def _listens(self) -> bool:
        """Tell whether there is a socket at the port whose state is LISTEN (Linux)."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return any(
            line.split()[1].endswith(f":{self.port:04X}") and line.split()[3] == "0A"
            for line in lines
        )

    async def kill(self) -> None:
        """Kill it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def peak_memory(self) -> int:
        """Return the most memory that it has had, in MB (Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6)


class Tap:
    """A proxy that keeps what passes, and can lose it or cut the link.

    Attributes:
        port: Where it listens.
        seen: What has passed.
        deaf: Whether it takes what members say and passes none of it on.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.seen = bytearray()
        self.deaf = False
        self._to = port
        self._links: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on between a member and the server."""
        far_reader, far_writer = await asyncio.open_connection(HOST, self._to)
        self._links.append((writer, far_writer))
        for pipe in (self._pass(reader, far_writer, near=True), self._pass(far_reader, writer)):
            task = asyncio.create_task(pipe)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, near: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                self.seen += data
                if not (near and self.deaf):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Cut all links, and hear again."""
        for link in self._links:
            for writer in link:
                writer.transport.abort()
        self._links.clear()
        self.deaf = False


@asynccontextmanager
async def tapped(port: int) -> AsyncIterator[Tap]:
    """Stand between a server and its members."""
    tap = Tap(port)
    server = await asyncio.start_server(tap.accept, HOST, 0)
    tap.port = server.sockets[0].getsockname()[1]
    try:
        yield tap
    finally:
        server.close()
        tap.cut()


async def _serve_websockets(port: int) -> None:
    connections: set[ServerConnection] = set()

    async def handler(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            async for text in connection:
                broadcast(connections, text)
        finally:
            connections.discard(connection)

    async with serve(handler, HOST, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve_websockets(int(sys.argv[1])))
