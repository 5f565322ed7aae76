"""One round: a server, a sender and a console, started, measured and ended.

Each has a folder of its own, which is gone afterwards.
"""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.console import workload
from tests.benchmarks.console.recording import Console, Failed
from tests.benchmarks.console.replay import Findings, replay

_ROOT = Path(__file__).parents[3]
_SOCKETCHAT = (sys.executable, "-m", "socketchat")


class _Room:
    """A server that listens, and its room.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, folder: Path, process: "subprocess.Popen[str]") -> None:
        self._folder = folder
        self._environment = _environment(folder)
        assert process.stdout is not None
        listening = process.stdout.readline().split()
        if not listening:
            raise Failed("the server has ended")
        self.port = int(listening[-1])
        assert process.stderr is not None
        self._key = next(line.split()[1] for line in process.stderr if line.startswith("key "))

    @contextmanager
    def sender(self, lines: int) -> Iterator["subprocess.Popen[str]"]:
        """Have somebody in the room who waits to say so many lines."""
        command = (sys.executable, "-m", "tests.benchmarks.console.sender")
        with _process(
            (*command, str(self.port), self._key, str(lines)), _ROOT, self._environment
        ) as process:
            _expect(process, "here")
            yield process

    @contextmanager
    def console(self, *arguments: str) -> Iterator[Console]:
        """Have somebody at a terminal."""
        target = f"{workload.HOST}:{self.port}"
        options = ("--nick", workload.READER, "--data", str(self._folder / "client"))
        command = (*_SOCKETCHAT, "connect", target, *options, "--fingerprint", self._key)
        console = Console((*command, *arguments), self._folder, self._environment)
        try:
            yield console
        finally:
            console.close()


def _environment(folder: Path) -> dict[str, str]:
    apart = ("SOCKETCHAT_", "XDG_", "COLOR", "NO_COLOR", "PROMPT_TOOLKIT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(apart)}
    return {**kept, "HOME": str(folder), "LC_ALL": "C.UTF-8", "SOCKETCHAT_NO_LAN": "1"}


@contextmanager
def _process(
    command: tuple[str, ...], folder: Path, env: dict[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """Run a process at pipes, and end it at exit."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=folder,
        env=env,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _expect(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != word:
        process.kill()
        raise Failed(f"the sender did not say {word!r}: {process.communicate()[1]}")


def _begin(sender: "subprocess.Popen[str]") -> None:
    assert sender.stdin is not None
    sender.stdin.write("\n")
    sender.stdin.flush()


@contextmanager
def _room() -> Iterator[_Room]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        at = ("--host", workload.HOST, "--port", "0", "--data", str(folder / "server"))
        serve = ("serve", "--headless", "--rate", "0", "--name", "bench", *at)
        with _process((*_SOCKETCHAT, *serve), folder, _environment(folder)) as process:
            yield _Room(folder, process)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the collector of this process from being measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def flood(lines: int, seed: int) -> Findings:
    """Have so many lines said while one types at a console."""
    last = workload.mark(lines).encode()
    with _room() as room, room.console() as console, room.sender(lines) as sender:
        console.until(workload.PROMPT.rstrip().encode())
        console.until(b"online")  # the sender, or the link: both are there
        with _undisturbed():
            start = time.perf_counter()
            _begin(sender)
            console.type_until(last, seed)
        _expect(sender, "said")
        console.leave()
        return replay(console.recording, start, lines)


def backlog(lines: int, seed: int) -> Findings:
    """Have a console come into a room in which so many lines were said, and type there."""
    last = workload.mark(lines).encode()
    with _room() as room:
        with room.sender(lines) as sender:
            _begin(sender)
            _expect(sender, "said")
        with _undisturbed():
            start = time.perf_counter()
            with room.console("--history", str(lines)) as console:
                console.until(workload.PROMPT.rstrip().encode())
                console.type_until(last, seed)
                console.leave()
        return replay(console.recording, start, lines)
