"""Which key the server will have next, as its directory tells while it runs.

`socketchat identity` changes the files there; the server notices, and tells who comes in from then
on. What it has announced it never takes back by mistake: once the next key is put into use, it is
the next one of this process still, until that is started again.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from socketchat.server import Server
from socketchat.trust.identity import NEXT, SERVER, Identity

__all__ = ["announce_next_key", "next_pin"]

#: Seconds between two looks at the files.
PERIOD = 3.0

_log = logging.getLogger("socketchat.trust")


def next_pin(directory: Path, shown: str) -> str:
    """Return the pin of the key that the server shows after this one; empty if there is none.

    Args:
        directory: The server's data directory.
        shown: The pin of the key that it shows now.

    Raises:
        OSError: The files cannot be read.
        ValueError: What lies there is no key and certificate.
    """
    # In this order: between the two looks the next one may become the one in use.
    following = Identity.next_pin(directory)
    in_use = Identity.pin_in(directory / SERVER)
    return in_use if in_use not in ("", shown) else following


async def announce_next_key(server: Server, directory: Path) -> None:
    """Announce the next key whenever it is another one, until cancelled.

    Cancellation: the server goes on announcing what it announces.
    """
    seen: object = None
    while True:
        files = await asyncio.to_thread(_states, directory)
        if files != seen:
            seen = files
            try:
                pin = await asyncio.to_thread(next_pin, directory, server.fingerprint)
            except (OSError, ValueError) as exc:
                _log.warning("the server's next key is announced as before: %s", exc)
            else:
                server.announce(pin)
        await asyncio.sleep(PERIOD)


def _states(directory: Path) -> list[tuple[int, int, int] | None]:
    """Return what differs once one of the files is another one."""
    return [_state(directory / name) for name in (SERVER, NEXT)]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
