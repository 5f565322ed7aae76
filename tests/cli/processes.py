"""The command as processes of its own, at pipes and at pseudo-terminals.

A `Stage` starts them, reads all of them while a test waits for a claim about one (`until`), and
ends them when the test is over. Nothing is waited for by time; what never comes true fails after
`DEADLINE` seconds, with all that the processes have said.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyte
import pytest

from socketchat.cli.main import main

__all__ = ["Piped", "Server", "Stage", "Terminal", "join_helpers", "last_line", "stage", "status"]

DEADLINE = 60.0

_ROOT = Path(__file__).parents[2]
# Opening a terminal makes it the one that controls this process, as a shell would have done.
_TAKE_TERMINAL = "import os; os.close(os.open(os.ttyname(0), os.O_RDWR));"
_ON_TERMINAL = f"{_TAKE_TERMINAL} from socketchat.cli.main import main; main()"
_OTHER_ON_TERMINAL = f"{_TAKE_TERMINAL} import sys; os.execvp(sys.argv[1], sys.argv[1:])"


class Process:
    """What processes at pipes and at terminals have in common."""

    def __init__(self, stage: Stage, popen: subprocess.Popen[bytes]) -> None:
        self.stage = stage
        self.popen = popen
        self.to_write = b""
        self.ending_input = False

    def write(self, text: str | bytes) -> None:
        """Have something typed, or piped into it."""
        self.to_write += text.encode() if isinstance(text, str) else text

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def until(self, holds: Callable[[], object]) -> None:
        self.stage.until(holds)

    def wait(self) -> int:
        """Wait until it has ended, and return its exit status."""
        self.until(lambda: self.popen.poll() is not None and not self.readable())
        return self.popen.returncode

    def readable(self) -> list[int]:
        raise NotImplementedError

    def writable(self) -> int | None:
        raise NotImplementedError

    def take(self, descriptor: int, data: bytes) -> None:
        raise NotImplementedError

    def end_input(self) -> None:
        """Close its input, once all is written."""
        self.ending_input = True

    def close_input(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """End it, if it has not ended."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    @property
    def said(self) -> str:
        """All that it has said, for people to read."""
        raise NotImplementedError


class Piped(Process):
    """A process whose input and outputs are pipes, as far as nothing else was given."""

    def __init__(self, stage: Stage, popen: subprocess.Popen[bytes]) -> None:
        super().__init__(stage, popen)
        self.read: dict[int, bytearray] = {}
        self._out = self._start_reading(popen.stdout)
        self._err = self._start_reading(popen.stderr)
        self._open = set(self.read)
        if popen.stdin is not None:
            os.set_blocking(popen.stdin.fileno(), False)

    def _start_reading(self, pipe: IO[bytes] | None) -> bytearray:
        data = bytearray()
        if pipe is not None:
            self.read[pipe.fileno()] = data
        return data

    @property
    def out(self) -> str:
        return self._out.decode()

    @property
    def err(self) -> str:
        return self._err.decode()

    @property
    def lines(self) -> list[str]:
        """The whole lines of stdout."""
        return self.out.split("\n")[:-1]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines of stdout, as JSON; every one must be an object."""
        objects = [json.loads(line) for line in self.lines]
        assert all(type(value) is dict for value in objects)
        return objects

    def kinds(self, *kinds: str) -> list[dict[str, Any]]:
        """The objects of stdout that are of these types."""
        return [value for value in self.objects if value["type"] in kinds]

    @property
    def said(self) -> str:
        return f"stdout:\n{self._out[-2000:]!r}\nstderr:\n{self._err.decode(errors='replace')}"

    def readable(self) -> list[int]:
        return sorted(self._open)

    def writable(self) -> int | None:
        return self.popen.stdin.fileno() if self.popen.stdin is not None else None

    def take(self, descriptor: int, data: bytes) -> None:
        if data:
            self.read[descriptor] += data
        else:
            self._open.discard(descriptor)

    def close_input(self) -> None:
        if self.popen.stdin is not None:
            self.popen.stdin.close()
            self.popen.stdin = None

    def close_output(self) -> None:
        """Read its stdout no more, as `head` does when it has enough."""
        assert self.popen.stdout is not None
        self._open.discard(self.popen.stdout.fileno())
        self.popen.stdout.close()
        self.popen.stdout = None

    def stop_reading(self) -> None:
        """Let its stdout fill up."""
        assert self.popen.stdout is not None
        self._open.discard(self.popen.stdout.fileno())

    def close(self) -> None:
        super().close()
        self.close_input()
        for pipe in (self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()


class Server(Piped):
    """A server, once it listens."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(self.lines[0].split()[-1])

    @property
    def key(self) -> str:
        (key,) = (line.split()[1] for line in self.err.splitlines() if line.startswith("key "))
        return key


class Terminal(Process):
    """A process at a terminal of its own."""

    def __init__(
        self,
        stage: Stage,
        popen: subprocess.Popen[bytes],
        master: int,
        slave: int,
        size: tuple[int, int],
    ) -> None:
        super().__init__(stage, popen)
        columns, rows = size
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self._master: int | None = master
        self._slave = slave
        self.read = bytearray()

    def readable(self) -> list[int]:
        """Tell what to read; once the process has ended, only what is there already."""
        if self._master is None:
            return []
        if self.popen.poll() is not None and not select.select([self._master], [], [], 0)[0]:
            return []
        return [self._master]

    def writable(self) -> int | None:
        return self._master

    def take(self, descriptor: int, data: bytes) -> None:
        self.read += data
        self._stream.feed(data)

    @property
    def rows(self) -> list[str]:
        """What is visible."""
        return [row.rstrip() for row in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.rows).rstrip("\n")

    @property
    def everything(self) -> list[str]:
        """What is visible, and what has scrolled away before it."""
        top = [
            "".join(row[column].data for column in range(self.screen.columns)).rstrip()
            for row in self.screen.history.top
        ]
        return top + self.text.split("\n")

    def shows(self, *texts: str) -> None:
        """Wait until each of these is to be seen, scrolled away or not."""
        self.until(lambda: all(text in "\n".join(self.everything) for text in texts))

    @property
    def settings(self) -> list[Any]:
        """How the terminal is set: echo, line by line, ..."""
        return termios.tcgetattr(self._slave)

    @property
    def blocking(self) -> bool:
        """Whether who reads from it waits for what is typed, as a shell must."""
        return os.get_blocking(self._slave)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        _set_size(self._slave, columns, rows)
        self.signal(signal.SIGWINCH)

    def hang_up(self) -> None:
        """Take the terminal away."""
        assert self._master is not None
        os.close(self._slave)
        os.close(self._master)
        self._master = None

    def close(self) -> None:
        super().close()
        if self._master is not None:
            self.hang_up()

    @property
    def said(self) -> str:
        return "\n".join(self.everything)


class Stage:
    """What a test has started, and where it keeps its files.

    Attributes:
        folder: Home of all processes; a client's files are in `client`, and a server's in `server`,
            if nothing else is said: no two may have the same at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SOCKETCHAT_", "XDG_", "COLOR", "NO_COLOR", "PROMPT_TOOLKIT"))
        }
        self.environment = kept | {
            "HOME": str(folder),
            # Nobody is there to answer; those who claim something of the question say otherwise.
            "SOCKETCHAT_TRUST": "accept-new",
            # Tests keep to this machine; those of the network around speak on loopback alone.
            "SOCKETCHAT_NO_LAN": "1",
            "PYTHONPATH": str(_ROOT / "src"),
            "PYTHONWARNINGS": "error",
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }

    # ---- starting ----

    def start(
        self,
        *arguments: str | bytes,
        stdin: int | IO[Any] = subprocess.PIPE,
        stdout: int | IO[Any] = subprocess.PIPE,
        env: dict[str, str] | None = None,
        kind: type[Piped] = Piped,
        **settings: Any,
    ) -> Piped:
        """Start `socketchat` with these arguments, at pipes."""
        popen = subprocess.Popen(
            [sys.executable, "-m", "socketchat", *arguments],
            bufsize=0,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=self.environment | (env or {}),
            cwd=self.folder,
            **settings,
        )
        process = kind(self, popen)
        self.processes.append(process)
        return process

    def serve(
        self,
        *options: str | bytes,
        port: int = 0,
        data: str = "server",
        env: dict[str, str] | None = None,
        **settings: Any,
    ) -> Server:
        """Start a server on this machine, and wait until it listens."""
        at = ["--host", "127.0.0.1", "--port", str(port), "--data", str(self.folder / data)]
        server = self.start("serve", "--headless", *at, *options, kind=Server, env=env, **settings)
        assert isinstance(server, Server)
        self.until(lambda: server.lines and "waiting for callers" in server.err)
        return server

    def call(
        self, target: str, *options: str, stdin: int | IO[Any] = subprocess.PIPE, **settings: Any
    ) -> Piped:
        """Start a client at pipes."""
        data = ["--data", str(self.folder / "client")]
        return self.start("connect", target, *data, *options, stdin=stdin, **settings)

    def join(self, target: str, nick: str, *options: str, **settings: Any) -> Piped:
        """Start a client at pipes, and wait until it is connected."""
        client = self.call(target, "--nick", nick, *options, **settings)
        self.until(lambda: "connected to" in client.err)
        return client

    def open_terminal(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        env: dict[str, str] | None = None,
        program: str = "",
    ) -> Terminal:
        """Start `socketchat`, or another program, with these arguments, at its own terminal."""
        master, slave = pty.openpty()
        _set_size(slave, columns, rows)
        os.set_blocking(master, False)
        popen = subprocess.Popen(
            [
                *(sys.executable, "-c"),
                *((_OTHER_ON_TERMINAL, program) if program else (_ON_TERMINAL,)),
                *arguments,
            ],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=self.environment | (env or {}),
            cwd=self.folder,
        )
        terminal = Terminal(self, popen, master, slave, (columns, rows))
        self.processes.append(terminal)
        return terminal

    # ---- waiting ----

    def until(self, holds: Callable[[], object]) -> None:
        """Let the processes speak until a claim holds."""
        deadline = time.monotonic() + DEADLINE
        while not holds():
            if time.monotonic() > deadline:
                said = [f"--- {one.popen.args!r}\n{one.said}" for one in self.processes]
                pytest.fail("never came:\n" + "\n".join(said))
            self._pump()

    def _pump(self) -> None:
        sources = {fd: process for process in self.processes for fd in process.readable()}
        sinks = {
            fd: process
            for process in self.processes
            if (process.to_write or process.ending_input) and (fd := process.writable()) is not None
        }
        readable, writable, _ = select.select(list(sources), list(sinks), [], 0.02)
        for descriptor in readable:
            try:
                data = os.read(descriptor, 2**18)
            except BlockingIOError:
                continue
            sources[descriptor].take(descriptor, data)
        for descriptor in writable:
            process = sinks[descriptor]
            try:
                written = os.write(descriptor, process.to_write) if process.to_write else 0
            except BlockingIOError:
                continue
            except BrokenPipeError:
                written = len(process.to_write)
            process.to_write = process.to_write[written:]
            if process.ending_input and not process.to_write:
                process.close_input()

    def close(self) -> None:
        for process in self.processes:
            process.close()


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Give a test its processes, and end them."""
    it = Stage(folder)
    try:
        yield it
    finally:
        it.close()


def join_helpers() -> None:
    """Wait for the threads that read stdin and write stdout, the other ends of which are closed.

    One that is late would take what the next test has to say, when that gets the same descriptor.
    """
    for thread in threading.enumerate():
        if thread.name in ("stdin", "stdout"):
            thread.join(DEADLINE)
            assert not thread.is_alive(), thread


def last_line(process: Piped) -> str:
    """Return the error of a process: its last line on stderr, and the only one."""
    lines = process.err.splitlines()
    errors = [line for line in lines if line.startswith("socketchat: ")]
    assert errors == lines[-1:], process.err
    assert all(line.startswith(("calling", "connected", "its key", "-- ")) for line in lines[:-1])
    return errors[0]


def _set_size(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def status(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run the command within this process, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["socketchat", *arguments])
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        with Path(os.devnull).open() as nothing:
            monkeypatch.setattr(sys, "stdin", nothing)
            with pytest.raises(SystemExit) as caught:
                main()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return caught.value.code
