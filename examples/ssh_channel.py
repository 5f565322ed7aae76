"""A session over an SSH channel: who may talk is what SSH's keys say.

It needs `pip install asyncssh`. Make the server a key, list who may come, and call:

    ssh-keygen -q -N "" -t ed25519 -f host_key
    python examples/ssh_channel.py serve --host-key host_key --authorized ~/.ssh/authorized_keys
    ssh-keyscan -p 7622 localhost >> ~/.ssh/known_hosts
    python examples/ssh_channel.py call localhost hello "how are you"

asyncssh's reader and writer are shaped like asyncio's: `Session.from_streams` takes them as they
are. Both sides must carry bytes (`encoding=None`). Several sessions may share one SSH connection.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import asyncssh

import socketchat

SUBSYSTEM = "socketchat"  # not a shell, nor a command: a name of our own


async def greet(session: socketchat.Session, user: str) -> None:
    """Say to a caller what it has said, and as whom SSH has let it in."""
    async for message in session:
        await session.send(f"{user} says {message.text}")


async def answer(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Talk with one caller; what goes wrong with it is no matter of the others."""
    user = process.get_extra_info("username")
    try:
        async with await socketchat.Session.from_streams(
            process.stdin, process.stdout, side=socketchat.Side.SERVER, name="greeter"
        ) as session:
            await greet(session, user)
    except (OSError, asyncssh.Error, socketchat.SocketChatError) as error:
        print(f"{user} is gone: {error}", file=sys.stderr)


async def serve(args: argparse.Namespace) -> None:
    """Wait for callers, until Ctrl-C."""
    # The group owns all callers: when it is cancelled, each is said goodbye to.
    async with asyncio.TaskGroup() as group:

        def begin(process: asyncssh.SSHServerProcess[bytes]) -> None:
            if process.subsystem == SUBSYSTEM:
                group.create_task(answer(process))
            else:
                process.exit(1)

        async with asyncssh.listen(
            args.host,
            args.port,
            server_host_keys=[args.host_key],
            authorized_client_keys=args.authorized,
            process_factory=begin,
            encoding=None,
        ) as server:
            print(f"listening on port {server.get_port()}", flush=True)
            await asyncio.Event().wait()


async def call(args: argparse.Namespace) -> None:
    """Send each text, and print what comes back."""
    keys = {"known_hosts": args.known_hosts, "client_keys": args.key}
    options = {name: value for name, value in keys.items() if value}
    async with asyncssh.connect(args.host, args.port, **options) as connection:
        stdin, stdout, _ = await connection.open_session(subsystem=SUBSYSTEM, encoding=None)
        async with await socketchat.Session.from_streams(
            stdout, stdin, side=socketchat.Side.CLIENT, nick="ada"
        ) as session:
            for text in args.texts:
                await session.send(text)
            for _ in args.texts:
                print((await session.recv()).text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A session over an SSH channel.")
    parser.add_argument("--port", type=int, default=7622)
    commands = parser.add_subparsers(required=True)
    server = commands.add_parser("serve")
    server.add_argument("--host", default="127.0.0.1")
    server.add_argument("--host-key", type=Path, required=True)
    server.add_argument("--authorized", type=str, required=True)
    server.set_defaults(run=serve)
    caller = commands.add_parser("call")
    caller.add_argument("host")
    caller.add_argument("texts", nargs="+", metavar="TEXT")
    caller.add_argument("--key", help="the caller's key; by default those in ~/.ssh")
    caller.add_argument("--known-hosts", help="by default ~/.ssh/known_hosts")
    caller.set_defaults(run=call)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start programs without it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as Ctrl-C
    try:
        asyncio.run(arguments.run(arguments))
    except KeyboardInterrupt:
        pass  # `async with` has said goodbye
    except (OSError, asyncssh.Error, socketchat.SocketChatError) as error:
        sys.exit(f"ssh_channel: {error}")
