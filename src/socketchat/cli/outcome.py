"""How a command ends: its exit code, and the error that has it end early.

A leaf, so that what is asked can be parsed without loading what is done; which failure deserves
which code, `failures.py` knows.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitCode", "Failure"]


class ExitCode(IntEnum):
    """What the command's exit status says."""

    DONE = 0
    INTERNAL_ERROR = 1
    USAGE = 2
    CANNOT_REACH = 3
    NOT_TRUSTED = 4
    REFUSED = 5
    NOT_ACKNOWLEDGED = 6
    INTERRUPTED = 130


class Failure(Exception):
    """The command cannot go on.

    Attributes:
        code: The exit status.
    """

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code
