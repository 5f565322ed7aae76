"""Receipts: how the sender of a post learns what became of it.

A receipt is the post in the outbox itself, so that an acknowledgement costs nothing more. It holds
a future only while somebody waits for it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Generator
from typing import Any

from socketchat.outbox import Outgoing

__all__ = ["Receipt"]


class Receipt(Outgoing, eq=False):
    """A message that was accepted for sending, and what became of it.

    Await it to wait until the other side holds the message; in a chat room: until it is on disk.
    Any number of tasks may wait.

    Attributes:
        number: The message's number in our lane.
        at: When it was said, in microseconds since the epoch; in a room, once it has come back
            from there, by the clock of the room's log.
        entry: The message's number in the room's log, once it has come back; else 0. It comes back
            before it is acknowledged, but for what is only found to be there over a new link, and
            if we read too slowly: then it is acknowledged first, and this stays 0.
        done: Whether its fate is known.
        error: Why it will not arrive: `MessageRejected`, `MessageTooBig` or `SessionClosed`; None
            while it may, and once it did.

    Raises:
        MessageRejected: The other side refused it for good.
        MessageTooBig: The link came back to a server that takes only shorter messages.
        SessionClosed: The session ended first; whether it arrived is not known.
    """

    done: bool = False
    error: Exception | None = None
    _waiters: list[Callable[[], None]] | None = None

    def __repr__(self) -> str:
        # Not what was said: receipts are logged.
        fate = "pending" if not self.done else "acknowledged" if self.error is None else "failed"
        return f"<Receipt {self.number}, {fate}>"

    def __await__(self) -> Generator[Any, None, None]:
        yield from self.settled().__await__()
        if self.error is not None:
            raise self.error

    async def settled(self) -> None:
        """Wait until the message's fate is known, whatever it is.

        Cancellation: safe.
        """
        if not self.done:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            wake = functools.partial(_wake, future)
            self._add(wake)
            try:
                await future
            finally:
                if self._waiters is not None:  # given up: nobody else takes it away
                    self._waiters.remove(wake)

    def add_done_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Call `callback` with this receipt, soon after its fate is known."""
        loop = asyncio.get_running_loop()
        if self.done:
            loop.call_soon(callback, self)
        else:
            self._add(lambda: loop.call_soon(callback, self))

    def _add(self, wake: Callable[[], Any]) -> None:
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(wake)

    def settle(self, error: Exception | None = None) -> None:
        """Decide the message's fate; for the session alone."""
        self.done = True
        self.error = error
        if self._waiters is not None:
            waiters, self._waiters = self._waiters, None
            for wake in waiters:
                wake()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
