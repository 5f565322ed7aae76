"""A bot: it sits in a room as a client and answers `!help`, `!time` and `!roll 2d6`.

Start a room and the bot, and talk to it from a third terminal:

    socketchat serve --headless
    python examples/bot.py localhost
    socketchat connect localhost

It stays through lost links and restarts of the server, and leaves with a goodbye at Ctrl-C. It
trusts the key that the server has at the first call, or only the one given with `--fingerprint`.
"""

import argparse
import asyncio
import re
import secrets
import signal
import sys
from datetime import UTC, datetime

import socketchat

HELP = "!help shows this, !time tells the time, !roll 2d6 rolls two dice"
DICE = re.compile(r"([1-9][0-9]?)d([1-9][0-9]{0,3})")


def answer(text: str) -> str | None:
    """Return what there is to say to `text`, or None if it is not for a bot."""
    match text.split():
        case ["!help"]:
            return HELP
        case ["!time"]:
            return datetime.now(UTC).strftime("it is %H:%M:%S UTC")
        case ["!roll", dice] if found := DICE.fullmatch(dice):
            count, sides = int(found[1]), int(found[2])
            rolls = [secrets.randbelow(sides) + 1 for _ in range(count)]
            return f"{dice}: {' + '.join(map(str, rolls))} = {sum(rolls)}"
        case ["!roll", *_]:
            return "roll what? !roll 2d6, up to 99 dice of 9999 sides"
    return None


async def attend(session: socketchat.Session) -> None:
    """Answer in the room until the session ends, and print what happens around it."""
    async for event in session.events():
        match event:
            case socketchat.Message(body=str() as text, replayed=False, own=False):
                if (reply := answer(text)) is not None:
                    await session.send(reply)
            case socketchat.LinkLost() | socketchat.LinkRestored() | socketchat.Restarted():
                print(event, file=sys.stderr)


async def main(args: argparse.Namespace) -> None:
    """Join the room and stay."""
    async with socketchat.connect(
        args.host,
        args.port,
        room=args.room,
        nick=args.nick,
        trust=args.fingerprint or "accept-new",
    ) as session:
        print(f"in the room {session.room} as {session.nick}", flush=True)
        await attend(session)
        print(f"the server has closed: {session.close_reason}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A bot that sits in a chat room.")
    parser.add_argument("host")
    parser.add_argument("--port", type=int, default=socketchat.DEFAULT_PORT)
    parser.add_argument("--room", default="", help="by default the server's own")
    parser.add_argument("--nick", default="bot")
    parser.add_argument("--fingerprint", metavar="SHA256:...")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start programs without it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as Ctrl-C
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass  # `async with` has said goodbye
    except (OSError, socketchat.SocketChatError) as error:
        sys.exit(f"bot: {error}")
