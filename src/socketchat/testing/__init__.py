"""Helpers for tests of programs that use this library: time that jumps, streams that fail.

With them a test needs no port, no sleep and no luck: `stream_pair` joins two ends of asyncio
streams inside one process, the `MemoryLink` it returns cuts, stalls and re-chunks what passes
between them, and on a `VirtualTimeLoop` ten minutes of keepalive take no longer than the code that
runs in them.

    def test_a_late_answer_is_still_an_answer():
        async def main():
            with stream_pair(latency=30.0) as link:
                (reader, _), (_, far_writer) = link
                far_writer.write(b"hello")
                assert await reader.read(100) == b"hello"
                assert asyncio.get_running_loop().time() == 30.0

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(main())

This file is the public face and holds no code; `clock` makes the time, `streams` the links. None of
them depends on a test framework, and nothing else in the library imports them.
"""

from socketchat.testing.clock import DeadlockError, VirtualTimeLoop
from socketchat.testing.streams import End, MemoryLink, Streams, stream_pair

__all__ = ["DeadlockError", "End", "MemoryLink", "Streams", "VirtualTimeLoop", "stream_pair"]
