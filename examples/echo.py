"""An echo peer: it says back whatever it is told, to any number of callers at once.

In one terminal, and then in another:

    python examples/echo.py serve
    python examples/echo.py call hello "how are you"

The first prints the fingerprint of its key. A caller that is given it with `--fingerprint` talks to
that server and to no other; without it the key is remembered at the first call, and has to be the
same from then on. Ctrl-C ends the server.
"""

import argparse
import asyncio
import sys
import time

import socketchat


async def echo(session: socketchat.Session) -> None:
    """Answer one caller until it leaves; the server runs this for each of them."""
    print(f"{session.peer.nick} calls from {session.peer.address}", flush=True)
    async for message in session:
        await session.send(message.body)  # text comes back as text, data as data
    print(f"{session.peer.nick} has left", flush=True)


async def serve(args: argparse.Namespace) -> None:
    """Wait for callers."""
    async with socketchat.serve(echo, args.host, args.port, name="echo") as server:
        print(f"listening on {args.host} port {server.port}, key {server.fingerprint}", flush=True)
        await server.serve_forever()


async def call(args: argparse.Namespace) -> None:
    """Send each text and print what comes back."""
    trust = args.fingerprint or "accept-new"
    async with socketchat.connect(args.host, args.port, nick="caller", trust=trust) as session:
        for text in args.texts:
            start = time.perf_counter()
            await (await session.send(text))  # accepted for sending, and then: held by the server
            seconds = time.perf_counter() - start
            answer = await session.recv()
            print(f"{answer.sender} says {answer.text!r}; it had this after {1000 * seconds:.1f} ms")


def main() -> None:
    """Serve or call, as the command line asks."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--host", default="127.0.0.1")
    common.add_argument("--port", type=int, default=socketchat.DEFAULT_PORT)
    commands = argparse.ArgumentParser(description="An echo peer.").add_subparsers(required=True)
    commands.add_parser("serve", parents=[common]).set_defaults(run=serve)
    caller = commands.add_parser("call", parents=[common])
    caller.add_argument("--fingerprint", metavar="SHA256:...")
    caller.add_argument("texts", nargs="+", metavar="TEXT")
    caller.set_defaults(run=call)
