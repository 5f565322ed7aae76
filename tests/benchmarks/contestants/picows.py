"""picows: its core interface, which calls a listener's method for each frame, without coroutines.

It has its own transports (aiofastnet), which it puts on any event loop.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_connect,
    ws_create_server,
)

from tests.benchmarks import certificate
from tests.benchmarks.workload import (
    HOST,
    TEXT,
    WINDOW,
    Contestant,
    Kind,
    Link,
    Place,
    Ready,
    Work,
    confirmation,
)

# Looked up once: an attribute of an Enum class is slow, and it is needed for every frame.
TEXT_FRAME = WSMsgType.TEXT


class PicoWs:
    """`ws_create_server` and `ws_connect` as their documentation shows them."""

    def describe(self) -> str:
        """Return the versions of picows and its transports."""
        return f"{version('picows')} (aiofastnet {version('aiofastnet')})"

    async def serve(self, work: Work, place: Place, ready: Ready) -> None:
        """Receive in `on_ws_frame`."""

        def listener(_: WSUpgradeRequest) -> WSListener:
            return Echo() if work.kind is Kind.ROUND_TRIP else Count(work.confirmations)

        context = certificate.server_context(place.folder)
        server = await ws_create_server(listener, HOST, 0, ssl=context)
        ready(server.sockets[0].getsockname()[1], "")
        await server.serve_forever()

    @asynccontextmanager
    async def connect(self, place: Place) -> AsyncIterator[Link]:
        """Send with `WSTransport.send`, receive in `on_ws_frame`."""
        context = certificate.client_context(place.folder)
        scheme = "ws" if context is None else "wss"
        url = f"{scheme}://{HOST}:{place.port}/"
        transport, listener = await ws_connect(Caller, url, ssl_context=context)
        assert isinstance(listener, Caller)
        try:
            yield listener
        finally:
            transport.disconnect()


class Echo(WSListener):
    """Sends every text back."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one text."""
        if frame.msg_type is TEXT_FRAME:
            text = frame.get_payload_as_utf8_text()
            transport.send(TEXT_FRAME, text.encode())


class Count(WSListener):
    """Counts texts and confirms them."""

    def __init__(self, due: frozenset[int]) -> None:
        """Confirm after each number of texts that is in `due`."""
        super().__init__()
        self._due = due
        self._received = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one text."""
        if frame.msg_type is TEXT_FRAME:
            text = frame.get_payload_as_utf8_text()
            self._received += 1
            if self._received in self._due:
                transport.send(TEXT_FRAME, confirmation(self._received, text).encode())

    def pause_writing(self) -> None:
        """Go on: what is sent here is bounded by the caller's window."""

    def resume_writing(self) -> None:
        """Go on."""


class Caller(WSListener):
    """A `Link` whose round trips never leave the listener's methods: the fastest way."""

    def __init__(self) -> None:
        """Wait for the connection."""
        super().__init__()
        self._sent = 0
        self._confirmed = 0
        self._moved = asyncio.Event()
        self._took: list[int] = []
        self._trips = 0
        self._start = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Wake whoever waits."""
        self._moved.set()

    def pause_writing(self) -> None:
        """Go on: no more than WINDOW texts are ever buffered."""

    def resume_writing(self) -> None:
        """Go on."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take an echo while there are round trips to do, else a confirmation."""
        if frame.msg_type is not TEXT_FRAME:
            return
        text = frame.get_payload_as_utf8_text()
        if self._trips == 0:
            self._confirmed = int(text)
            self._moved.set()
            return
        now = time.perf_counter_ns()
        self._took.append(now - self._start)
        if text != TEXT:
            raise ValueError(f"the echo of {TEXT!r} is {text!r}")
        if len(self._took) < self._trips:
            self._start = time.perf_counter_ns()
            transport.send(TEXT_FRAME, text.encode())
        else:
            self._moved.set()

    async def send_all(self, text: str, count: int) -> None:
        """Send with at most WINDOW texts unconfirmed."""
        transport = self._transport
        for _ in range(count):
            if self._sent - self._confirmed >= WINDOW:
                await self._wait()
            transport.send(TEXT_FRAME, text.encode())
            self._sent += 1
        while self._confirmed < self._sent:
            await self._wait()

    async def round_trips(self, text: str, count: int) -> list[int]:
        """Send the first text; `on_ws_frame` does the rest."""
        self._took, self._trips = [], count
        self._start = time.perf_counter_ns()
        self._transport.send(TEXT_FRAME, text.encode())
        await self._wait()
        self._trips = 0
        return self._took

    async def _wait(self) -> None:
        if not self._transport.is_disconnected:
            self._moved.clear()
            await self._moved.wait()
        if self._transport.is_disconnected:
            raise ConnectionResetError("the server is gone")


contestant: Contestant = PicoWs()
