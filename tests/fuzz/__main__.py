"""Fuzz one target with atheris: ``python -m tests.fuzz TARGET --seconds N``.

Run from the top of the repository, after ``pip install -e '.[test,fuzz]'``. It begins with the
corpus in the repository, and keeps what reaches new code if ``--keep`` says where. An input that
raises is written to the current directory as ``crash-...``. When its bug is mended, it belongs into
``tests/fuzz/corpus/TARGET``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAMES = ("codec", "messages", "core", "target", "names", "text")


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz a target.")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what reaches new code there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz until the time is over, or something is found; atheris ends the process itself."""
    given = options(arguments)
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        print("atheris is not installed: pip install -e '.[test,fuzz]'", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["socketchat"]):
        targets = importlib.import_module("tests.fuzz.targets")
    seeds = map(str, sorted((targets.CORPUS / given.target).iterdir()))
    command = [sys.argv[0], f"-max_total_time={given.seconds}", f"-seed_inputs={','.join(seeds)}"]
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        command.append(str(given.keep))
    atheris.Setup(command, targets.TARGETS[given.target])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
