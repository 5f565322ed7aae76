"""Claims about `socketchat.testing.streams`: links that are cut, stalled, half open, in pieces."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import socketchat.testing
from socketchat.testing import End, MemoryLink, stream_pair
from tests.testing.helpers import Recorder, now, run, transport_of, turns

pytestmark = pytest.mark.virtual_time


def test_every_public_name_is_documented() -> None:
    for name in set(socketchat.testing.__all__) - {"Streams"}:
        assert getattr(socketchat.testing, name).__doc__


# Faults


async def test_a_cut_resets_both_ends_and_loses_what_was_on_its_way() -> None:
    with stream_pair(latency=1.0) as link:
        for _, writer in link:
            writer.write(b"never seen")
        await asyncio.sleep(0.5)
        link.cut()
        for reader, writer in link:
            with pytest.raises(ConnectionResetError):
                await reader.read(100)
            with pytest.raises(ConnectionResetError):
                await writer.drain()
            assert writer.is_closing()
        assert now() == 0.5


async def test_a_cut_without_a_reset_is_an_end_of_file_without_a_goodbye() -> None:
    with stream_pair() as link:
        recorders = [Recorder(keep_open=True), Recorder(keep_open=True)]
        for end, recorder in zip(End, recorders, strict=True):
            transport_of(link, end, recorder).write(b"never seen")
        link.cut(reset=False)
        await turns()
        for recorder in recorders:
            assert recorder.calls == ["eof_received", ("connection_lost", type(None))]


async def test_what_arrived_before_a_cut_without_a_reset_can_be_read() -> None:
    with stream_pair() as link:
        link.near[1].write(b"arrived")
        await turns()
        link.cut(reset=False)
        assert await link.far[0].read() == b"arrived"


async def test_a_cut_wakes_a_writer_that_waits_to_drain() -> None:
    with stream_pair(high_water=10) as link:
        link.stall()
        draining: list[asyncio.Task[None]] = []
        for _, writer in link:
            writer.write(bytes(11))
            draining.append(asyncio.create_task(writer.drain()))
        await turns()
        assert not any(task.done() for task in draining)
        link.cut()
        for task in draining:
            with pytest.raises(ConnectionResetError):
                await task


async def test_a_second_cut_and_writing_after_it_do_nothing() -> None:
    with stream_pair() as link:
        recorder = Recorder()
        transport = transport_of(link, End.FAR, recorder)
        link.cut()
        link.cut(reset=False)
        link.near[1].write(b"into the void")
        link.resume()
        await turns()
        assert recorder.calls == [("connection_lost", ConnectionResetError)]
        assert transport.is_closing()


async def test_a_stalled_link_takes_everything_and_passes_nothing() -> None:
    with stream_pair(high_water=1000) as link:
        (reader, writer), (far_reader, far_writer) = link
        link.stall()
        for sender in (writer, far_writer):
            sender.write(bytes(1000))
            await sender.drain()
        writer.write(b"x")
        draining = asyncio.create_task(writer.drain())
        await asyncio.sleep(3600.0)
        assert not draining.done()
        assert writer.transport.get_write_buffer_size() == 1001
        assert not writer.is_closing()

        link.resume()
        assert len(await far_reader.readexactly(1001)) == 1001
        assert len(await reader.readexactly(1000)) == 1000
        await draining


async def test_a_stall_holds_what_was_already_on_its_way() -> None:
    with stream_pair(latency=1.0) as link:
        link.near[1].write(b"x")
        await asyncio.sleep(0.5)
        link.stall()
        await asyncio.sleep(10.0)
        link.resume()
        assert await link.far[0].read(1) == b"x"
        assert now() == 10.5


async def test_a_stalled_direction_leaves_the_other_open() -> None:
    with stream_pair() as link:
        link.stall(End.NEAR)
        link.near[1].write(b"held")
        link.far[1].write(b"passes")
        assert await link.near[0].read(100) == b"passes"
        link.stall(End.FAR)
        link.resume(End.NEAR)
        assert await link.far[0].read(100) == b"held"


@pytest.mark.parametrize("ending", ["write_eof", "close", "abort"])
async def test_a_stall_holds_ends_of_file_and_resets(ending: str) -> None:
    with stream_pair() as link:
        recorder = Recorder(keep_open=True)
        transport_of(link, End.FAR, recorder)
        link.stall()
        getattr(link.near[1].transport, ending)()
        await turns()
        assert recorder.calls == []
        link.resume()
        await turns()
        lost = ("connection_lost", ConnectionResetError)
        assert recorder.calls == [lost if ending == "abort" else "eof_received"]


async def test_the_survivor_of_a_half_open_link_does_not_notice() -> None:
    with stream_pair() as link:
        (reader, writer), (far_reader, far_writer) = link
        far_writer.write(b"never seen")
        link.half_open()
        with pytest.raises(ConnectionResetError):
            await far_reader.read(100)
        reading = asyncio.create_task(reader.read(100))
        writer.write(b"are you there")
        await writer.drain()
        await asyncio.sleep(3600.0)
        assert not writer.is_closing()
        assert not reading.done()
        assert writer.transport.get_write_buffer_size() == 13

        link.resume()
        with pytest.raises(ConnectionResetError):
            await reading


async def test_a_silent_survivor_learns_nothing_even_when_the_network_is_back() -> None:
    with stream_pair() as link:
        recorder = Recorder()
        transport = transport_of(link, End.FAR, recorder)
        link.near[1].write(b"never seen")
        link.half_open(End.NEAR)
        link.resume()
        await asyncio.sleep(3600.0)
        assert recorder.calls == []
        transport.write(b"x")
        await turns()
        assert recorder.calls == [("connection_lost", ConnectionResetError)]


async def test_an_abort_ends_the_survivor_of_a_half_open_link_at_once() -> None:
    with stream_pair() as link:
        link.half_open()
        _, writer = link.near
        writer.write(bytes(100_000))
        writer.close()
        await turns()
        writer.transport.abort()
        await writer.wait_closed()


# Chunks


async def chunks_of(link: MemoryLink, data: bytes) -> list[int]:
    """Send bytes from near to far, and return the lengths of the pieces in which they arrive."""
    recorder = Recorder()
    transport_of(link, End.FAR, recorder)
    _, writer = link.near
    writer.write(data)
    writer.close()
    await writer.wait_closed()
    pieces = [call[1] for call in recorder.calls if isinstance(call, tuple) and call[0][0] == "d"]
    assert b"".join(pieces) == data
    return [len(piece) for piece in pieces]


async def test_separate_writes_arrive_as_one_chunk_of_at_most_256_kib() -> None:
    with stream_pair() as link:
        link.near[1].write(b"a")
        link.near[1].write(b"b")
        assert await link.far[0].read(10) == b"ab"
        assert await chunks_of(link, bytes(600_000)) == [262_144, 262_144, 75_712]


async def test_chunks_have_the_sizes_asked_for_and_then_any() -> None:
    with stream_pair() as link:
        link.deliver_chunks([1, 2, 3])
        assert await chunks_of(link, bytes(range(100))) == [1, 2, 3, 94]


async def test_chunks_may_be_chosen_for_one_direction() -> None:
    with stream_pair() as link:
        link.deliver_chunks(itertools.repeat(1), sender=End.FAR)
        assert await chunks_of(link, bytes(10)) == [10]


async def test_random_chunks_are_the_same_for_the_same_seed() -> None:
    seen: list[list[int]] = []
    for _ in range(2):
        with stream_pair() as link:
            link.deliver_chunks(random.Random(7))
            seen.append(await chunks_of(link, bytes(200_000)))
    assert seen[0] == seen[1]
    assert min(seen[0]) < 10
    assert max(seen[0]) > 1000


@given(
    writes=st.lists(st.binary(max_size=50)),
    sizes=st.lists(st.integers(1, 20)),
    latency=st.sampled_from([0.0, 0.1]),
)
async def test_any_chunking_passes_all_bytes_in_order(
    writes: list[bytes], sizes: list[int], latency: float
) -> None:
    with stream_pair(latency=latency, limit=8, high_water=16) as link:
        link.deliver_chunks(sizes)
        (_, writer), (far_reader, _) = link
        reading = asyncio.create_task(far_reader.read())
        for data in writes:
            writer.write(data)
            await writer.drain()
        writer.close()
        assert await reading == b"".join(writes)


def test_a_chunk_of_no_bytes_is_an_error() -> None:
    contexts: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: contexts.append(c))
        with stream_pair() as link:
            link.deliver_chunks([0])
            link.near[1].write(b"x")
            await turns()

    run(main())
    assert "0 bytes" in str(contexts[0]["exception"])
