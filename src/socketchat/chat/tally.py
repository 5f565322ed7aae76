"""What a chat server counts as it works, for those who watch over it.

Plain numbers that change where things happen, once for a batch and not for each delivery: whoever
wants to know looks at them when it suits (`metrics.py`). A leaf: it knows neither rooms nor logs,
and is told the time.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

__all__ = ["BOUNDS", "Tally"]

#: Up to how many seconds a commit takes that counts in each class; longer ones are in the last.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Tally:
    """Counters of one chat server, of all its rooms together.

    Attributes:
        messages: What its members have said that is in the log.
        rejected: What they have said that was refused for good.
        deliveries: Messages that were written to a member, earlier ones among them.
        committed: By `BOUNDS`, how many appends the log has made in that time.
        commit_seconds: How long all of them took together, from the append to the loop's knowledge
            of the commit.
        failed: Appends that the log has not made.
        under_way: Appends that the log has not answered yet.
        moved_at: When the log last answered one, or was given one while it had none.
        failed_at: When the log last did not make one; None if the last that it answered is made.
    """

    messages: int = 0
    rejected: int = 0
    deliveries: int = 0
    committed: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    commit_seconds: float = 0.0
    failed: int = 0
    under_way: int = 0
    moved_at: float = 0.0
    failed_at: float | None = None

    def appended(self, now: float) -> None:
        """Count an append that the log was given."""
        if not self.under_way:
            self.moved_at = now
        self.under_way += 1

    def answered(self, since: float, now: float, *, made: bool) -> None:
        """Count an append's answer, which was given to the log at the time `since`."""
        self.under_way -= 1
        self.moved_at = now
        if not made:
            self.failed += 1
            self.failed_at = now
            return
        self.failed_at = None
        self.commit_seconds += now - since
        self.committed[bisect_left(BOUNDS, now - since)] += 1
