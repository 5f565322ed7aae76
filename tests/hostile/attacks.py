"""All attacks, in the order in which they are made."""

from __future__ import annotations

from tests.hostile import coming, fields, frames, posing, waiting
from tests.hostile.attack import Attack

__all__ = ["ATTACKS"]

ATTACKS: tuple[Attack, ...] = (
    *coming.ATTACKS,
    *fields.ATTACKS,
    *posing.ATTACKS,
    *frames.ATTACKS,
    *waiting.ATTACKS,
)
