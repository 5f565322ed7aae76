"""An echo peer: it says back whatever it is told, to any number of callers at once.

In one terminal, and then in another:

    python examples/echo.py serve
    python examples/echo.py call hello "how are you"

The server shows the fingerprint of its key. With `--fingerprint` a caller talks to that server and
to no other; without it the key is remembered at the first call and must be the same from then on.
"""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

import socketchat


async def echo(session: socketchat.Session) -> None:
    """Answer one caller until it leaves; the server runs this for each of them."""
    print(f"{session.peer.nick} calls from {session.peer.address}", flush=True)
    async for message in session:
        await session.send(message.body)  # text comes back as text, data as data
    print(f"{session.peer.nick} has left", flush=True)


async def serve(args: argparse.Namespace) -> None:
    """Wait for callers, until Ctrl-C."""
    # Without `identity` the server has another key each time, and callers who know it stay away.
    directory = Path.home() / ".socketchat-echo"
    identity = await asyncio.to_thread(socketchat.Identity.load_or_generate, directory)
    async with socketchat.serve(echo, args.host, args.port, identity=identity) as server:
        print(f"listening on {args.host} port {server.port}, key {server.fingerprint}", flush=True)
        await server.serve_forever()


async def call(args: argparse.Namespace) -> None:
    """Send each text and print what comes back."""
    trust = args.fingerprint or "accept-new"
    async with socketchat.connect(args.host, args.port, nick="ada", trust=trust) as session:
        for text in args.texts:
            start = time.perf_counter()
            receipt = await session.send(text)  # accepted: it will arrive, once
            await receipt  # the server has it
            seconds = time.perf_counter() - start
            answer = await session.recv()
            print(f"{answer.text!r} came back; it was held after {1000 * seconds:.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An echo peer.")
    parser.add_argument("command", choices=["serve", "call"])
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=socketchat.DEFAULT_PORT)
    parser.add_argument("--fingerprint", metavar="SHA256:...")
    arguments = parser.parse_intermixed_args()
    run = serve if arguments.command == "serve" else call
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start programs without it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as Ctrl-C
    try:
        asyncio.run(run(arguments))
    except KeyboardInterrupt:
        pass  # `async with` has said goodbye
    except (OSError, socketchat.SocketChatError) as error:
        sys.exit(f"echo: {error}")
