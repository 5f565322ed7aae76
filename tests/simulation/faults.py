"""Everything that goes wrong in a run, each kind at random times and for random whiles."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum

from socketchat.testing import End, MemoryLink
from tests.simulation.engine import Disk
from tests.simulation.history import History
from tests.simulation.machine import Machine
from tests.simulation.network import Notice, SimulatedNetwork, bury, set_latency
from tests.simulation.person import Person

__all__ = ["DiskFaults", "Fault", "Faults"]


class Fault(Enum):
    """What can go wrong."""

    CUT = "cut"
    ZOMBIE = "zombie"
    STALL = "stall"
    LATENCY = "latency"
    CHUNKS = "chunks"
    SLOW_COMMITS = "slow commits"
    SERVER_KILLED = "server killed"
    SERVER_RESTARTED = "server restarted"
    CLIENT_KILLED = "client killed"
    CLIENT_LEAVES = "client leaves"
    DISK_FULL = "disk full"
    LOG_FAILS = "log fails"
    SLOW_READER = "slow reader"
    RETENTION = "retention"
    # Where servers share a Redis:
    REDIS_KILLED = "Redis killed"
    REDIS_STOPPED = "Redis stopped"
    REDIS_CUT = "link to Redis cut"
    REDIS_ZOMBIE = "link to Redis a zombie"
    REDIS_STALL = "link to Redis stalled"
    REDIS_CHUNKS = "link to Redis in chunks"
    REDIS_LATENCY = "links to Redis slow"
    SERVER_CUT_OFF = "server cut off from Redis"
    REDIS_REWOUND = "Redis back without its end"


class Faults:
    """Lets things go wrong: links, servers and clients, and what those add that inherit from it.

    Attributes:
        counts: How often each kind did.
        weights: How often each kind happens, compared with the others.
    """

    weights: Mapping[Fault, int]

    def __init__(
        self,
        rng: random.Random,
        history: History,
        network: SimulatedNetwork,
        machines: list[Machine],
        people: list[Person],
    ) -> None:
        self.counts = dict.fromkeys(self.weights, 0)
        self._rng = rng
        self._history = history
        self._network = network
        self._machines = machines
        self._people = people
        self._tasks: list[asyncio.Task[None]] = []
        self._acts: dict[Fault, Callable[[], Awaitable[None]]] = {
            Fault.CUT: self._cut,
            Fault.ZOMBIE: self._zombie,
            Fault.STALL: self._stall,
            Fault.LATENCY: self._latency,
            Fault.CHUNKS: self._chunks,
            Fault.SERVER_KILLED: self._kill_server,
            Fault.SERVER_RESTARTED: self._restart_server,
            Fault.CLIENT_KILLED: self._kill_client,
            Fault.CLIENT_LEAVES: self._client_leaves,
            Fault.SLOW_READER: self._slow_reader,
        }

    async def run(self, count: int, seconds: float) -> None:
        """Let so many things begin to go wrong, within so many seconds; wait until all is over."""
        rng = self._rng
        kinds = rng.choices(list(self.weights), list(self.weights.values()), k=count)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for when, kind in sorted((rng.random() * seconds, kind.value) for kind in kinds):
            await asyncio.sleep(begin + when - loop.time())
            self._tasks.append(loop.create_task(self._act(Fault(kind))))
        await asyncio.sleep(begin + seconds - loop.time())
        await asyncio.gather(*self._tasks)

    async def _act(self, kind: Fault) -> None:
        await self._acts[kind]()

    def _strike(self, kind: Fault, what: str) -> None:
        """Note that something goes wrong now."""
        self.counts[kind] += 1
        self._history.tell(f"{kind.value}: {what}")

    def _some_link(self) -> MemoryLink | None:
        live = self._network.live
        return self._rng.choice(live) if live else None

    # ---- links ----

    async def _cut(self) -> None:
        link = self._some_link()
        if link is not None:
            reset = self._rng.random() < 0.5
            self._strike(Fault.CUT, "reset" if reset else "end of file")
            link.cut(reset=reset)

    async def _zombie(self) -> None:
        """Have a client give up a link on which its last words still travel."""
        link = self._some_link()
        if link is None:
            return
        self._strike(Fault.ZOMBIE, "what the client says travels slowly")
        link.stall(End.NEAR)
        await asyncio.sleep(self._rng.random() ** 2 * 4)
        if link not in self._network.live:
            link.resume(End.NEAR)
            return
        self._history.tell("zombie: the client has lost the link")
        bury(link, End.NEAR, Notice.NEVER)
        await asyncio.sleep(self._rng.random() ** 2 * 4)
        self._history.tell("zombie: its last words arrive")
        link.resume(End.NEAR)

    async def _stall(self) -> None:
        link = self._some_link()
        if link is not None:
            sender = self._rng.choice([End.NEAR, End.FAR, None])
            seconds = self._rng.random() ** 2 * 20
            self._strike(Fault.STALL, f"{sender} for {seconds:.3f} s")
            link.stall(sender)
            await asyncio.sleep(seconds)
            link.resume(sender)

    async def _latency(self) -> None:
        seconds = self._rng.random() ** 2 * 1.5
        self._strike(Fault.LATENCY, f"up to {seconds:.3f} s")
        self._network.slow = seconds
        for link in self._network.live:
            set_latency(link, self._rng.random() * seconds)
        await asyncio.sleep(self._rng.random() * 10)
        self._network.slow = 0.01
        for link in self._network.live:
            set_latency(link, self._rng.random() * 0.01)

    async def _chunks(self) -> None:
        link = self._some_link()
        if link is not None:
            sizes = [self._rng.randint(1, 40) for _ in range(60)]
            self._strike(Fault.CHUNKS, f"{sizes[:4]} and so on")
            link.deliver_chunks(sizes)

    # ---- servers ----

    def _some_machine(self) -> Machine:
        return self._rng.choice(self._machines) if len(self._machines) > 1 else self._machines[0]

    async def _kill_server(self) -> None:
        machine = self._some_machine()
        if machine.up:
            self._strike(Fault.SERVER_KILLED, machine.name)
            machine.crash()

    async def _restart_server(self) -> None:
        machine = self._some_machine()
        if machine.up:
            self._strike(Fault.SERVER_RESTARTED, machine.name)
            machine.restart()
            if self._rng.random() < 0.3:
                await asyncio.sleep(self._rng.random())
                machine.crash()

    # ---- people ----

    async def _kill_client(self) -> None:
        person = self._rng.choice(self._people)
        if person.process is not None:
            self._strike(Fault.CLIENT_KILLED, person.process.name)
            person.kill(self._rng.choice(list(Notice)))
            await self._come_back(person)

    async def _client_leaves(self) -> None:
        person = self._rng.choice(self._people)
        if person.process is not None and not person.process.leaving:
            self._strike(Fault.CLIENT_LEAVES, person.process.name)
            await person.leave()
            await self._come_back(person)

    async def _come_back(self, person: Person) -> None:
        await asyncio.sleep(self._rng.random() ** 2 * 6)
        person.start()

    async def _slow_reader(self) -> None:
        person = self._rng.choice(self._people)
        pause = self._rng.random() ** 2
        self._strike(Fault.SLOW_READER, f"{person.habits.name}, {pause:.3f} s a message")
        person.reading_pause = pause
        await asyncio.sleep(self._rng.random() * 15)
        person.reading_pause = 0.0


class DiskFaults(Faults):
    """Lets the disk of one server's machine go wrong as well."""

    weights: Mapping[Fault, int] = {
        Fault.CUT: 5,
        Fault.ZOMBIE: 5,
        Fault.STALL: 3,
        Fault.LATENCY: 2,
        Fault.CHUNKS: 2,
        Fault.SLOW_COMMITS: 6,
        Fault.SERVER_KILLED: 4,
        Fault.SERVER_RESTARTED: 1,
        Fault.CLIENT_KILLED: 3,
        Fault.CLIENT_LEAVES: 2,
        Fault.DISK_FULL: 3,
        Fault.LOG_FAILS: 2,
        Fault.SLOW_READER: 2,
        Fault.RETENTION: 2,
    }

    def __init__(
        self,
        disk: Disk,
        rng: random.Random,
        history: History,
        network: SimulatedNetwork,
        machines: list[Machine],
        people: list[Person],
    ) -> None:
        super().__init__(rng, history, network, machines, people)
        self._disk = disk
        self._acts |= {
            Fault.SLOW_COMMITS: self._slow_commits,
            Fault.DISK_FULL: self._disk_full,
            Fault.LOG_FAILS: self._log_fails,
            Fault.RETENTION: self._retention,
        }

    async def _slow_commits(self) -> None:
        seconds = self._rng.random() * 5
        self._strike(Fault.SLOW_COMMITS, f"up to {seconds:.3f} s")
        self._disk.slowness = seconds
        await asyncio.sleep(self._rng.random() * 10)
        self._disk.slowness = 0.005

    async def _disk_full(self) -> None:
        fullness = self._rng.choice([0.3, 0.7, 1.0])
        self._strike(Fault.DISK_FULL, f"{fullness:.0%} of the commits")
        self._disk.fullness = fullness
        await asyncio.sleep(self._rng.random() * 6)
        self._disk.fullness = 0.0

    async def _log_fails(self) -> None:
        if self._rng.random() < 0.5:
            self._strike(Fault.LOG_FAILS, "by itself")
            self._some_machine().break_log()
        else:
            self._strike(Fault.LOG_FAILS, "at the next commit or read")
            self._disk.breaking = True

    async def _retention(self) -> None:
        for name, room in self._disk.rooms.items():
            keep = self._rng.randint(0, 20)
            self._strike(Fault.RETENTION, f"{keep} of {room.head} entries of {name!r} stay")
            self._disk.trim(name, keep)
