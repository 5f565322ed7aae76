"""A session over a Unix socket: programs of one machine, without ports, keys or TLS.

    python examples/unix_socket.py serve /tmp/shout
    python examples/unix_socket.py call /tmp/shout hello "how are you"

Who may open the file may talk: it is made for its owner alone. `Session.from_streams` takes any
pair of asyncio streams; such a session ends with them, as there is nobody to open others.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import socketchat


async def shout(session: socketchat.Session) -> None:
    """Say everything again, louder."""
    async for message in session:
        await session.send(message.text.upper())


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Talk with one caller; what goes wrong with it is no matter of the others."""
    try:
        async with await socketchat.Session.from_streams(
            reader, writer, side=socketchat.Side.SERVER, name="shouter"
        ) as session:
            await shout(session)
    except (OSError, socketchat.SocketChatError) as error:
        print(f"a caller is gone: {error}", file=sys.stderr)


async def serve(path: Path) -> None:
    """Wait for callers, until Ctrl-C."""
    # The group owns all callers: when it is cancelled, each is said goodbye to.
    async with asyncio.TaskGroup() as group:

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            group.create_task(answer(reader, writer))

        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(begin, path)
        finally:
            os.umask(before)
        print(f"listening on {path}", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - the loop ends; 3.13 has removed it


async def call(path: Path, texts: list[str]) -> None:
    """Send each text, and print what comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    async with await socketchat.Session.from_streams(
        reader, writer, side=socketchat.Side.CLIENT, nick="ada"
    ) as session:
        for text in texts:
            await session.send(text)
        for _ in texts:
            print((await session.recv()).text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A session over a Unix socket.")
    parser.add_argument("command", choices=["serve", "call"])
    parser.add_argument("path", type=Path)
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    arguments = parser.parse_args()
    serving = arguments.command == "serve"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start programs without it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as Ctrl-C
    try:
        asyncio.run(serve(arguments.path) if serving else call(arguments.path, arguments.texts))
    except KeyboardInterrupt:
        pass  # `async with` has said goodbye
    except (OSError, socketchat.SocketChatError) as error:
        sys.exit(f"unix_socket: {error}")
