"""The options that both doors share, `connect` and `serve`, with their units and defaults.

A leaf: plain values, checked once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TypedDict

__all__ = ["DEFAULT_PORT", "OptionArgs", "Options"]

#: The TCP port that is meant where none is named.
DEFAULT_PORT = 7625


class OptionArgs(TypedDict, total=False):
    """The keyword arguments from which `Options` is made, for the signatures of both doors."""

    open_timeout: float | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    resume_timeout: float
    max_size: int
    max_queue: tuple[int, int]
    max_unacked: tuple[int, int]
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a session behaves.

    Attributes:
        open_timeout: Seconds until the greeting must be over; None waits for ever.
        ping_interval: Seconds of silence from the other side after which it is pinged; None never
            pings.
        ping_timeout: Seconds after such a ping in which something must arrive, or the link counts
            as lost; None waits for ever.
        close_timeout: Seconds that an orderly close may take before the link is cut; None waits
            for ever.
        resume_timeout: Seconds that a server keeps a session whose link was lost.
        max_size: The longest message that we take, in bytes on the wire; 4096 to 4 GiB - 1.
        max_queue: Messages received and not yet read by the application at which reading from the
            link stops, and at which it goes on.
        max_unacked: Messages, and bytes, sent and not yet acknowledged, at which `send` waits;
            ignored where `connect` is given an `outbox`, which has bounds of its own.
        logger: Where to log; None is the logger `socketchat`.
    """

    open_timeout: float | None = 10
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    close_timeout: float | None = 10
    resume_timeout: float = 120
    max_size: int = 2**20
    max_queue: tuple[int, int] = (256, 64)
    max_unacked: tuple[int, int] = (4096, 4 * 2**20)
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger] | None = None

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ValueError: One is out of range; the text names it.
        """
        for name in ("open_timeout", "ping_interval", "ping_timeout", "close_timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0 seconds, or None: {value!r}")
        if not self.resume_timeout >= 0:
            raise ValueError(f"resume_timeout must be 0 seconds or more: {self.resume_timeout!r}")
        if not 4096 <= self.max_size < 2**32:
            raise ValueError(f"max_size must be from 4096 to 2**32 - 1 bytes: {self.max_size!r}")
        high, low = self.max_queue
        if not 0 <= low < high:
            raise ValueError(f"max_queue must be (high, low) with 0 <= low < high: {(high, low)}")
        if min(self.max_unacked) < 1:
            raise ValueError(f"max_unacked must be (messages, bytes) above 0: {self.max_unacked}")
