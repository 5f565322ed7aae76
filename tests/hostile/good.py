"""The good member: a program that sits in a room, and says how long the server takes to answer.

    python tests/hostile/good.py HOST PORT TRUST

TRUST is the pin of the server's key, `accept-new`, or `no-tls`. It prints a line for every answer:
`ping SECONDS`, or `sent SECONDS` for a message that the server has acknowledged. It ends with a
line that begins with `lost` when its session does.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path

import socketchat

#: Seconds between two pings, and how many pings there are for one message: below the rate.
INTERVAL = 0.02
PINGS_PER_MESSAGE = 10


async def talk(session: socketchat.Session) -> None:
    """Ping, and send, and say how long it took."""
    for turn in itertools.count():
        print(f"ping {await session.ping():.6f}", flush=True)
        if turn % PINGS_PER_MESSAGE == 0:
            begun = time.perf_counter()
            await (await session.send(f"good {turn}"))
            print(f"sent {time.perf_counter() - begun:.6f}", flush=True)
        await asyncio.sleep(INTERVAL)


async def listen(session: socketchat.Session) -> None:
    """Read what is said."""
    async for _ in session:
        pass


async def main(host: str, port: int, trust: str) -> None:
    """Come in and talk, until the session or the program is ended."""
    tls = trust != "no-tls"
    async with socketchat.connect(
        host,
        port,
        nick="good",
        tls=tls,
        trust=trust if tls else "strict",
        known_hosts=Path("known_hosts"),
        reconnect=False,
    ) as session:
        print("ready", flush=True)
        tasks = [asyncio.create_task(talk(session)), asyncio.create_task(listen(session))]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        print("lost", *[repr(task.exception()) for task in done], flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
