"""`python -m tests.comparison [NAME]...`: try all servers, or these, and print what came of it.

It needs Linux, `apt-get install ncat ngircd` and `pip install -e '.[bench]'`; what is missing is
left out. It takes some minutes.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.rooms.contestants import Missing
from tests.comparison.rooms import Process, Room, rooms
from tests.comparison.trials import TRIALS, Trial


async def attempt(room: Room, title: str, folder: Path) -> str:
    """Try one thing with a new server, and return what came of it."""
    server = Process(room.server, folder)
    try:
        await server.start()
        return await TRIALS[title](Trial(room, server, folder))
    finally:
        await server.kill()


def main(names: list[str]) -> None:
    """Try all of them, or those with these names."""
    for room in rooms():
        if names and room.server.name not in names:
            continue
        try:
            print(f"{room.server.name} {room.server.describe()}", flush=True)
        except Missing as missing:
            print(missing)
            continue
        for title in TRIALS:
            with tempfile.TemporaryDirectory() as folder:
                found = asyncio.run(attempt(room, title, Path(folder)))
            print(f"    {title}: {found}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
