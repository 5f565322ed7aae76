"""pyzmq: a DEALER calls a ROUTER, both from `zmq.asyncio`.

ZeroMQ has no TLS. It is encrypted by its own CURVE instead (X25519, XSalsa20 and Poly1305, in
libzmq's thread): the client checks the server's key, and the server takes any client, which is what
the others do with TLS.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import zmq
import zmq.asyncio

from tests.benchmarks.workload import (
    HOST,
    ConfirmedLink,
    Contestant,
    Kind,
    Link,
    Place,
    Ready,
    Work,
    confirmation,
)


class PyZmq:
    """Sockets of `zmq.asyncio` with a high-water mark of their own default."""

    def describe(self) -> str:
        """Return the versions of pyzmq and libzmq, and the encryption."""
        return f"{version('pyzmq')} (libzmq {zmq.zmq_version()}, CURVE for TLS)"

    async def serve(self, work: Work, place: Place, ready: Ready) -> None:
        """Receive with `recv_multipart`, as a ROUTER has to: the caller's address comes first."""
        public, secret = zmq.curve_keypair()
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as socket:
            if place.folder is not None:
                socket.curve_server = True
                socket.curve_secretkey = secret
            port = socket.bind_to_random_port(f"tcp://{HOST}")
            ready(port, public.decode())
            if work.kind is Kind.ROUND_TRIP:
                await self._echo(socket)
            else:
                await self._count(socket, work.confirmations)

    async def _echo(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            caller, body = await socket.recv_multipart()
            text = body.decode()
            await socket.send_multipart([caller, text.encode()])

    async def _count(self, socket: zmq.asyncio.Socket, due: frozenset[int]) -> None:
        received = 0
        while True:
            caller, body = await socket.recv_multipart()
            text = body.decode()
            received += 1
            if received in due:
                await socket.send_multipart([caller, confirmation(received, text).encode()])

    @asynccontextmanager
    async def connect(self, place: Place) -> AsyncIterator[Link]:
        """Send with `send_string`, receive with `recv`."""
        with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as socket:
            if place.folder is not None:
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
                socket.curve_serverkey = place.key.encode()
            socket.connect(f"tcp://{HOST}:{place.port}")

            async def receive() -> str:
                return (await socket.recv()).decode()

            yield ConfirmedLink(socket.send_string, receive)


contestant: Contestant = PyZmq()
