"""The log alone, in the generator's process: how many appends a second it makes.

There are no sessions and no members: authors who each have one draft on its way to the log and hand
over the next once that is committed, all in one room, which one watcher follows, as a room does.
`several.py` asks for it.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

import uvloop

from socketchat.chat.log import Draft, Log
from socketchat.chat.sqlite_log import SQLiteLog
from tests.benchmarks.rooms.processes import cpu_seconds
from tests.benchmarks.rooms.workload import ROOM, Figures, Job, text

WARM_UP = 0.3

_TEXT = text(0).decode()


class _Authors:
    """So many authors, of whom each appends one draft after the other until they are told to end.

    Attributes:
        made: The appends that are committed.
    """

    def __init__(self, log: Log, count: int) -> None:
        self.made = 0
        self._log = log
        self._goes_on = True
        self._loop = asyncio.get_running_loop()
        self._ended = [self._loop.create_future() for _ in range(count)]

    def begin(self) -> None:
        for ended in self._ended:
            self._append(os.urandom(16), 1, ended)

    def _append(self, lane: bytes, number: int, ended: asyncio.Future[None]) -> None:
        # As a member does: by its own callback, and not by a task, which would cost as much again.
        appended = self._log.append(ROOM, lane, [Draft(number, _TEXT, "ada")], after=number - 1)
        appended.add_done_callback(lambda future: self._appended(future, lane, number, ended))

    def _appended(
        self, future: asyncio.Future[int], lane: bytes, number: int, ended: asyncio.Future[None]
    ) -> None:
        if (error := future.exception()) is not None:
            if not ended.done():
                ended.set_exception(error)
            return
        self.made += 1
        if self._goes_on:
            self._append(lane, number + 1, ended)
        else:
            ended.set_result(None)

    async def end(self) -> None:
        """Wait until all have ended."""
        self._goes_on = False
        await asyncio.gather(*self._ended)


def generate(job: Job) -> Figures:
    """Append for some seconds, with each number of authors that is asked for."""
    return uvloop.run(_generate(job))


async def _generate(job: Job) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        log = _log_of(job.options["url"], Path(folder))
        await log.open()
        try:
            log.watch(ROOM, lambda _: None)
            return {"runs": [await _run(log, job, count) for count in job.options["authors"]]}
        finally:
            await log.close()


def _log_of(url: str, folder: Path) -> Log:
    if not url:
        return SQLiteLog(folder)
    from socketchat.chat.redis_log import RedisLog  # noqa: PLC0415 - it takes the extra redis

    return RedisLog(url)


async def _run(log: Log, job: Job, count: int) -> Figures:
    authors = _Authors(log, count)
    authors.begin()
    await asyncio.sleep(WARM_UP)
    made, process, store = authors.made, time.process_time(), _cpu_of_store(job)
    start = time.perf_counter()
    await asyncio.sleep(job.options["seconds"])
    seconds = time.perf_counter() - start
    figures = {
        "authors": count,
        "rate": (authors.made - made) / seconds,
        "busy": (time.process_time() - process) / seconds,
        "store_busy": (_cpu_of_store(job) - store) / seconds,
    }
    await authors.end()
    return figures


def _cpu_of_store(job: Job) -> float:
    return cpu_seconds(job.pid) if job.pid else 0.0
