"""Runs what is on a page, in one directory, with a home of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import AsyncExitStack
from pathlib import Path

from tests.documents.pages import Script, Shell
from tests.documents.stand_in import kill_server, stop_server
from tests.processes import DEADLINE, ROOT, Program, environment, run, start

__all__ = ["Running", "comparable"]

#: Runs a program with other default ports.
_RUNNER = """
import runpy, sys
import socketchat
_, port, path = sys.argv
socketchat.connect.__defaults__ = (int(port),)
socketchat.serve.__defaults__ = (None, 0)
sys.argv[:] = [path]
runpy.run_path(path, run_name="__main__")
"""

#: What stands in for programs that readers have, and tests may not.
_PROGRAMS = {
    "socketchat": f'exec "{sys.executable}" -m tests.documents.stand_in "$@"',
    "python": f'exec "{sys.executable}" "$@"',
    "make": 'echo "cc -o kettle kettle.c"; echo "kettle.c:7: warning: it boils" >&2',
}


class Running:
    """What a page has, while it runs in one directory."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self._directory = directory
        self._stack = stack
        stack.push_async_callback(asyncio.to_thread, kill_server, directory)
        self._port = "1"  # where nobody listens
        self._staying: list[tuple[str, Program]] = []
        #: What each program has printed to stdout.
        self.outputs: dict[str, list[str]] = {}

    async def run(self, script: Script) -> None:
        """Run one program, or start one that stays."""
        file = self._directory / script.name
        await asyncio.to_thread(file.write_text, script.text, "utf-8")
        if script.in_room:
            await self._open_room()
        if script.stays:
            program = await self._start(*self._command(script))
            await self._note_port(program, "")
            self._staying.append((script.name, program))
        else:
            status, program = await run(*self._command(script), cwd=self._directory)
            assert (status, complaints_of(program)) == (0, []), f"{script.name}: {program}"
            self.outputs[script.name] = program.stdout

    def _command(self, script: Script) -> tuple[str, ...]:
        if script.name.startswith("test_"):
            return ("-m", "pytest", "-q", "-p", "no:cacheprovider", script.name)
        return ("-c", _RUNNER, self._port, script.name)

    async def _start(self, *args: str) -> Program:
        return await self._stack.enter_async_context(start(*args, cwd=self._directory))

    async def _open_room(self) -> None:
        await asyncio.to_thread(stop_server, self._directory)
        serve = ("-m", "socketchat", "serve", "--headless", "--host", "127.0.0.1", "--port", "0")
        await self._note_port(await self._start(*serve), "^listening on ")

    async def _note_port(self, program: Program, pattern: str) -> None:
        line = (await program.prints(pattern)).string
        if found := re.search(r"port (\d+)", line):
            self._port = found[1]

    async def run_shell(self, shell: Shell) -> None:
        """Have bash run a script."""
        await asyncio.to_thread(self._furnish)
        match shell.before:
            case "the server is stopped":
                await asyncio.to_thread(stop_server, self._directory)
            case "a server runs":
                await self.run_shell(Shell(shell.line, "socketchat serve"))
        programs = self._directory / ".venv" / "bin"
        kept = environment(self._directory)
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", shell.text),
            cwd=self._directory,
            env={
                **kept,
                "PATH": f"{programs}:{kept['PATH']}",
                "PYTHONPATH": f"{ROOT}:{kept.get('PYTHONPATH', '')}",
                "SOCKETCHAT_PAGE": str(self._directory),
                # Nobody is there to be asked, or to interrupt what goes on.
                "SOCKETCHAT_TRUST": "accept-new",
                "SOCKETCHAT_NO_FOLLOW": "1",
            },
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        async with asyncio.timeout(DEADLINE):
            output, errors = (one.decode() for one in await process.communicate())
        if shell.output is None:
            assert process.returncode == 0, f"line {shell.line}: {errors}"
        else:
            where = f"line {shell.line}: {shell.text}{output}{errors}"
            assert comparable(output) == comparable(shell.output), where

    def _furnish(self) -> None:
        programs = self._directory / ".venv" / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        for name, text in _PROGRAMS.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n", "utf-8")
            (programs / name).chmod(0o700)

    async def end(self) -> None:
        """Interrupt what stays."""
        for name, program in reversed(self._staying):
            status = await program.ends_by(signal.SIGINT)
            assert (status, complaints_of(program)) == (0, []), f"{name}: {program}"
            self.outputs[name] = program.stdout
        await asyncio.to_thread(stop_server, self._directory)


def complaints_of(program: Program) -> list[str]:
    """Return what it has said on stderr, but for how long a busy machine took for a step."""
    return [
        line for line in program.stderr if not re.match(r"Executing <.* took \S+ seconds$", line)
    ]


def comparable(lines: str) -> str:
    """Return lines without what differs from one run to the next."""
    differs = r"(?<=SHA256:)[\w+/]+|(?<=port )\d+|(?<=\d:)\d+|\d+\.\d+|\d{4}-\d\d-\d\d \d\d:\d\d"
    return re.sub(differs, "~", lines.rstrip("\n"))
