"""Where the host of a server sits: sessions over socket pairs, within the server's own process.

See `rooms.py` for what front ends make of rooms. `serve.py` seats the host.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from socketchat.cli.calling import HISTORY
from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.rooms import LookBack
from socketchat.errors import HandshakeRefused
from socketchat.messages import MAX_NAME
from socketchat.server import Server
from socketchat.session import Session, Side
from socketchat.text import clean_name
from socketchat.trust.device import Device

__all__ = ["HostRooms", "seat"]


@asynccontextmanager
async def seat(
    server: Server,
    nick: str,
    device: Device,
    *,
    room: str = "",
    history: int = 0,
    since: datetime | None = None,
) -> AsyncIterator[Session]:
    """Seat the host in a room, and give it its end of the session.

    Args:
        server: The server.
        nick: The name to go by.
        device: The key of this device.
        room: The room; empty is the server's first.
        history: How many earlier messages of it to begin with.
        since: Begin with what was said at this time or later, instead.

    Raises:
        HandshakeRefused: The host cannot be seated now.
    """
    ours, theirs = socket.socketpair()
    near, far = [await asyncio.open_connection(sock=end) for end in (ours, theirs)]
    serving = asyncio.create_task(server.accept(*far, is_host=True))
    try:
        async with await Session.from_streams(
            *near,
            side=Side.CLIENT,
            nick=clean_name(nick)[:MAX_NAME] if nick else "",
            room=room,
            history=history,
            since=since,
            device=device,
            ping_interval=None,
        ) as session:
            yield session
    finally:
        await asyncio.wait([serving])
        if not serving.cancelled():
            serving.exception()  # if it did not come in, its own end of the session knows


class HostRooms:
    """The rooms of a server in which its host sits. See `Rooms`.

    Args:
        server: The server.
        nick: The name that the host goes by.
        device: The key of this device.
    """

    def __init__(self, server: Server, nick: str, device: Device) -> None:
        self._server = server
        self._nick = nick
        self._device = device

    def label(self, room: str) -> str:
        """See `Rooms.label`."""
        return f"here/{room}"

    def join(self, room: str) -> AbstractAsyncContextManager[Session]:
        """See `Rooms.join`."""
        return self.look(room, HISTORY)

    def look(self, room: str, back: LookBack) -> AbstractAsyncContextManager[Session]:
        """See `Rooms.look`."""
        return self._sit(room, back)

    @asynccontextmanager
    async def _sit(self, room: str, back: LookBack) -> AsyncIterator[Session]:
        history, since = (back, None) if isinstance(back, int) else (0, back)
        try:
            async with seat(
                self._server, self._nick, self._device, room=room, history=history, since=since
            ) as session:
                yield session
        except HandshakeRefused as exc:
            raise Failure(ExitCode.REFUSED, exc.reason) from exc
