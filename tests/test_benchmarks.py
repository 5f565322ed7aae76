"""The benchmarks of a room and of starting still run. How fast anything is, no test says."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.framing import FrameDecoder
from socketchat.messages import Ack, TextPost, decode, encode
from tests.benchmarks import start
from tests.benchmarks.rooms.__main__ import main
from tests.benchmarks.rooms.crowd import Member
from tests.benchmarks.rooms.wires import Wire, load
from tests.benchmarks.rooms.wires.socketchat import ACK_EVERY
from tests.benchmarks.rooms.workload import HOST, MARK, text
from tests.chat.redis_logs import redis_is_missing
from tests.processes import ROOT

#: Where streams are cut into chunks: sizes, over and over.
CHUNKS = st.lists(st.integers(1, 300), min_size=1, max_size=20)


def chunks_of(stream: bytes, sizes: list[int]) -> Iterator[bytes]:
    start = index = 0
    while start < len(stream):
        size = sizes[index % len(sizes)]
        yield stream[start : start + size]
        start, index = start + size, index + 1


def answers(wire: Wire, stream: bytes, sizes: list[int]) -> bytes:
    """What a member answers to a stream that comes in these chunks."""
    answer = wire.answer()
    assert answer is not None
    buffer, said = bytearray(1024), b""
    for chunk in chunks_of(stream, sizes):
        buffer[: len(chunk)] = chunk
        said += answer(buffer, len(chunk), chunk.count(MARK))
    return said


def test_a_room_of_five_is_measured(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    only = ["--members", "5", "--rounds", "1", "--only", "socketchat"]

    assert main(["--cores", "any", "fan-out", *only, "--seconds", "0.05", "--senders", "1,2"]) == 0
    assert main(["--cores", "any", "latency", *only, "--messages", "20"]) == 0

    printed = capfd.readouterr().out
    assert printed.count("| socketchat |") == 2
    assert "lost" not in printed


@redis_is_missing
def test_a_room_at_two_servers_is_measured(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    few = ["--members", "4", "--rounds", "1", "--seconds", "0.05", "--messages", "10"]
    less = ["--servers", "2", "--senders", "2", "--windows", "8", "--authors", "3"]
    engines = ["--engines", "redis-everysec"]

    assert main(["--cores", "any", "servers", *few, *less, *engines]) == 0

    printed = capfd.readouterr().out
    assert printed.count("| one on SQLite |") == 2
    assert printed.count("| 2 on Redis    |") == 2
    assert printed.count("| redis-everysec |") == 1
    assert "lost" not in printed


@contextmanager
def member_of(wire: Wire) -> Iterator[tuple[Member, socket.socket]]:
    """A member that is in the room at once, and the other end of its connection."""

    class Open:
        ALIVE, AT_ONCE = wire.ALIVE, wire.AT_ONCE
        say, answer = wire.say, wire.answer

        def join(self, connection: socket.socket, name: str) -> None:
            """Nothing is asked."""

    with socket.create_server((HOST, 0)) as listener:
        member = Member(Open(), listener.getsockname()[1], "m")
        server, _ = listener.accept()
        with server, member.connection:
            yield member, server


@given(CHUNKS)
def test_every_delivery_is_counted_wherever_the_stream_is_cut(sizes: list[int]) -> None:
    wire, buffer = load("nats"), bytearray(1024)
    stream = b"".join(wire.say(number, text(number)) for number in range(20))

    with member_of(wire) as (member, server):
        for chunk in chunks_of(stream, sizes):
            server.sendall(chunk)
            member.connection.setblocking(True)
            member.take(buffer)

    assert member.count == 20


@given(CHUNKS)
def test_each_publication_of_quality_1_is_acknowledged(sizes: list[int]) -> None:
    wire = load("mqtt-qos1")
    confirmation = b"\x40\x02\x00\x07"  # of something that the member published itself
    stream = confirmation + b"".join(
        wire.say(number, text(number, size)) + confirmation * (number % 3 == 0)
        for number, size in enumerate([64, 64, 64, 200, 64, 300, 300, 64])
    )

    said = answers(wire, stream, sizes)

    numbers = [struct.pack(">H", number + 1) for number in range(8)]
    assert said == b"".join(b"\x40\x02" + number for number in numbers)


@given(st.lists(st.integers(200, 1000), min_size=1, max_size=20))
def test_posts_are_acknowledged_as_they_come(sizes: list[int]) -> None:
    first, end = 200, 200 + 3 * ACK_EVERY  # their numbers take one byte more on the way
    posts = [encode(TextPost(n, text(n).decode(), 1, "ada")) for n in range(first, end)]

    said = answers(load("socketchat"), b"".join(posts), sizes)

    acks = [decode(body) for body in FrameDecoder().frames(said)]
    numbers = [ack.number for ack in acks if isinstance(ack, Ack)]
    assert len(numbers) == len(acks) >= 2
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= first + ACK_EVERY - 1
    assert numbers[-1] < end


def test_starts_are_measured_and_compared(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert start.main(["--rounds", "1"]) in (0, 1)  # whichever: the machine may be busy
    printed = capfd.readouterr().out
    assert all(f"\n| `{name}` |" in printed for name in start.STARTS)


@pytest.mark.parametrize(("help_takes", "above"), [(1.5, []), (1.51, ["socketchat --help"])])
def test_a_start_above_its_bound_is_named(help_takes: float, above: list[str]) -> None:
    medians = dict.fromkeys(start.STARTS, 1.0) | {"socketchat --help": help_takes}
    assert start.report(medians) == above
