"""What was typed at the console, kept for the next time: a file of its owner's alone.

One JSON string a line, the newest last, so that a message of several lines is one. Several consoles
may append to it at the same time. Lines that begin with a blank are not kept, as in shells.

It is not worth an error: what cannot be read counts as nothing, and what cannot be written is kept
for this time only.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

from socketchat.trust.secret_files import replace_secret

__all__ = ["MAX_KEPT", "InputHistory"]

#: Lines that are kept; the file is cut to so many when it has twice as many.
MAX_KEPT = 1000

_log = logging.getLogger("socketchat.client")


class InputHistory(History):
    """The history of the console's input: `read` it first, in a thread.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._kept: list[str] = []

    def read(self) -> None:
        """Read what is kept from the disk."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        kept = [text for line in lines if (text := _text_of(line))]
        self._kept = kept[-MAX_KEPT:]
        if len(lines) > 2 * MAX_KEPT:
            self._cut()

    def load_history_strings(self) -> Iterable[str]:
        """Return what was read, the newest first."""
        return reversed(self._kept)

    def store_string(self, string: str) -> None:
        """Keep one more: a short write at the end of the file, which waits for no disk."""
        if string.startswith((" ", "\t")):
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, json.dumps(string).encode() + b"\n")
            finally:
                os.close(handle)
        except OSError as exc:
            _log.info("what is typed is not kept: %s", exc)

    def _cut(self) -> None:
        data = "".join(json.dumps(text) + "\n" for text in self._kept).encode()
        try:
            replace_secret(self._path, data)
        except OSError as exc:
            _log.info("the history of what was typed is not cut: %s", exc)


def _text_of(line: bytes) -> str:
    try:
        text = json.loads(line)
    except ValueError:
        return ""
    return text if isinstance(text, str) else ""
