"""Rooms written by hand on Python libraries: the programs in `servers`, all on uvloop."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.rooms.contestants import Contestant, Missing


def _describe(library: str) -> Callable[[], str]:
    def describe() -> str:
        try:
            return f"{version(library)}, uvloop {version('uvloop')}"
        except PackageNotFoundError as exc:
            raise Missing(f"{exc.name} is not installed: pip install -e '.[bench]'") from exc

    return describe


def _command(library: str) -> Callable[[Path, int], Sequence[str]]:
    module = f"tests.benchmarks.rooms.servers.{library}"
    return lambda _, port: (sys.executable, "-m", module, str(port))


CONTESTANTS = tuple(
    Contestant(
        name=library, wire="websocket", describe=_describe(library), command=_command(library)
    )
    for library in ("websockets", "aiohttp", "picows")
)
