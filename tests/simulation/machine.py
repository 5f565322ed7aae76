"""The machine that the server runs on: it starts the server, kills it, and starts it again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, cast

from socketchat import CloseCode, Session
from socketchat.chat.rules import Rules
from socketchat.chat.server import ChatServer
from socketchat.options import OptionArgs
from socketchat.testing import End
from tests.sessions import MemoryServer
from tests.simulation.engine import Disk, SimulatedLog
from tests.simulation.network import Notice, SimulatedNetwork, bury

__all__ = ["Machine"]


class OrderedServer(MemoryServer):
    """A server that goes through its sessions in the same order at every run."""

    @property
    def sessions(self) -> frozenset[Session]:
        return cast("frozenset[Session]", dict.fromkeys(self._sessions.values()).keys())


class Machine:
    """Runs one server process after the other, all on one disk.

    Attributes:
        disk: What survives them.
        resting: Whether the server shall be back at once.
    """

    def __init__(
        self,
        disk: Disk,
        network: SimulatedNetwork,
        rng: random.Random,
        rules: Rules,
        options: OptionArgs,
    ) -> None:
        self.disk = disk
        self.resting = False
        self._network = network
        self._rng = rng
        self._rules = rules
        self._options = options
        self._log: SimulatedLog | None = None
        self._server: OrderedServer | None = None
        #: The process's tasks that are not the server's own.
        self._tasks: set[asyncio.Task[None]] = set()
        #: What is left of processes that were killed.
        self._remains: set[asyncio.Task[Any]] = set()
        self._starting: asyncio.TimerHandle | None = None

    @property
    def up(self) -> bool:
        """Whether there is a server process that takes callers."""
        return self._network.server is not None

    def start(self) -> None:
        """Start a server process."""
        assert self._server is None
        self._starting = None
        self._log = SimulatedLog(self.disk)
        chat = ChatServer(self._log, rules=self._rules)
        self._server = OrderedServer(chat, **self._options)
        self._network.server = self._server
        self._run(self._stop_when_failed(chat))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start_later(self) -> None:
        delay = 0.0 if self.resting else self._rng.random() ** 2 * 6
        self._starting = asyncio.get_running_loop().call_later(delay, self.start)

    async def _stop_when_failed(self, chat: ChatServer) -> None:
        """End the process when its log has failed, as the command does."""
        await chat.open()
        error = await chat.wait_failed()
        self.disk.history.tell(f"the server ends: {error}")
        await self._stop()

    def break_log(self) -> None:
        """Have the log fail, whatever it does just now."""
        if self._log is not None:
            self._log.fail()

    def restart(self) -> None:
        """Have the server say goodbye, and start another."""
        if self.up:
            self.disk.history.tell("the server is restarted")
            self._run(self._stop())

    async def _stop(self) -> None:
        self._network.server = None  # it listens no more
        assert self._server is not None
        await self._server.close(CloseCode.SERVICE_RESTART, "back soon")
        self._server = self._log = None
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._start_later()

    def crash(self) -> None:
        """Kill the server process at whatever it does, and start another a while later."""
        if self._server is None:
            return
        self.disk.history.tell("the server is killed")
        self.kill()
        self._start_later()

    def kill(self) -> None:
        """Kill the server process: nothing that is left of it can have any effect."""
        server, log = self._server, self._log
        if self._starting is not None:
            self._starting.cancel()
        if server is None or log is None:
            return
        log.die()
        self._server = self._log = self._network.server = None
        for link in server._links:
            if not link.far[1].transport.is_closing():
                bury(link, End.FAR, self._rng.choice(list(Notice)))
        for session in server.sessions:
            session.abort()
        remains = {*self._tasks, *server._callers, *server._handlers}
        if server._closing is not None:
            remains.add(server._closing)
        for task in remains:
            task.cancel()
        self._remains |= remains

    async def buried(self) -> None:
        """Wait until nothing is left of what was killed."""
        await asyncio.gather(*self._remains, return_exceptions=True)
