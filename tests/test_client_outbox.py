"""Claims about `connect(outbox=...)`: what was sent survives its session, and arrives once.

The server is a room on a log in memory. That a killed process leaves its file behind is told in
`test_file_outbox.py`.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from socketchat import (
    LocalProtocolError,
    MessageRejected,
    Receipt,
    Session,
    SessionClosed,
    SessionState,
)
from socketchat.chat import ChatServer, MemoryLog, Rules
from socketchat.file_outbox import FileOutbox
from tests.sessions import MemoryNetwork, MemoryServer, open_session, receive, send_all, until

virtual_time = pytest.mark.virtual_time

LABEL = "server.test:7625/lobby"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    """Put a network in memory where TCP would be."""
    return MemoryNetwork(monkeypatch)


class Device:
    """Where a client keeps its outboxes: one process after the other.

    Attributes:
        directory: Where the files are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open = ExitStack()

    def new_outbox(self, max_messages: int = 4096) -> FileOutbox:
        """Return the outbox of a process that starts now."""
        outbox = FileOutbox.create(self.directory, LABEL, max_messages, 2**22)
        self._open.callback(outbox.close)
        return outbox

    def leftovers(self) -> list[FileOutbox]:
        """Return what earlier processes have left."""
        found = FileOutbox.leftovers(self.directory, LABEL, new_post=Receipt)
        for outbox in found:
            self._open.callback(outbox.close)
        return found

    @property
    def files(self) -> list[Path]:
        return [path for path in self.directory.iterdir() if path.suffix == ".outbox"]

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "outbox")
    yield device
    device.close()


def room(*, max_size: int = 16 * 1024) -> ChatServer:
    """Return a room in which everyone speaks as fast as they can."""
    return ChatServer(MemoryLog(), rules=Rules(rate=None, max_size=max_size))


async def end(session: Session) -> None:
    """End a session, as far as its process can tell."""
    session.abort()
    await session.wait_closed()


async def said_in(network: MemoryNetwork, count: int) -> list[str | bytes]:
    """Return the last entries of the room."""
    async with network.connect(nick="reader", history=1000) as reader:
        return await receive(reader, count)


@virtual_time
async def test_an_outbox_gives_its_session_its_lane(network: MemoryNetwork, device: Device) -> None:
    outbox = device.new_outbox()
    async with network.answer(outbox=outbox) as (wire, opening):
        hello = await wire.greet_back()
        assert hello.lane == outbox.lane
        client = await opening
        client.abort()


@virtual_time
async def test_what_was_acknowledged_leaves_nothing_behind(
    network: MemoryNetwork, device: Device
) -> None:
    outbox = device.new_outbox()
    async with network.serve(room()), network.connect(outbox=outbox) as client:
        for receipt in await send_all(client, "abc"):
            await receipt
        await client.close()
        outbox.close()
        assert device.files == []


@virtual_time
async def test_what_a_session_could_not_deliver_is_delivered_by_a_later_one_under_its_old_lane(
    network: MemoryNetwork, device: Device
) -> None:
    async with network.serve(room()):
        outbox = device.new_outbox()
        client = await open_session(outbox=outbox, nick="ada")
        await (await client.send("a"))
        there, network.server = network.server, None
        network.cut()
        await until(lambda: client.state is SessionState.LOST)
        receipts = await send_all(client, ["b", b"c"])
        await end(client)
        for receipt in receipts:
            with pytest.raises(SessionClosed):
                await receipt
        outbox.close()

        network.server = there
        (left,) = device.leftovers()
        assert left.lane == outbox.lane
        async with network.connect(outbox=left, nick="ada") as later:
            await later.flush()
            await later.close()
        left.close()
        assert device.files == []
        assert await said_in(network, 3) == ["a", "b", b"c"]


@virtual_time
async def test_what_was_in_the_log_and_not_acknowledged_is_not_said_twice(
    network: MemoryNetwork, device: Device
) -> None:
    network.latency = 0.1
    async with network.serve(room()):
        outbox = device.new_outbox()
        client = await open_session(outbox=outbox, nick="ada")
        receipt = await client.send("a")
        await asyncio.sleep(0.15)  # it is there, and its acknowledgement on the way
        await end(client)
        assert receipt.error is not None
        outbox.close()

        (left,) = device.leftovers()
        async with network.connect(outbox=left, nick="ada") as later:
            await later.flush()
            await send_afresh(network, device, "b")
            assert await said_in(network, 2) == ["a", "b"]


async def send_afresh(network: MemoryNetwork, device: Device, text: str) -> None:
    """Send something as a process that starts now."""
    async with network.connect(outbox=device.new_outbox(), nick="ada") as client:
        await (await client.send(text))


@virtual_time
async def test_a_lane_that_another_process_made_is_not_extended(
    network: MemoryNetwork, device: Device
) -> None:
    async with network.serve(room()):
        outbox = device.new_outbox()
        client = await open_session(outbox=outbox, nick="ada")
        there, network.server = network.server, None
        network.cut()
        await until(lambda: client.state is SessionState.LOST)
        await client.send("a")
        await end(client)
        outbox.close()
        network.server = there
        (left,) = device.leftovers()
        async with network.connect(outbox=left, nick="ada") as later:
            with pytest.raises(LocalProtocolError):
                await later.send("b")
            await later.flush()
            assert later.unacknowledged == 0
        assert await said_in(network, 1) == ["a"]


@virtual_time
async def test_an_old_copy_of_an_outbox_says_nothing_twice(
    network: MemoryNetwork, device: Device
) -> None:
    async with network.serve(room()) as server:
        outbox = device.new_outbox()
        client = await open_session(outbox=outbox, nick="ada")
        network.server = None
        network.cut()
        await until(lambda: client.state is SessionState.LOST)
        await send_all(client, "abc")
        copy = {path.name: path.read_bytes() for path in device.directory.iterdir()}
        network.server = server
        await client.flush()
        await send_all(client, "de")
        await client.close()
        outbox.close()
        assert device.files == []
        for name, data in copy.items():
            (device.directory / name).write_bytes(data)
        (left,) = device.leftovers()
        async with network.connect(outbox=left, nick="ada") as later:
            await later.flush()
            await later.close()
        assert await said_in(network, 5) == ["a", "b", "c", "d", "e"]
        async with network.connect(nick="reader", history=1000) as reader:
            head = (await reader.recv()).number
            assert [head, *[(await reader.recv()).number for _ in range(4)]] == [1, 2, 3, 4, 5]


@virtual_time
async def test_what_was_refused_is_gone_from_the_file_too(
    network: MemoryNetwork, device: Device
) -> None:
    outbox = device.new_outbox()
    async with network.serve(room(max_size=10)), network.connect(outbox=outbox) as client:
        receipt = await client.send("much too long")
        with pytest.raises(MessageRejected):
            await receipt
        await client.close()
    outbox.close()
    assert device.files == []


@virtual_time
async def test_a_session_goes_on_through_lost_links_and_restarts_with_a_file(
    network: MemoryNetwork, device: Device
) -> None:
    book = room()
    async with network.serve(book):
        client = await open_session(outbox=device.new_outbox(), nick="ada")
        receipts = await send_all(client, "abc")
        network.cut()
        await until(lambda: client.state is SessionState.LOST)
        receipts += await send_all(client, "def")
        async with MemoryServer(book) as network.server:
            for receipt in receipts:
                await receipt
            assert await said_in(network, 6) == ["a", "b", "c", "d", "e", "f"]
            await client.close()


@virtual_time
async def test_send_waits_at_the_bound_of_a_file_too(
    network: MemoryNetwork, device: Device
) -> None:
    async with network.serve(room()) as server:
        client = await open_session(outbox=device.new_outbox(5), nick="ada")
        network.server = None
        network.cut()
        sending = asyncio.create_task(send_all(client, map(str, range(20))))
        await asyncio.sleep(60)
        assert client.unacknowledged == 5
        assert not sending.done()
        network.server = server
        await sending
        await client.flush()
        await client.close()


@virtual_time
async def test_a_message_that_cannot_be_written_is_not_taken_and_the_next_one_is(
    network: MemoryNetwork, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = device.new_outbox()
    async with network.serve(room()), network.connect(outbox=outbox, nick="ada") as client:
        append = FileOutbox.append

        def fail(self: FileOutbox, post: Receipt) -> None:
            raise OSError(errno.ENOSPC, "the outbox cannot be written")

        await client.send("a")
        monkeypatch.setattr(FileOutbox, "append", fail)
        with pytest.raises(OSError, match="cannot be written"):
            await client.send("b")
        monkeypatch.setattr(FileOutbox, "append", append)
        receipt = await client.send("c")
        assert receipt.number == 2
        await receipt
        assert await said_in(network, 2) == ["a", "c"]


@pytest.mark.both_loops
async def test_sending_and_being_acknowledged_may_touch_the_file_from_the_loop(
    network: MemoryNetwork, device: Device
) -> None:
    outbox = await asyncio.to_thread(device.new_outbox)
    async with network.serve(room()), network.connect(outbox=outbox, nick="ada") as client:
        for receipt in await send_all(client, "abc"):
            await receipt
        assert client.unacknowledged == 0
        await client.close()
    await asyncio.to_thread(outbox.close)
