"""The servers that `docs/conformance.md` asks for, as processes."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT, start

__all__ = ["KINDS", "Address", "all_servers", "room"]

#: What `plain.py` serves.
_PLAIN = ("echo", "impatient", "full", "short")
KINDS = (*_PLAIN, "room", "private")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, and by which key it is known; by none without TLS."""

    port: int
    pin: str
    host: str = "127.0.0.1"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read HOST:PORT,PIN."""
        found = re.fullmatch(r"(.*):(\d+),(.*)", text)
        assert found is not None, f"no address: {text!r}"
        return cls(int(found[2]), found[3], found[1])

    def __str__(self) -> str:
        return f"{self.host}:{self.port},{self.pin}"


@asynccontextmanager
async def room(directory: Path, *options: str, data: str = "data") -> AsyncIterator[Address]:
    """Run `socketchat serve --headless`, and stop it by SIGTERM, which must do."""
    at = ("--host", "127.0.0.1", "--port", "0", "--data", data)
    command = ("-m", "socketchat", "serve", "--headless", *at, *options)
    async with start(*command, cwd=directory) as program:
        port = int((await program.prints(r"^listening on 127.0.0.1 port (\d+)"))[1])
        pin = (await program.prints("^key (SHA256:.*)"))[1]
        yield Address(port, pin)
        assert await program.ends_by(signal.SIGTERM) == 0, str(program)
        assert not any("Traceback" in line for line in program.stderr), str(program)


@asynccontextmanager
async def _plain(directory: Path) -> AsyncIterator[dict[str, Address]]:
    command = ("-m", "tests.interop.plain")
    async with start(*command, cwd=directory, PYTHONPATH=str(ROOT)) as program:
        found = {name: await program.prints(f"^{name}=(.*)$") for name in _PLAIN}
        yield {name: Address.parse(line[1]) for name, line in found.items()}
        assert not any("Traceback" in line for line in program.stderr), str(program)


@asynccontextmanager
async def all_servers(directory: Path, operator: str) -> AsyncIterator[dict[str, Address]]:
    """Run one server of each kind.

    Args:
        directory: Where they keep what they keep.
        operator: The fingerprint of the device `operator`.
    """
    options = ("--rate", "0", "--operator", operator)
    async with AsyncExitStack() as stack:
        # Beside each other: most of the time is that of starting.
        plain, served, private = await asyncio.gather(
            stack.enter_async_context(_plain(directory)),
            stack.enter_async_context(room(directory, *options)),
            stack.enter_async_context(room(directory, *options, "--private", data="private")),
        )
        yield {**plain, "room": served, "private": private}
