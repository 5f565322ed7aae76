"""Where callers find this host's server: a file in its data directory, for the invites to it.

`serve` writes it when it has bound, and it stays when the server has ended.
"""

from __future__ import annotations

from pathlib import Path

from socketchat.cli.target import Target, parse_target
from socketchat.trust.known_hosts import host_and_port
from socketchat.trust.secret_files import replace_secret

__all__ = ["load_address", "save_address"]

_FILE = "address"


def save_address(directory: Path, host: str, port: int) -> None:
    """Note where callers find the server, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    replace_secret(directory / _FILE, f"{host_and_port(host, port)}\n".encode())


def load_address(directory: Path) -> Target | None:
    """Return where callers last found the server, or None if it was never said.

    Raises:
        OSError: It cannot be read.
        ValueError: What lies there is no address.
    """
    path = directory / _FILE
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    try:
        return parse_target(text)
    except ValueError as exc:
        raise ValueError(f"{path} holds no address: take it away") from exc
