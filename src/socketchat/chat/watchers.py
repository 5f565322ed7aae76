"""Those who wait for a log: who watches a room of it, and whose append is done.

Every engine has them (`log.py`), and each uses this from its event loop. It knows nothing of how a
log is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

from socketchat.chat.log import Diverged, Entry, Watcher
from socketchat.errors import LogError

__all__ = ["Watchers", "own_copy", "settle"]

_P = ParamSpec("_P")


class Watchers:
    """Those who watch a room; there are none if it is false.

    An error of one of them is not another's, nor the log's: it is told to the event loop.

    Args:
        room: The room's name.
    """

    def __init__(self, room: str) -> None:
        self._room = room
        self._all: list[tuple[Watcher, Diverged | None]] = []

    def __len__(self) -> int:
        return len(self._all)

    def watch(self, watcher: Watcher, diverged: Diverged | None = None) -> Callable[[], None]:
        """Have one told, see `Log.watch`; return what stops it."""
        one = (watcher, diverged)
        self._all.append(one)
        return lambda: self._all.remove(one)

    def show(self, entries: Sequence[Entry]) -> None:
        """Tell all of new entries."""
        for watcher, _ in list(self._all):
            self._call(watcher, entries)

    def say_diverged(self, number: int) -> None:
        """Tell all that the log does not go on, and behind which entry it does."""
        for _, diverged in list(self._all):
            if diverged is not None:
                self._call(diverged, number)

    def _call(self, call: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as exc:  # noqa: BLE001 - told to the loop
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"an error in a watcher of {self._room!r}", "exception": exc}
            )


def settle(done: asyncio.Future[Any], result: object) -> None:
    """Set a future's result, or a copy of the error; unless somebody cancelled it all the same."""
    if done.done():
        return
    if isinstance(result, LogError):
        done.set_exception(own_copy(result))
    else:
        done.set_result(result)


def own_copy(error: LogError) -> LogError:
    """Return an error of one's own: one that two raise would tell the story of both."""
    return type(error)(*error.args)
