"""What a server knows about people, as plain facts that outlive it: a small store of them.

A fact is a value under a kind and a subject: that a name is a key's, that an address is banned.
They are few, and they change seldom. What they mean is `registry.py`'s to say. `Facts` is what
every store keeps; `sqlite_facts.py` and `redis_facts.py` have others than the one in memory. One
suite of tests holds all of them to it (`tests/chat/test_facts.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

__all__ = ["Facts", "MemoryFacts"]


class Facts(Protocol):
    """Facts by kind and subject. What is written is kept for good when the call returns.

    Whatever is not said to raise raises `LogError`, as a log does.
    """

    async def open(self) -> None:
        """Make ready; before anything else.

        Raises:
            OSError: What it keeps cannot be opened; `strerror` says why.
        """

    async def close(self) -> None:
        """Finish what is under way, and let everything go."""

    async def get(self, kind: str, subject: str) -> str | None:
        """Return a fact, or None if there is none."""

    async def all(self, kind: str) -> Mapping[str, str]:
        """Return all facts of a kind, by subject."""

    async def count(self, kind: str) -> int:
        """Return how many facts of a kind there are."""

    async def add(self, kind: str, subject: str, value: str) -> str:
        """Keep a fact unless there is one, and return the one that there is then."""

    async def put(self, kind: str, subject: str, value: str) -> None:
        """Keep a fact in place of any other."""

    async def remove(self, kind: str, subject: str) -> bool:
        """Forget a fact; tell whether there was one."""


class MemoryFacts:
    """Facts that last as long as their process. See `Facts`."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, str]] = {}

    async def open(self) -> None:
        """Do nothing: it is ready."""

    async def close(self) -> None:
        """Do nothing: there is nothing under way."""

    async def get(self, kind: str, subject: str) -> str | None:
        """See `Facts.get`."""
        return self._facts.get(kind, {}).get(subject)

    async def all(self, kind: str) -> Mapping[str, str]:
        """See `Facts.all`."""
        return MappingProxyType(self._facts.get(kind, {}))

    async def count(self, kind: str) -> int:
        """See `Facts.count`."""
        return len(self._facts.get(kind, {}))

    async def add(self, kind: str, subject: str, value: str) -> str:
        """See `Facts.add`."""
        return self._facts.setdefault(kind, {}).setdefault(subject, value)

    async def put(self, kind: str, subject: str, value: str) -> None:
        """See `Facts.put`."""
        self._facts.setdefault(kind, {})[subject] = value

    async def remove(self, kind: str, subject: str) -> bool:
        """See `Facts.remove`."""
        return self._facts.get(kind, {}).pop(subject, None) is not None
