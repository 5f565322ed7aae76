"""IRC (RFC 2812): NICK and USER, JOIN, PRIVMSG. What one says does not come back to oneself."""

import socket

from tests.benchmarks.rooms.wires import Answer, Wire, read_until
from tests.benchmarks.rooms.workload import ROOM

_CHANNEL = b"#" + ROOM.encode()


class Irc:
    """Everything by its numeric: 001 is the welcome, 366 ends the list of names behind a JOIN."""

    # An unasked PONG is as good as an answer, for both servers.
    ALIVE = b"PONG :alive\r\n"
    # InspIRCd lets in once a second whoever has come meanwhile.
    AT_ONCE = 100

    def join(self, connection: socket.socket, name: str) -> None:
        """Register, and enter the channel."""
        nick = name.encode()
        connection.sendall(b"NICK %b\r\nUSER %b 0 * :%b\r\n" % (nick, nick, nick))
        heard = read_until(connection, b" 001 ", b"PING :", b"ERROR ")
        if b" 001 " not in heard and b"PING :" in heard:  # some ask before they welcome
            token = heard.split(b"PING :", 1)[1].split(b"\r\n", 1)[0]
            connection.sendall(b"PONG :%b\r\n" % token)
            heard = read_until(connection, b" 001 ", b"ERROR ")
        if b" 001 " not in heard:
            raise ConnectionError(repr(heard))
        connection.sendall(b"JOIN %b\r\n" % _CHANNEL)
        # 4xx says why not: 403, 405, 437, 471 to 477.
        heard = read_until(connection, b" 366 ", b" 403 ", b" 405 ", b" 437 ", b" 47")
        if b" 366 " not in heard:
            raise ConnectionError(repr(heard[-200:]))

    def say(self, number: int, text: bytes) -> bytes:
        """Return a PRIVMSG."""
        return b"PRIVMSG %b :%b\r\n" % (_CHANNEL, text)

    def answer(self) -> Answer | None:
        """Nothing is answered."""
        return None


WIRE: Wire = Irc()
