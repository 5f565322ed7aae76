"""What arrived and was not read yet: a bounded queue between a link and the application.

The reader of the link puts, one task of the application takes. Whoever waits is woken and then
takes for itself: an item handed to a waiter would be lost when that waiter is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from socketchat.errors import ConcurrencyError

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue that says when it is full, and when there is room again.

    It refuses nothing: what one read of the link brought is always taken, so the bound may be
    exceeded by that much.

    Attributes:
        items: What waits, oldest first.
        ended: Whether nothing more will come.
        waiting: Whether a task waits in `wait`.
    """

    __slots__ = ("_high", "_low", "_on_room", "_waiter", "ended", "items", "waiting")

    def __init__(self, high: int, low: int, on_room: Callable[[], object]) -> None:
        """Be full at `high` items; call `on_room` when so much was taken that `low` are left."""
        self.items: deque[T] = deque()
        self.ended: bool = False
        self.waiting: bool = False
        self._high = high
        self._low = low
        self._waiter: asyncio.Future[None] | None = None
        self._on_room = on_room

    @property
    def full(self) -> bool:
        """Whether reading from the link should stop."""
        return len(self.items) >= self._high

    def put(self, items: Sequence[T]) -> None:
        """Queue `items` and wake the task that waits for them."""
        self.items.extend(items)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def end(self) -> None:
        """Say that nothing more will come."""
        self.ended = True
        self.put(())

    async def wait(self) -> None:
        """Wait until there is an item, or the end.

        Cancellation: loses nothing.

        Raises:
            ConcurrencyError: Another task waits already.
        """
        if self.waiting:
            raise ConcurrencyError("another task is receiving from this session already")
        self.waiting = True
        try:
            while not self.items and not self.ended:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        finally:
            self.waiting = False
            self._waiter = None

    def take(self) -> T:
        """Return the oldest item; there must be one."""
        item = self.items.popleft()
        if len(self.items) == self._low:
            self._on_room()
        return item
