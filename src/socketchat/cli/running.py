"""Running a command: its log lines, and whatever goes wrong as one line and an exit code.

What it is that runs, `main.py` says, which loads this module only when something is to be done.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from socketchat.cli.outcome import ExitCode, Failure
from socketchat.cli.terminal import say
from socketchat.text import clean
from socketchat.trust.masking import mask

__all__ = ["CleanFormatter", "complain", "run_command"]

#: Settings of every command's running.
_OURS = ("verbose", "log_json")

_log = logging.getLogger("socketchat")


def run_command(run: Callable[..., int], settings: Mapping[str, Any]) -> int:
    """Run a command; return the exit code.

    Args:
        run: What runs it.
        settings: What was asked for: its arguments, and `verbose` and `log_json`, which are not for
            it, and which not every command has.
    """
    arguments = {name: value for name, value in settings.items() if name not in _OURS}
    verbose: int = settings.get("verbose", 0)
    with _log_to_stderr(verbose, as_json=settings.get("log_json", False)):
        return _run(run, arguments, verbose)


def _run(run: Callable[..., int], arguments: Mapping[str, Any], verbose: int) -> int:
    try:
        return run(**arguments)
    except Failure as exc:
        complain(str(exc))
        return exc.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as exc:  # noqa: BLE001 - the last resort: a bug, or a machine out of order
        if verbose > 1:
            _log.critical("internal error", exc_info=True)
        complain(f"internal error: {type(exc).__name__}: {exc} (-vv shows more)")
        return ExitCode.INTERNAL_ERROR


def complain(text: str) -> None:
    """Say on one line what went wrong; it may quote the command line, or the other side."""
    say(f"socketchat: {mask(clean(text, multiline=False))}")


@contextmanager
def _log_to_stderr(verbose: int, *, as_json: bool) -> Iterator[None]:
    levels = (logging.CRITICAL, logging.INFO, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(CleanFormatter("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=levels[min(verbose, 2)], handlers=[handler])
    if not verbose:
        # What endangers a key is said though nobody has asked to be told more, and which of several
        # servers is passed over.
        for name in ("socketchat.trust", "socketchat.servers"):
            logging.getLogger(name).setLevel(logging.WARNING)
    if not as_json:
        yield
        return
    from socketchat.cli.json_logs import JSONFormatter, told_as_objects

    handler.setFormatter(JSONFormatter())
    with told_as_objects(handler):
        yield


class CleanFormatter(logging.Formatter):
    """Log lines may quote the other side, or an invite."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        # One line but for a traceback, which is ours: nobody can forge another line.
        record.msg, record.args = clean(record.getMessage(), multiline=False), ()
        return mask(super().format(record))
