"""Alerts from a pipe: lines that match go to a room, those of one second together.

    tail -n 0 -F app.log | python examples/alerts.py localhost --room alerts --match 'ERROR|CRIT'

A thousand errors in a second are one message, with the first twenty of them and a count. While the
server is away messages wait, and so does the pipe once too many do; what was read is in the room
when the program ends, which it does with the pipe, at Ctrl-C or at SIGTERM. Without gathering
`alerts.sh` does the same with the command alone.
"""

import argparse
import asyncio
import re
import signal
import sys

import socketchat

SHOWN = 20  # lines of one message
LONGEST = 200  # characters of a line that are shown


async def alert(
    lines: asyncio.StreamReader,
    session: socketchat.Session,
    pattern: re.Pattern[str],
    seconds: float,
) -> None:
    """Send the lines that match, gathered for so many seconds, until there are no more."""
    loop = asyncio.get_running_loop()
    shown: list[str] = []
    more = 0
    due: float | None = None
    line = b"\n"
    while line or shown:
        try:
            async with asyncio.timeout_at(due):
                line = await lines.readline()  # if it is cancelled, what has come stays there
        except ValueError:
            continue  # longer than the reader takes: it is let go
        except TimeoutError:
            pass
        else:
            text = line.decode(errors="replace").strip()[:LONGEST]
            if text and pattern.search(text):
                if due is None:
                    due = loop.time() + seconds
                    print("gathering", flush=True)
                if len(shown) < SHOWN:
                    shown.append(text)
                else:
                    more += 1
            if line:
                continue
        if shown:
            await session.send("\n".join([*shown, f"and {more} more"] if more else shown))
        shown, more, due = [], 0, None


async def main(args: argparse.Namespace) -> None:
    """Join the room, and alert it until the pipe ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lines.feed_eof)
    trust = args.fingerprint or "accept-new"
    async with socketchat.connect(
        args.host, args.port, room=args.room, nick=args.nick, trust=trust
    ) as session:
        pipe, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        reading = asyncio.create_task(ignore(session))
        await alert(lines, session, re.compile(args.match), args.seconds)
        pipe.close()
        async with asyncio.timeout(30):
            await session.flush()
    await reading


async def ignore(session: socketchat.Session) -> None:
    """Read what others say in the room: acknowledgements come behind it."""
    async for _ in session:
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send lines of stdin that match to a room.")
    parser.add_argument("host")
    parser.add_argument("--port", type=int, default=socketchat.DEFAULT_PORT)
    parser.add_argument("--room", default="alerts")
    parser.add_argument("--nick", default="alerts")
    parser.add_argument("--match", default="", help="a regular expression; by default all lines")
    parser.add_argument("--seconds", type=float, default=1.0, help="gathered in one message")
    parser.add_argument("--fingerprint", metavar="SHA256:...")
    try:
        asyncio.run(main(parser.parse_args()))
    except TimeoutError:
        sys.exit("alerts: the server is away, and the last alerts are not there")
    except (OSError, socketchat.SocketChatError) as error:
        sys.exit(f"alerts: {error}")
