"""The log lines of a session say which session they speak of.

A leaf under `lifecycle.py`. The number is this process's own, and nothing that the wire knows: the
name of a lane is a secret.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import MutableMapping
from typing import Any

__all__ = ["SessionLogger"]

#: Numbers the sessions of this process.
_ids = itertools.count(1)


class SessionLogger(logging.LoggerAdapter[Any]):
    """Puts before each line the number of its session.

    Args:
        logger: Where the lines go.
    """

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        super().__init__(logger)
        self._id = next(_ids)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Prefix the message, and give the number to those who do not read the prefix."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), "session": self._id}
        return f"[{self._id}] {msg}", kwargs
