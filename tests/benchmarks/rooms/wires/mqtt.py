"""MQTT 3.1.1: CONNECT, SUBSCRIBE, PUBLISH, with quality of service 0 or 1.

With 1 the broker acknowledges what a sender publishes (it keeps it in memory), and each member
acknowledges each delivery.
"""

import socket
import struct

from tests.benchmarks.rooms.wires import Answer, Wire, read_exactly
from tests.benchmarks.rooms.workload import ROOM

_CONNACK, _SUBACK = 4, 5  # the lengths of those packets
_PUBACK = bytes((0x40, 2))


def _string(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def _packet(kind: int, body: bytes) -> bytes:
    """Put the length before a body: seven bits a byte, the lowest first."""
    length, rest = b"", len(body)
    while rest > 127:
        length += bytes((rest % 128 | 128,))
        rest //= 128
    return bytes((kind,)) + length + bytes((rest,)) + body


class Mqtt:
    """The room is a topic."""

    ALIVE = b""  # the members switch keepalive off when they connect
    AT_ONCE = 8

    def __init__(self, qos: int) -> None:
        self._qos = qos

    def join(self, connection: socket.socket, name: str) -> None:
        """Connect with a clean session, and subscribe."""
        # Protocol level 4, flag 2: clean session; keepalive 0: off.
        body = _string(b"MQTT") + b"\x04\x02\x00\x00" + _string(name.encode())
        connection.sendall(_packet(0x10, body))
        if (heard := read_exactly(connection, _CONNACK)) != b"\x20\x02\x00\x00":
            raise ConnectionError(repr(heard))
        body = b"\x00\x01" + _string(ROOM.encode()) + bytes((self._qos,))
        connection.sendall(_packet(0x82, body))
        if (heard := read_exactly(connection, _SUBACK))[-1] != self._qos:
            raise ConnectionError(repr(heard))

    def say(self, number: int, text: bytes) -> bytes:
        """Return a PUBLISH."""
        # Numbers of packets may be used again once they are acknowledged: long before they are.
        packet = struct.pack(">H", number % 65535 + 1) if self._qos else b""
        return _packet(0x30 | self._qos << 1, _string(ROOM.encode()) + packet + text)

    def answer(self) -> Answer | None:
        """Every delivery is acknowledged with quality of service 1."""
        return _Acknowledge() if self._qos else None


class _Acknowledge:
    """Acknowledges each packet that a member has whole.

    A sender hears acknowledgements of what it published as well.
    """

    def __init__(self) -> None:
        self._partial = b""

    def __call__(self, buffer: bytearray, size: int, marks: int) -> bytes:
        """Walk from packet to packet, for as long as they are alike in one stride."""
        heard = self._partial + buffer[:size]
        answers, start = [], 0
        while (length := _length(heard, start)) and start + length <= len(heard):
            kind = heard[start]
            if kind & 0xF0 != 0x30:
                start += length
                continue
            # Publications of one size stand in a row: their numbers are taken out in two slices.
            high = start + _header(heard, start) + 2 + len(ROOM)
            count = _alike(heard, start, length)
            acks = bytearray(_PUBACK + b"\x00\x00") * count
            end = start + count * length
            acks[2::4] = heard[high:end:length]
            acks[3::4] = heard[high + 1 : end : length]
            answers.append(acks)
            start = end
        self._partial = bytes(heard[start:])
        return b"".join(answers)


def _header(heard: bytes, start: int) -> int:
    """Return the length of a packet's kind and length, which are there."""
    return 2 + (heard[start + 1] > 127)


def _length(heard: bytes, start: int) -> int:
    """Return the length of a packet below 16 KiB; 0 if that cannot be told yet."""
    if len(heard) < start + 3:
        # The shortest packets have four bytes.
        return 0
    if (low := heard[start + 1]) < 128:
        return 2 + low
    return 3 + (low & 127) + 128 * heard[start + 2]


def _alike(heard: bytes, start: int, length: int) -> int:
    """Return how many whole packets from `start` on have the same kind and length."""
    most = (len(heard) - start) // length
    end = start + most * length
    head = heard[start : start + _header(heard, start)]
    same = all(
        heard[start + offset : end : length] == bytes((byte,)) * most
        for offset, byte in enumerate(head)
    )
    return most if same else 1


QOS_0: Wire = Mqtt(0)
QOS_1: Wire = Mqtt(1)
