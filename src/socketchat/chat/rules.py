"""What may be said in a room and how fast, and how rooms may be named.

Values and pure functions: `room.py` and `server.py` ask them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from socketchat.chat.rate import Rate
from socketchat.errors import CloseCode
from socketchat.messages import MAX_NAME
from socketchat.text import clean

__all__ = ["TOO_LONG", "Rules", "Verdict", "checked_room_name", "room_name_of"]


TOO_LONG: Final = f"a room's name has at most {MAX_NAME} characters"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a message is refused for good.

    Attributes:
        code: The code with which it is rejected.
        reason: For people to read.
    """

    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a room's members may do.

    Attributes:
        rate: How fast each may speak; None is as fast as it can.
        max_size: The longest message, in bytes of UTF-8 or of data.
        max_lines: The most lines of a text.
    """

    rate: Rate | None = field(default_factory=Rate)
    max_size: int = 16 * 1024
    max_lines: int = 200

    def objection(self, body: str | bytes) -> Verdict | None:
        """Say why a message is not taken, or None if it is."""
        # Most are short; only the others need be encoded to be measured.
        size = len(body) if isinstance(body, bytes) or 4 * len(body) <= self.max_size else None
        if size is None:
            assert isinstance(body, str)
            size = len(body.encode())
        if size > self.max_size:
            return Verdict(
                CloseCode.TOO_BIG,
                f"a message has at most {self.max_size} bytes here, this one has {size}",
            )
        if isinstance(body, str) and (lines := body.count("\n") + 1) > self.max_lines:
            return Verdict(
                CloseCode.TOO_BIG,
                f"a message has at most {self.max_lines} lines here, this one has {lines}",
            )
        return None


def room_name_of(asked: str) -> str:
    """Make a room's name harmless, and never the same as another that can be told from it."""
    return " ".join(clean(asked, multiline=False).split())


def checked_room_name(asked: str) -> str:
    """Make a room's name harmless, as `room_name_of` does.

    Raises:
        ValueError: It is too long, or nothing is left of it.
    """
    name = room_name_of(asked)
    if not name:
        raise ValueError("a room's name must not be empty")
    if len(name) > MAX_NAME:
        raise ValueError(TOO_LONG)
    return name
