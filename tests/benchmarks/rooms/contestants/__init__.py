"""The servers: what starts each of them, and how it is set up.

`python` holds those that are a Python library and a few lines around it (in `servers`), `debian`
those that are a program of a Debian package, `socketchat` our own. All of them: plain TCP on
127.0.0.1, whatever limits the rate or number of messages and members switched off, otherwise the
defaults. No library that is measured is imported here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Contestant", "Missing", "contestants"]


class Missing(Exception):
    """The server is not installed; the text says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A server.

    Attributes:
        name: Its name in the tables.
        wire: What it speaks, see `wires`.
        describe: Returns its version and what matters of its settings. Raises `Missing`.
        command: Given a folder of its own and a port, writes its settings there and returns what
            starts it in the foreground.
        keeps: What is safe before anybody sees a message.
    """

    name: str
    wire: str
    describe: Callable[[], str]
    command: Callable[[Path, int], Sequence[str]]
    keeps: str = "nothing"


def contestants() -> dict[str, Contestant]:
    """Return all of them by their names, in the order of the tables."""
    from tests.benchmarks.rooms.contestants import debian, python, socketchat  # noqa: PLC0415

    every = (*socketchat.CONTESTANTS, *debian.CONTESTANTS, *python.CONTESTANTS)
    return {one.name: one for one in every}
