"""Claims about `socketchat.testing.transport`: streams in memory behave as those over TCP do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from socketchat.testing import End, stream_pair
from tests.testing.helpers import Recorder, now, run, transport_of, turns

pytestmark = pytest.mark.virtual_time


async def test_what_is_written_at_one_end_is_read_at_the_other() -> None:
    with stream_pair() as link:
        (reader, writer), (far_reader, far_writer) = link
        writer.write(b"hello ")
        writer.writelines([b"to ", bytearray(b"the "), memoryview(b"far end")])
        far_writer.write(b"and back")
        assert await far_reader.readexactly(20) == b"hello to the far end"
        assert await reader.readexactly(8) == b"and back"


async def test_bytes_are_copied_when_written() -> None:
    with stream_pair() as link:
        buffer = bytearray(b"before")
        link.near[1].write(buffer)
        buffer[:] = b"after!"
        assert await link.far[0].readexactly(6) == b"before"


@pytest.mark.parametrize("data", ["text", 5, None, [1, 2]])
async def test_only_bytes_can_be_written(data: Any) -> None:
    with stream_pair() as link, pytest.raises(TypeError, match="bytes-like"):
        link.near[1].write(data)


async def test_latency_delays_each_write_and_keeps_the_order() -> None:
    with stream_pair(latency=2.0) as link:
        _, writer = link.near
        writer.write(b"first")
        await asyncio.sleep(1.5)
        writer.write(b"second")
        reader, _ = link.far
        assert await reader.read(100) == b"first"
        assert now() == 2.0
        assert await reader.read(100) == b"second"
        assert now() == 3.5


async def test_an_end_of_file_leaves_the_other_direction_open() -> None:
    with stream_pair() as link:
        (reader, writer), (far_reader, far_writer) = link
        assert writer.can_write_eof()
        writer.write(b"question")
        writer.write_eof()
        writer.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            writer.write(b"more")
        assert await far_reader.read() == b"question"
        far_writer.write(b"answer")
        assert await reader.readexactly(6) == b"answer"


async def test_an_orderly_close_loses_nothing() -> None:
    (reader, writer), (far_reader, far_writer) = stream_pair()
    writer.write(b"the last words")
    writer.close()
    assert writer.is_closing()
    await writer.wait_closed()
    assert await far_reader.read() == b"the last words"
    far_writer.close()
    await far_writer.wait_closed()
    assert await reader.read() == b""


async def test_a_close_waits_until_the_buffer_is_taken() -> None:
    with stream_pair(latency=1.0) as link:
        _, writer = link.near
        writer.write(b"x")
        writer.close()
        await writer.wait_closed()
        assert now() == 1.0


async def test_two_full_ends_that_close_do_not_wait_for_each_other() -> None:
    with stream_pair(limit=10) as link:
        for _, writer in link:
            writer.write(bytes(100_000))
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        await turns()
        for _, writer in link:
            writer.close()
        for _, writer in link:
            await asyncio.wait([asyncio.create_task(writer.wait_closed())])


async def test_a_closed_end_answers_data_with_a_reset() -> None:
    with stream_pair() as link:
        (reader, writer), (_, far_writer) = link
        far_writer.close()
        await far_writer.wait_closed()
        assert await reader.read() == b""
        writer.write(b"is anybody there")
        await turns()
        assert writer.is_closing()
        with pytest.raises(ConnectionResetError):
            await writer.drain()


async def test_an_abort_loses_the_buffer_and_resets_the_other_end() -> None:
    with stream_pair(latency=2.0) as link:
        recorder = Recorder()
        transport_of(link, End.FAR, recorder)
        _, writer = link.near
        writer.write(b"never seen")
        await asyncio.sleep(1.0)
        writer.transport.abort()
        assert writer.transport.get_write_buffer_size() == 0
        await writer.wait_closed()
        assert now() == 1.0
        await asyncio.sleep(1.5)
        assert recorder.calls == []
        await asyncio.sleep(0.5)
        await turns()
        assert recorder.calls == [("connection_lost", ConnectionResetError)]


async def test_a_reset_reaches_an_end_that_does_not_read() -> None:
    with stream_pair() as link:
        recorder = Recorder()
        transport_of(link, End.FAR, recorder).pause_reading()
        link.near[1].write(b"never seen")
        link.near[1].transport.abort()
        await turns()
        assert recorder.calls == [("connection_lost", ConnectionResetError)]


async def test_an_end_of_file_does_not_reach_an_end_that_does_not_read() -> None:
    with stream_pair() as link:
        recorder = Recorder()
        transport = transport_of(link, End.FAR, recorder)
        transport.pause_reading()
        link.near[1].close()
        await link.near[1].wait_closed()
        assert recorder.calls == []
        transport.resume_reading()
        await turns()
        assert recorder.calls == ["eof_received", ("connection_lost", type(None))]


async def test_data_that_comes_in_while_closing_is_answered_with_a_reset_in_the_end() -> None:
    with stream_pair() as link:
        near, far = Recorder(), Recorder()
        transport = transport_of(link, End.NEAR, near)
        far_transport = transport_of(link, End.FAR, far)
        link.stall(End.NEAR)
        transport.write(b"the last words")
        transport.close()
        far_transport.write(b"never seen")
        await turns()
        assert near.calls == far.calls == []
        link.resume()
        await turns()
        assert near.calls == [("connection_lost", type(None))]
        assert far.calls == [
            ("data_received", b"the last words"),
            ("connection_lost", ConnectionResetError),
        ]


async def test_closing_twice_and_writing_after_it_do_nothing() -> None:
    with stream_pair() as link:
        _, writer = link.near
        writer.close()
        writer.close()
        writer.transport.abort()
        writer.transport.abort()
        writer.write(b"late")
        writer.write_eof()
        assert writer.transport.get_write_buffer_size() == 0
        await writer.wait_closed()


async def test_each_end_knows_both_addresses() -> None:
    with stream_pair() as link:
        (_, writer), (_, far_writer) = link
        name = writer.get_extra_info
        assert name("peername") == far_writer.get_extra_info("sockname") == ("192.0.2.2", 7625)
        assert name("sockname") == far_writer.get_extra_info("peername") == ("192.0.2.1", 50000)
        assert name("socket") is None


async def test_a_protocol_that_does_not_keep_an_end_of_file_open_is_closed() -> None:
    with stream_pair() as link:
        recorder = Recorder()
        transport_of(link, End.FAR, recorder)
        link.near[1].write_eof()
        assert await link.near[0].read() == b""
        assert recorder.calls == ["eof_received", ("connection_lost", type(None))]


@pytest.mark.parametrize("fault", ["data_received", "eof_received"])
def test_a_protocol_that_raises_is_reported_and_reset(fault: str) -> None:
    contexts: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: contexts.append(c))
        with stream_pair() as link:
            recorder = Recorder(fault=fault)
            transport_of(link, End.FAR, recorder)
            link.near[1].write(b"x")
            link.near[1].write_eof()
            with pytest.raises(ConnectionResetError):
                await link.near[0].read()
            assert recorder.calls[-1] == ("connection_lost", RuntimeError)

    run(main())
    assert [c["message"] for c in contexts] == [f"Fatal error: protocol.{fault}() call failed."]


async def test_only_a_streaming_protocol_fits() -> None:
    with stream_pair() as link, pytest.raises(TypeError, match="streaming protocol"):
        link.near[1].transport.set_protocol(asyncio.DatagramProtocol())


# Backpressure


async def test_bytes_count_as_buffered_until_the_other_side_has_taken_them() -> None:
    with stream_pair() as link:
        near, far = Recorder(), Recorder()
        transport, far_transport = (
            transport_of(link, End.NEAR, near),
            transport_of(link, End.FAR, far),
        )
        transport.set_write_buffer_limits(high=10, low=4)
        far_transport.pause_reading()
        assert not far_transport.is_reading()
        transport.write(bytes(10))
        assert near.calls == []
        transport.write(bytes(1))
        assert near.calls == ["pause_writing"]
        await turns()
        assert transport.get_write_buffer_size() == 11
        assert far.calls == []

        link.deliver_chunks([6, 1, 4])
        far_transport.resume_reading()
        assert far_transport.is_reading()
        await turns(1)
        assert transport.get_write_buffer_size() == 5
        assert near.calls == ["pause_writing"]
        await turns(1)
        assert near.calls == ["pause_writing", "resume_writing"]
        await turns(1)
        assert transport.get_write_buffer_size() == 0


async def test_drain_waits_for_a_reader_that_does_not_read() -> None:
    with stream_pair(limit=1000, high_water=500) as link:
        (_, writer), (far_reader, _) = link
        drained = 0

        async def write() -> None:
            nonlocal drained
            for _ in range(100):
                writer.write(bytes(100))
                await writer.drain()
                drained += 100

        writing = asyncio.create_task(write())
        await turns(1000)
        # Twice its limit in the reader, a buffer it took on top, and a full one behind it.
        assert drained <= 2 * 1000 + 600 + 600
        assert writer.transport.get_write_buffer_size() > 500
        assert len(await far_reader.readexactly(10_000)) == 10_000
        await writing


async def test_the_limits_of_a_write_buffer_are_those_of_asyncio() -> None:
    with stream_pair(high_water=1000) as link:
        transport = link.near[1].transport
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (16384, 65536)
        transport.set_write_buffer_limits(low=5)
        assert transport.get_write_buffer_limits() == (5, 20)
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)


async def test_a_limit_set_below_what_is_buffered_pauses_at_once() -> None:
    with stream_pair() as link:
        near = Recorder()
        transport = transport_of(link, End.NEAR, near)
        transport.write(bytes(100))
        transport.set_write_buffer_limits(high=50)
        assert near.calls == ["pause_writing"]
