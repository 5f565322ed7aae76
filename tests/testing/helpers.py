"""What the tests of the test helpers share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from socketchat.testing import End, MemoryLink, VirtualTimeLoop

__all__ = ["Recorder", "now", "run", "transport_of", "turns"]


def run(main: Coroutine[Any, Any, Any], **options: float) -> Any:
    """Run a coroutine on a loop of virtual time, without the supervision of the other tests."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(**options)) as runner:
        return runner.run(main)


def now() -> float:
    """Return the running loop's time."""
    return asyncio.get_running_loop().time()


async def turns(count: int = 10) -> None:
    """Let the loop go round: enough for all that is ready to have happened."""
    for _ in range(count):
        await asyncio.sleep(0)


class Recorder(asyncio.Protocol):
    """Notes what a transport calls; `fault` is raised by what it names."""

    def __init__(self, *, keep_open: bool = False, fault: str = "") -> None:
        self.calls: list[object] = []
        self.keep_open = keep_open
        self.fault = fault

    def note(self, name: str, *details: object) -> None:
        """Note a call, or fail it."""
        self.calls.append((name, *details) if details else name)
        if self.fault == name:
            raise RuntimeError(name)

    def data_received(self, data: bytes) -> None:
        self.note("data_received", data)

    def eof_received(self) -> bool:
        self.note("eof_received")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("connection_lost", type(exc))

    def pause_writing(self) -> None:
        self.note("pause_writing")

    def resume_writing(self) -> None:
        self.note("resume_writing")


def transport_of(link: MemoryLink, end: End, protocol: Recorder) -> asyncio.Transport:
    """Put a protocol of one's own in the place of the streams."""
    writer = {End.NEAR: link.near, End.FAR: link.far}[end][1]
    transport = writer.transport
    assert isinstance(transport, asyncio.Transport)
    transport.set_protocol(protocol)
    assert transport.get_protocol() is protocol
    return transport
