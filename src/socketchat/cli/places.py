"""Up to where one has read in each room, so that what is new can be told after coming back.

A small file, `places.json` in the user's directory: rooms by their labels, each with the time of
the last message that was shown, by the clock of the room's log. It is not worth an error: what
cannot be read counts as nothing, and what cannot be written is logged.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from socketchat.trust.secret_files import replace_secret

__all__ = ["Places"]

#: Rooms that are remembered: those that were read last.
MAX_PLACES = 1000

_log = logging.getLogger("socketchat.client")


class Places:
    """The places of one user; see above.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, int] = {}
        self._read: dict[str, int] = {}

    @property
    def labels(self) -> list[str]:
        """The rooms that are known."""
        return list(self._known)

    def load(self) -> None:
        """Read the file; in a thread."""
        self._known = self._load()

    def find(self, label: str) -> int:
        """Return the time of the last message that was shown in a room, in microseconds; else 0."""
        return self._read.get(label) or self._known.get(label, 0)

    def note(self, label: str, at: int) -> None:
        """Take notice of the last message that was shown in a room; `save` keeps it."""
        if at:
            self._read[label] = at

    def save(self) -> None:
        """Write what was noted to the file; in a thread."""
        if not self._read:
            return
        # Others may have noted something meanwhile; and what is read last stands last.
        others = {label: at for label, at in self._load().items() if label not in self._read}
        places = dict(list((others | self._read).items())[-MAX_PLACES:])
        try:
            replace_secret(self._path, json.dumps(places, indent=0).encode() + b"\n")
        except OSError as exc:
            _log.info("it is not remembered up to where was read: %s", exc)

    def _load(self) -> dict[str, int]:
        try:
            value = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(value, dict):
            return {}
        return {label: at for label, at in value.items() if type(at) is int and at > 0}
