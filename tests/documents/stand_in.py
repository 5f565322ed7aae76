"""The `socketchat` of a page's directory: the real one, at ports and with keys of its own.

`python -m tests.documents.stand_in ARGS` does what `socketchat ARGS` does on the page, with these
differences:

- `serve` goes on in a process of its own, headless, at 127.0.0.1 and a free port. It is done when
  the server listens; one that was started before it is stopped first, as people would.
- Any host that is called is that server, and so is any of several. The key that pages show
  is the server's, and `socketchat://...` the invite that was made last.

What it knows lies in a file, `server.json` in the directory that `SOCKETCHAT_PAGE` names.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from socketchat.cli.main import main as socketchat

__all__ = ["kill_server", "stop_server"]

#: The key of servers on the pages.
SHOWN_KEY = "SHA256:5zrvuJzw58RCMXW/+Y4f7A9IppV8Lo5YMyZeFeTf1zY"
CALLING = ("connect", "send", "tail")
DEADLINE = 60.0


def stop_server(page: Path) -> None:
    """Stop the page's server if it has one, and look at what it said.

    Raises:
        AssertionError: It did not end, or had something to say that is not in order.
    """
    file = page / "server.json"
    if not file.exists():
        return
    pid = json.loads(file.read_text("utf-8"))["pid"]
    file.unlink()
    os.kill(pid, signal.SIGTERM)
    _wait_for(lambda: not _runs(pid), "the server does not stop")
    log = (page / "server.log").read_text("utf-8")
    assert "Traceback" not in log, log


def kill_server(page: Path) -> None:
    """End the page's server if it still has one: something has failed."""
    file = page / "server.json"
    if file.exists():
        with suppress(ProcessLookupError):
            os.kill(json.loads(file.read_text("utf-8"))["pid"], signal.SIGKILL)


def _runs(pid: int) -> bool:
    """Tell whether a process runs: one that nobody has asked for its status does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc").is_dir()


def _wait_for(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def _start_server(page: Path, args: list[str]) -> None:
    stop_server(page)
    args = [":0" if given == "--metrics" else arg for given, arg in zip(["", *args], args)]  # noqa: B905
    if "--host" not in args:
        args += ["--host", "127.0.0.1"]
    log = page / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "socketchat", *args, "--headless", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    pattern = re.compile(r"^listening on \S+ port (\d+)\nkey (SHA256:\S+)$", re.MULTILINE)
    _wait_for(
        lambda: server.poll() is not None or pattern.search(log.read_text("utf-8")),
        "the server does not listen",
    )
    found = pattern.search(log.read_text("utf-8"))
    assert found is not None, log.read_text("utf-8")
    known = {"pid": server.pid, "port": int(found[1]), "key": found[2]}
    (page / "server.json").write_text(json.dumps(known), "utf-8")


def _adapted(page: Path, args: list[str]) -> list[str]:
    """Return the arguments as they are for the page's server."""
    file = page / "server.json"
    server: dict[str, Any] = {"port": 1, "key": ""}  # where nobody listens
    if file.exists():
        server = json.loads(file.read_text("utf-8"))
    here = f"127.0.0.1:{server['port']}"
    args = [arg.replace(SHOWN_KEY, server["key"]) for arg in args]
    for at, arg in enumerate(args):
        if arg == "socketchat://...":
            args[at] = (page / "invite").read_text("utf-8").strip()
    if args[0] in CALLING and not args[1].startswith(("-", "socketchat://")):
        _, slash, room = args[1].partition("/")
        args[1] = here + slash + room
    return args


def main() -> None:
    """Do what was asked."""
    page = Path(os.environ["SOCKETCHAT_PAGE"])
    args = sys.argv[1:]
    if args[0] == "serve":
        _start_server(page, args)
        return
    sys.argv[1:] = _adapted(page, args)
    if args[0] == "invite":
        done = subprocess.run(
            [sys.executable, "-m", "socketchat", *sys.argv[1:]],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        (page / "invite").write_text(done.stdout, "utf-8")
        print(done.stdout, end="")
        return
    socketchat()


if __name__ == "__main__":
    main()
