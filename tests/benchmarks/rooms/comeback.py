"""`comeback`: a server is restarted while many sessions are open; when are all of them back?

The sessions are those of the library, `socketchat.connect`, all in the generator's process and in
one room: with the delays, at random, with which they come back of their own accord. Each comes from
an address of its own, as they would from machines of their own: a server lets no more than eight
callers from one address into its greeting at once, and turns away the others.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import uvloop

import socketchat
from socketchat.events import LinkRestored, Message
from tests.benchmarks.report import markdown
from tests.benchmarks.rooms.contestants import contestants
from tests.benchmarks.rooms.processes import Cores, generating, next_figures, serving
from tests.benchmarks.rooms.surroundings import brief, say
from tests.benchmarks.rooms.workload import HOST, ROOM, Figures, Job

LIMIT = 120.0

_BEFORE, _AFTER = "before the restart", "after the restart"
#: So many of them are on their way in at once at first: the kernel queues no more for a listener.
_AT_ONCE = 100


# In the generator


class _Loop(uvloop.Loop):
    """Connects from one address of this machine after the other: all of 127.0.0.0/8 is its own."""

    _addresses = itertools.cycle(
        f"127.{a}.{b}.{c}" for a in range(1, 5) for b in range(4) for c in range(1, 255)
    )

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Connect from the next address."""
        kwargs["local_addr"] = (next(self._addresses), 0)
        return await super().create_connection(*args, **kwargs)


class _Client:
    """One session, and when it had what."""

    def __init__(self, session: socketchat.Session) -> None:
        self.session = session
        self.heard_before = asyncio.Event()
        self.restored_at = 0.0
        self.heard_after_at = 0.0
        self.heard: list[str] = []

    async def listen(self, restored: asyncio.Event, all_heard: asyncio.Event) -> None:
        """Note what happens, until the second message has come."""
        async for event in self.session.events():
            match event:
                case LinkRestored():
                    self.restored_at = time.monotonic()
                    restored.set()
                case Message():
                    self.heard.append(event.text)
                    if event.text == _AFTER:
                        self.heard_after_at = time.monotonic()
                        return
                    self.heard_before.set()
        all_heard.set()


def generate(job: Job) -> Figures:
    """Open the sessions, say that they are there, and see them through a restart."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(_clients(job))


async def _clients(job: Job) -> Figures:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def enter(number: int) -> _Client:
        async with slots:
            session = await socketchat.connect(
                HOST, job.port, nick=f"m{number}", room=ROOM, tls=False
            )
            return _Client(session)

    clients = await asyncio.gather(*map(enter, range(job.options["clients"])))
    restored, ended = asyncio.Event(), asyncio.Event()
    listening = [asyncio.create_task(client.listen(restored, ended)) for client in clients]
    await (await clients[0].session.send(_BEFORE))
    await asyncio.gather(*(client.heard_before.wait() for client in clients))
    print(json.dumps({"ready": True}), flush=True)
    cpu = time.process_time()
    # Said once one of them is back, by that one: then all others that come back shall hear it.
    await restored.wait()
    first = next(client for client in clients if client.restored_at)
    await (await first.session.send(_AFTER))
    await asyncio.gather(*listening)
    figures = {
        "first": first.restored_at,
        "restored": sorted(client.restored_at for client in clients),
        "heard": max(client.heard_after_at for client in clients),
        "wrong": sum(client.heard != [_BEFORE, _AFTER] for client in clients),
        "cpu": time.process_time() - cpu,
    }
    for client in clients:
        client.session.abort()
    return figures


# In the command


def run(options: argparse.Namespace, cores: Cores) -> list[str]:
    """Restart a server under its clients, and return the lines of a table."""
    one = contestants()["socketchat"]
    series: list[Figures] = []
    for number in range(options.rounds):
        with serving(one, cores.server) as server:
            job = Job(
                "comeback",
                one.wire,
                server.port,
                server.pid,
                cores.members,
                {"clients": options.clients},
            )
            with generating(job) as process:
                next_figures(process, server, LIMIT)
                start = time.monotonic()
                server.stop()
                stopped = time.monotonic()
                server.start()
                listening = time.monotonic()
                figures = next_figures(process, server, LIMIT)
        series.append(
            {
                "stopped": stopped - start,
                "listening": listening - start,
                "half": figures["restored"][options.clients // 2] - start,
                "restored": figures["restored"][-1] - start,
                "heard": figures["heard"] - start,
                "wrong": figures["wrong"],
                "busy": figures["cpu"] / (figures["heard"] - start),
            }
        )
        say(f"round {number + 1}/{options.rounds}  {series[-1]['heard']:.2f} s")
    return [
        f"socketchat {one.describe()}. Seconds since SIGTERM.",
        "",
        *markdown(_rows(options, series)),
    ]


def _rows(options: argparse.Namespace, series: Sequence[Figures]) -> list[Sequence[str]]:
    words = {
        "stopped": "the server has ended",
        "listening": "the new one listens",
        "half": "half are back",
        "restored": "all are back",
        "heard": "all have the message said since",
    }
    cells = [brief([one[key] for one in series], "{:.2f}") for key in words]
    wrong = sum(one["wrong"] for one in series)
    busy = brief([one["busy"] for one in series], "{:.0%}")
    return [
        ("clients", *words.values(), "lost or doubled for", "clients' process busy"),
        (f"{options.clients:,}", *cells, f"{wrong} clients", busy),
    ]
