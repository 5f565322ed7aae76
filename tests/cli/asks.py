"""Runs a command in this process that waits for nobody, and returns what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.processes import status

__all__ = ["Ask"]


class Ask:
    """Runs `socketchat COMMAND`, and returns its status, its stdout and its stderr."""

    def __init__(
        self,
        command: str,
        data: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self._command = command
        self._data = str(data)
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: str) -> tuple[object, str, str]:
        code = status(self._monkeypatch, self._command, *arguments, "--data", self._data)
        return (code, *self._capfd.readouterr())
