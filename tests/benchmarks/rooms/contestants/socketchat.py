"""socketchat: the command, as anybody would start it but for TLS and the limit on the rate.

Nobody sees a message before it is on disk: SQLite, `synchronous=FULL`, in the folder of the run.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.rooms.contestants import Contestant
from tests.benchmarks.rooms.workload import HOST, ROOM


def _describe() -> str:
    return f"{version('socketchat')}, uvloop {version('uvloop')}"


def command(folder: Path, port: int) -> Sequence[str]:
    """Return what starts the server on a data directory."""
    serve = (sys.executable, "-m", "socketchat", "serve", "--headless", "--no-tls", "--rate", "0")
    at = ("--host", HOST, "--port", str(port), "--max-per-address", "10000")
    return (*serve, *at, "--room", ROOM, "--data", str(folder))


CONTESTANTS = (
    Contestant(
        name="socketchat",
        wire="socketchat",
        describe=_describe,
        command=command,
        keeps="the message, on disk",
    ),
)
