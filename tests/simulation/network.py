"""The links between clients and the server: whose they are, and how they and their ends die."""

from __future__ import annotations

import asyncio
import random
from contextvars import ContextVar
from enum import Enum

import pytest

from socketchat.testing import End, MemoryLink
from socketchat.testing.transport import Mark
from tests.sessions import MemoryNetwork

__all__ = ["CALLER", "Notice", "SimulatedNetwork", "bury"]

#: The links of the client process in whose tasks this is asked.
CALLER: ContextVar[list[MemoryLink]] = ContextVar("CALLER")


class Notice(Enum):
    """How the other end of a link learns that one end is dead."""

    #: A reset, which destroys what was on its way.
    RESET = "reset"
    #: An end of file, behind what was on its way.
    EOF = "eof"
    #: Not at all: what was on its way arrives, and then nothing ever happens: a zombie.
    NEVER = "never"


class SimulatedNetwork(MemoryNetwork):
    """Where clients find the server.

    Attributes:
        slow: Seconds that anything takes to arrive over new links, at the most.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
        super().__init__(monkeypatch)
        self._rng = rng
        self.slow = 0.01
        self.prepare = self._prepare

    def _prepare(self, link: MemoryLink) -> None:
        set_latency(link, self._rng.random() * self.slow)
        CALLER.get().append(link)

    @property
    def live(self) -> list[MemoryLink]:
        """The links of which neither end has lost the other."""
        self.links = [link for link in self.links if not _is_gone(link)]
        return [link for link in self.links if not any(map(_is_lost, ends(link)))]

    def heal(self) -> None:
        """Let everything pass again, without delay."""
        self.slow = 0.01
        for link in self.links:
            set_latency(link, 0.0)
            link.resume()


def ends(link: MemoryLink) -> tuple[asyncio.Transport, asyncio.Transport]:
    """Return the transports of both ends."""
    return link.near[1].transport, link.far[1].transport  # type: ignore[return-value]


def _is_lost(transport: asyncio.Transport) -> bool:
    return transport.is_closing()


def _is_gone(link: MemoryLink) -> bool:
    return all(map(_is_lost, ends(link)))


def set_latency(link: MemoryLink, seconds: float) -> None:
    """Have what is sent from now on arrive so much later."""
    for wire in link._wires.values():
        wire._latency = seconds


def bury(link: MemoryLink, dead: End, notice: Notice) -> None:
    """Let one end of a link die without a word: nothing that it does from now on has any effect.

    What it had sent before is on its way, and arrives, unless the notice is a reset.
    """
    wire, back = link._wires[dead], link._wires[dead.other]
    on_its_way, size = list(wire._queue), wire.size
    link._transports[dead].lose_link(reset=True)
    match notice:
        case Notice.RESET:
            link._transports[dead.other].lose_link(reset=True)
            return
        case Notice.EOF:
            if not any(item is Mark.EOF for _, item in on_its_way):
                on_its_way.append((asyncio.get_running_loop().time(), Mark.EOF))
        case Notice.NEVER:
            back.stalled = True
    wire._queue.extend(on_its_way)
    wire.size = size
    wire.wake()
