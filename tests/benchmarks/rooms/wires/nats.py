"""NATS: CONNECT, SUB, PUB, as text. The members ask for no +OK, as client libraries do."""

import socket

from tests.benchmarks.rooms.wires import Answer, Wire, read_until
from tests.benchmarks.rooms.workload import ROOM


class Nats:
    """The room is a subject."""

    # An unasked PONG is as good as an answer.
    ALIVE = b"PONG\r\n"
    AT_ONCE = 8

    def join(self, connection: socket.socket, name: str) -> None:
        """Subscribe; the answer to a PING shows that it is done."""
        read_until(connection, b"INFO ")
        connection.sendall(
            b'CONNECT {"verbose":false,"pedantic":false,"name":"%b"}\r\n'
            b"SUB %b 1\r\nPING\r\n" % (name.encode(), ROOM.encode())
        )
        heard = read_until(connection, b"PONG\r\n", b"-ERR")
        if b"-ERR" in heard:
            raise ConnectionError(repr(heard[-200:]))

    def say(self, number: int, text: bytes) -> bytes:
        """Return a PUB."""
        return b"PUB %b %d\r\n%b\r\n" % (ROOM.encode(), len(text), text)

    def answer(self) -> Answer | None:
        """Nothing is answered."""
        return None


WIRE: Wire = Nats()
