"""Shares each turn of the event loop among those who have been sent more than a little.

A peer can send small frames faster than they can be looked at, and a loop hands on hundreds of
kilobytes at once. Whatever is short is looked at the moment it comes; the rest of a long read waits
here, and all who wait share so much of each turn. So a flood delays the floods, and nobody else.

It knows nothing of links and protocols: `link.py` says how a piece is taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

__all__ = ["AT_ONCE", "PIECE", "Backlog"]

#: Bytes that are looked at when they come.
AT_ONCE = 2**12
#: Bytes that are looked at in one go, of those that wait.
PIECE = 2**15
#: Pieces in one turn of the loop, of all who wait together.
PIECES_PER_TURN = 2


class Backlog:
    """What one peer has sent and nobody has looked at yet.

    Args:
        take: Called with each piece, in order.
        emptied: Called when there is nothing left.
    """

    def __init__(self, take: Callable[[bytes], object], emptied: Callable[[], object]) -> None:
        self._take = take
        self._emptied = emptied
        self._data = b""
        self._start = 0
        self._turns = _turns_of(asyncio.get_running_loop())
        # Whether `_Turns` has it; for that one alone.
        self.queued = False

    def __len__(self) -> int:
        return len(self._data) - self._start

    def put(self, data: bytes) -> None:
        """Have data taken in turns to come, behind what waits."""
        if self:
            self._data = self._data[self._start :] + data
        else:
            self._data = data
            self._turns.add(self)
        self._start = 0

    def clear(self) -> None:
        """Forget what waits."""
        self._data, self._start = b"", 0

    def take_piece(self) -> bool:
        """Have one piece taken; return whether there is more."""
        if not self:
            return False
        piece = self._data[self._start : self._start + PIECE]
        self._start += len(piece)
        self._take(piece)
        if not self:
            self.clear()
            self._emptied()
        return len(self) > 0


class _Turns:
    """Those who wait, on one loop."""

    def __init__(self) -> None:
        self._waiting: deque[Backlog] = deque()
        self._scheduled = False

    def add(self, backlog: Backlog) -> None:
        if not backlog.queued:
            backlog.queued = True
            self._waiting.append(backlog)
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        for _ in range(PIECES_PER_TURN):
            if self._waiting:
                backlog = self._waiting.popleft()
                backlog.queued = backlog.take_piece()
                if backlog.queued:
                    self._waiting.append(backlog)
        self._schedule()


_all_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


def _turns_of(loop: asyncio.AbstractEventLoop) -> _Turns:
    turns = _all_turns.get(loop)
    if turns is None:
        turns = _all_turns[loop] = _Turns()
    return turns
