"""Claims about `socketchat serve` out of file descriptors: it goes on, quietly, and recovers."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.processes import Server, Stage, stage

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="calls from all of 127.0.0.0/8, and reads /proc"
)

#: More than the server has open by itself, and less than the callers take.
FILES = 64
CALLERS = 120


def limit_files() -> None:
    """Let the process that is about to start have few files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


@contextmanager
def silent_callers(port: int) -> Iterator[None]:
    """Call from many addresses, and say nothing."""
    callers: list[socket.socket] = []
    try:
        for number in range(CALLERS):
            callers.append(socket.socket())
            callers[-1].bind((f"127.0.2.{number // 5 + 1}", 0))
            callers[-1].connect(("127.0.0.1", port))
        yield
    finally:
        for caller in callers:
            caller.close()


def open_files(server: Server) -> int:
    """Return how many files the server has open."""
    return sum(1 for _ in Path(f"/proc/{server.popen.pid}/fd").iterdir())


def cpu_seconds(server: Server) -> float:
    """Return for how long the server has worked."""
    stat = Path(f"/proc/{server.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def test_without_file_descriptors_it_serves_its_members_and_later_takes_callers_again(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--no-tls", preexec_fn=limit_files)
        ada = it.join(server.address, "ada", "--json", "--no-tls")
        with silent_callers(server.port):
            it.until(lambda: "cannot accept callers: Too many open files" in server.err)
            before = cpu_seconds(server)
            for number in range(20):
                ada.write(f"line {number}\n")
            it.until(lambda: len(ada.kinds("delivered")) == 20)
            # A loop that is busy would take as much time as there is.
            assert cpu_seconds(server) - before < 1.0
        it.until(lambda: open_files(server) < FILES / 2)
        bob = it.join(server.address, "bob", "--json", "--no-tls", "--data", str(tmp_path / "bob"))
        ada.write("hello\n")
        it.until(lambda: [m["text"] for m in bob.kinds("message")][-1:] == ["hello"])
        check_quiet(it, server)


def check_quiet(it: Stage, server: Server) -> None:
    """Stop a server, and look at what it has said."""
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "Traceback" not in server.err
    complaints = [line for line in server.err.splitlines() if "cannot accept callers" in line]
    assert len(complaints) <= 2
    assert len(server.err.splitlines()) < 20


def test_it_asks_the_system_for_as_many_files_as_its_callers_may_need(tmp_path: Path) -> None:
    def give_few_at_first() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    with stage(tmp_path) as it:
        server = it.serve("--max-callers", "500", preexec_fn=give_few_at_first)
        soft, hard = resource.prlimit(server.popen.pid, resource.RLIMIT_NOFILE)
        assert soft >= min(500, hard)
