"""What is typed, opened in an editor of the user's own: Ctrl-X Ctrl-E.

The editor is the one of `VISUAL` or `EDITOR`, else the first of a few that is there. It has the
terminal to itself meanwhile; what arrives waits, and is printed afterwards.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from prompt_toolkit.application import in_terminal

__all__ = ["Editor"]

_EDITORS = ("editor", "nano", "vi", "emacs") if os.name == "posix" else ("notepad",)


class Editor:
    """The user's own editor."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._is_killed = False

    async def edit(self, text: str, as_usual: Callable[[], AbstractContextManager[None]]) -> str:
        """Have a text edited, and return what it is then: as before if the editor has failed.

        Cancellation: not to be cancelled while it waits for the terminal; `kill` ends it.

        Args:
            text: What is to be edited.
            as_usual: Opens a context in which the terminal is as programs find it usually.

        Raises:
            LookupError: There is no editor.
            OSError: The editor cannot be started, or the file not written.
            ValueError: The command is none, or what the editor has written is not UTF-8.
        """
        command = _command()
        path = await asyncio.to_thread(_write, text)
        try:
            async with in_terminal():
                with as_usual():
                    self._process = await asyncio.create_subprocess_exec(*command, str(path))
                    if self._is_killed:  # while it was started
                        self.kill()
                    status = await self._process.wait()
            if status:
                return text
            return (await asyncio.to_thread(path.read_text, "utf-8")).rstrip("\n")
        finally:
            self._process = None
            path.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the editor at once, if it is open, and open it no more."""
        self._is_killed = True
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()


def _command() -> list[str]:
    """Return the command that opens a file in an editor.

    Raises:
        LookupError: There is none.
        ValueError: The variable that names it holds no command.
    """
    for name in ("VISUAL", "EDITOR"):
        if command := os.environ.get(name, "").strip():
            return shlex.split(command, posix=os.name == "posix")
    found = next((one for one in _EDITORS if shutil.which(one)), None)
    if found is None:
        raise LookupError("there is no editor here: name one in the variable EDITOR")
    return [found]


def _write(text: str) -> Path:
    """Put a text into a new file that nobody else can read."""
    handle, name = tempfile.mkstemp(prefix="socketchat-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return Path(name)
