"""A connection without manners: it says what it is told to, over TLS or in the clear.

It knows nothing of the library, and reads no more of what the server says than the kinds of its
messages.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from typing import Self

from tests.hostile.packing import frames_of, hello, kind_of, new_lane, number_at, ping

__all__ = ["ACK", "BYE", "GREETING", "PONG", "REFUSED", "WELCOME", "Caller", "HungUp"]

GREETING, WELCOME, REFUSED, TEXT, ACK, PONG, BYE = 1, 3, 4, 5, 7, 10, 12

#: Seconds until something that was waited for has failed: far above what anything takes.
DEADLINE = 60.0


class HungUp(Exception):
    """The server has hung up; it is not said whether with a goodbye."""


def make_context() -> ssl.SSLContext:
    """Return a context that trusts whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_CONTEXT = make_context()


class Caller:
    """One connection to the server.

    Attributes:
        heard: The bodies of all frames so far, in order.
        was_reset: Whether the connection was broken off.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard: list[bytes] = []
        self.was_reset = False
        self._partial = bytearray()

    @classmethod
    async def call(
        cls,
        address: tuple[str, int],
        *,
        tls: bool,
        source: str | None = None,
        receive_buffer: int | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Self:
        """Call the server.

        Args:
            address: Where it is.
            tls: Whether to speak TLS.
            source: The address to call from; None leaves it to the system.
            receive_buffer: How much the system keeps of what is not read, in bytes.
            context: How to speak TLS.

        Raises:
            OSError: It did not answer, or hung up in the middle of TLS.
        """
        connection = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        try:
            connection.setblocking(False)
            if receive_buffer is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source is not None:
                connection.bind((source, 0))
            async with asyncio.timeout(DEADLINE):
                await asyncio.get_running_loop().sock_connect(connection, address)
        except BaseException:
            connection.close()
            raise
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection(
                sock=connection,
                ssl=(context or _CONTEXT) if tls else None,
                server_hostname="" if tls else None,
            )
        return cls(reader, writer)

    # ---- saying ----

    async def say(self, data: bytes) -> None:
        """Send bytes, and wait until the connection takes more.

        Raises:
            HungUp: It takes none.
        """
        try:
            self.writer.write(data)
            async with asyncio.timeout(DEADLINE):
                await self.writer.drain()
        except TimeoutError:
            raise
        except OSError as exc:
            raise HungUp from exc

    async def greet(self, nick: str = "mallory", *, lane: bytes | None = None) -> None:
        """Go through the greeting.

        Raises:
            HungUp: The server did not let it in.
        """
        await self.say(hello(lane or new_lane(), nick))
        await self.expect(WELCOME)

    # ---- hearing ----

    async def expect(self, kind: int, least: int = 0) -> bytes:
        """Return the next message of a kind; of those with a number first, from `least` on.

        Raises:
            HungUp: There will be none.
        """
        while True:
            for body in await self.read():
                if kind_of(body) == kind and number_at(body, 2) >= least:
                    return body

    async def expect_pong(self, place: int = 1) -> None:
        """Ask whether the server is there, and wait until it has heard all that was said.

        Raises:
            HungUp: It is not.
        """
        await self.say(ping(place))
        await self.expect(PONG, place)

    async def read(self) -> list[bytes]:
        """Return the bodies of the frames that come next, if any is whole.

        Raises:
            HungUp: There will be none.
        """
        try:
            async with asyncio.timeout(DEADLINE):
                data = await self.reader.read(2**16)
        except TimeoutError:
            raise
        except OSError as exc:
            self.was_reset = True
            raise HungUp from exc
        if not data:
            raise HungUp
        self._partial += data
        bodies = list(frames_of(self._partial))
        self.heard += bodies
        return bodies

    async def until_hung_up(self) -> list[bytes]:
        """Wait until the server has hung up, and return all that it has said."""
        with suppress(HungUp):
            while True:
                await self.read()
        return self.heard

    # ---- leaving ----

    def stop_reading(self) -> None:
        """Take nothing more from the connection."""
        assert isinstance(self.writer.transport, asyncio.ReadTransport)
        self.writer.transport.pause_reading()

    @property
    def socket(self) -> socket.socket:
        """The socket below, TLS or not."""
        found: socket.socket = self.writer.get_extra_info("socket")
        return found

    def half_close(self) -> None:
        """Say that nothing more comes, below TLS too, and go on listening."""
        with suppress(OSError):
            connection = socket.socket(fileno=socket.dup(self.socket.fileno()))
            with connection:
                connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Hang up with a reset."""
        with suppress(OSError):
            # To linger for no time at all is what makes a kernel send a reset.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Hang up."""
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
