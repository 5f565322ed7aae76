"""Running a command: its log lines, and whatever goes wrong as one line and an exit code.

What it is that runs, `main.py` says, which loads this module only when something is to be done.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from socketchat.cli.outcome import ExitCode, Failure
from socketchat.cli.terminal import say
from socketchat.text import clean
from socketchat.trust.masking import mask

__all__ = ["CleanFormatter", "complain", "run_command"]


def run_command(run: Callable[..., int], settings: Mapping[str, Any]) -> int:
    """Run a command; return the exit code.

    Args:
        run: What runs it.
        settings: What was asked for: its arguments, and `verbose`, which not every command has.
    """
    arguments = {name: value for name, value in settings.items() if name != "verbose"}
    verbose: int = settings.get("verbose", 0)
    _log_to_stderr(verbose)
    try:
        return run(**arguments)
    except Failure as exc:
        complain(str(exc))
        return exc.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as exc:  # noqa: BLE001 - the last resort: a bug, or a machine out of order
        if verbose > 1:
            sys.stderr.write(mask(traceback.format_exc()))
        complain(f"internal error: {type(exc).__name__}: {exc} (-vv shows more)")
        return ExitCode.INTERNAL_ERROR


def complain(text: str) -> None:
    """Say on one line what went wrong; it may quote the command line, or the other side."""
    say(f"socketchat: {mask(clean(text, multiline=False))}")


def _log_to_stderr(verbose: int) -> None:
    levels = (logging.CRITICAL, logging.INFO, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(CleanFormatter("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=levels[min(verbose, 2)], handlers=[handler])
    if not verbose:
        # What endangers a key is said though nobody has asked to be told more, and which of several
        # servers is passed over.
        for name in ("socketchat.trust", "socketchat.servers"):
            logging.getLogger(name).setLevel(logging.WARNING)


class CleanFormatter(logging.Formatter):
    """Log lines may quote the other side, or an invite."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        # One line but for a traceback, which is ours: nobody can forge another line.
        record.msg, record.args = clean(record.getMessage(), multiline=False), ()
        return mask(super().format(record))
