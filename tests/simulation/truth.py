"""What is true of a room's log, as a history tells it, for the checker."""

from __future__ import annotations

from bisect import bisect_right

from tests.simulation.history import Committed

__all__ = ["RoomTruth"]


class RoomTruth:
    """What is true of a room's log, and since when.

    A log that loses its end and goes on is another one from there: an era begins. What is in the
    log of an era is what was in the one before, up to where that was cut off, and what was
    committed since.

    Attributes:
        committed: Everything that ever was, in its order.
        eras: By number, the log of each.
        lost: What was committed, and is in the log no more.
    """

    def __init__(self) -> None:
        self.committed: list[Committed] = []
        self.eras: list[dict[int, Committed]] = [{}]
        self.lost: set[tuple[bytes, int]] = set()
        self._begun = [0.0]
        self._trims: list[tuple[float, int]] = [(0.0, 1)]

    @property
    def now(self) -> dict[int, Committed]:
        """The log as it is in the end."""
        return self.eras[-1]

    def add(self, committed: Committed) -> None:
        self.committed.append(committed)
        self.now[committed.entry.number] = committed
        self.lost.discard((committed.entry.lane, committed.entry.lane_number))

    def trim(self, when: float, floor: int) -> None:
        self._trims.append((when, floor))

    def rewind(self, when: float, head: int, floor: int) -> None:
        gone = [one.entry for number, one in self.now.items() if number > head]
        self.lost.update((entry.lane, entry.lane_number) for entry in gone)
        self.eras.append({number: one for number, one in self.now.items() if number <= head})
        self._begun.append(when)
        self._trims.append((when, floor))  # perhaps what had been let go of is there again

    def era_at(self, when: float) -> int:
        return bisect_right(self._begun, when) - 1

    def head_at(self, when: float) -> int:
        era = self.eras[self.era_at(when)]
        return max((number for number, one in era.items() if one.when <= when), default=0)

    def floor_at(self, when: float) -> int:
        return self._trims[bisect_right(self._trims, when, key=lambda trim: trim[0]) - 1][1]

    def era_of(self, number: int, at: int, era: int) -> int | None:
        """Return the era in which an entry bears a time: the one given, if it does there.

        A server may not have noticed yet that the log is another one: it shows what was in the one
        before, even to one who was told so by now, and tells it again.
        """
        known = [index for index, log in enumerate(self.eras) if number in log]
        same = [index for index in known if self.eras[index][number].entry.at == at]
        return era if era in same else max(same or known, default=None)

    def goes_on(self, era: int, other: int, place: int) -> bool:
        """Tell whether a place means the same in two eras; that of no entry always does."""
        return place <= 0 or self.eras[era].get(place) is self.eras[other].get(place)
