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
from socketchat.cli.front import Front
from socketchat.cli.presence import Presence
from socketchat.cli.rooms import LookBack
from socketchat.events import Joined, Left, Renamed
from socketchat.fingerprint import TAG_MARK
from socketchat.messages import MAX_NAME
from socketchat.server import Server
from socketchat.session import Session, Side
from socketchat.text import clean_name
from socketchat.trust.device import Device

__all__ = ["HostRooms", "OtherRooms", "seat"]


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
        OSError: There is no socket to be had.
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
        device: The key of this device.
    """

    def __init__(self, server: Server, device: Device) -> None:
        self._server = server
        self._device = device

    def label(self, room: str) -> str:
        """See `Rooms.label`."""
        return f"here/{room}"

    def join(self, room: str, nick: str) -> AbstractAsyncContextManager[Session]:
        """See `Rooms.join`."""
        return self.look(room, nick, HISTORY)

    def look(self, room: str, nick: str, back: LookBack) -> AbstractAsyncContextManager[Session]:
        """See `Rooms.look`."""
        nick = nick.partition(TAG_MARK)[0]
        history, since = (back, None) if isinstance(back, int) else (0, back)
        return seat(self._server, nick, self._device, room=room, history=history, since=since)


class OtherRooms:
    """Tells a host who comes and goes in rooms in which it does not sit, in few lines.

    Args:
        front: The host's front end.
        own_key: The fingerprint of the host's own key, of whom it is not told.
    """

    def __init__(self, front: Front, own_key: str) -> None:
        self._front = front
        self._own_key = own_key
        self._rooms: dict[str, Presence] = {}

    def hear(self, room: str, event: Joined | Left | Renamed) -> None:
        """Take notice of somebody in a room."""
        if event.key == self._own_key:
            return
        presence = self._rooms.get(room)
        if presence is None:
            presence = self._rooms[room] = Presence(
                lambda text: self._front.notice(f"in {clean_name(room)}: {text}")
            )
        presence.hear(event, is_hidden=self._front.sits_in(room))
        if not presence.people:
            presence.close()
            del self._rooms[room]
