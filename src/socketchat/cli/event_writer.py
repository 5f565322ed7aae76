"""What happens in a session, written as lines or as JSON: messages to stdout, the rest to stderr.

The hearing half of the commands at pipes; `lines.py` puts it together with the half that speaks.
`render.py` and `render_json.py` choose the words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

from socketchat.cli.ignoring import Ignored
from socketchat.cli.presence import note_people
from socketchat.cli.render import plain
from socketchat.cli.render_json import JSONObject, json_line, to_json
from socketchat.cli.stdio import LineOutput
from socketchat.cli.terminal import say
from socketchat.events import (
    Event,
    Joined,
    Left,
    LinkLost,
    LinkRestored,
    Message,
    Rejected,
    Renamed,
    Restarted,
)
from socketchat.session import Session

__all__ = [
    "EventWriter",
    "Hear",
    "earlier_events",
    "hear_all",
    "hear_earlier",
    "hear_of_the_link",
]

#: Seconds without a message after which one has all that there is.
QUIET = 1.0


class EventWriter:
    """Writes what happens in a session.

    Args:
        session: The session, for its names.
        output: Where messages go.
        as_json: Write everything there, as one JSON object a line.

    Attributes:
        ignored: Of whom nothing is written.
        people: Who is known to be in the room: names, with the fingerprints of keys or nothing.
    """

    def __init__(self, session: Session, output: LineOutput, *, as_json: bool) -> None:
        self.ignored: Ignored = Ignored()
        self.people: dict[str, str] = {}
        self._session = session
        self._output = output
        self._as_json = as_json

    def put(self, event: Event) -> None:
        """Write one event."""
        if isinstance(event, Rejected) or (isinstance(event, Message) and event.own):
            return  # for our own lines, the receipts tell
        note_people(self.people, event)
        if self.ignored.hides(*_who_of(event)):
            return
        if self._as_json:
            value = to_json(event, self._session.room, self._session.nick)
            if value is not None:
                self.put_json(value)
        elif isinstance(event, Message):
            self._output.put((plain(event) + "\n").encode())
        elif shown := plain(event):
            say(shown)

    def put_json(self, value: JSONObject) -> None:
        """Write one object, if objects are written."""
        if self._as_json:
            self._output.put(json_line(value))

    async def ready(self) -> None:
        """Wait while too much waits to be written."""
        await self._output.ready()


def _who_of(event: Event) -> tuple[str, str]:
    """Return by whom or about whom an event is: name and fingerprint, either may be empty."""
    match event:
        case Message(sender=nick, key=key):
            return nick, key
        case Joined(nick=nick, key=key) | Left(nick=nick, key=key) | Renamed(nick=nick, key=key):
            return nick, key
        case _:
            return "", ""


#: Has what happens written until the session is over, or it has heard enough.
Hear: TypeAlias = Callable[[Session, EventWriter], Awaitable[None]]


async def hear_all(session: Session, writer: EventWriter) -> None:
    """Have everything written."""
    async for event in session.events():
        writer.put(event)
        await writer.ready()


async def hear_of_the_link(session: Session, writer: EventWriter) -> None:
    """Have written how the link does; read all the rest, since nothing is acknowledged else."""
    async for event in session.events():
        if isinstance(event, LinkLost | LinkRestored | Restarted):
            writer.put(event)


async def hear_earlier(session: Session, writer: EventWriter) -> None:
    """Have written what was said before the session came in, and no more."""
    async for event in earlier_events(session):
        writer.put(event)
        await writer.ready()


async def earlier_events(session: Session) -> AsyncGenerator[Event, None]:
    """Iterate over what was said before a session came in, and what happens meanwhile.

    The last of it may have been meant for somebody else, and will not come. So it is over too when
    nothing has come for a while, though the server answers.
    """
    events = session.events()
    last = None
    asked = False
    try:
        while session.earlier and last != session.earlier[-1]:
            try:
                async with asyncio.timeout(QUIET):
                    event = await anext(events, None)
            except TimeoutError:
                events = session.events()  # the old one has ended with that
                if asked:
                    return
                await session.ping()
                asked = True
                continue
            if event is None:
                return
            if isinstance(event, Message):
                if not event.replayed:
                    return
                last, asked = event.number, False
            yield event
    finally:
        await events.aclose()
