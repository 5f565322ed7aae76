"""The rooms that are watched on this server, and how far those who watch were told.

Entries of a room come from two sides: this server's own appends, and what the reader finds of
others. Whichever comes first is told, so that watchers are called in order, without gaps and once;
an author's future is done behind that. A room that no longer goes on from where its watchers are is
begun afresh, and they are told so. It does no I/O: `redis_log.py` has the rooms, `redis_writer.py`
and `redis_reader.py` bring the entries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from socketchat.chat.log import Diverged, Entry, Watcher
from socketchat.errors import LogError, LogUnavailable

__all__ = ["Followed", "Place", "settle"]

_AFRESH = "the log is not the one that it was: it was restored, or has lost its end"


class Place(NamedTuple):
    """A place in a log: number and time of an entry."""

    number: int
    at: int


class _Waiting(NamedTuple):
    """An append that is committed, and behind which entry its author is told: its lane's last."""

    last: int
    lane: bytes
    mark: int
    done: asyncio.Future[int]


class Followed:
    """A room that is watched.

    Args:
        name: The room's name.

    Attributes:
        place: The last entry that its watchers were told of; None if it is not known yet from where
            on they are to be told.
        known: The number of the last entry that may be seen, as far as the reader knows.
        unseen: The last entry, when the reader last looked, that might not be seen yet; 0 if there
            was none.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.place: Place | None = None
        self.known = 0
        self.unseen = 0
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._watchers: list[tuple[Watcher, Diverged | None]] = []
        self._waiting: deque[_Waiting] = deque()

    # Watching

    @property
    def is_watched(self) -> bool:
        """Whether anybody still watches it."""
        return bool(self._watchers)

    @property
    def expected(self) -> int:
        """The number of the last entry that must be there, since it was appended here."""
        return max((one.last for one in self._waiting), default=0)

    @property
    def waiting(self) -> list[asyncio.Future[int]]:
        """Appends whose authors are not told yet, since something before them is still to be."""
        return [one.done for one in self._waiting]

    def watch(self, watcher: Watcher, diverged: Diverged | None) -> Callable[[], None]:
        """Have a watcher told; return what stops it."""
        one = (watcher, diverged)
        self._watchers.append(one)

        def stop() -> None:
            self._watchers.remove(one)
            if not self._watchers:
                # Nobody is left to be told before them.
                for waiting in self._waiting:
                    settle(waiting.done, waiting.mark)
                self._waiting.clear()
                self._start_none()

        return stop

    async def started(self) -> None:
        """Wait until it is known from where on its watchers are told.

        Raises:
            LogError: It cannot be found out.

        Cancellation: safe.
        """
        while self.place is None and self.is_watched:
            await asyncio.shield(self._started)

    def _start_none(self) -> None:
        if not self._started.done():
            self._started.set_result(None)

    # Telling

    def start(self, place: Place) -> None:
        """Tell of what is behind a place from now on."""
        if self.place is None:
            self._begin(place)

    def fail_to_start(self, error: LogError) -> None:
        """Take notice that the place cannot be found out; those who wait for it are told."""
        if not self._started.done():
            settle(self._started, error)
            self._started.exception()  # perhaps nobody waits
            self._started = self._loop.create_future()

    def _begin(self, place: Place) -> None:
        self.place = place
        self.known = place.number
        self._start_none()
        self._settle_waiting()

    def committed(
        self,
        entries: Sequence[Entry],
        before: Place,
        *,
        last: int,
        lane: bytes,
        mark: int,
        done: asyncio.Future[int],
    ) -> None:
        """Tell of an append of this server's, and then its author.

        If it is not what follows the last that was told, the reader finds out what does.

        Args:
            entries: What is new, which may be seen by now.
            before: The entry before the first of them.
            last: The number of the author's last entry.
            lane: The author's lane.
            mark: What the author is told.
            done: How.
        """
        if entries and before == self.place:
            self._tell(entries)
        if self.place is None or last > self.place.number:
            self._waiting.append(_Waiting(last, lane, mark, done))
        else:
            settle(done, mark)

    def found(self, entries: Sequence[Entry]) -> bool:
        """Tell of what the reader has found behind the place, or behind an older one.

        Returns:
            Whether the room goes on from where its watchers are; otherwise `restart` is due.
        """
        if self.place is None:
            return True
        new = [entry for entry in entries if entry.number > self.place.number]
        if new and new[0].number != self.place.number + 1:
            return False  # they were let go of before they were told
        if new:
            self._tell(new)
        return True

    def _tell(self, entries: Sequence[Entry]) -> None:
        self.place = Place(entries[-1].number, entries[-1].at)
        for watcher, _ in list(self._watchers):
            self._call(lambda watcher=watcher: watcher(entries))  # type: ignore[misc]
        self._settle_waiting(entries)

    def _call(self, call: Callable[[], object]) -> None:
        """Call a watcher; an error of one of them is not another's, nor the log's."""
        try:
            call()
        except Exception as exc:  # noqa: BLE001 - told to the loop
            self._loop.call_exception_handler(
                {"message": f"an error in a watcher of {self.name!r}", "exception": exc}
            )

    def _settle_waiting(self, told: Sequence[Entry] = ()) -> None:
        """Tell the authors whose entries were told, the last ones of which are these."""
        while self._waiting and self.place is not None:
            if self._waiting[0].last > self.place.number:
                return
            waiting = self._waiting.popleft()
            index = waiting.last - told[0].number if told else -1
            if index >= 0 and not _ends_with(told[index], waiting):
                # Redis has lost it since, and gone on from an entry before it with others.
                settle(waiting.done, LogUnavailable(_AFRESH))
            else:
                settle(waiting.done, waiting.mark)

    # Starting afresh

    def restart(self, place: Place) -> None:
        """Go on from another place, and tell those who watch that it is another one."""
        self.place = None
        self.give_up(LogUnavailable(_AFRESH))
        for _, diverged in list(self._watchers):
            if diverged is not None:
                self._call(lambda diverged=diverged: diverged(place.number))  # type: ignore[misc]
        self._begin(place)

    def give_up(self, error: LogError) -> None:
        """Tell the authors who wait that what became of theirs is not known here."""
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            settle(one.done, error)


def _ends_with(entry: Entry, waiting: _Waiting) -> bool:
    """Tell whether an entry is the last one of the lane of an append."""
    return (entry.lane, entry.lane_number) == (waiting.lane, waiting.mark)


def settle(done: asyncio.Future[Any], result: object) -> None:
    """Set a future's result, or a copy of the error; unless somebody cancelled it all the same."""
    if done.done():
        return
    if isinstance(result, LogError):
        # One of its own: one that two raise would tell the story of both.
        done.set_exception(type(result)(*result.args))
    else:
        done.set_result(result)
