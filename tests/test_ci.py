"""Claims about `.ci/run`: it does not pass for what it has not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / ".ci" / "run"


@pytest.mark.skipif(sys.platform == "win32", reason="it is a shell's")
@pytest.mark.parametrize(
    ("versions", "words"),
    [("3.99", "Python 3.99 is not here"), (" ", "names no version")],
)
def test_it_fails_if_a_python_is_missing(versions: str, words: str) -> None:
    done = subprocess.run(
        ["bash", str(RUN)],
        env={**os.environ, "SOCKETCHAT_CI_PYTHONS": versions},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "== Python" not in done.stdout
