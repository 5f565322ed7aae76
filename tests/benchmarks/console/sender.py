"""The process that says the lines: `python -m tests.benchmarks.console.sender PORT KEY LINES`.

It comes into the room, prints a line, and waits for one on stdin; then it says everything, as fast
as the server takes it, waits until all of it is acknowledged, and prints another line.
"""

import asyncio
import sys

import uvloop

import socketchat
from tests.benchmarks.console.workload import HOST, SENDER, line


async def say(port: int, key: str, lines: int) -> None:
    """Say so many lines, when asked."""
    async with socketchat.connect(HOST, port, trust=key, nick=SENDER) as session:
        texts = [line(number) for number in range(1, lines + 1)]
        print("here", flush=True)
        if not await asyncio.to_thread(sys.stdin.readline):
            return
        receipts = [await session.send(text) for text in texts]
        await receipts[-1]
        print("said", flush=True)


if __name__ == "__main__":
    uvloop.run(say(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
