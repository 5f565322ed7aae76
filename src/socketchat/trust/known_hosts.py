"""The servers that this device has met: a text file of lines `host:port SHA256:...`.

A server's key is checked against it before a byte is written to the server.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from socketchat.errors import UntrustedPeer
from socketchat.fingerprint import is_pin

__all__ = ["KnownHosts", "check_server", "default_directory", "host_and_port"]


def default_directory() -> Path:
    """Return the directory where this user's keys and known hosts lie."""
    return Path(platformdirs.user_data_dir("socketchat"))


def host_and_port(host: str, port: int) -> str:
    """Return the name by which a server is known."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """The file of known hosts; it is read anew at every look, so that several programs share it."""

    path: Path

    def find(self, host: str) -> tuple[str, int] | None:
        """Return the pin of `host`, as `host:port`, and its line in the file, or None.

        Raises:
            OSError: The file is there and cannot be read.
        """
        for number, line in enumerate(self._lines(), 1):
            name, _, pin = line.partition(" ")
            if name == host:
                return pin.strip(), number
        return None

    def add(self, host: str, pin: str) -> None:
        """Remember the pin of `host`, which is not in the file yet.

        Raises:
            OSError: The file cannot be written.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Appended by one write, so that two programs that learn of a host at once keep both. An
        # empty line does no harm where the last one was left without its end.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            whole = not self.path.stat().st_size or self.path.read_bytes().endswith(b"\n")
            os.write(descriptor, f"{'' if whole else chr(10)}{host} {pin}\n".encode())
        finally:
            os.close(descriptor)

    def _lines(self) -> list[str]:
        try:
            # What people wrote into it and is no UTF-8 is kept as it is.
            return self.path.read_text("utf-8", "surrogateescape").splitlines()
        except FileNotFoundError:
            return []


def check_server(trust: str, known: KnownHosts, host: str, pin: str) -> bool:
    """Check the key that a server showed, before anything is sent to it.

    Args:
        trust: `strict`, `accept-new`, or the pin that it must be.
        known: The hosts that are known.
        host: The server's name, as `host:port`.
        pin: The pin of the key that it showed.

    Returns:
        Whether it is new, and was remembered now.

    Raises:
        UntrustedPeer: It is not the key that it must be, or not known.
        OSError: The file of known hosts cannot be read or written.
    """
    if is_pin(trust):
        if pin != trust:
            message = f"{host} has the key {pin}, not {trust}: it may be another server"
            raise UntrustedPeer(message, fingerprint=pin)
        return False
    found = known.find(host)
    if found is None:
        if trust != "accept-new":
            message = (
                f"{host} is not known here; if its key is {pin}, as the server shows it when it "
                f"starts, give that as the fingerprint to trust"
            )
            raise UntrustedPeer(message, fingerprint=pin)
        known.add(host, pin)
        return True
    expected, line = found
    if pin != expected:
        message = (
            f"the key of {host} has changed to {pin}: it may be another server. If it is the right "
            f"one, delete line {line} of {known.path}"
        )
        raise UntrustedPeer(message, fingerprint=pin)
    return False
