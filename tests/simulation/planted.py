"""Faults planted in the code, each of which loses or doubles messages, or shows what it must not.

The simulation has to find every one of them: one that it does not find says that the simulated
world is too tame. They are planted by substitution; the code has no switches for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from socketchat.chat.log import Draft, Entry
from socketchat.chat.member import Member
from socketchat.chat.room import Room
from socketchat.server import Server
from tests.simulation.checker import Kind
from tests.simulation.engine import Disk, Outcome, Request, SimulatedLog

__all__ = ["PLANTED", "Planted"]


class Planted(NamedTuple):
    """A fault.

    Attributes:
        plant: Plants it.
        kinds: What it leads to.
        first: The seed with which to begin, where the first ones are known not to show it.
        servers: How many servers share a Redis; see `run_seed`.
    """

    plant: Callable[[pytest.MonkeyPatch], None]
    kinds: frozenset[Kind]
    first: int = 0
    servers: int = 0


def _log(kind: type[SimulatedLog]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what has servers use another log."""
    return lambda patch: patch.setattr("tests.simulation.stores.SimulatedLog", kind)


def _acknowledge_before_commit(patch: pytest.MonkeyPatch) -> None:
    append = Member._append

    def append_and_acknowledge(self: Member, drafts: list[Draft]) -> None:
        append(self, drafts)
        self.session.hold(drafts[-1].number)

    patch.setattr(Member, "_append", append_and_acknowledge)


class ShowingEarly(SimulatedLog):
    """A log that tells what is appended at once, and commits it later."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self._heads: dict[str, int] = {}
        self._times: dict[tuple[str, bytes, int], int] = {}

    def append(
        self, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        future = super().append(room, lane, drafts, after=after)
        if not self.dead and self._error is None:
            mark = self.disk.room(room).marks.get(lane, 0)
            early = [self._promise(room, lane, one) for one in drafts if one.number > mark]
            if early:
                super().tell_watchers(room, early)
        return future

    def _promise(self, room: str, lane: bytes, draft: Draft) -> Entry:
        held = self.disk.room(room)
        number = max(held.head, self._heads.get(room, 0)) + 1
        at = max(held.at, self.disk.clock())
        self._heads[room] = number
        self._times[room, lane, draft.number] = at
        return draft.entry(number, at, lane)

    def store(self, request: Request, draft: Draft) -> Entry:
        at = self._times.get((request.room, request.lane, draft.number), 0)
        return self.disk.add(request.room, request.lane, draft, at)

    def tell_watchers(self, room: str, entries: Sequence[Entry]) -> None:
        pass


class MarksApart(SimulatedLog):
    """A log that stores the marks of a transaction with the one after it."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self._late: dict[tuple[str, bytes], int] = {}

    def transact(self, group: Sequence[Request]) -> list[Outcome]:
        for (room, lane), mark in self._late.items():
            self.disk.room(room).marks[lane] = mark
        self._late.clear()
        return super().transact(group)

    def known_mark(self, room: str, lane: bytes) -> int:
        return self._late.get((room, lane)) or super().known_mark(room, lane)

    def set_mark(self, room: str, lane: bytes, mark: int) -> None:
        self._late[room, lane] = mark


class WithoutMarks(SimulatedLog):
    """A log that keeps no marks."""

    def known_mark(self, room: str, lane: bytes) -> int:
        return 0

    def apply(self, request: Request) -> Outcome:
        return super().apply(request._replace(after=0))


class MarksInMemory(SimulatedLog):
    """A log that tells of a lane what it was asked to append, committed or not."""

    async def mark(self, room: str, lane: bytes) -> int:
        committed = await super().mark(room, lane)
        asked = [
            request.drafts[-1].number
            for request in self._under_way + self._queue
            if (request.room, request.lane) == (room, lane)
        ]
        return max([committed, *asked])


def _tell_mark_in_memory(patch: pytest.MonkeyPatch) -> None:
    async def do_not_wait(self: Room, lane: bytes) -> None:
        pass

    # Else there is nothing but what is committed.
    patch.setattr(Room, "_settled", do_not_wait)
    _log(MarksInMemory)(patch)


class AfterIgnored(SimulatedLog):
    """A log that appends what stands behind something that failed."""

    def apply(self, request: Request) -> Outcome:
        return super().apply(request._replace(after=0))


def _keep_ghosts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Server, "_end_older", lambda self, lane: None)


PLANTED = {
    "acknowledged before commit": Planted(
        _acknowledge_before_commit, frozenset({Kind.LOST, Kind.ACKNOWLEDGED_EARLY})
    ),
    "shown before commit": Planted(
        _log(ShowingEarly), frozenset({Kind.SHOWN_EARLY, Kind.NEVER_SENT})
    ),
    "marks apart from entries": Planted(_log(MarksApart), frozenset({Kind.DOUBLED})),
    "no marks": Planted(_log(WithoutMarks), frozenset({Kind.DOUBLED})),
    "mark in memory": Planted(
        _tell_mark_in_memory, frozenset({Kind.LOST, Kind.ACKNOWLEDGED_EARLY})
    ),
    "after ignored": Planted(_log(AfterIgnored), frozenset({Kind.LOST})),
    "ghosts stay": Planted(_keep_ghosts, frozenset({Kind.REFUSED_YET_SAID}), first=470),
}
