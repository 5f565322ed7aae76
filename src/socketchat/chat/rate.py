"""How fast a member may speak: a token bucket that delays and never drops. It reads no clock."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Rate", "TokenBucket"]


class Rate(NamedTuple):
    """A rate: so many messages at once, and so many a second after that."""

    burst: int = 30
    per_second: float = 10.0


class TokenBucket:
    """How much a member may say now.

    Args:
        rate: How much it may say; None is as much as it likes.
        now: The time, in seconds.
    """

    def __init__(self, rate: Rate | None, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst) if rate else 0.0
        self._filled = now

    def take(self, wanted: int, now: float) -> int:
        """Take the tokens of up to so many messages; return how many may be said now."""
        if self._rate is None:
            return wanted
        self._tokens += (now - self._filled) * self._rate.per_second
        self._tokens = min(self._tokens, float(self._rate.burst))
        self._filled = now
        taken = min(wanted, int(self._tokens))
        self._tokens -= taken
        return taken

    def delay(self) -> float:
        """Return in how many seconds the next token is there, after `take` has given too few."""
        assert self._rate is not None
        # A little more than it takes, so that rounding cannot make it none.
        return max(0.0, 1.0 - self._tokens) / self._rate.per_second + 1e-6
