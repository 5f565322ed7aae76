"""A machine that a server runs on: it starts the server, kills it, and starts it again."""

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
from tests.simulation.history import History
from tests.simulation.network import Notice, SimulatedNetwork, bury
from tests.simulation.stores import Holding, Store

__all__ = ["Machine"]


class OrderedServer(MemoryServer):
    """A server that goes through its sessions in the same order at every run."""

    @property
    def sessions(self) -> frozenset[Session]:
        return cast("frozenset[Session]", dict.fromkeys(self._sessions.values()).keys())


class Machine:
    """Runs one server process after the other.

    Attributes:
        name: Its name; its servers are found at `host`.
        resting: Whether the server shall be back at once.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        history: History,
        network: SimulatedNetwork,
        rng: random.Random,
        rules: Rules,
        options: OptionArgs,
    ) -> None:
        self.name = name
        self.resting = False
        self._store = store
        self._history = history
        self._network = network
        self._rng = rng
        self._rules = rules
        self._options = options
        self._holding: Holding | None = None
        self._chat: ChatServer | None = None
        self._server: OrderedServer | None = None
        #: The process's tasks that are not the server's own.
        self._tasks: set[asyncio.Task[None]] = set()
        #: What is left of processes that were killed.
        self._remains: set[asyncio.Task[Any]] = set()
        self._dead: list[Holding] = []
        self._starting: asyncio.TimerHandle | None = None

    @property
    def host(self) -> str:
        """The name under which its servers are called."""
        return f"{self.name}.test"

    @property
    def up(self) -> bool:
        """Whether there is a server process that takes callers."""
        return self._address in self._network.at

    @property
    def _address(self) -> str:
        return f"{self.host}:7625"

    def _tell(self, what: str) -> None:
        self._history.tell(f"the server {self.name} {what}")

    def start(self) -> None:
        """Start a server process."""
        assert self._server is None
        self._starting = None
        holding = self._holding = self._store.hold(self.name)
        chat = self._chat = ChatServer(
            holding.log,
            rules=self._rules,
            registry=holding.registry,
            neighbours=holding.neighbours,
        )
        self._server = OrderedServer(chat, **self._options)
        self._run(self._serve(chat, holding, self._server))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start_later(self) -> None:
        delay = 0.1 if self.resting else self._rng.random() ** 2 * 6
        self._starting = asyncio.get_running_loop().call_later(delay, self.start)

    async def _serve(self, chat: ChatServer, holding: Holding, server: OrderedServer) -> None:
        """Take callers until the log has failed, and end the process then, as the command does."""
        try:
            await chat.open()
        except OSError as exc:
            self._tell(f"cannot start: {exc}")
            self._let_go()
            self._start_later()
            return
        self._network.at[self._address] = server
        holding.opened()
        error = await chat.wait_failed()
        self._tell(f"ends: {error}")
        await self._stop()

    def break_log(self) -> None:
        """Have the log fail, whatever it does just now."""
        if self._holding is not None:
            self._holding.fail()

    def restart(self) -> None:
        """Have the server say goodbye, and start another."""
        if self.up:
            self._tell("is restarted")
            self._run(self._stop())

    async def _stop(self) -> None:
        if not self.up:
            return  # it is stopping already
        del self._network.at[self._address]  # it listens no more
        assert self._server is not None
        assert self._holding is not None
        self._holding.closing()
        await self._server.close(CloseCode.SERVICE_RESTART, "back soon")
        self._let_go()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._start_later()

    def _let_go(self) -> None:
        assert self._holding is not None
        self._dead.append(self._holding)
        self._server = self._chat = self._holding = None

    def crash(self) -> None:
        """Kill the server process at whatever it does, and start another a while later."""
        if self._server is None:
            return
        self._tell("is killed")
        self.kill()
        self._start_later()

    def kill(self) -> None:
        """Kill the server process: nothing that is left of it can have any effect."""
        server, chat, holding = self._server, self._chat, self._holding
        if self._starting is not None:
            self._starting.cancel()
        if server is None or chat is None or holding is None:
            return
        holding.die()
        self._let_go()
        self._network.at.pop(self._address, None)
        for link in server._links:
            if not link.far[1].transport.is_closing():
                bury(link, End.FAR, self._rng.choice(list(Notice)))
        for session in server.sessions:
            session.abort()
        remains = {*self._tasks, *server._callers, *server._handlers, *chat._tasks}
        remains |= chat._around.orders.looking
        remains.update(task for task in (server._closing, chat._watching) if task is not None)
        for task in remains:
            task.cancel()
        self._remains |= remains

    async def buried(self) -> None:
        """Wait until nothing is left of what was killed."""
        await asyncio.gather(*self._remains, return_exceptions=True)
        for holding in self._dead:
            await holding.buried()
