"""The server that is attacked: a process of ours, or any that runs somewhere."""

from __future__ import annotations

import itertools
import os
import re
import signal
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.chaos.harness import sources
from tests.hostile.caller import Caller
from tests.processes import Program, start

__all__ = ["DEVELOPMENT", "Target", "external", "serving", "target_named"]

#: Names the server that is attacked, as HOST:PORT.
VARIABLE = "SOCKETCHAT_HOSTILE_TARGET"

#: Python as it looks most closely at what it runs.
DEVELOPMENT = (sys.executable, "-X", "dev", "-W", "error")

#: What a server must never say.
_BAD_NEWS = re.compile(
    r"Traceback|never retrieved|internal error|was destroyed|^Exception|Fatal|failed$"
)
_TURNED_AWAY = re.compile(r"turned away (a|\d+) callers?(?: in \d+ s:| from \S+:) ([a-z A-Z]+)")


class Target:
    """A server, and how to call it.

    Attributes:
        address: Where it listens.
        tls: Whether it speaks TLS.
        trust: What a client has to trust, as `good.py` takes it.
        program: Its process, if it is ours.
    """

    def __init__(
        self, address: tuple[str, int], *, tls: bool, trust: str, program: Program | None
    ) -> None:
        self.address = address
        self.tls = tls
        self.trust = trust
        self.program = program
        loopback = address[0].startswith("127.")
        # The good member calls from 127.0.0.1: the limits on others are none on it.
        self._sources = itertools.cycle(sources() if loopback else ()) if sources() else None
        self._own_sources = loopback and self._sources is not None
        self._lines_read = 0

    @property
    def source(self) -> str | None:
        """The address from which the next caller calls; None if there is only one."""
        return next(self._sources) if self._own_sources and self._sources else None

    async def call(self, *, tls: bool | None = None, **arguments: Any) -> Caller:
        """Call the server, each time from another address.

        Raises:
            OSError: It hung up at once.
        """
        speak = self.tls if tls is None else tls
        return await Caller.call(self.address, tls=speak, source=self.source, **arguments)

    # ---- our own process ----

    @property
    def rss(self) -> int:
        """The memory that the server holds, in bytes; 0 if that is not known."""
        if self.program is None:
            return 0
        with suppress(FileNotFoundError, ProcessLookupError):
            statm = Path(f"/proc/{self.program.process.pid}/statm").read_text()
            return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0

    @property
    def alive(self) -> bool:
        """Whether the process is the one that was started, as far as that is known."""
        return self.program is None or self.program.process.returncode is None

    def news(self) -> tuple[list[str], Counter[str]]:
        """Return what is bad in what was said since the last call, and who was turned away."""
        bad: list[str] = []
        turned_away: Counter[str] = Counter()
        if self.program is not None:
            lines = self.program.stderr[self._lines_read :]
            self._lines_read += len(lines)
            bad = [line for line in lines if _BAD_NEWS.search(line)]
            for line in lines:
                if found := _TURNED_AWAY.search(line):
                    count = 1 if found[1] == "a" else int(found[1])
                    turned_away[found[2].strip()] += count
        return bad, turned_away


@asynccontextmanager
async def serving(
    directory: Path, *options: str, tls: bool = True, python: Sequence[str] = DEVELOPMENT
) -> AsyncIterator[Target]:
    """Start a server, and stop it at the end of the block: by SIGTERM, which must do."""
    options = options if tls else (*options, "--no-tls")
    at = ("--host", "127.0.0.1", "--port", "0", "--data", "data")
    command = ("-m", "socketchat", "serve", "--headless", "-v", *at, *options)
    async with start(*command, cwd=directory, python=python) as program:
        port = int((await program.prints(r"^listening on 127.0.0.1 port (\d+)"))[1])
        trust = (await program.prints("^key (SHA256:.*)"))[1] if tls else "no-tls"
        yield Target(("127.0.0.1", port), tls=tls, trust=trust, program=program)
        if program.process.returncode is None:
            program.process.send_signal(signal.SIGTERM)
        status = await program.ends()
        assert status == 0, f"the server ended with status {status}\n{program}"


def target_named() -> tuple[str, int] | None:
    """Return where the server is that the environment names, if it names one."""
    named = os.environ.get(VARIABLE, "")
    host, _, port = named.rpartition(":")
    return (host.strip("[]"), int(port)) if named else None


async def external(address: tuple[str, int]) -> Target:
    """Return a server that runs somewhere; one call finds out whether it speaks TLS."""
    tls = True
    try:
        await (await Caller.call(address, tls=True)).close()
    except ssl.SSLError:
        tls = False
    except OSError as exc:
        raise OSError(f"there is no server at {address}: {exc}") from exc
    return Target(address, tls=tls, trust="accept-new" if tls else "no-tls", program=None)
