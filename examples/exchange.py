"""Two programs that send each other data at the same time, over one session.

In one terminal, and then in another:

    python examples/exchange.py take
    python examples/exchange.py give SOME_FILE

The second sends the file in chunks, and at its end the file's digest. Meanwhile, and independently
of that, the first sends readings: how much it has got, and how long its last reading took to be
acknowledged. It closes the session with 1000 if the digest is right.
"""

import argparse
import asyncio
import hashlib
import json
import sys
import time
from pathlib import Path

import socketchat

CHUNK = 64 * 1024  # bytes; far below max_size, so that readings get through in between
DAMAGED = 4000  # the first of the close codes that are the application's own


async def take(session: socketchat.Session) -> None:
    """Take a file, and send readings all the while."""
    digest, size = hashlib.sha256(), 0

    async def send_readings() -> None:
        seconds = 0.0
        while True:
            start = time.perf_counter()
            receipt = await session.send(json.dumps({"bytes": size, "seconds": seconds}))
            await receipt  # one reading under way at a time: the link sets the pace
            seconds = time.perf_counter() - start

    readings = asyncio.create_task(send_readings())
    try:
        async for message in session:
            if isinstance(message.body, bytes):
                digest.update(message.body)
                size += len(message.body)
            elif message.text == digest.hexdigest():
                await session.close(reason=f"{size} bytes, digest right")
            else:
                await session.close(DAMAGED, f"{size} bytes, digest wrong")
    finally:
        readings.cancel()
        await asyncio.gather(readings, return_exceptions=True)
