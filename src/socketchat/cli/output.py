"""What commands that only look something up write to stdout: all of it, and then they end.

Commands that go on meanwhile write through `stdio.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from socketchat.cli.failures import ExitCode, Failure

__all__ = ["write_out"]


def write_out(lines: Iterable[bytes]) -> None:
    """Write lines to stdout, as far as somebody reads them.

    Raises:
        Failure: They cannot be written.
    """
    try:
        with open(sys.stdout.fileno(), "wb", closefd=False) as output:
            output.writelines(lines)
    except BrokenPipeError:
        pass  # as after `| head`
    except OSError as exc:
        what = f"cannot write the output: {exc.strerror}"
        raise Failure(ExitCode.INTERNAL_ERROR, what) from exc
