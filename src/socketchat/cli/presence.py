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
#: Seconds within which all arrive who were there when we came.
ARRIVING = 0.1
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
        self._gathered: list[Joined | Left | Renamed] = []
        self._timer: asyncio.TimerHandle | None = None
        # Whether those who were there when we came are still being told of, and to be said.
        self._arriving = False
        self._introduced = False

    def forget(self) -> None:
        """Know nobody any more: the link is a new one, and all that are here are told of again."""
        self.people.clear()
        self._introduced = True

    def hear(self, event: Joined | Left | Present | Renamed, *, is_hidden: bool = False) -> None:
        """Take notice of one event, and say so unless it is to be hidden."""
        if not isinstance(event, Present):
            self.introduce()
        note_people(self.people, event)
        if isinstance(event, Present):
            self._arriving = not self._introduced
            if self._arriving and self._timer is None:
                self._wait(ARRIVING)
        elif is_hidden:
            pass
        elif self._timer is None:
            self._say(words(event))
            self._wait()
        else:
            self._gathered.append(event)

    def introduce(self) -> None:
        """Say who was there when we came: of many, the server tells in several events."""
        if self._arriving:
            self._arriving, self._introduced = False, True
            self._say(f"here: {listed(list(self.people))}")

    def speaks(self, name: str) -> None:
        """Take notice that somebody has said something: it is told first that they are here."""
        self.introduce()
        if any(name in _names_of(one) for one in self._gathered):
            self.tell()

    def tell(self) -> None:
        """Say what was gathered."""
        self.introduce()
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

    def _wait(self, seconds: float | None = None) -> None:
        seconds = QUIET if seconds is None else seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._quiet)

    def _quiet(self) -> None:
        self._timer = None
        if self._gathered or self._arriving:
            self.tell()
            self._wait()


def _names_of(event: Joined | Left | Renamed) -> tuple[str, ...]:
    return (event.nick, event.now) if isinstance(event, Renamed) else (event.nick,)


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


def _together(events: list[Joined | Left | Renamed]) -> str:
    """Say in one line who has come and gone: by name, of many in numbers, `+30 -12 (ana, ...)`."""
    online: dict[str, str] = {}
    left: dict[str, str] = {}
    renamed: list[str] = []
    for event in events:
        if isinstance(event, Renamed):
            renamed.append(words(event))
            continue
        address = f" ({clean(event.address, multiline=False)})" if event.address else ""
        name = clean_name(event.nick)
        # What became of each in the end.
        (left if isinstance(event, Joined) else online).pop(name, None)
        (online if isinstance(event, Joined) else left)[name] = name + address
    named = [*online, *left, *renamed]
    if len(named) > _MOST_NAMED:
        came = sum(isinstance(event, Joined) for event in events)
        went = sum(isinstance(event, Left) for event in events)
        counts = ([f"+{came}"] if came else []) + ([f"-{went}"] if went else [])
        return f"{' '.join(counts)} ({listed(named, _MOST_NAMED)})".strip()
    parts = [f"online: {', '.join(online.values())}"] if online else []
    parts += [f"left: {', '.join(left.values())}"] if left else []
    return "; ".join([*parts, *renamed])
