"""The rooms that are watched on this server, and how far those who watch were told.

Entries of a room come from two sides: this server's own appends, and what the reader finds of
others. Whichever comes first is told, so that watchers are called in order, without gaps and once;
an author's future is done behind that. A room that no longer goes on from where its watchers are is
begun afresh, and they are told so.

This server may have acted on entries before those who watch are told of them: an author waits for
its own, a caller was given a place or a page. Their places are kept until they are told, and
compared: if the log loses them meanwhile and others take their numbers, nobody else would notice.
It does no I/O: `redis_log.py` has the rooms, `redis_writer.py` and `redis_reader.py` bring the
entries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from socketchat.chat.log import Diverged, Entry, Watcher
from socketchat.chat.watchers import Watchers, settle
from socketchat.errors import LogError, LogUnavailable

__all__ = ["Followed", "Place", "Waiting"]

_BEHIND = "Redis does not tell what was said before"
#: Places that are kept for a room; beyond, it begins afresh.
MAX_AHEAD = 1024

_AFRESH = "the log is not the one that it was: it was restored, or has lost its end"


class Place(NamedTuple):
    """A place in a log: number and time of an entry."""

    number: int
    at: int


class Waiting(NamedTuple):
    """An append that is committed, behind which entry its author is told, and until when.

    Attributes:
        last: The number of the lane's last entry.
        lane: The lane.
        mark: The lane's mark: the number that the last entry has in it.
        done: How the author is told.
        deadline: Until when, by the loop's clock.
    """

    last: int
    lane: bytes
    mark: int
    done: asyncio.Future[int]
    deadline: float


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
        is_torn: Whether it is known that the log is another one than it was.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.place: Place | None = None
        self.known: int = 0
        self.unseen = 0
        self.is_torn: bool = False
        #: Entries that callers act on, of which watchers are not told yet: numbers and times.
        self._ahead: dict[int, int] = {}
        #: The last one that was appended here and is not told yet.
        self._own: Place | None = None
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._watchers = Watchers(name)
        self._waiting: deque[Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    # Watching

    @property
    def is_watched(self) -> bool:
        """Whether anybody still watches it."""
        return bool(self._watchers)

    @property
    def waiting(self) -> list[asyncio.Future[int]]:
        """Appends whose authors are not told yet, since something before them is still to be."""
        return [one.done for one in self._waiting]

    def watch(self, watcher: Watcher, diverged: Diverged | None) -> Callable[[], None]:
        """Have a watcher told; return what stops it."""
        unwatch = self._watchers.watch(watcher, diverged)

        def stop() -> None:
            unwatch()
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
        self.is_torn = False
        self._forget_what_is_told()
        self._start_none()
        self._settle_waiting()

    def learn(self, place: Place) -> None:
        """Take notice of an entry that a caller acts on."""
        told = self.place or Place(0, 0)
        if place.number == told.number:
            self.is_torn |= place != told
        elif place.number > told.number:
            self.is_torn |= self._ahead.setdefault(place.number, place.at) != place.at
            if len(self._ahead) > MAX_AHEAD:
                del self._ahead[place.number]
                self.is_torn = True

    def _learn_own(self, place: Place) -> None:
        """Take notice of what was appended here. Of those before it, those who wait know."""
        if self._own is not None and place.number <= self._own.number:
            self.is_torn = True  # the log was longer
        elif self.place is None or place.number > self.place.number:
            self._own = place

    @property
    def furthest(self) -> Place | None:
        """The last entry that this server acts on, if watchers are not told of it yet."""
        known = [Place(*one) for one in self._ahead.items()]
        return max(known if self._own is None else [*known, self._own], default=None)

    def _forget_what_is_told(self) -> None:
        assert self.place is not None
        told = self.place.number
        if self._own is not None and self._own.number <= told:
            self._own = None
        if self._ahead:
            self._ahead = {number: at for number, at in self._ahead.items() if number > told}

    def _is_contradicted_by(self, entries: Sequence[Entry]) -> bool:
        """Tell whether others than these had their numbers before."""
        first, last = entries[0].number, entries[-1].number
        own = [] if self._own is None else [self._own]
        for number, at in (*self._ahead.items(), *own):
            if first <= number <= last and entries[number - first].at != at:
                return True
        for one in self._waiting:
            if first <= one.last <= last:
                entry = entries[one.last - first]
                if (entry.lane, entry.lane_number) != (one.lane, one.mark):
                    return True
        return False

    def committed(
        self,
        entries: Sequence[Entry],
        before: Place,
        waiting: Sequence[Waiting],
    ) -> None:
        """Tell of appends of this server's, and then their authors.

        If they are not what follows the last that was told, the reader finds out what does.

        Args:
            entries: What is new, which may be seen by now.
            before: The entry before the first of them.
            waiting: The authors.
        """
        if entries and before == self.place:
            self.is_torn |= self._is_contradicted_by(entries)
            if not self.is_torn:
                self._tell(entries)
        if entries:
            self._learn_own(Place(entries[-1].number, entries[-1].at))
        for one in waiting:
            if self.place is None or one.last > self.place.number:
                self._waiting.append(one)
            else:
                settle(one.done, one.mark)
        self._set_timer()

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
        if self.is_torn or (new and self._is_contradicted_by(new)):
            return False
        if new:
            self._tell(new)
        return True

    def _tell(self, entries: Sequence[Entry]) -> None:
        self.place = Place(entries[-1].number, entries[-1].at)
        self._forget_what_is_told()
        self._watchers.show(entries)
        self._settle_waiting()

    def _settle_waiting(self) -> None:
        while self._waiting and self.place is not None:
            if self._waiting[0].last > self.place.number:
                return
            waiting = self._waiting.popleft()
            settle(waiting.done, waiting.mark)

    def _set_timer(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_at(self._waiting[0].deadline, self._look_at_the_time)

    def _look_at_the_time(self) -> None:
        """Give up what has waited for too long: the reader does not get what goes before it."""
        self._timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0].deadline <= now:
            settle(self._waiting.popleft().done, LogUnavailable(_BEHIND))
        self._set_timer()

    # Starting afresh

    def restart(self, place: Place) -> None:
        """Go on from another place, and tell those who watch that it is another one."""
        self.place = None
        self._ahead.clear()
        self._own = None
        self.give_up(LogUnavailable(_AFRESH))
        self._watchers.say_diverged(place.number)
        self._begin(place)

    def give_up(self, error: LogError) -> None:
        """Tell the authors who wait that what became of theirs is not known here."""
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            settle(one.done, error)
