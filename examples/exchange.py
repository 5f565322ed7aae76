"""Two programs that send each other data at the same time, over one session.

In one terminal, and then in another with the fingerprint that the first shows:

    python examples/exchange.py
    python examples/exchange.py --fingerprint SHA256:... FILE

The second sends the file in chunks, and then its digest. The first sends readings all the while:
how long the last one took to be acknowledged. It closes the session when it has the digest.
"""

import argparse
import asyncio
import hashlib
import signal
import sys
import time
from pathlib import Path

import socketchat

CHUNK = 64 * 1024  # bytes; a message may have up to `max_size`, by default 1 MiB
DAMAGED = 4000  # close codes from here on are the application's own


async def take(session: socketchat.Session) -> None:
    """Take a file and send readings: the handler of the first program."""
    # Once the session is closed both raise SessionClosed; a handler need not catch that.
    await asyncio.gather(take_file(session), send_readings(session))


async def take_file(session: socketchat.Session) -> None:
    """Take chunks, and close the session when their digest comes."""
    digest, size = hashlib.sha256(), 0
    async for message in session:
        if isinstance(message.body, bytes):
            digest.update(message.body)
            size += len(message.body)
        elif message.body == digest.hexdigest():
            print(f"taken: {size} bytes from {session.peer.address}", flush=True)
            await session.close()
        else:
            await session.close(DAMAGED, f"{size} bytes came, with another digest")


async def send_readings(session: socketchat.Session) -> None:
    """Send one reading after the other, each as soon as the last is acknowledged."""
    seconds = 0.0
    while True:
        start = time.perf_counter()
        receipt = await session.send(f"{seconds:.6f}")
        await receipt
        seconds = time.perf_counter() - start


async def send_file(session: socketchat.Session, path: Path) -> None:
    """Send a file as fast as the other side takes it, and then its digest."""
    digest = hashlib.sha256()
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            digest.update(chunk)
            await session.send(chunk)  # waits while 4 MiB are unacknowledged: `max_unacked`
        await session.flush()
        print(f"acknowledged: {file.tell()} bytes")
    await session.send(digest.hexdigest())


async def take_readings(session: socketchat.Session) -> None:
    """Take readings until the session is closed; anything but 1000 or 1001 raises."""
    readings = [float(message.text) async for message in session]
    print(f"readings: {len(readings)}, the longest {1000 * max(readings, default=0):.1f} ms")


async def main(args: argparse.Namespace) -> None:
    """Give a file, or wait for those who do."""
    if args.file is None:
        async with socketchat.serve(take, args.host, args.port) as server:
            print(f"port {server.port}, key {server.fingerprint}", flush=True)
            await server.serve_forever()
    else:
        trust = args.fingerprint or "strict"
        async with socketchat.connect(args.host, args.port, trust=trust) as session:
            await asyncio.gather(send_file(session, args.file), take_readings(session))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send a file, and readings the other way.")
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=socketchat.DEFAULT_PORT)
    parser.add_argument("--fingerprint", metavar="SHA256:...")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start programs without it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as Ctrl-C
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass  # `async with` has said goodbye
    except (OSError, socketchat.SocketChatError) as error:
        sys.exit(f"exchange: {error}")
