"""Runs the programs of the second peer, which are in Node.js."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.processes import DEADLINE

__all__ = ["HERE", "needs_node", "node", "reports", "start_node"]

HERE = Path(__file__).parent
NODE = shutil.which("node")

#: In CI it must be there: see `.ci/run`.
needs_node = pytest.mark.skipif(
    NODE is None and not os.environ.get("SOCKETCHAT_TEST_FAULTS"), reason="there is no node"
)


@asynccontextmanager
async def start_node(*args: str | Path, stdin: int = DEVNULL) -> AsyncIterator[Process]:
    """Start a program, and kill it at the end of the block if it still runs."""
    assert NODE is not None, "node is not here: apt-get install -y nodejs"
    process = await asyncio.create_subprocess_exec(
        NODE, *map(str, args), stdin=stdin, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def node(*args: str | Path) -> list[str]:
    """Run a program, and return the lines that it prints."""
    async with start_node(*args) as process, asyncio.timeout(DEADLINE):
        out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return out.decode().splitlines()


def reports(lines: list[str]) -> tuple[set[tuple[str, str]], list[str]]:
    """Return which vectors or cases were looked at, and what is wrong with them."""
    read = [json.loads(line) for line in lines]
    wrong = [f"{one['file']}: {one['name']}: {one['error']}" for one in read if one["error"]]
    return {(one["file"], one["name"]) for one in read}, wrong
