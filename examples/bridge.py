"""A bridge: what is said in one room is said in the other too, of the same server or of two.

    python examples/bridge.py localhost/lobby maple:7700/tea

Text is passed on as `ada@localhost/lobby#12: hello`, where 12 is its number in the room's log. So
the rooms themselves hold how far the bridge has come: after a restart, or a kill -9, it looks for
the last mark of its own in the one room and goes on behind that number in the other. Nothing is
passed on twice, and what was said meanwhile is. That holds as long as the mark is among the last
10,000 messages; without one, as at the first start, it begins with what is said from now on.

What bears a mark is not passed on again, so no ring of bridges sends a message round and round:
three rooms that shall be as one want a bridge for each pair. What is for one person stays where it
is. Servers are trusted at the first call; the key of the bridge itself lies in `--key`.
"""

import argparse
import asyncio
import re
import signal
import sys
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from pathlib import Path

import socketchat

HISTORY = 10_000
MARK = re.compile(r"\S+@(\S+)#(\d+): ")


def enter(place: str, device: socketchat.Device) -> AbstractAsyncContextManager[socketchat.Session]:
    """Call a server that is given as `host`, `host/room` or `host:port/room`."""
    host, _, room = place.partition("/")
    return socketchat.connect(
        [host], room=room, nick="bridge", trust="accept-new", history=HISTORY, device=device
    )


async def look_back(target: socketchat.Session, origin: str, public: bytes) -> int | None:
    """Return the number of the last message of `origin` that was passed on, if there is one."""
    # A message to ourselves comes back behind all that was said before.
    end = await target.send("how far have I come?", to=target.nick)
    passed = None
    async with aclosing(target.events()) as events:
        async for event in events:
            match event:
                case socketchat.Message(own_number=end.number):
                    break
                case socketchat.Message(body=str() as text) if event.public == public:
                    if (mark := MARK.match(text)) and mark[1] == origin:
                        passed = int(mark[2])
    return passed


async def pass_on(origin: str, goal: str, device: socketchat.Device) -> None:
    """Say in one room what is said in the other.

    The session that sends is another one than that which receives: if one session did both, and so
    much was said on both sides that both waited to send, nobody would read the acknowledgements.
    """
    async with enter(origin, device) as source, enter(goal, device) as target:
        passed = await look_back(target, origin, device.public)
        if passed is None:
            passed = source.head
        print(f"from {origin} to {goal}, behind message {passed}", flush=True)
        reading = asyncio.create_task(report(target))
        async for event in source.events():
            match event:
                case socketchat.Message(body=str() as text, to="", number=number):
                    if number > passed and not MARK.match(text):
                        await target.send(f"{event.sender}@{origin}#{number}: {text}")
                case socketchat.Restarted():
                    passed = source.head  # another log, with numbers of its own
                case socketchat.Gap():
                    print(f"{origin}: {event}", file=sys.stderr)
    await reading
    raise ConnectionError(f"{origin} has said goodbye: {source.close_reason}")


async def report(target: socketchat.Session) -> None:
    """Read what the room says to the bridge, and print what it has refused."""
    async for event in target.events():
        if isinstance(event, socketchat.Rejected):
            print(f"not passed on to {target.room}: {event.reason}", file=sys.stderr)


async def main(args: argparse.Namespace) -> None:
    """Pass on in both directions, until one of the servers says goodbye."""
    device = await asyncio.to_thread(socketchat.Device.load_or_generate, args.key)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(pass_on(args.one, args.other, device))
            group.create_task(pass_on(args.other, args.one, device))
    except* (OSError, socketchat.SocketChatError) as errors:
        sys.exit(f"bridge: {errors.exceptions[0]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A bridge between two chat rooms.")
    parser.add_argument("one", metavar="HOST[:PORT]/ROOM")
    parser.add_argument("other", metavar="HOST[:PORT]/ROOM")
    parser.add_argument("--key", type=Path, default=Path.home() / ".socketchat-bridge")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start programs without it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as Ctrl-C
    with suppress(KeyboardInterrupt):  # `async with` has said goodbye
        asyncio.run(main(parser.parse_args()))
