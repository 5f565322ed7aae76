"""Up to where one has read in each room, so that what is new can be told after coming back.

A small file, `places.json` in the user's directory: rooms by their labels, each with the time and
the number of the last message that was shown, by the room's log. It is not worth an error: what
cannot be read counts as nothing, and what cannot be written is logged.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Final, NamedTuple

from socketchat.trust.secret_files import replace_secret

__all__ = ["NOWHERE", "Place", "Places"]

#: Rooms that are remembered: those that were read last.
MAX_PLACES = 1000

_log = logging.getLogger("socketchat.client")


class Place(NamedTuple):
    """A message in a room: its time, in microseconds, and its number."""

    at: int
    number: int


#: The place of one who has read nothing.
NOWHERE: Final = Place(0, 0)


class Places:
    """The places of one user; see above.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Place] = {}
        self._read: dict[str, Place] = {}

    @property
    def labels(self) -> list[str]:
        """The rooms that are known."""
        return list(self._known)

    def load(self) -> None:
        """Read the file; in a thread."""
        self._known = self._load()

    def find(self, label: str) -> Place | None:
        """Return the place of the last message that was shown in a room; None if there is none."""
        return self._read.get(label) or self._known.get(label)

    def note(self, label: str, place: Place) -> None:
        """Take notice of the last message that was shown in a room; `save` keeps it."""
        if place.at:
            self._read[label] = place

    def save(self) -> None:
        """Write what was noted to the file; in a thread."""
        if not self._read:
            return
        # Others may have noted something meanwhile; and what is read last stands last.
        others = {label: one for label, one in self._load().items() if label not in self._read}
        places = dict(list((others | self._read).items())[-MAX_PLACES:])
        try:
            replace_secret(self._path, json.dumps(places, indent=0).encode() + b"\n")
        except OSError as exc:
            _log.info("it is not remembered up to where was read: %s", exc)

    def _load(self) -> dict[str, Place]:
        try:
            value = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(value, dict):
            return {}
        return {
            label: Place(*place)
            for label, place in value.items()
            if isinstance(place, list)
            and len(place) == 2
            and all(type(one) is int and one > 0 for one in place)
        }
