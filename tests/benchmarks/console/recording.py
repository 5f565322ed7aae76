"""A console on a pseudo-terminal, typed at while it works, and what it has written, with the times.

Nothing is made of it meanwhile but a search for a few bytes: whoever reads late measures himself.
`replay.py` finds out afterwards what stood on the screen when.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.console import workload

#: Seconds until something that was waited for has failed.
DEADLINE = 120.0
_CHUNK = 65_536


class Failed(Exception):
    """A process did not do what it was for."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, when it was pressed, and what has to stand behind the prompt then."""

    at: float
    typed: str


@dataclass(slots=True)
class Recording:
    """All that a terminal was written.

    Attributes:
        data: The bytes.
        ends: For each read, where in the bytes it ended.
        times: For each read, when it was done.
        keys: What was typed.
    """

    data: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)

    def add(self, at: float, chunk: bytes) -> None:
        """Take what was read."""
        self.data += chunk
        self.ends.append(len(self.data))
        self.times.append(at)


class Console:
    """A process at a terminal of its own.

    Attributes:
        recording: What it has written.
    """

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self.recording = Recording()
        self._master, slave = pty.openpty()
        size = struct.pack("HHHH", workload.ROWS, workload.COLUMNS, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=folder,
            env={**env, "TERM": "xterm-256color"},
        )
        os.close(slave)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def until(self, text: bytes, start: int = 0) -> int:
        """Read until it has written a text, from some place on, and return where that ends."""
        limit = time.perf_counter() + DEADLINE
        while (place := self.recording.data.find(text, start)) < 0:
            self._read(limit)
        return place + len(text)

    def type_until(self, text: bytes, seed: int) -> None:
        """Type until it has written a text, and read on until all that was typed has its echo."""
        data, keys = self.recording.data, self.recording.keys
        limit = time.perf_counter() + DEADLINE
        looked_at = max(len(data) - len(text), 0)
        for pause, key, typed in workload.keys(seed):
            due = time.perf_counter() + pause
            while (left := due - time.perf_counter()) > 0:
                self._read(limit, left)
            if data.find(text, looked_at) >= 0:
                break
            looked_at = max(len(data) - len(text), 0)
            keys.append(Key(time.perf_counter(), typed))
            os.write(self._master, key)
        before = len(data)
        os.write(self._master, workload.LAST_KEY)
        self.until(b"\x1b[?2026l", self.until(workload.LAST_KEY, before))

    def leave(self) -> None:
        """Have it end, by the keys with which people do."""
        os.write(self._master, b"\x03\x04")
        limit = time.perf_counter() + DEADLINE
        while self._process.poll() is None:
            self._read(limit, 0.05)
        if self._process.returncode:
            raise Failed(f"the console ended with {self._process.returncode}")

    def _read(self, limit: float, patience: float = 1.0) -> None:
        """Read once, if there is something within so many seconds."""
        if time.perf_counter() > limit:
            raise Failed(f"the console says no more: {bytes(self.recording.data[-500:])!r}")
        if not select.select([self._master], [], [], patience)[0]:
            return
        try:
            chunk = os.read(self._master, _CHUNK)
        except OSError:  # it has ended, and with it its side of the terminal
            chunk = b""
        if chunk:
            self.recording.add(time.perf_counter(), chunk)
        elif self._process.wait() != 0:
            raise Failed(f"the console has ended: {bytes(self.recording.data[-500:])!r}")
