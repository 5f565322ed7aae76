"""Where server processes keep their rooms, as the machines that run them need to know it.

`DiskStore` is the disk of one server's machine (`engine.py`); `RedisStore` is a Redis that several
servers share (`redis_machine.py`), with what the servers know of each other's people. A `Holding`
is what one process has of it.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import pytest

from socketchat import LogFailed
from socketchat.chat.log import Entry, Log
from socketchat.chat.neighbours import Neighbours
from socketchat.chat.records import unpack
from socketchat.chat.redis_facts import RedisFacts
from socketchat.chat.redis_log import RedisLog
from socketchat.chat.redis_neighbours import RedisNeighbours
from socketchat.chat.registry import Registry
from tests.simulation.engine import EPOCH, Disk, SimulatedLog
from tests.simulation.history import (
    Afresh,
    Committed,
    Followed,
    Heard,
    History,
    Rewound,
    Trimmed,
    Unfollowed,
)
from tests.simulation.redis_machine import DOMAIN, RedisMachine
from tests.simulation.redis_model import Id, RedisData

__all__ = ["DiskStore", "Holding", "RedisStore", "Store"]

#: Seconds without an answer after which a connection to Redis is lost; for which anything is tried;
#: and between two signs of life of a server.
_TIMEOUT, _PATIENCE, _BEAT = 2.0, 4.0, 1.0


class Holding(Protocol):
    """What one server process has of a store."""

    @property
    def log(self) -> Log:
        """The log."""

    @property
    def registry(self) -> Registry:
        """What is known about people."""

    @property
    def neighbours(self) -> Neighbours | None:
        """The other servers; None if there are none."""

    def opened(self) -> None:
        """Take notice that the process takes callers from now on."""

    def closing(self) -> None:
        """Take notice that it takes none any more, and is about to end."""

    def die(self) -> None:
        """Have nothing that the process does from now on have any effect."""

    async def buried(self) -> None:
        """Wait until nothing of it is left."""

    def fail(self) -> None:
        """Have the log fail for good."""


class Store(Protocol):
    """What survives the servers."""

    def hold(self, name: str) -> Holding:
        """Return what a process has of it that runs on a machine of this name."""

    def heal(self) -> None:
        """Work well."""

    def close(self) -> None:
        """Let everything go."""


# One server's own disk


class DiskStore:
    """The disk of one machine."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def hold(self, name: str) -> Holding:
        return _DiskHolding(self._disk)

    def heal(self) -> None:
        self._disk.heal()

    def close(self) -> None:
        pass


class _DiskHolding:
    neighbours = None

    def __init__(self, disk: Disk) -> None:
        self.log = SimulatedLog(disk)
        self.registry = Registry()

    def opened(self) -> None:
        pass

    def closing(self) -> None:
        pass

    def die(self) -> None:
        self.log.die()

    async def buried(self) -> None:
        pass

    def fail(self) -> None:
        self.log.fail()


# A Redis that several share


class Snapshot(NamedTuple):
    """What Redis held at a time, and from where to where each room's log reached."""

    data: object
    spans: dict[str, tuple[int, int]]


class RedisStore:
    """A Redis, and what of its life is history.

    Attributes:
        machine: Where it runs.
        retain: Seconds for which entries are kept; None is for ever.
        holdings: What processes have of it that were not killed, by machine.
    """

    def __init__(
        self, rng: random.Random, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._history = history
        self._rng = rng
        data = RedisData(self._clock, added=self._added, trimmed=self._trimmed)
        self.machine = RedisMachine(data, rng, monkeypatch)
        self.retain: float | None = rng.choice([None, 8.0, 20.0])
        self.holdings: dict[str, _RedisHolding] = {}
        self._audited = rng.random() < 0.5
        self._processes = itertools.count(1)
        #: From where to where each room's log reaches.
        self._spans: dict[str, tuple[int, int]] = {}

    def hold(self, name: str) -> Holding:
        number = next(self._processes)
        auditor = Auditor(self._history, f"{name}.{number}") if self._audited else None
        holding = _RedisHolding(self, f"{name}-{number}", auditor)
        self.holdings[name] = holding
        return holding

    def heal(self) -> None:
        self.machine.heal()

    def close(self) -> None:
        self.machine.close()

    def snapshot(self) -> Snapshot:
        """Return all that there is now."""
        return Snapshot(self.machine.data.snapshot(), dict(self._spans))

    def restore(self, snapshot: Snapshot) -> None:
        """Lose all that came after a snapshot."""
        self.machine.data.restore(snapshot.data)
        for room, span in self._spans.items():
            before = snapshot.spans.get(room, (1, 0))
            if before != span:
                floor, head = before
                self._history.add(Rewound(self._history.now(), room, head, floor))
        self._spans = dict(snapshot.spans)

    def _clock(self) -> int:
        return EPOCH + int(self._history.now() * 1_000_000)

    def _added(self, key: bytes, place: Id, fields: list[bytes]) -> None:
        room = _room_of(key)
        if room is not None:
            (entry,) = unpack(1, fields[fields.index(b"r") + 1])
            assert entry.number == place[0]
            self._spans[room] = self._spans.get(room, (1, 0))[0], entry.number
            self._history.add(Committed(self._history.now(), room, entry))

    def _trimmed(self, key: bytes, first: Id) -> None:
        room = _room_of(key)
        if room is not None:
            self._spans[room] = first[0], self._spans[room][1]
            self._history.add(Trimmed(self._history.now(), room, first[0]))


def _room_of(key: bytes) -> str | None:
    """Return the room whose log is kept under a key, if one is."""
    stem, _, kind = key.decode().rpartition(":")
    return stem.partition("{")[2].removesuffix("}") if kind == "log" else None


class _RedisHolding:
    def __init__(self, store: RedisStore, name: str, auditor: Auditor | None) -> None:
        url = f"redis://{name}{DOMAIN}:6379"
        self.log = RedisLog(url, retain=store.retain, timeout=_TIMEOUT, patience=_PATIENCE)
        self.facts = RedisFacts(url, timeout=_TIMEOUT, patience=_PATIENCE)
        self.registry = Registry(self.facts)
        self.neighbours = RedisNeighbours(url, timeout=_TIMEOUT, beat=_BEAT)
        self._name = name
        self._store = store
        self._auditor = auditor

    def opened(self) -> None:
        """Have all that the log tells noted, if that is to be."""
        if self._auditor is not None:
            self._auditor.follow(self.log, ["lobby", "attic"])

    def closing(self) -> None:
        if self._auditor is not None:
            self._auditor.stop()

    def die(self) -> None:
        self._store.machine.bury_caller(self._name)
        self.closing()
        for task in self._tasks():
            task.cancel()

    def _tasks(self) -> list[asyncio.Task[None]]:
        tasks = [*sorted(self.log._tasks, key=hash), *self.neighbours._tasks]
        return [*tasks, self.log._closed] if self.log._closed is not None else tasks

    async def buried(self) -> None:
        await asyncio.gather(*self._tasks(), return_exceptions=True)
        if hasattr(self.log, "_caller"):
            await self.log._caller.close()
        await self.facts.close()

    def fail(self) -> None:
        if hasattr(self.log, "_over"):
            self.log._fail(LogFailed("a command failed"))


class Auditor:
    """One who notes all that a server is told by its log.

    Args:
        history: Where it is noted.
        name: The server's process.
    """

    def __init__(self, history: History, name: str) -> None:
        self._history = history
        self._name = name
        self._is_there = True

    def follow(self, log: Log, rooms: Sequence[str]) -> None:
        """Note what is told of rooms."""
        for room in rooms:
            self._history.add(Followed(self._history.now(), self._name, room))
            log.watch(
                room,
                functools.partial(self._heard, room),
                functools.partial(self._begin_afresh, room),
            )

    def stop(self) -> None:
        """Note nothing more: the server is dead."""
        self._is_there = False
        self._history.add(Unfollowed(self._history.now(), self._name))

    def _heard(self, room: str, entries: Sequence[Entry]) -> None:
        if self._is_there:
            now = self._history.now()
            for one in entries:
                self._history.add(Heard(now, self._name, room, one.number, one.at, one.lane))

    def _begin_afresh(self, room: str, head: int) -> None:
        if self._is_there:
            self._history.add(Afresh(self._history.now(), self._name, room))
