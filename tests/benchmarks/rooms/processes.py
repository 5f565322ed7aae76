"""Starts a server and the generator that measures it, each on a core of its own, and ends both.

It loads no library that is measured. The servers are ended by their process id when a measurement
is over, fails, takes too long or is interrupted, and by the kernel if this process dies.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.rooms.contestants import Contestant
from tests.benchmarks.rooms.workload import HOST, Figures, Job

READY_TIMEOUT = 20.0
ENDED_TIMEOUT = 10.0


class Failed(Exception):
    """A process ended, or was ended, without doing what it was for."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the server runs, and where the members do; None leaves it to the system."""

    server: int | None
    members: int | None


def default_cores() -> Cores:
    """Return the first and the last usable core: neighbours may be two threads of one."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[-1]) if len(usable) > 1 else Cores(None, None)


class Server:
    """A server's process.

    Attributes:
        port: Where it listens.
        folder: Its settings and data.
    """

    def __init__(self, contestant: Contestant, folder: Path, core: int | None) -> None:
        self.port = _free_port()
        self.folder = folder
        self._contestant = contestant
        self._prefix = _ended_with_us() + (
            ("taskset", "--cpu-list", str(core)) if core is not None else ()
        )
        self.start()

    @property
    def pid(self) -> int:
        """The process that was last started."""
        return self._process.pid

    def start(self) -> None:
        """Start it, again if it has been stopped: on the same port and data.

        Raises:
            Failed: It did not come to listen.
        """
        command = self._contestant.command(self.folder, self.port)
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                (*self._prefix, *command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        limit = time.monotonic() + READY_TIMEOUT
        while not _accepts(self.port):
            if self._process.poll() is not None or time.monotonic() > limit:
                self.stop()
                raise Failed(f"it does not listen: {self.output()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it by SIGTERM; by SIGKILL if it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(ENDED_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def output(self) -> str:
        """Return the end of what it has printed, in one line."""
        return " / ".join((self.folder / "output").read_text(errors="replace").splitlines()[-5:])


def _ended_with_us() -> tuple[str, ...]:
    """Return what to put before a command, so that the kernel ends it when we die."""
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def serving(contestant: Contestant, core: int | None) -> Iterator[Server]:
    """Run a server in a folder of its own, and end it at exit."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(contestant, Path(folder), core)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def generating(job: Job) -> Iterator["subprocess.Popen[str]"]:
    """Run a generator, and end it at exit."""
    process = subprocess.Popen(
        (sys.executable, "-m", "tests.benchmarks.rooms.generator", job.to_json()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def generate(
    task: str,
    contestant: Contestant,
    server: Server,
    core: int | None,
    limit: float,
    **options: Any,
) -> Figures:
    """Run a generator until it has its figures.

    Raises:
        Failed: It has none within `limit` seconds, or says that it failed.
    """
    job = Job(task, contestant.wire, server.port, server.pid, core, options)
    with generating(job) as process:
        return next_figures(process, server, limit)


def next_figures(process: "subprocess.Popen[str]", server: Server | None, limit: float) -> Figures:
    """Return what a generator says next; of a server that is measured, errors tell the output.

    Raises:
        Failed: It says that it failed, or nothing within `limit` seconds.
    """
    assert process.stdout is not None
    # Its stdin has to stay open meanwhile, which `communicate` would not let it.
    timer = threading.Timer(limit, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    output = server.output() if server is not None else ""
    if not line:
        raise Failed(f"no figures, within {limit:.0f} s or at all; server: {output}")
    found: Figures = json.loads(line)
    if "failure" in found:
        raise Failed(f"{found['failure']} {output}".strip())
    return found


def pin(pid: int, core: int | None) -> None:
    """Have a process that runs already stay on a core, with all its threads."""
    if core is not None:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def cpu_seconds(pid: int) -> float:
    """Return the time that a process has worked, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def end_by_signal() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that it ends what it has started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
