"""What a server shows of the rooms, read as any client reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from socketchat import Message, connect
from tests.chaos.journal import Shown, parse_text

__all__ = ["view"]

#: Seconds for one room: far above what it takes.
DEADLINE = 60.0
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)


async def view(port: int, pin: str, heads: Mapping[str, int]) -> dict[str, list[Shown]]:
    """Return what a server shows of each room, from its beginning to its head.

    Raises:
        TimeoutError: It does not show as much.
    """
    return {room: await _view(port, pin, room, head) for room, head in heads.items()}


async def _view(port: int, pin: str, room: str, head: int) -> list[Shown]:
    shown: list[Shown] = []
    async with (
        asyncio.timeout(DEADLINE),
        connect(
            "127.0.0.1", port, room=room, nick="reader", trust=pin, since=_BEGINNING
        ) as session,
    ):
        while head and (not shown or shown[-1].number < head):
            match await session.recv():
                case Message(str() as text, _, number, at):
                    shown.append(Shown(number, at, parse_text(text)))
    return shown
