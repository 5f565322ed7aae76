"""Who is in a room, as far as one is told, and how their coming and going is said in few lines.

The first who comes or goes is told of at once. Those who do within `QUIET` seconds after that are
told of together, in one line, and so on until nobody has for so long. What passes may be lost, so
this may be wrong after floods; `/names` asks the server.

It knows the session's events, nothing of terminals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from socketchat.cli.render import listed, words
from socketchat.events import Event, Joined, Left, Present, Renamed
from socketchat.text import clean, clean_name

__all__ = ["QUIET", "Presence", "note_people"]

#: Seconds for which coming and going is gathered into one line.
QUIET = 5.0
#: Names in such a line.
_MOST_NAMED = 6


class Presence:
    """The others in a room.

    Args:
        say: Shows a line about them.

    Attributes:
        people: Their names, with the fingerprints of their keys or nothing.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self.people: dict[str, str] = {}
        self._say = say
        self._gathered: list[Joined | Left] = []
        self._timer: asyncio.TimerHandle | None = None
        # Whether it was said who was there when we came.
        self._introduced = False

    def forget(self) -> None:
        """Know nobody any more: the link is a new one, and all that are here are told of again."""
        self.people.clear()
        self._introduced = True

    def hear(self, event: Joined | Left | Present | Renamed, *, is_hidden: bool = False) -> None:
        """Take notice of one event, and say so unless it is to be hidden."""
        note_people(self.people, event)
        if isinstance(event, Present):
            if not self._introduced:
                self._say(words(event))
        elif is_hidden:
            pass
        elif isinstance(event, Renamed):
            self.tell()
            self._say(words(event))
        elif self._timer is None:
            self._say(words(event))
            self._wait()
        else:
            self._gathered.append(event)

    def speaks(self, name: str) -> None:
        """Take notice that somebody has said something: it is told first that they are here."""
        if any(one.nick == name for one in self._gathered):
            self.tell()

    def tell(self) -> None:
        """Say what was gathered."""
        gathered, self._gathered = self._gathered, []
        if len(gathered) == 1:
            self._say(words(gathered[0]))
        elif gathered:
            self._say(_together(gathered))

    def close(self) -> None:
        """Say what was gathered, and gather nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.tell()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(QUIET, self._quiet)

    def _quiet(self) -> None:
        self._timer = None
        if self._gathered:
            self.tell()
            self._wait()


def note_people(people: dict[str, str], event: Event) -> None:
    """Note who has come or gone, in names with the fingerprints of keys or nothing."""
    match event:
        case Present(nicks, keys):
            people.update(zip(nicks, keys or [""] * len(nicks), strict=False))
        case Renamed(nick, now, key):
            people.pop(nick, None)
            people[now] = key
        case Joined(nick=nick, key=key):
            people[nick] = key
        case Left(nick=nick):
            people.pop(nick, None)
        case _:
            pass


def _together(events: list[Joined | Left]) -> str:
    """Say in one line who has come and gone: `+3 -1 (ana, bob, cyd, dan)`."""
    came = sum(isinstance(event, Joined) for event in events)
    went = len(events) - came
    counts = ([f"+{came}"] if came else []) + ([f"-{went}"] if went else [])
    # By name, each once, with the last address that was told.
    who = {clean_name(event.nick): event.address for event in events}
    if len(who) <= _MOST_NAMED:
        named = [
            f"{name} ({clean(address, multiline=False)})" if address else name
            for name, address in who.items()
        ]
        return f"{' '.join(counts)} ({', '.join(named)})"
    return f"{' '.join(counts)} ({listed(list(who), _MOST_NAMED)})"
