"""Whom one does not want to hear.

A leaf: it knows names and keys.
"""

from __future__ import annotations

__all__ = ["Ignored"]


class Ignored:
    """Those whose messages are not shown, as long as the program runs.

    They are known by their keys, as far as those are known, so that another name does not help.
    Case does not matter in names.
    """

    def __init__(self) -> None:
        # Each as spelled, and the key, empty if it is not known; by the name without case.
        self._known: dict[str, tuple[str, str]] = {}

    @property
    def names(self) -> list[str]:
        """By which names they were known."""
        return [name for _, (name, _) in sorted(self._known.items())]

    def add(self, name: str, key: str) -> None:
        """Hear nothing more from somebody."""
        self._known[name.casefold()] = (name, key)

    def remove(self, name: str) -> bool:
        """Hear somebody again; tell whether that is news."""
        return self._known.pop(name.casefold(), None) is not None

    def hides(self, name: str, key: str) -> bool:
        """Tell whether nothing is to be heard from somebody."""
        if not self._known:
            return False
        if key and any(key == known for _, known in self._known.values()):
            return True
        found = self._known.get(name.casefold())
        return found is not None and found[1] in ("", key)
