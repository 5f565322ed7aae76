"""socketchat, frame by frame (`docs/protocol.md`); the frames are made by the library's codec."""

import os
import re
import socket

from socketchat.framing import FrameDecoder
from socketchat.messages import (
    VERSION,
    Ack,
    Hello,
    Limits,
    Refused,
    TextPost,
    Welcome,
    WireMessage,
    decode,
    encode,
)
from tests.benchmarks.rooms.wires import Answer, Wire
from tests.benchmarks.rooms.workload import MARK

#: A member acknowledges after so many posts. A library's session does it once a turn of its event
#: loop, which is about as often under load.
ACK_EVERY = 64

#: A post's kind and number as msgpack writes them, and the beginning of a text of 32 bytes or more.
_POST = re.compile(
    rb"\x05(?:([\x01-\x7f])|\xcc(.)|\xcd(..)|\xce(.{4})|\xcf(.{8}))(?:\xd9.|\xda..)"
    + re.escape(MARK),
    re.DOTALL,
)
_LONGEST_HEAD = 1 + 9 + 3


class SocketChat:
    """The room is the server's first."""

    ALIVE = encode(Ack(0))  # whatever arrives is a sign of life
    AT_ONCE = 8  # as many from one address as a server lets into its greeting

    def join(self, connection: socket.socket, name: str) -> None:
        """Greet, as a new session."""
        greet(connection, Hello(VERSION, os.urandom(16), name, limits=Limits(2**20)))

    def say(self, number: int, text: bytes) -> bytes:
        """Return a TextPost."""
        return encode(TextPost(number, text.decode()))

    def answer(self) -> Answer | None:
        """Posts are acknowledged."""
        return _Acknowledge()


def greet(connection: socket.socket, hello: Hello) -> Welcome:
    """Read Greeting, send Hello, read Welcome.

    What came behind Welcome is dropped: nothing is said before all members are there.

    Raises:
        ConnectionError: The server does not want this caller.
    """
    decoder = FrameDecoder()
    next_message(connection, decoder)
    connection.sendall(encode(hello))
    answer = next_message(connection, decoder)
    if not isinstance(answer, Welcome):
        raise ConnectionError(answer.reason if isinstance(answer, Refused) else repr(answer))
    return answer


def next_message(connection: socket.socket, decoder: FrameDecoder) -> WireMessage | None:
    """Read on until a frame is complete; return the first message that it completes.

    Raises:
        ConnectionError: The server closed the connection before.
    """
    while True:
        if not (chunk := connection.recv(2**16)):
            raise ConnectionError("closed by the server in the greeting")
        for body in decoder.frames(chunk):
            return decode(body)


class _Acknowledge:
    """Acknowledges the last post whose head has come, once there are enough of them."""

    def __init__(self) -> None:
        self._due = 0

    def __call__(self, buffer: bytearray, size: int, marks: int) -> bytes:
        """Find the last post in the chunk and its number."""
        self._due += marks
        if self._due < ACK_EVERY:
            return b""
        last = buffer.rfind(MARK, 0, size)
        # A head may be cut off by the beginning of the chunk: then the next chunk has others.
        for start in range(max(0, last - _LONGEST_HEAD), max(0, last)):
            if (found := _POST.match(buffer, start, size)) and found.end() == last + len(MARK):
                self._due = 0
                return encode(Ack(int.from_bytes(next(filter(None, found.groups())), "big")))
        return b""


WIRE: Wire = SocketChat()
