"""Members of the rooms that are compared: each says and hears lines as its usual client would.

`say` returns when that client calls a line sent and takes the next one. Only socketchat's comes
back by itself when its link is lost; the others are entered anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

import websockets
from websockets.asyncio.client import ClientConnection

import socketchat

__all__ = ["Gone", "IrcMember", "LineMember", "Member", "SocketchatMember", "WebsocketMember"]

HOST = "127.0.0.1"
ROOM = "#tea"


class Gone(Exception):
    """The link is lost, and this member will not have another one."""


class Member(Protocol):
    """One who is in the room.

    Attributes:
        comes_back: Whether it is the same one after its link was lost.
    """

    comes_back: bool

    @classmethod
    async def enter(cls, port: int, nick: str, folder: Path) -> Self:
        """Come in."""

    async def say(self, text: str) -> None:
        """Say a line.

        Raises:
            Gone: It is known to be lost.
        """

    async def hear(self) -> str:
        """Return the next line; it is cancel-safe.

        Raises:
            Gone: There will be none.
        """

    async def leave(self) -> None:
        """Go."""


class LineMember:
    """A plain connection whose lines are what is said, as of `ncat HOST PORT`."""

    comes_back = False

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def enter(cls, port: int, nick: str, folder: Path) -> Self:
        """Connect; ncat knows members by numbers alone."""
        return cls(*await asyncio.open_connection(HOST, port))

    async def say(self, text: str) -> None:
        """Write a line, and wait as long as the link takes no more."""
        await self._write(text)

    async def _write(self, line: str) -> None:
        try:
            self._writer.write(f"{line}\n".encode())
            await self._writer.drain()
        except OSError as exc:
            raise Gone from exc

    async def hear(self) -> str:
        """Return the next line without the `<user7> ` before it."""
        return re.sub(r"^<\w+> ", "", await self._read())

    async def _read(self) -> str:
        try:
            line = await self._reader.readline()
        except OSError as exc:
            raise Gone from exc
        if not line:
            raise Gone
        return line.decode().rstrip("\r\n")

    async def leave(self) -> None:
        """Cut the link."""
        self._writer.transport.abort()


class IrcMember(LineMember):
    """A client of an IRC server, in one channel."""

    @classmethod
    async def enter(cls, port: int, nick: str, folder: Path) -> Self:
        """Register, join, and wait until the server has said who is there."""
        self = await super().enter(port, nick, folder)
        await self._write(f"NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\nJOIN {ROOM}\r")
        while " 366 " not in await self._read():
            pass
        return self

    async def say(self, text: str) -> None:
        """Say it in the channel."""
        await self._write(f"PRIVMSG {ROOM} :{text}\r")

    async def hear(self) -> str:
        """Return what was said next in the channel, and answer pings meanwhile."""
        while True:
            line = await self._read()
            if line.startswith("PING "):
                await self._write(f"PONG {line[5:]}\r")
            elif found := re.match(rf":\S+ PRIVMSG {ROOM} :(.*)", line):
                return found[1]


class WebsocketMember:
    """A client of the library websockets."""

    comes_back = False

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def enter(cls, port: int, nick: str, folder: Path) -> Self:
        """Connect; what is compressed could not be looked for on the way."""
        return cls(await websockets.connect(f"ws://{HOST}:{port}", compression=None))

    async def say(self, text: str) -> None:
        """Send it."""
        try:
            await self._connection.send(text)
        except websockets.ConnectionClosed as exc:
            raise Gone from exc

    async def hear(self) -> str:
        """Return what comes next."""
        try:
            return str(await self._connection.recv())
        except websockets.ConnectionClosed as exc:
            raise Gone from exc

    async def leave(self) -> None:
        """Cut the link."""
        self._connection.transport.abort()
        with suppress(OSError):
            await self._connection.wait_closed()


class SocketchatMember:
    """A session of `socketchat.connect`, which trusts the server's key at the first call."""

    comes_back = True

    def __init__(self, session: socketchat.Session) -> None:
        self._session = session
        self._events: AsyncGenerator[socketchat.Event, None] = session.events()

    @classmethod
    async def enter(cls, port: int, nick: str, folder: Path) -> Self:
        """Connect, and ask for what was said before."""
        return cls(
            await socketchat.connect(
                HOST,
                port,
                nick=nick,
                trust="accept-new",
                known_hosts=folder / "known_hosts",
                history=1000,
            )
        )

    async def say(self, text: str) -> None:
        """Have it accepted: it is sent, and sent again, until it is acknowledged."""
        await self._session.send(text)

    async def hear(self) -> str:
        """Return what was said next in the room, by this member too."""
        with suppress(socketchat.SessionClosed):
            async for event in self._events:
                if isinstance(event, socketchat.Message):
                    return str(event.body)
        raise Gone

    async def leave(self) -> None:
        """Cut the link for good."""
        self._session.abort()
        await self._session.wait_closed()
