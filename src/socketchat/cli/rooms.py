"""How a front end comes into other rooms of the server that it is at; types alone.

`calling.py` opens them for callers, `serve.py` for the host.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from socketchat.session import Session

__all__ = ["LookBack", "Rooms"]

#: How far back somebody looks: so many messages, or to a time.
LookBack = int | datetime


class Rooms(Protocol):
    """The rooms of one server."""

    def label(self, room: str) -> str:
        """Return what a room is known by on this device, at this server and no other."""

    def join(self, room: str, nick: str) -> AbstractAsyncContextManager[Session]:
        """Open a session in a room, to take part in it.

        Args:
            room: The room.
            nick: The name that one goes by elsewhere, as the server gave it.

        Raises:
            Failure: That cannot be done.
        """

    def look(self, room: str, nick: str, back: LookBack) -> AbstractAsyncContextManager[Session]:
        """Open a session in a room, to read what was said there before.

        Args:
            room: The room.
            nick: The name that one goes by there, so that nobody is told of somebody else.
            back: How far back to begin.

        Raises:
            Failure: That cannot be done.
        """
