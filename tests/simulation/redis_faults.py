"""What goes wrong where several servers share a Redis: it, and the links to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

from socketchat import LogError
from socketchat.testing import End, MemoryLink
from tests.simulation.faults import Fault, Faults
from tests.simulation.history import History
from tests.simulation.machine import Machine
from tests.simulation.network import Notice, SimulatedNetwork, bury
from tests.simulation.person import Person
from tests.simulation.stores import RedisStore

__all__ = ["RedisFaults"]


class RedisFaults(Faults):
    """Lets Redis, and the links to it, go wrong as well."""

    weights: Mapping[Fault, int] = {
        Fault.CUT: 4,
        Fault.ZOMBIE: 4,
        Fault.STALL: 3,
        Fault.LATENCY: 1,
        Fault.CHUNKS: 1,
        Fault.SLOW_COMMITS: 4,
        Fault.SERVER_KILLED: 5,
        Fault.SERVER_RESTARTED: 2,
        Fault.CLIENT_KILLED: 2,
        Fault.CLIENT_LEAVES: 2,
        Fault.DISK_FULL: 2,
        Fault.LOG_FAILS: 1,
        Fault.SLOW_READER: 1,
        Fault.RETENTION: 2,
        Fault.REDIS_KILLED: 3,
        Fault.REDIS_STOPPED: 2,
        Fault.REDIS_CUT: 4,
        Fault.REDIS_ZOMBIE: 4,
        Fault.REDIS_STALL: 3,
        Fault.REDIS_CHUNKS: 2,
        Fault.REDIS_LATENCY: 2,
        Fault.SERVER_CUT_OFF: 2,
        Fault.REDIS_REWOUND: 1,
    }

    def __init__(
        self,
        store: RedisStore,
        rng: random.Random,
        history: History,
        network: SimulatedNetwork,
        machines: list[Machine],
        people: list[Person],
    ) -> None:
        super().__init__(rng, history, network, machines, people)
        self._store = store
        self._redis = store.machine
        self._acts |= {
            Fault.SLOW_COMMITS: self._slow_commits,
            Fault.DISK_FULL: self._full,
            Fault.LOG_FAILS: self._log_fails,
            Fault.RETENTION: self._retention,
            Fault.REDIS_KILLED: self._kill,
            Fault.REDIS_STOPPED: self._stop,
            Fault.REDIS_CUT: self._cut_redis,
            Fault.REDIS_ZOMBIE: self._redis_zombie,
            Fault.REDIS_STALL: self._stall_redis,
            Fault.REDIS_CHUNKS: self._redis_chunks,
            Fault.REDIS_LATENCY: self._redis_latency,
            Fault.SERVER_CUT_OFF: self._cut_off,
            Fault.REDIS_REWOUND: self._rewind,
        }

    # ---- Redis ----

    async def _kill(self) -> None:
        if self._redis.is_up:
            self._strike(Fault.REDIS_KILLED, "")
            await self._away(lambda: None)

    async def _away(self, meanwhile: Callable[[], None]) -> None:
        """Kill it, and have it come back a while later."""
        self._redis.kill()
        await asyncio.sleep(self._rng.random() ** 2 * 8)
        meanwhile()
        self._redis.start()
        self._history.tell("Redis is back")

    async def _rewind(self) -> None:
        snapshot = self._store.snapshot()
        await asyncio.sleep(self._rng.random() ** 2 * 4)
        if self._redis.is_up:
            self._strike(Fault.REDIS_REWOUND, "")
            await self._away(lambda: self._store.restore(snapshot))

    async def _stop(self) -> None:
        seconds = self._rng.random() ** 2 * 10
        self._strike(Fault.REDIS_STOPPED, f"for {seconds:.3f} s")
        self._redis.freeze()
        await asyncio.sleep(seconds)
        self._redis.thaw()

    async def _slow_commits(self) -> None:
        seconds = self._rng.random() * 2
        self._strike(Fault.SLOW_COMMITS, f"up to {seconds:.3f} s")
        self._redis.slowness = seconds
        await asyncio.sleep(self._rng.random() * 8)
        self._redis.slowness = 0.003

    async def _full(self) -> None:
        self._strike(Fault.DISK_FULL, "Redis has no memory left")
        self._redis.data.full = True
        await asyncio.sleep(self._rng.random() * 6)
        self._redis.data.full = False

    async def _log_fails(self) -> None:
        machine = self._some_machine()
        self._strike(Fault.LOG_FAILS, machine.name)
        machine.break_log()

    async def _retention(self) -> None:
        machine = self._some_machine()
        if machine.up and self._store.retain is not None:
            self._strike(Fault.RETENTION, f"by {machine.name}, {self._store.retain:g} s")
            try:
                await self._store.holdings[machine.name].log.prune()
            except LogError as exc:
                self._history.tell(f"retention: {exc}")

    # ---- the links to it ----

    def _some_redis_link(self) -> MemoryLink | None:
        live = self._redis.links()
        return self._rng.choice(live) if live else None

    async def _cut_redis(self) -> None:
        link = self._some_redis_link()
        if link is not None:
            reset = self._rng.random() < 0.5
            self._strike(Fault.REDIS_CUT, "reset" if reset else "end of file")
            link.cut(reset=reset)

    async def _redis_zombie(self) -> None:
        """Have a server give up a link on which its last words still travel."""
        link = self._some_redis_link()
        if link is None:
            return
        self._strike(Fault.REDIS_ZOMBIE, "what the server says travels slowly")
        link.stall(End.NEAR)
        await asyncio.sleep(self._rng.random() ** 2 * 3)
        if link in self._redis.links():
            bury(link, End.NEAR, Notice.NEVER)
            await asyncio.sleep(self._rng.random() ** 2 * 3)
            self._history.tell("zombie of a link to Redis: its last words arrive")
        link.resume(End.NEAR)

    async def _stall_redis(self) -> None:
        link = self._some_redis_link()
        if link is not None:
            sender = self._rng.choice([End.NEAR, End.FAR, None])
            seconds = self._rng.random() ** 2 * 8
            self._strike(Fault.REDIS_STALL, f"{sender} for {seconds:.3f} s")
            link.stall(sender)
            await asyncio.sleep(seconds)
            link.resume(sender)

    async def _redis_chunks(self) -> None:
        link = self._some_redis_link()
        if link is not None:
            sizes = [self._rng.randint(1, 60) for _ in range(60)]
            self._strike(Fault.REDIS_CHUNKS, f"{sizes[:4]} and so on")
            link.deliver_chunks(sizes)

    async def _redis_latency(self) -> None:
        seconds = self._rng.random() ** 2
        self._strike(Fault.REDIS_LATENCY, f"up to {seconds:.3f} s")
        self._redis.set_latency(seconds)
        await asyncio.sleep(self._rng.random() * 8)
        self._redis.set_latency(0.002)

    async def _cut_off(self) -> None:
        machine = self._some_machine()
        seconds = self._rng.random() ** 2 * 10
        self._strike(Fault.SERVER_CUT_OFF, f"{machine.name} for {seconds:.3f} s")
        self._redis.cut_off_from(machine.name)
        await asyncio.sleep(seconds)
        self._redis.join(machine.name)
