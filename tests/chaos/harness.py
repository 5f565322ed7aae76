"""Runs servers and many clients, does them harm at random times, and waits until they rest.

The servers are the real command, `socketchat serve --headless`: one with a log of its own, or
several that share a Redis (`stores.py`, `redis_store.py`). All clients know all of them, and call
them through a `FaultyProxy`, which lives in here. When the last fault is over nothing is helped
along: clients and servers must find out by themselves what is broken.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from socketchat import Identity
from tests.chaos.checker import Violation, check
from tests.chaos.client import Task
from tests.chaos.journal import History, Shown
from tests.chaos.plan import Outcome, Plan
from tests.chaos.programs import Program
from tests.chaos.redis_store import RedisStore
from tests.chaos.stores import SQLiteStore, Store
from tests.chaos.views import view
from tests.proxy import Cut, Delay, Fault, FaultyProxy
from tests.sessions import until

__all__ = ["run"]

#: Seconds within which all harm is done when it should be, beside as long again as it was planned
#: to take, and within which everything must have come to rest then: far above what it takes.
DEADLINE = 60.0
#: Seconds for starting the programs before the first fault.
HEAD_START = 2.0
#: Seconds for which nothing can be committed, at most.
MAX_SLOWNESS = 0.5
#: Below the ports that the system gives to callers: one of those could be taken while the server
#: is away, even by a call to that very port. Those above are for Redis (`tests/redis_server.py`).
PORTS = range(12_000, 20_000)
#: Seconds after which another link to Redis is harmed than one over which nothing passes.
PATIENCE = 0.5
#: Seconds between two looks whether all are at rest.
LOOK = 0.2
#: How probably any of several servers is killed, be it the only one that is there.
ANY = 0.2
#: The status of a server that was started while Redis was away; who runs it starts it again.
CANNOT_REACH = 3
#: The clients come from many addresses, as they would; all of 127.0.0.0/8 is there on Linux.
SOURCES = [f"127.0.1.{number}" for number in range(1, 200)]


async def run(plan: Plan, directory: Path) -> Outcome:
    """Do what is planned, in a directory that is empty.

    Raises:
        Ended: A program has ended by itself, or with an error (`programs.py`).
        TimeoutError: They did not come to rest; its notes say who.
    """
    try:
        async with AsyncExitStack() as stack:
            redis = None
            if plan.servers:
                redis = await stack.enter_async_context(redis_store(plan, directory))
            chaos = Chaos(plan, directory, redis)
            proxy = FaultyProxy(chaos.servers[0].port, chaos.rng("links"), sources=sources())
            return await chaos.run(await stack.enter_async_context(proxy))
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


def redis_store(plan: Plan, directory: Path) -> RedisStore:
    """Return the store that several servers share."""
    return RedisStore(
        directory,
        random.Random(f"{plan.seed} redis"),
        wait=plan.redis_wait,
        outage=plan.outage,
        has_replica=plan.redis_wait > 0 or plan.failovers > 0,
    )


def sources() -> Sequence[str]:
    """Return the addresses of this machine from which the proxy may call."""
    with socket.socket() as probe:
        try:
            probe.bind((SOURCES[0], 0))
        except OSError:
            return ()
    return SOURCES


def free_port(rng: random.Random) -> int:
    """Return a port that nobody has and the system gives to nobody."""
    while True:
        port = rng.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


#: What is planned: its name, how often, and what does it.
Harm = tuple[str, int, Callable[[random.Random], Awaitable[None]]]


@dataclass(frozen=True)
class Server:
    """A server: its port, its directory, and the program."""

    port: int
    data: Path
    program: Program

    @property
    def pin(self) -> str:
        """The pin of its key, once it has one."""
        return Identity.load_or_generate(self.data).fingerprint


class Chaos:
    """One run."""

    def __init__(self, plan: Plan, directory: Path, redis: RedisStore | None) -> None:
        self.plan = plan
        self.directory = directory
        self.redis = redis
        self.last_fault = 0.0
        rooms = [f"room {number % plan.rooms}" for number in range(plan.clients)]
        self.histories = [History(directory, number, room) for number, room in enumerate(rooms)]
        self.servers = [self.make_server(number) for number in range(plan.servers or 1)]
        self.store: Store = redis or SQLiteStore(self.servers[0].data)
        self.processes: list[Program] = []
        self.views: list[Mapping[str, Sequence[Shown]]] = []

    def rng(self, purpose: str) -> random.Random:
        """Return numbers that depend on the seed, and not on what others draw."""
        return random.Random(f"{self.plan.seed} {purpose}")

    async def run(self, proxy: FaultyProxy) -> Outcome:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for server in self.servers:
                group.create_task(server.program.run())
            others = [await proxy.stand_before(server.port) for server in self.servers[1:]]
            for server in self.servers:
                await server.program.there.wait()
            self.make_processes([proxy.port, *others])
            living = [group.create_task(process.run()) for process in self.processes]
            reading = group.create_task(self.read_histories())
            await self.do_harm(proxy)
            await self.come_to_rest(proxy)
            rested = time.monotonic()
            reading.cancel()
            heads = self.store.heads()
            for server in self.servers:
                await server.program.there.wait()  # its clients may have found another one
                self.views.append(await view(server.port, server.pin, heads))
            for process in self.processes:
                process.end()
            await asyncio.wait(living)
            await proxy.hang_up()  # else a server waits for those who are at another one by now
            for server in self.servers:
                server.program.end(signal.SIGTERM)
        return self.outcome(proxy, rested - started, rested - self.last_fault)

    # ---- programs ----

    def make_server(self, number: int) -> Server:
        name = f"server {number}" if number else "server"
        # Not of the seed: two runs of one seed may go on at the same time.
        port, data = free_port(random.Random()), self.directory / name

        def arguments(life: int) -> Sequence[str]:
            at = ["--host", "127.0.0.1", "--port", str(port), "--data", str(data), "--rate", "0"]
            return ["-m", "socketchat", "serve", "--headless", "-v", *at, *self.store.options]

        again = (CANNOT_REACH,) if self.redis else ()
        log = self.directory / f"{name}.log"
        return Server(port, data, Program(name, arguments, log, again=again))

    def make_processes(self, doors: Sequence[int]) -> None:
        """Make the clients' programs, who know the servers by these ports."""
        plan = self.plan
        begin = time.time() + HEAD_START
        servers = [(door, each.pin) for door, each in zip(doors, self.servers, strict=True)]
        numbered = [(history.client, history.room) for history in self.histories]
        for first in range(0, plan.clients, plan.per_process):
            name = f"clients from {first}"

            def arguments(life: int, first: int = first) -> Sequence[str]:
                task = Task(
                    servers,
                    str(self.directory),
                    numbered[first : first + plan.per_process],
                    life,
                    plan.messages // plan.clients,
                    begin,
                    plan.seconds,
                    str(plan.seed),
                )
                return ["-m", "tests.chaos.client", msgspec.json.encode(task).decode()]

            self.processes.append(Program(name, arguments, self.directory / f"{name}.log"))

    # ---- faults ----

    async def do_harm(self, proxy: FaultyProxy) -> None:
        """Do all the harm that is planned, and return when it is done."""
        plan = self.plan

        async def harm_a_link(rng: random.Random, kinds: Sequence[Fault]) -> None:
            await proxy.strike(rng.choice(kinds))

        async def kill_server(rng: random.Random) -> None:
            program = await self.choose_server(rng)
            if rng.random() < 0.5:
                await self.kill(program)
            else:  # while much is waiting to be committed
                await self.slow_commits(rng, lambda: self.kill(program))

        async def kill_clients(rng: random.Random) -> None:
            await self.kill(rng.choice(self.processes))

        planned: list[Harm] = [
            ("server kills", plan.server_kills, kill_server),
            ("client kills", plan.client_kills, kill_clients),
            ("slow commits", plan.slow_commits, self.slow_commits),
            # Each by itself: while servers are away there may be no link to harm.
            *((f"cut {n}", 1, lambda rng: harm_a_link(rng, list(Cut))) for n in range(plan.cuts)),
            *(
                (f"delay {n}", 1, lambda rng: harm_a_link(rng, list(Delay)))
                for n in range(plan.delays)
            ),
        ]
        if self.redis is not None:
            planned += self.harm_to_redis(self.redis)
        begin = asyncio.get_running_loop().time() + HEAD_START
        deadline = HEAD_START + 2 * plan.seconds + DEADLINE
        async with asyncio.timeout(deadline), asyncio.TaskGroup() as group:
            for purpose, count, strike in planned:
                group.create_task(self.at_random_times(begin, count, self.rng(purpose), strike))
        proxy.calm = True
        if self.redis is not None:
            self.redis.proxy.calm = True

    def harm_to_redis(self, redis: RedisStore) -> list[Harm]:
        """Return what is planned for the Redis of several servers."""
        plan = self.plan

        async def kill(rng: random.Random) -> None:
            await redis.kill()

        async def fail_over(rng: random.Random) -> None:
            await redis.fail_over()

        async def harm_a_link(rng: random.Random) -> None:
            fault = rng.choice([*Cut, Delay.STALL])
            await redis.proxy.strike(fault, patience=PATIENCE)

        return [
            ("redis kills", plan.redis_kills, kill),
            ("failovers", plan.failovers, fail_over),
            *((f"redis cut {number}", 1, harm_a_link) for number in range(plan.redis_cuts)),
        ]

    async def at_random_times(
        self,
        begin: float,
        count: int,
        rng: random.Random,
        strike: Callable[[random.Random], Awaitable[None]],
    ) -> None:
        loop = asyncio.get_running_loop()
        for time_of_it in sorted(rng.uniform(0, self.plan.seconds) for _ in range(count)):
            await asyncio.sleep(begin + time_of_it - loop.time())
            await strike(rng)

    async def choose_server(self, rng: random.Random) -> Program:
        """Choose the server that is to be killed.

        Mostly one that is there while another one is: on a busy machine they start slowly, and
        none would ever be.
        """
        programs = [server.program for server in self.servers]
        if len(programs) == 1 or rng.random() < ANY:
            return rng.choice(programs)
        await until(lambda: sum(program.there.is_set() for program in programs) > 1)
        return rng.choice([program for program in programs if program.there.is_set()])

    async def kill(self, program: Program) -> None:
        await program.kill()
        self.last_fault = time.monotonic()

    async def slow_commits(
        self, rng: random.Random, then: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Let nothing be committed for a moment, and do something at the end of it."""
        async with self.store.held():
            await asyncio.sleep(rng.uniform(0, MAX_SLOWNESS))
            if then is not None:
                await then()
            self.last_fault = time.monotonic()

    # ---- rest ----

    async def read_histories(self) -> None:
        """Follow the journals, so that little of them is left to be read in the end."""
        while True:
            for history in self.histories:
                history.read()
            await asyncio.sleep(0.2)

    async def come_to_rest(self, proxy: FaultyProxy) -> None:
        """Wait until all is acknowledged, and everyone has a link and was shown the end of the log.

        Raises:
            TimeoutError: That did not come about.
        """
        try:
            async with asyncio.timeout(DEADLINE):
                while proxy.deceives_anybody or await self.restless():  # noqa: ASYNC110
                    # All bytes pass through this process: it must not be busy with looking.
                    await asyncio.sleep(LOOK)
        except TimeoutError as exc:
            for program in (*(server.program for server in self.servers), *self.processes):
                exc.add_note(program.last_lines())
            for who in (*await self.restless(), *self.violations()):
                exc.add_note(str(who))
            raise
        finally:
            # A stall may have ended after the last kill.
            self.last_fault = max(self.last_fault, proxy.last_fault)
            if self.redis is not None:
                last = max(self.redis.last_fault, self.redis.proxy.last_fault)
                self.last_fault = max(self.last_fault, last)

    async def restless(self) -> list[str]:
        """Say who is not at rest yet, and why; empty if all are."""
        heads = await asyncio.to_thread(self.store.heads)
        return [
            f"client {history.client} {why}"
            for history in self.histories
            if (why := self.why_restless(history, heads))
        ]

    def why_restless(self, history: History, heads: Mapping[str, int]) -> str:
        history.read()
        lives = self.processes[history.client // self.plan.per_process].lives
        if len(history.incarnations) != lives or not history.incarnations[-1].ready:
            return f"is not back in its life {lives}"
        if history.accepted < self.plan.messages // self.plan.clients:
            return f"has still to send: {history.accepted} were accepted"
        now = history.incarnations[-1]
        if now.is_away:
            return "has no link"
        waiting = len(now.accepted) - len(now.acked) - len(now.refused)
        if waiting:
            return f"waits for {waiting} acknowledgements"
        at, head = history.last.number if history.last else 0, heads.get(history.room, 0)
        return "" if at == head else f"was shown {at} of {head}"

    # ---- what has happened ----

    def violations(self) -> list[Violation]:
        """Compare all journals, and what the servers show, with all of the log."""
        return check(self.histories, self.store.logs(), self.views)

    def outcome(self, proxy: FaultyProxy, seconds: float, to_rest: float) -> Outcome:
        lives = [life for history in self.histories for life in history.incarnations]
        programs = [server.program for server in self.servers]
        redis = self.redis
        logs = [self.directory / f"{server.data.name}.log" for server in self.servers]
        return Outcome(
            violations=self.violations(),
            faults=proxy.struck,
            redis_faults=redis.proxy.struck if redis else Counter(),
            server_kills=sum(program.kills for program in programs),
            young_kills=sum(program.young for program in programs),
            redis_kills=redis.kills if redis else 0,
            failovers=redis.failovers if redis else 0,
            client_kills=sum(process.kills for process in self.processes),
            links=sum(life.links for life in lives),
            accepted=sum(history.accepted for history in self.histories),
            logged=sum(self.store.heads().values()),
            shown=sum(len(life.shown) for life in lives),
            leftovers=sum(life.leftovers for life in lives),
            tracebacks=sum(log.read_text(errors="replace").count("Traceback") for log in logs),
            told=sum(len(life.told) for life in lives),
            seconds=seconds,
            to_rest=to_rest,
            integrity=self.store.integrity(),
        )
