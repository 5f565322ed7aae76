"""Programs that are started again whenever they were killed, and ended by their process id.

One that ends without having been told to has failed, and so has whoever runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from tests.processes import ROOT, environment

__all__ = ["Ended", "Program"]

#: The lines of a log that are shown of a program that has failed.
SHOWN = 60
#: Seconds until one is started again that has ended by itself, and may.
PAUSE = 0.2


class Ended(Exception):
    """A program has ended in a way that it should not."""


class Program:
    """A Python program that lives as long as it is wanted.

    Args:
        name: What it is called when it fails.
        arguments: What stands behind `python`, from which life it is.
        log: Where its stderr goes, of all its lives.
        again: Exit statuses with which it may end, and after which it is started again.

    Attributes:
        lives: How often it was started.
        kills: How often it was killed.
        young: How often of these it was killed before it said that it was there.
        there: Set while it has said so: by its first line on stdout.
    """

    def __init__(
        self,
        name: str,
        arguments: Callable[[int], Sequence[str]],
        log: Path,
        *,
        again: Container[int] = (),
    ) -> None:
        self.lives = 0
        self.kills = 0
        self.young = 0
        self.there = asyncio.Event()
        self._name = name
        self._arguments = arguments
        self._log = log
        self._again = again
        self._process: Process | None = None
        self._started = asyncio.Event()
        self._killed = False
        self._ending = False

    async def run(self) -> None:
        """Start it, again after each kill, until it has ended as it was told to.

        Cancellation: kills it.

        Raises:
            Ended: It ended by itself, or with an error.
        """
        try:
            while not await self._live():
                pass
        finally:
            self._started.set()  # nobody waits to kill one that will not start again

    async def _live(self) -> bool:
        """Live once; tell whether it was the last time."""
        self.lives += 1
        self._killed = False
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._arguments(self.lives),
                cwd=ROOT,
                env=environment(self._log.parent),
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
            )
        self._process = process
        self._started.set()
        assert process.stdout is not None
        try:
            if await process.stdout.readline():
                self.there.set()
            await process.stdout.read()
            code = await process.wait()
        finally:
            self._started.clear()
            self.there.clear()
            if process.returncode is None:
                process.kill()
                await process.communicate()
        if self._killed and code == -signal.SIGKILL:
            return False
        if self._ending and code == 0:
            return True
        if code in self._again:
            await asyncio.sleep(PAUSE)
            return False
        raise Ended(f"{self._name} has ended with status {code}:\n{self.last_lines()}")

    async def kill(self) -> None:
        """Kill it, once it is started."""
        await self._started.wait()
        assert self._process is not None
        self._started.clear()
        self._killed = True
        self.kills += 1
        self.young += not self.there.is_set()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself: `run` tells
                # Not its own `kill`, which may wait for the end of one that has just ended (since
                # `Popen.send_signal` polls), before asyncio does: it would be told 255.
                os.kill(self._process.pid, signal.SIGKILL)

    def end(self, number: signal.Signals | None = None) -> None:
        """Tell it to end: by a signal, or by the end of its input."""
        self._ending = True
        assert self._process is not None
        if number is not None:
            self._process.send_signal(number)
        else:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def last_lines(self) -> str:
        """Return what it wrote to stderr last."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {self._name}: {line}" for line in lines[-SHOWN:])
