"""Programs run as real processes by the tests of the examples and of the documents.

Everything waits for a condition with a deadline, and whatever was started is ended, by its process
id, at the end of its block. The file knows nothing of the library.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

__all__ = ["DEADLINE", "PYTHON", "ROOT", "Program", "environment", "run", "start"]

ROOT = Path(__file__).parent.parent
#: Seconds until something that was waited for has failed: far above what anything takes.
DEADLINE = 60.0
#: Warnings are errors. Not `-X dev`: asyncio's debug mode tells on stderr when a busy machine makes
#: a callback slow.
PYTHON = (sys.executable, "-W", "error")
#: Made absolute, because programs run in other directories.
_PYTHONPATH = os.pathsep.join(
    str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)
)


class Program:
    """A program that was started, and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._news = asyncio.Event()
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self.stdout)),
            asyncio.create_task(self._read(process.stderr, self.stderr)),
        ]

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        while line := await stream.readline():
            lines.append(line.decode().rstrip("\r\n"))
            self._news.set()

    async def prints(self, pattern: str) -> re.Match[str]:
        """Wait for a line, on stdout or stderr, in which `pattern` is found."""
        async with asyncio.timeout(DEADLINE):
            while True:
                self._news.clear()
                for line in (*self.stdout, *self.stderr):
                    if found := re.search(pattern, line):
                        return found
                waiting = asyncio.create_task(self._news.wait())
                await asyncio.wait([waiting, *self._readers], return_when="FIRST_COMPLETED")
                waiting.cancel()
                if all(reader.done() for reader in self._readers) and not self._news.is_set():
                    raise AssertionError(f"ended without printing {pattern!r}: {self}")

    async def ends(self) -> int:
        """Wait until it has ended by itself, and return its exit status."""
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*self._readers)
            return await self.process.wait()

    async def ends_by(self, number: signal.Signals) -> int:
        """Send a signal, wait until it has ended, and return its exit status."""
        self.process.send_signal(number)
        return await self.ends()

    async def kill(self) -> None:
        """End it now, if it still runs."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await asyncio.gather(*self._readers)
        await self.process.wait()

    def __str__(self) -> str:
        return "\n".join(["stdout:", *self.stdout, "stderr:", *self.stderr])


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which programs keep what they keep below `home`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SOCKETCHAT_", "XDG_", "PYTEST_"))
    }
    if "PYTHONPATH" in kept:
        kept["PYTHONPATH"] = _PYTHONPATH
    # Nothing of what tests start is announced, or looked for, on the network around.
    ours = {"HOME": str(home), "USERPROFILE": str(home), "SOCKETCHAT_NO_LAN": "1"}
    return {**kept, **ours, **more}


@asynccontextmanager
async def start(
    *args: str | Path,
    cwd: Path,
    python: Sequence[str] = PYTHON,
    stdin: int = DEVNULL,
    **more: str,
) -> AsyncIterator[Program]:
    """Start a Python program in the directory `cwd`, and kill it at the end of the block.

    Args:
        *args: What stands behind `python`.
        cwd: Where it runs, and has its home.
        python: The interpreter and its options.
        stdin: `PIPE`, to write to the program's stdin.
        **more: Variables of its environment.
    """
    program = Program(
        await asyncio.create_subprocess_exec(
            *python,
            *map(str, args),
            cwd=cwd,
            env=environment(cwd, **more),
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
        )
    )
    try:
        yield program
    finally:
        await program.kill()


async def run(
    *args: str | Path, cwd: Path, python: Sequence[str] = PYTHON, **more: str
) -> tuple[int, Program]:
    """Run a Python program to its end, and return its exit status and what it printed."""
    async with start(*args, cwd=cwd, python=python, stdin=DEVNULL, **more) as program:
        return await program.ends(), program
