"""Runs a server and many clients, does them harm at random times, and waits until they rest.

The server is the real command, `socketchat serve --headless`. All clients call it through a
`FaultyProxy`, which lives in here. When the last fault is over nothing is helped along: the clients
must find out by themselves what is broken.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from socketchat import Identity
from socketchat.chat.history import open_history
from socketchat.chat.sqlite_schema import DATABASE
from tests.chaos.checker import Violation, check
from tests.chaos.client import Task
from tests.chaos.held_log import held
from tests.chaos.journal import History, Shown, parse_text
from tests.chaos.programs import Program
from tests.proxy import Cut, Delay, Fault, FaultyProxy
from tests.sessions import until

__all__ = ["Outcome", "Plan", "run"]

#: Seconds within which all harm is done when it should be, and within which everything must have
#: come to rest then: far above what it takes.
DEADLINE = 60.0
#: Seconds for starting the programs before the first fault.
HEAD_START = 2.0
#: Seconds for which nothing can be committed, at most.
MAX_SLOWNESS = 0.5
#: Below the ports that the system gives to callers: one of those could be taken while the server
#: is away, even by a call to that very port.
PORTS = range(15_000, 30_000)
#: The clients come from many addresses, as they would; all of 127.0.0.0/8 is there on Linux.
SOURCES = [f"127.0.1.{number}" for number in range(1, 200)]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to happen.

    Attributes:
        server_kills: How often the server is killed.
        client_kills: How often a process with clients is killed.
        cuts: How often a link is broken.
        delays: How often a link is stalled or made slow.
        slow_commits: How often nothing can be committed for a moment; and so it is before each
            other kill of the server.
        clients: How many clients there are,
        per_process: and how many of them live in one process.
        rooms: In how many rooms they are, by turns.
        messages: How many messages all of them have accepted in the end.
        seconds: For how long messages and faults are spread.
        seed: What decides when and where.
    """

    server_kills: int = 4
    client_kills: int = 4
    cuts: int = 20
    delays: int = 10
    slow_commits: int = 10
    clients: int = 10
    per_process: int = 2
    rooms: int = 2
    messages: int = 1000
    seconds: float = 8.0
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has happened.

    Attributes:
        violations: Promises that were broken.
        faults: How often each fault has struck a link.
        server_kills: How often the server was killed,
        young_kills: and how often of these before it listened again.
        client_kills: How often a process with clients was killed.
        links: How many links the clients have lost and noticed.
        accepted: Messages that sessions have accepted.
        logged: Messages in the log.
        shown: Messages shown, to all clients.
        leftovers: Messages found in the outboxes of killed clients.
        seconds: How long all of it took, until rest.
        to_rest: Seconds from the last fault until everything accepted was acknowledged and every
            client was shown the end of its room's log.
        integrity: What SQLite says of the log.
    """

    violations: list[Violation]
    faults: Counter[Fault]
    server_kills: int
    young_kills: int
    client_kills: int
    links: int
    accepted: int
    logged: int
    shown: int
    leftovers: int
    seconds: float
    to_rest: float
    integrity: str


async def run(plan: Plan, directory: Path) -> Outcome:
    """Do what is planned, in a directory that is empty.

    Raises:
        Ended: A program has ended by itself, or with an error (`programs.py`).
        TimeoutError: They did not come to rest; its notes say who.
    """
    chaos = Chaos(plan, directory)
    try:
        async with FaultyProxy(chaos.port, chaos.rng("links"), sources=sources()) as proxy:
            return await chaos.run(proxy)
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


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


class Chaos:
    """One run."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.directory = directory
        self.data = directory / "server"
        # Not of the seed: two runs of one seed may go on at the same time.
        self.port = free_port(random.Random())
        self.last_fault = 0.0
        self.holding = asyncio.Lock()  # two holds of one process would not keep each other out
        rooms = [f"room {number % plan.rooms}" for number in range(plan.clients)]
        self.histories = [History(directory, number, room) for number, room in enumerate(rooms)]
        log = directory / "server.log"
        self.server = Program("server", lambda life: self.server_arguments(), log)
        self.processes: list[Program] = []

    def rng(self, purpose: str) -> random.Random:
        """Return numbers that depend on the seed, and not on what others draw."""
        return random.Random(f"{self.plan.seed} {purpose}")

    async def run(self, proxy: FaultyProxy) -> Outcome:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.server.run())
            await self.server.there.wait()
            self.make_processes(proxy.port, Identity.load_or_generate(self.data).fingerprint)
            living = [group.create_task(process.run()) for process in self.processes]
            reading = group.create_task(self.read_histories())
            await self.do_harm(proxy)
            await self.come_to_rest(proxy)
            rested = time.monotonic()
            reading.cancel()
            for process in self.processes:
                process.end()
            await asyncio.wait(living)
            self.server.end(signal.SIGTERM)
        return self.outcome(proxy, rested - started, rested - self.last_fault)

    # ---- programs ----

    def server_arguments(self) -> Sequence[str]:
        at = ["--host", "127.0.0.1", "--port", str(self.port), "--data", str(self.data)]
        return ["-m", "socketchat", "serve", "--headless", *at, "--rate", "0"]

    def make_processes(self, port: int, trust: str) -> None:
        plan = self.plan
        begin = time.time() + HEAD_START
        numbered = [(history.client, history.room) for history in self.histories]
        for first in range(0, plan.clients, plan.per_process):
            name = f"clients from {first}"

            def arguments(life: int, first: int = first) -> Sequence[str]:
                task = Task(
                    port,
                    trust,
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
            if rng.random() < 0.5:
                await self.kill(self.server)
            else:  # while much is waiting to be committed
                await self.slow_commits(rng, lambda: self.kill(self.server))

        async def kill_clients(rng: random.Random) -> None:
            await self.kill(rng.choice(self.processes))

        begin = asyncio.get_running_loop().time() + HEAD_START
        deadline = HEAD_START + plan.seconds + DEADLINE
        async with asyncio.timeout(deadline), asyncio.TaskGroup() as group:
            for purpose, count, strike in (
                ("server kills", plan.server_kills, kill_server),
                ("client kills", plan.client_kills, kill_clients),
                ("cuts", plan.cuts, lambda rng: harm_a_link(rng, list(Cut))),
                ("delays", plan.delays, lambda rng: harm_a_link(rng, list(Delay))),
                ("slow commits", plan.slow_commits, self.slow_commits),
            ):
                group.create_task(self.at_random_times(begin, count, self.rng(purpose), strike))
        proxy.calm = True

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

    async def kill(self, program: Program) -> None:
        await program.kill()
        self.last_fault = time.monotonic()

    async def slow_commits(
        self, rng: random.Random, then: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Let nothing be committed for a moment, and do something at the end of it."""
        async with self.holding, held(self.data / DATABASE):
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
        """Wait until all is acknowledged, and everyone was shown the end of the log.

        Raises:
            TimeoutError: That did not come about.
        """
        try:
            async with asyncio.timeout(DEADLINE):
                await until(lambda: not self.restless())
        except TimeoutError as exc:
            for program in (self.server, *self.processes):
                exc.add_note(program.last_lines())
            for who in (*self.restless(), *self.violations()):
                exc.add_note(str(who))
            raise
        finally:
            # A stall may have ended after the last kill.
            self.last_fault = max(self.last_fault, proxy.last_fault)

    def restless(self) -> list[str]:
        """Say who is not at rest yet, and why; empty if all are."""
        return [
            f"client {history.client} {why}"
            for history in self.histories
            if (why := self.why_restless(history))
        ]

    def why_restless(self, history: History) -> str:
        history.read()
        lives = self.processes[history.client // self.plan.per_process].lives
        if len(history.incarnations) != lives or not history.incarnations[-1].ready:
            return f"is not back in its life {lives}"
        if history.accepted < self.plan.messages // self.plan.clients:
            return f"has still to send: {history.accepted} were accepted"
        now = history.incarnations[-1]
        waiting = len(now.accepted) - len(now.acked) - len(now.refused)
        if waiting:
            return f"waits for {waiting} acknowledgements"
        at, head = history.last.number if history.last else 0, self.heads().get(history.room, 0)
        return "" if at == head else f"was shown {at} of {head}"

    # ---- what is in the log ----

    def heads(self) -> dict[str, int]:
        """Return the number of the last entry of each room."""
        return dict(self.select("SELECT name, head FROM rooms"))

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        uri = f"{(self.data / DATABASE).as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(statement).fetchall()

    def violations(self) -> list[Violation]:
        """Compare all journals with all of the log."""
        logs = {}
        with open_history(self.data) as history:
            for room in history.rooms:
                logs[room] = [
                    Shown(entry.number, entry.at, parse_text(str(entry.body)))
                    for _, entry in history.find(room=room, limit=None).entries
                ]
        return check(self.histories, logs)

    def outcome(self, proxy: FaultyProxy, seconds: float, to_rest: float) -> Outcome:
        lives = [life for history in self.histories for life in history.incarnations]
        return Outcome(
            violations=self.violations(),
            faults=proxy.struck,
            server_kills=self.server.kills,
            young_kills=self.server.young,
            client_kills=sum(process.kills for process in self.processes),
            links=sum(life.links for life in lives),
            accepted=sum(history.accepted for history in self.histories),
            logged=sum(self.heads().values()),
            shown=sum(len(life.shown) for life in lives),
            leftovers=sum(life.leftovers for life in lives),
            seconds=seconds,
            to_rest=to_rest,
            integrity=self.select("PRAGMA integrity_check")[0][0],
        )
