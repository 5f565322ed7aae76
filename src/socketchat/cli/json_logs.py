"""`--log-json`: all that goes to stderr as objects, one JSON object a line.

Log lines, and what `terminal.say` tells people: whoever collects the lines of stderr need not know
two forms. Each object has `ts` (RFC 3339, UTC), `level`, `logger` and `message`; `session` if the
line is about one, by its number in this process; `exception` with the traceback if there is one.
The message is made harmless as the text form is (`running.py`), and all of it is ASCII.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from socketchat.cli.terminal import said_by
from socketchat.text import clean
from socketchat.trust.masking import mask

__all__ = ["JSONFormatter", "told_as_objects"]

#: What errors that end the command begin with, on a terminal.
_ERROR = "socketchat: "


class JSONFormatter(logging.Formatter):
    """Makes each record an object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        message = record.getMessage()
        session = getattr(record, "session", None)
        if isinstance(session, int):
            message = message.removeprefix(f"[{session}] ")
        told: dict[str, str | int] = {
            "ts": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(clean(message, multiline=False)),
        }
        if isinstance(session, int):
            told["session"] = session
        if record.exc_info and record.exc_info[0] is not None:
            told["exception"] = mask(self.formatException(record.exc_info))
        elif record.exc_text:
            told["exception"] = mask(record.exc_text)
        return json.dumps(told).replace("\x7f", "\\u007f")


@contextmanager
def told_as_objects(handler: logging.Handler) -> Iterator[None]:
    """Have status lines and errors go the way of log lines, whatever is logged otherwise."""

    def show(text: str) -> None:
        is_error = text.startswith(_ERROR)
        level = logging.ERROR if is_error else logging.INFO
        message = text.removeprefix(_ERROR).removeprefix("-- ")
        handler.handle(logging.LogRecord("socketchat", level, "", 0, message, None, None))

    with said_by(show):
        yield


def _rfc3339(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
