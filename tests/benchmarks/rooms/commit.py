"""`commit`: how many messages a second socketchat acknowledges, that is, has committed.

Each sender is alone in a room of its own, so that what is measured is not how fast messages are
passed on; all rooms share one log. A sender's own message comes back to it, as it always does.
"""

import argparse
import os
import select
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from socketchat.framing import FrameDecoder
from socketchat.messages import VERSION, Ack, Hello, TextPost, decode_known, encode
from tests.benchmarks.report import markdown
from tests.benchmarks.rooms.contestants import Contestant
from tests.benchmarks.rooms.engines import ENGINES, engine
from tests.benchmarks.rooms.processes import Cores, cpu_seconds, serving
from tests.benchmarks.rooms.processes import generate as measure
from tests.benchmarks.rooms.surroundings import brief, say
from tests.benchmarks.rooms.wires.socketchat import WIRE, greet
from tests.benchmarks.rooms.workload import HOST, Figures, Job, text

WARM_UP = 0.5
LIMIT = 120.0

_TEXT = text(0).decode()


# In the generator


class _Sender:
    """One session, in a room of its own, with so many messages on their way."""

    __slots__ = ("_decoder", "_last", "acknowledged", "connection", "sent")

    def __init__(self, port: int, number: int) -> None:
        self.connection = socket.create_connection((HOST, port), timeout=20)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greet(self.connection, Hello(VERSION, os.urandom(16), f"s{number}", f"room {number}"))
        self.connection.setblocking(False)
        self._decoder = FrameDecoder(2**20)
        self._last = 0
        self.sent = 0
        self.acknowledged = 0

    def fill(self, in_flight: int) -> None:
        """Send until so many are on their way. They are few: the kernel takes them all."""
        if self.sent < (goal := self.acknowledged + in_flight):
            posts = [encode(TextPost(n, _TEXT)) for n in range(self.sent + 1, goal + 1)]
            data = b"".join(posts)
            if self.connection.send(data) != len(data):
                raise ConnectionError("the window is more than the kernel takes")
            self.sent = goal

    def take(self, buffer: bytearray) -> int:
        """Read what came, and return how many more are acknowledged."""
        before = self.acknowledged
        if not (size := self.connection.recv_into(buffer)):
            raise ConnectionError("closed by the server")
        for body in self._decoder.frames(bytes(buffer[:size])):
            message = decode_known(body)
            if isinstance(message, Ack):
                self.acknowledged = message.number
            elif isinstance(message, TextPost):
                self._last = message.number
        if self.acknowledged > self.sent:
            raise ConnectionError(f"{self.acknowledged} are acknowledged, {self.sent} were sent")
        if self._last:
            self.connection.send(encode(Ack(self._last)))
            self._last = 0
        return self.acknowledged - before


def generate(job: Job) -> Figures:
    """Send for some seconds, with each number of messages on their way that is asked for."""
    with ThreadPoolExecutor(WIRE.AT_ONCE) as pool:
        senders = list(
            pool.map(lambda number: _Sender(job.port, number), range(job.options["senders"]))
        )
    runs = []
    for in_flight in job.options["in_flight"]:
        _send(senders, in_flight, WARM_UP)
        cpu, process = cpu_seconds(job.pid), time.process_time()
        start = time.perf_counter()
        acknowledged, took = _send(senders, in_flight, job.options["seconds"])
        seconds = time.perf_counter() - start
        runs.append(
            {
                "in_flight": in_flight,
                "rate": acknowledged / took,
                "server_busy": (cpu_seconds(job.pid) - cpu) / seconds,
                "members_busy": (time.process_time() - process) / seconds,
            }
        )
    for sender in senders:
        sender.connection.close()
    return {"runs": runs}


def _send(senders: Sequence[_Sender], in_flight: int, seconds: float) -> tuple[int, float]:
    """Return how many were acknowledged, and in how many seconds."""
    buffer = bytearray(2**18)
    by_fd = {sender.connection.fileno(): sender for sender in senders}
    total = 0
    with select.epoll() as epoll:
        for fd in by_fd:
            epoll.register(fd, select.EPOLLIN)
        start = last = time.perf_counter()
        for sender in senders:
            sender.fill(in_flight)
        # Those on their way at the end are waited for, and count.
        while any(sender.sent > sender.acknowledged for sender in senders):
            going_on = time.perf_counter() < start + seconds
            events = epoll.poll(20)
            if not events:
                raise ConnectionError("nothing was acknowledged for 20 s")
            for fd, _ in events:
                sender = by_fd[fd]
                if acknowledged := sender.take(buffer):
                    total += acknowledged
                    last = time.perf_counter()
                if going_on:
                    sender.fill(in_flight)
    return total, last - start


# In the command


def run(options: argparse.Namespace, cores: Cores) -> list[str]:
    """Measure with each engine and number of senders, and return the lines of a table."""
    heads = [f"{count} on the way from each, messages/s" for count in options.in_flight]
    rows: list[Sequence[str]] = [("engine", "senders", *heads, "server busy", "members busy")]
    for name in options.engines:
        with engine(name) as one:
            rows += _measure(name, one, options, cores)
    settings = [f"{name}: {ENGINES[name]}." for name in options.engines]
    return [f"socketchat {one.describe()}.", *settings, "", *markdown(rows)]


def _measure(
    name: str, one: Contestant, options: argparse.Namespace, cores: Cores
) -> list[Sequence[str]]:
    """Measure with each number of senders, and return rows of the table."""
    rows: list[Sequence[str]] = []
    for senders in options.senders:
        series = []
        for _ in range(options.rounds):
            with serving(one, cores.server) as server:
                work = {"senders": senders, "seconds": options.seconds}
                figures = measure(
                    "commit", one, server, cores.members, LIMIT, **work, in_flight=options.in_flight
                )
            series.append(figures["runs"])
            said = "".join(f"{run['rate']:>14,.0f}/s" for run in figures["runs"])
            say(f"{name}: {senders} senders {said}")
        columns = list(zip(*series, strict=True))
        rates = [brief([run["rate"] for run in column], "{:,.0f}") for column in columns]
        busy = [
            brief([run[key] for runs in series for run in runs], "{:.0%}")
            for key in ("server_busy", "members_busy")
        ]
        rows.append((name, f"{senders:,}", *rates, *busy))
    return rows
