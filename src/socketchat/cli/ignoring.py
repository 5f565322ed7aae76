"""Whom one does not want to hear.

A leaf: it knows names and keys.
"""

from __future__ import annotations

__all__ = ["Ignored"]


class Ignored:
    """Those whose messages are not shown, as long as the program runs.

    They are known by their keys, as far as those are known, so that another name does not help.
    """

    def __init__(self) -> None:
        # The key of each name, empty if it is not known.
        self._keys: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """By which names they were known."""
        return sorted(self._keys, key=str.casefold)

    def add(self, name: str, key: str) -> None:
        """Hear nothing more from somebody."""
        self._keys[name] = key

    def remove(self, name: str) -> bool:
        """Hear somebody again; tell whether that is news."""
        found = [one for one in self._keys if one.casefold() == name.casefold()]
        for one in found:
            del self._keys[one]
        return bool(found)

    def hides(self, name: str, key: str) -> bool:
        """Tell whether nothing is to be heard from somebody."""
        return bool(self._keys) and (
            (bool(key) and key in self._keys.values())
            or (name in self._keys and self._keys[name] in ("", key))
        )
