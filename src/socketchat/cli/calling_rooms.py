"""The rooms of a server that one calls: each is a call of its own, to the same server.

See `rooms.py` for what front ends make of them, `calling.py` for calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from socketchat.cli.calling import HISTORY, Call
from socketchat.cli.rooms import LookBack
from socketchat.session import Session

__all__ = ["CalledRooms"]


class CalledRooms:
    """The rooms of the server that a call is to. See `Rooms`.

    Args:
        call: A call that has come about.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    def label(self, room: str) -> str:
        """See `Rooms.label`."""
        return f"{self._call.target.place}/{room}"

    def join(self, room: str, nick: str) -> AbstractAsyncContextManager[Session]:
        """See `Rooms.join`."""
        return self._join(room, nick)

    @asynccontextmanager
    async def _join(self, room: str, nick: str) -> AsyncIterator[Session]:
        async with self._call.beside(room, nick).conversation(history=HISTORY) as session:
            try:
                yield session
            finally:
                if session.unacknowledged:
                    session.abort()  # it was waited for, and is in its file

    def look(self, room: str, nick: str, back: LookBack) -> AbstractAsyncContextManager[Session]:
        """See `Rooms.look`."""
        return self._look(room, nick, back)

    @asynccontextmanager
    async def _look(self, room: str, nick: str, back: LookBack) -> AsyncIterator[Session]:
        call = self._call.beside(room, nick)
        if isinstance(back, int):
            session = await call.open(history=back)
        else:
            session = await call.open(since=back)
        async with session:
            yield session
