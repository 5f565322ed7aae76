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
from contextlib import AbstractContextManager
from pathlib import Path

from prompt_toolkit.application import in_terminal

__all__ = ["edit_text", "find_editor"]

_EDITORS = ("editor", "nano", "vi", "emacs") if os.name == "posix" else ("notepad",)


def find_editor() -> list[str]:
    """Return the command that opens a file in an editor; empty if there is none."""
    for name in ("VISUAL", "EDITOR"):
        if command := os.environ.get(name, "").strip():
            return shlex.split(command, posix=os.name == "posix")
    found = next((one for one in _EDITORS if shutil.which(one)), None)
    return [found] if found else []


async def edit_text(
    text: str, editor: list[str], as_usual: Callable[[], AbstractContextManager[None]]
) -> str:
    """Have a text edited, and return what it is then: as before if the editor has failed.

    Args:
        text: What is to be edited.
        editor: The command that opens a file.
        as_usual: Opens a context in which the terminal is as programs find it usually.

    Raises:
        OSError: The editor cannot be started, or the file not written.
        UnicodeError: What it has written is not UTF-8.
    """
    path = await asyncio.to_thread(_write, text)
    try:
        async with in_terminal():
            with as_usual():
                process = await asyncio.create_subprocess_exec(*editor, str(path))
                status = await process.wait()
        if status:
            return text
        return (await asyncio.to_thread(path.read_text, "utf-8")).rstrip("\n")
    finally:
        path.unlink(missing_ok=True)


def _write(text: str) -> Path:
    """Put a text into a new file that nobody else can read."""
    handle, name = tempfile.mkstemp(prefix="socketchat-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return Path(name)
