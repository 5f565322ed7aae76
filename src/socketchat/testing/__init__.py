"""Helpers for tests of programs that use this library: time that jumps, links that fail.

With them a test needs no port, no sleep and no luck: `session_pair` opens a session whose two ends
are in one process, `stream_pair` does the same for bare asyncio streams, the `MemoryLink` under
both cuts, stalls and re-chunks what passes, and on a `VirtualTimeLoop` ten minutes of keepalive
take no longer than the code that runs in them.

    def test_an_answer_outlives_a_lost_link():
        async def main():
            async with session_pair(reconnect=True) as pair:
                client, server = pair
                pair.link.cut()
                await server.send("hello")
                await asyncio.sleep(60.0)
                await pair.rejoin()
                assert (await client.recv()).text == "hello"
                assert asyncio.get_running_loop().time() == 60.0

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(main())

This file is the public face and holds no code; `clock` makes the time, `streams` the links,
`sessions` what runs over them. None of them depends on a test framework, and nothing else in the
library imports them.
"""

from socketchat.testing.clock import DeadlockError, VirtualTimeLoop
from socketchat.testing.sessions import SessionPair, session_pair
from socketchat.testing.streams import End, MemoryLink, Streams, stream_pair

__all__ = [
    "DeadlockError",
    "End",
    "MemoryLink",
    "SessionPair",
    "Streams",
    "VirtualTimeLoop",
    "session_pair",
    "stream_pair",
]
