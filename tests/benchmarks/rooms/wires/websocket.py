"""WebSocket (RFC 6455) to a server whose only room is all of its connections."""

import base64
import os
import socket
import struct

from tests.benchmarks.rooms.wires import Answer, Wire, read_until
from tests.benchmarks.rooms.workload import HOST

#: A mask of zeros is a mask, and leaves the text as it is: the servers unmask it all the same.
_MASK = bytes(4)


class WebSocket:
    """An upgrade without extensions, then text frames."""

    # A Pong, empty, unasked.
    ALIVE = b"\x8a\x80" + _MASK
    AT_ONCE = 8

    def join(self, connection: socket.socket, name: str) -> None:
        """Upgrade."""
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET / HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        heard = read_until(connection, b"\r\n\r\n")
        if b" 101 " not in heard.split(b"\r\n", 1)[0]:
            raise ConnectionError(repr(heard))

    def say(self, number: int, text: bytes) -> bytes:
        """Return a masked text frame."""
        size = len(text)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + struct.pack(">H", size)
        return b"\x81" + length + _MASK + text

    def answer(self) -> Answer | None:
        """Nothing is answered."""
        return None


WIRE: Wire = WebSocket()
