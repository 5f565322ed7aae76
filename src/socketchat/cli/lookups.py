"""What slash commands find out: what was said before, what was found, how the session is.

`commands.py` has the commands; here is what takes more than a line.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Protocol

from socketchat.cli.asking import Teller
from socketchat.cli.calling import HISTORY
from socketchat.cli.duration import parse_duration
from socketchat.cli.event_writer import earlier_events
from socketchat.cli.render import dated
from socketchat.cli.rooms import LookBack, Rooms
from socketchat.events import Message
from socketchat.peers import Peer
from socketchat.session import SessionState

__all__ = ["SessionStatus", "found_words", "look_back", "look_back_of", "status_words"]

#: Messages that `/history` shows at most.
MAX_HISTORY = 10_000


class SessionStatus(Protocol):
    """What tells how a session is, as `Session` has it."""

    @property
    def nick(self) -> str:
        """Our own name."""

    @property
    def room(self) -> str:
        """The room's name, or empty."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""

    @property
    def state(self) -> SessionState:
        """What it is doing."""

    @property
    def latency(self) -> float:
        """Seconds that the last ping took; 0.0 if there was none."""

    @property
    def unacknowledged(self) -> int:
        """Messages that were sent and are not acknowledged yet."""

    @property
    def next_pin(self) -> str:
        """The pin of the key that the server will have next, or empty."""


def look_back_of(argument: str) -> LookBack:
    """Return how far back `/history` is to look: `100`, or `2h`.

    Raises:
        ValueError: It is neither.
    """
    if not argument:
        return HISTORY
    if argument.isascii() and argument.isdigit() and len(argument) < 10:
        return max(1, min(int(argument), MAX_HISTORY))
    seconds = parse_duration(argument)
    if seconds is None:
        raise ValueError("say how many messages, as 100, or how long ago, as 2h")
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def look_back(rooms: Rooms, session: SessionStatus, back: LookBack, teller: Teller) -> str:
    """Show what was said in a session's room before, behind a line that says so; count it.

    Raises:
        Failure: The room cannot be read.
        SessionClosed: The server has ended it.
    """
    count = 0
    async with (
        rooms.look(session.room, session.nick, back) as reading,
        aclosing(earlier_events(reading)) as events,
    ):
        async for event in events:
            if not isinstance(event, Message):
                continue
            if not count:
                teller.notice("this was said before:")
            teller.show_earlier(event)
            count += 1
            if count % 50 == 0:
                await asyncio.sleep(0)  # what is typed has its turn
            if count >= MAX_HISTORY:
                break
    if not count:
        return "nothing was said here before" if isinstance(back, int) else "nothing since then"
    return "that was the last message" if count == 1 else f"those were the last {count:,} messages"


def found_words(answer: str) -> str:
    """Return what a search has found, for people to read."""
    lines = []
    for line in answer.splitlines():
        at, sender, to, text = (*line.split("\t", 3), "", "", "")[:4]
        number = int(at) if at.isascii() and at.isdigit() and len(at) < 19 else 0
        lines.append(dated(Message(text, sender, 0, number, to)))
    return "\n".join(lines) or "nothing was found: no message here has all of these words in it"


def _key_words(peer: Peer) -> str:
    if peer.key:
        return f"its key is {peer.key}"
    # Who sits at the server itself has called nobody, and so has no address of anybody.
    return "without TLS: it has shown no key" if peer.address else "it is the one that runs here"


def status_words(session: SessionStatus) -> str:
    """Say in words how a session is."""
    peer = session.peer
    at = f" at {peer.address}" if peer.address else ""
    server = f"server {peer.nick or '(without a name)'}{at}"
    state = "offline, coming back" if session.state is SessionState.LOST else session.state.value
    is_open = session.state is SessionState.OPEN
    latency = f", {session.latency * 1000:.1f} ms" if session.latency and is_open else ""
    waiting = session.unacknowledged
    lines = [
        f"{session.nick or 'you'} in {session.room or 'no room'}",
        server,
        _key_words(peer),
        f"link: {state}{latency}",
        "nothing waits to be sent" if not waiting else f"waiting to be sent: {waiting}",
    ]
    if session.next_pin:
        lines.insert(3, f"its next key will be {session.next_pin}")
    return "\n".join(lines)
