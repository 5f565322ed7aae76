"""`history`: a long history, streamed to a new member of a room that asks for all of it."""

import argparse
import asyncio
import os
import socket
import time
from pathlib import Path

from socketchat.chat.log import Draft
from socketchat.chat.sqlite_log import SQLiteLog
from socketchat.framing import FrameDecoder
from socketchat.messages import VERSION, Hello, encode
from tests.benchmarks.report import markdown
from tests.benchmarks.rooms.contestants import contestants
from tests.benchmarks.rooms.processes import Cores, cpu_seconds, serving
from tests.benchmarks.rooms.processes import generate as measure
from tests.benchmarks.rooms.surroundings import brief, say
from tests.benchmarks.rooms.wires.socketchat import WIRE, next_message
from tests.benchmarks.rooms.workload import HOST, MARK, ROOM, Figures, Job, text

LIMIT = 300.0

_AT_ONCE = 10_000


# In the generator


def generate(job: Job) -> Figures:
    """Come in as often as is asked for, and read the history each time."""
    return {"runs": [_read(job, job.options["entries"]) for _ in range(job.options["rounds"])]}


def _read(job: Job, entries: int) -> Figures:
    answer = WIRE.answer()
    assert answer is not None
    buffer, tail, count, size = bytearray(2**20), b"", 0, 0
    cpu, process = cpu_seconds(job.pid), time.process_time()
    start = time.perf_counter()
    with socket.create_connection((HOST, job.port), timeout=20) as connection:
        next_message(connection, FrameDecoder())
        connection.sendall(encode(Hello(VERSION, os.urandom(16), "reader", history=entries)))
        while count < entries:
            if not (got := connection.recv_into(buffer)):
                raise ConnectionError(f"closed after {count} entries")
            marks = buffer.count(MARK, 0, got)
            # A mark may lie across two chunks.
            marks += (tail + buffer[: len(MARK) - 1]).count(MARK, 0, len(tail) + got)
            tail = (tail + buffer[max(0, got - len(MARK) + 1) : got])[1 - len(MARK) :]
            count += marks
            size += got
            if said := answer(buffer, got, marks):
                connection.sendall(said)
        seconds = time.perf_counter() - start
    return {
        "rate": count / seconds,
        "seconds": seconds,
        "bytes": size,
        "server_busy": (cpu_seconds(job.pid) - cpu) / seconds,
        "members_busy": (time.process_time() - process) / seconds,
    }


# In the command


async def _write(folder: Path, entries: int) -> None:
    """Make a log."""
    log = SQLiteLog(folder)
    await log.open()
    try:
        lane = os.urandom(16)
        for first in range(1, entries + 1, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, entries + 1))
            drafts = [Draft(number, text(number).decode(), "ada") for number in numbers]
            await log.append(ROOM, lane, drafts)
    finally:
        await log.close()


def run(options: argparse.Namespace, cores: Cores) -> list[str]:
    """Write a log, serve it, have it read, and return the lines of a table."""
    one = contestants()["socketchat"]
    with serving(one, cores.server) as server:
        server.stop()
        say(f"writing {options.entries:,} entries")
        asyncio.run(_write(server.folder, options.entries))
        server.start()
        work = {"entries": options.entries, "rounds": options.rounds}
        runs = measure("history", one, server, cores.members, LIMIT, **work)["runs"]
    rows = [
        ("entries", "entries/s", "seconds", "MB/s", "server busy", "member busy"),
        (
            f"{options.entries:,}",
            brief([run["rate"] for run in runs], "{:,.0f}"),
            brief([run["seconds"] for run in runs], "{:.2f}"),
            brief([run["bytes"] / run["seconds"] / 1e6 for run in runs], "{:,.0f}"),
            brief([run["server_busy"] for run in runs], "{:.0%}"),
            brief([run["members_busy"] for run in runs], "{:.0%}"),
        ),
    ]
    return [f"socketchat {one.describe()}; a history in SQLite.", "", *markdown(rows)]
