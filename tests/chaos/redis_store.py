"""The store of several servers: a real Redis, which is killed, held up, cut off and replaced.

The servers know one address, which is a `FaultyProxy`'s: it leads to the master, and after a
failover to the next one, as an address that moves would. What Redis holds is read without the code
under test, but for what a record looks like.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from socketchat.chat.log import Entry
from socketchat.chat.records import unpack
from socketchat.chat.redis_scripts import Keys
from tests.chaos.journal import Shown, parse_text
from tests.proxy import FaultyProxy
from tests.redis_server import RedisServer

__all__ = ["RedisStore"]

#: What is acknowledged is on the disk.
SETTINGS = {"appendonly": "yes", "appendfsync": "always"}
#: Seconds for which it is held up before it is killed, at most.
MAX_HELD = 0.5
#: How many entries a replica lacks that was cut off, when its master is killed, and the seconds
#: for which it is waited for them, as perhaps nobody speaks: without `wait`, and with it.
LACKING = 20, 1
MAX_APART = 50.0, 5.0


class RedisStore:
    """A Redis, and its replica if it is to be replaced.

    Args:
        directory: Where each server of Redis has its own.
        rng: What decides about links, and for how long Redis is away.
        wait: For how many replicas servers wait, 0 or 1.
        outage: Seconds for which it is away at most.
        has_replica: Whether there is a replica.

    Attributes:
        proxy: What leads there.
        kills: How often it was killed and started again.
        failovers: How often it was killed and replaced.
        last_fault: When something was done to it last, by the loop's time.
    """

    proxy: FaultyProxy

    def __init__(
        self, directory: Path, rng: random.Random, *, wait: int, outage: float, has_replica: bool
    ) -> None:
        self.kills = 0
        self.failovers = 0
        self.last_fault = 0.0
        self._directory = directory
        self._rng = rng
        self._wait = wait
        self._outage = outage
        self._has_replica = has_replica
        self._servers: list[RedisServer] = []
        self._keys = Keys("socketchat")
        self._order = asyncio.Lock()  # only one thing at a time is done to it
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._end)
        try:
            self._master = await self._start()
            self.proxy = FaultyProxy(self._master.port, self._rng)
            await self._stack.enter_async_context(self.proxy)
            if self._has_replica:
                await self._attach()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _end(self) -> None:
        for server in self._servers:
            await asyncio.to_thread(server.kill)

    @property
    def options(self) -> Sequence[str]:
        """See `Store.options`."""
        url = f"redis://127.0.0.1:{self.proxy.port}/0"
        return "--redis", url, *(("--redis-wait", str(self._wait)) if self._wait else ())

    # ---- what is done to it ----

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """See `Store.held`: it is stopped."""
        async with self._order:
            self._master.pause()
            try:
                yield
            finally:
                self._master.resume()

    async def kill(self) -> None:
        """Kill it, and start it again on its data a moment later."""
        async with self._order:
            if self._rng.random() < 0.5:  # while much is waiting to be committed
                self._master.pause()
                await asyncio.sleep(self._rng.uniform(0, MAX_HELD))
            await asyncio.to_thread(self._master.kill)
            await asyncio.sleep(self._rng.uniform(0, self._outage))
            await asyncio.to_thread(self._master.start)
            self.kills += 1
            self._note()

    async def fail_over(self) -> None:
        """Kill it for good, have its replica take its place, and give that one a replica.

        Every other time the replica is cut off before, so that it lacks what was written since.
        """
        async with self._order:
            await self._until_linked()
            is_cut_off = self.failovers % 2 == 0
            if is_cut_off:
                await self._ask(self._replica, "REPLICAOF", "NO", "ONE")
                await self._run_ahead()
            await asyncio.to_thread(self._master.kill)
            await asyncio.sleep(self._rng.uniform(0, self._outage))
            if not is_cut_off:
                await self._ask(self._replica, "REPLICAOF", "NO", "ONE")
            self._master = self._replica
            self.proxy.target = self._master.port
            await self._attach()
            self.failovers += 1
            self._note()

    async def _run_ahead(self) -> None:
        """Wait until the master has what the replica lacks."""
        before = sum((await asyncio.to_thread(self.heads)).values())
        enough = before + LACKING[self._wait]
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_APART[self._wait]):
                while sum((await asyncio.to_thread(self.heads)).values()) < enough:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    def _note(self) -> None:
        self.last_fault = asyncio.get_running_loop().time()

    async def _start(self, **settings: str) -> RedisServer:
        directory = self._directory / f"redis-{len(self._servers)}"
        await asyncio.to_thread(directory.mkdir, parents=True)
        server = RedisServer(directory, **SETTINGS, **settings)
        self._servers.append(server)
        await asyncio.to_thread(server.start)
        return server

    async def _attach(self) -> None:
        """Give the master a replica, and wait until it has everything."""
        self._replica = await self._start(replicaof=f"127.0.0.1 {self._master.port}")
        await self._until_linked()

    async def _until_linked(self) -> None:
        while True:
            facts = await self._ask(self._replica, "INFO", "replication")
            if facts.get("master_link_status") == "up":
                return
            await asyncio.sleep(0.05)

    @staticmethod
    async def _ask(server: RedisServer, *command: str) -> Any:
        return await asyncio.to_thread(server.ask, *command)

    # ---- what it holds ----

    def heads(self) -> dict[str, int]:
        """See `Store.heads`."""
        return {room: int(self._head(room).get(b"head", 0)) for room in self._rooms()}

    def logs(self) -> dict[str, list[Shown]]:
        """See `Store.logs`."""
        return {
            room: [
                Shown(entry.number, entry.at, parse_text(str(entry.body)))
                for entry in self._entries(room).values()
            ]
            for room in self._rooms()
        }

    def integrity(self) -> str:
        """See `Store.integrity`: numbers and times, what is seen, and the marks."""
        for room in self._rooms():
            objection = self._objection(room)
            if objection:
                return f"{room}: {objection}"
        return "ok"

    def _objection(self, room: str) -> str:
        entries, head = self._entries(room), self._head(room)
        if list(entries) != [entry.number for entry in entries.values()]:
            return "an entry has another number than its place"
        if list(entries) != list(range(1, len(entries) + 1)):
            return "numbers are missing"
        times = [entry.at for entry in entries.values()]
        if times != sorted(times):
            return "time goes back"
        if {int(head.get(name, 0)) for name in (b"head", b"held")} != {len(entries)}:
            return f"{len(entries)} entries, and the head is {head}"
        last = {entry.lane: entry for entry in entries.values()}
        marks = self._fields("HGETALL", self._keys.room(room)[2])
        for lane, entry in last.items():
            mark, number = int(marks[lane][:19]), int(marks[lane][19:35])
            if (mark, number) != (entry.lane_number, entry.number):
                return f"a lane's mark is {mark} at {number}, and its last entry {entry}"
        return ""

    def _rooms(self) -> list[str]:
        return sorted(name.decode() for name in self._master.ask("SMEMBERS", self._keys.rooms))

    def _head(self, room: str) -> Mapping[bytes, bytes]:
        return self._fields("HGETALL", self._keys.room(room)[1])

    def _fields(self, *command: str) -> Mapping[bytes, bytes]:
        fields: Mapping[bytes, bytes] = self._master.ask(*command)
        return fields

    def _entries(self, room: str) -> dict[int, Entry]:
        """Return the entries of a room, by their place in its stream."""
        found = self._master.ask("XRANGE", self._keys.room(room)[0], "-", "+")
        entries = unpack(len(found), b"".join(fields[b"r"] for _, fields in found))
        return {
            int(place.partition(b"-")[0]): entry
            for (place, _), entry in zip(found, entries, strict=True)
        }
