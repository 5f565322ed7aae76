"""`socketchat discover`: list the servers that are announced on the network around."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.lan import Found, LanError, chosen_interfaces, found_json, found_line
from socketchat.cli.output import write_out
from socketchat.cli.render_json import json_line
from socketchat.cli.terminal import notice

__all__ = ["run_discover"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverSettings:
    """What the command line asks for; see `main.py`."""

    timeout: float
    as_json: bool


def run_discover(**settings: Any) -> int:
    """Print each server when it is found; return the exit code."""
    checked = DiscoverSettings(**settings)
    try:
        from socketchat.cli.mdns import find
    except ImportError as exc:
        what = "discover needs zeroconf, which is not installed: pip install 'socketchat[lan]'"
        raise Failure(ExitCode.USAGE, what) from exc

    shown = 0

    def show(found: Found) -> None:
        nonlocal shown
        shown += 1
        line = (
            json_line(found_json(found)) if checked.as_json else f"{found_line(found)}\n".encode()
        )
        write_out([line])

    searching = find(checked.timeout, chosen_interfaces(), show=show)
    try:
        with asyncio.Runner() as runner:
            runner.run(searching)
    except LanError as exc:
        what = f"cannot look for servers: {exc}; one whose address is known can be called"
        raise Failure(ExitCode.CANNOT_REACH, what) from exc
    if shown:
        notice("anybody can announce anything: compare the key with the one that the server shows")
    else:
        notice("no server is announced on this network; who knows an address can call it")
    return ExitCode.DONE
