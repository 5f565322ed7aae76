"""socketchat, with its defaults: TLS, acknowledgements, resumption and keepalive are all on.

Its `send` waits by itself when 4096 posts are unacknowledged, and `flush` returns when none is. On
top of that the receiving application says at the end how many texts it has taken out of the
session, and the clock stops only then, as it does for the others.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import socketchat
from tests.benchmarks.workload import (
    HOST,
    Contestant,
    Kind,
    Link,
    Place,
    Ready,
    Work,
    confirmation,
    round_trips,
)


class SocketChat:
    """`serve` and `connect` as the README shows them."""

    def describe(self) -> str:
        """Return the version, if it is installed rather than only on the path."""
        try:
            return version("socketchat")
        except PackageNotFoundError:
            return "(not installed, from its sources)"

    async def serve(self, work: Work, place: Place, ready: Ready) -> None:
        """Receive with ``async for``."""

        async def echo(session: socketchat.Session) -> None:
            async for message in session:
                await session.send(message.text)

        async def count(session: socketchat.Session) -> None:
            ends, received = work.ends, 0
            async for message in session:
                text = message.text
                received += 1
                if received in ends:
                    await session.send(confirmation(received, text))

        handler = echo if work.kind is Kind.ROUND_TRIP else count
        tls = place.folder is not None
        async with socketchat.serve(handler, HOST, 0, tls=tls) as server:
            ready(server.port, server.fingerprint if tls else "")
            await server.serve_forever()

    @asynccontextmanager
    async def connect(self, place: Place) -> AsyncIterator[Link]:
        """Call a server whose key is pinned."""
        if place.folder is None:
            calling = socketchat.connect(HOST, place.port, tls=False)
        else:
            calling = socketchat.connect(HOST, place.port, trust=place.key)
        async with calling as session:
            yield SessionLink(session)


class SessionLink:
    """A link over a session, which acknowledges by itself."""

    def __init__(self, session: socketchat.Session) -> None:
        """Use a session that is open."""
        self._session = session
        self._sent = 0

    async def send_all(self, text: str, count: int) -> None:
        """Send, flush, and hear from the application at the other end."""
        session = self._session
        for _ in range(count):
            await session.send(text)
        await session.flush()
        self._sent += count
        answer = await self._receive()
        if int(answer) != self._sent:
            raise ValueError(f"{answer} texts arrived, {self._sent} were sent")

    async def round_trips(self, text: str, count: int) -> list[int]:
        """Send, receive, and look at the clock."""
        return await round_trips(self._session.send, self._receive, text, count)

    async def _receive(self) -> str:
        return (await self._session.recv()).text


contestant: Contestant = SocketChat()
