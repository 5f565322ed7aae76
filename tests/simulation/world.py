"""One run: servers, their clients, and what goes wrong, until everything has come to rest."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from socketchat.chat.rate import Rate
from socketchat.chat.rules import Rules
from socketchat.options import OptionArgs
from tests.simulation.engine import Disk
from tests.simulation.faults import DiskFaults, Faults
from tests.simulation.history import Accepted, History, Record
from tests.simulation.machine import Machine
from tests.simulation.network import Notice, SimulatedNetwork
from tests.simulation.person import Habits, Person
from tests.simulation.redis_faults import RedisFaults
from tests.simulation.stores import DiskStore, RedisStore, Store

__all__ = ["World"]

#: Seconds for which things go wrong.
TROUBLE = 30.0
#: Seconds in which everything must have come to rest after that.
PATIENCE = 120.0
NICKS = ("ada", "bob", "cy")
VISITOR = "eve"


class World:
    """A run's actors.

    Attributes:
        history: What happened.
        faults: What went wrong.
        complaints: What the run itself found: errors, and what did not come to rest.
    """

    def __init__(
        self,
        seed: str,
        monkeypatch: pytest.MonkeyPatch,
        directory: Path,
        *,
        servers: int = 0,
        length: float = 1.0,
    ) -> None:
        def rng(what: str) -> random.Random:
            return random.Random(f"{seed}/{what}")

        self._loop = asyncio.get_running_loop()
        self._rng = rng("world")
        self._length = length
        self.complaints: list[str] = []
        self.history = History(self._loop.time)
        self._network = SimulatedNetwork(monkeypatch, rng("network"))
        patience: OptionArgs = {
            "ping_interval": 8,
            "ping_timeout": 4,
            "open_timeout": 4,
            "close_timeout": 3,
        }
        rate = self._rng.choice([None, Rate(), Rate(4, 6.0)])
        self._store, trouble = self._make_store(rng, monkeypatch, servers)
        self._machines = [
            Machine(
                name,
                self._store,
                self.history,
                self._network,
                rng(f"machine {name}"),
                Rules(rate=rate),
                patience,
            )
            for name in ("a", "b", "c")[: max(servers, 1)]
        ]
        rooms = ["lobby", "attic"][: self._rng.randint(1, 2)]
        self._people = [
            Person(self._habits(name, rooms, directory, patience), self.history, rng(name))
            for name in ["alice", "bert", "carol", "dave"][: self._rng.randint(2, 4)]
        ]
        # They come when all others have come to rest, and send what was left behind.
        self._sweepers = [
            Person(self._sweeping(room, directory, patience), self.history, rng(room))
            for room in rooms
        ]
        # One who is there for a moment, again and again: whom one cannot speak to for long.
        self._visitor = Person(
            self._visiting(rooms[0], directory, patience), self.history, rng("visitor")
        )
        self._resting = False
        self.faults = trouble(
            rng("faults"), self.history, self._network, self._machines, self._people
        )

    def _make_store(
        self, rng: Callable[[str], random.Random], patch: pytest.MonkeyPatch, servers: int
    ) -> tuple[Store, Callable[..., Faults]]:
        """Return where the rooms are kept, and what makes that go wrong as well."""
        if not servers:
            disk = Disk(rng("disk"), self.history)
            disk.piece = 16  # so that a member that lags reads often
            return DiskStore(disk), partial(DiskFaults, disk)
        store = RedisStore(rng("redis"), self.history, patch)
        return store, partial(RedisFaults, store)

    def _habits(self, name: str, rooms: list[str], directory: Path, patience: OptionArgs) -> Habits:
        rng = self._rng
        queue = rng.choice([(256, 64), (8, 2)])
        unacked = rng.choice([(4096, 4 * 2**20), (10, 4 * 2**20)])
        # What is refused now and not a moment later shows what is judged twice.
        whispers = rng.random() < 0.3
        return Habits(
            name=name,
            nick=rng.choice(NICKS),
            room=rooms[0] if whispers else rng.choice(rooms),
            outboxes=directory if rng.random() < 0.5 else None,
            messages=int(rng.randint(15, 35) * self._length),
            pause=1.6 if whispers else 0.8,
            history=rng.choice([0, 5, 50]),
            friends=(VISITOR,) if whispers else (*NICKS, "ada-2", VISITOR),
            whispers=0.7 if whispers else 0.1,
            servers=tuple(machine.host for machine in self._machines),
            options=OptionArgs(max_queue=queue, max_unacked=unacked, **patience),
        )

    def _sweeping(self, room: str, directory: Path, patience: OptionArgs) -> Habits:
        return self._silent(f"sweeper of {room}", "zoe", room, directory, 1000, patience)

    def _visiting(self, room: str, directory: Path, patience: OptionArgs) -> Habits:
        return self._silent("visitor", VISITOR, room, None, 0, patience)

    def _silent(
        self,
        name: str,
        nick: str,
        room: str,
        outboxes: Path | None,
        history: int,
        options: OptionArgs,
    ) -> Habits:
        """Return the habits of one who says nothing."""
        return Habits(
            name=name,
            nick=nick,
            room=room,
            outboxes=outboxes,
            messages=0,
            pause=1.0,
            history=history,
            friends=(),
            whispers=0.0,
            servers=tuple(machine.host for machine in self._machines),
            options=options,
        )

    # ---- the run ----

    async def run(self) -> list[Record]:
        """Let everything happen; return the history up to the rest."""
        for machine in self._machines:
            machine.start()
        for person in self._people:
            person.start()
        visiting = self._loop.create_task(self._visit())
        count = int(self._rng.randint(8, 14) * self._length)
        await self.faults.run(count, TROUBLE * self._length)
        self._resting = True
        await visiting
        await self._come_to_rest()
        records = list(self.history.records)
        await self._tear_down()
        return records

    async def _visit(self) -> None:
        """Have the visitor come and go."""
        rng = self._visitor.rng
        while not self._resting:
            self._visitor.start()
            await asyncio.sleep(rng.uniform(0.3, 3.0))
            await self._visitor.leave()
            await asyncio.sleep(rng.uniform(0.2, 2.0))

    async def _come_to_rest(self) -> None:
        """Mend everything, and wait until nothing is on its way any more."""
        self.history.tell("from here on nothing goes wrong")
        self._store.heal()
        self._network.heal()
        for machine in self._machines:
            machine.resting = True
        for person in self._people:
            person.quiet = True
            person.reading_pause = 0.0
            person.start()
        await self._until_calm(self._people)
        for sweeper in self._sweepers:
            sweeper.start()
        await self._until_calm([*self._people, *self._sweepers])

    async def _until_calm(self, people: list[Person]) -> None:
        """Wait until all that was said is settled, and all that is in the log is shown."""
        deadline = self._loop.time() + PATIENCE
        before = -1
        while len(self.history.records) != before or not self._are_calm(people):
            if self._loop.time() > deadline:
                self.complaints.append(f"no rest within {PATIENCE:g} s")
                return
            for person in people:
                person.start()  # should it have been about to leave
            before = len(self.history.records)
            await asyncio.sleep(2.0)

    def _are_calm(self, people: list[Person]) -> bool:
        up = all(machine.up for machine in self._machines)
        return up and all(person.process is not None and person.process.calm for person in people)

    async def _tear_down(self) -> None:
        """End everything, and complain of what failed or does not end."""
        everybody = [*self._people, *self._sweepers, self._visitor]
        for person in everybody:
            if person.process is not None:
                self.complaints += map(repr, person.process.failures())
            person.kill(Notice.RESET)
        for machine in self._machines:
            machine.kill()
            await machine.buried()
        for person in everybody:
            try:
                await person.buried()
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is a complaint
                self.complaints.append(repr(exc))
        self._store.close()
        me = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not me]
        if left:
            await asyncio.wait(left, timeout=30)
        self.complaints += [f"left running: {task!r}" for task in left if not task.done()]

    @property
    def messages(self) -> int:
        """How many messages were accepted for sending."""
        return sum(isinstance(record, Accepted) for record in self.history.records)
