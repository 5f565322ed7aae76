"""The servers that this device has met: a text file of lines `host:port SHA256:... [SHA256:...]`.

A server's key is checked against it before a byte is written to the server. Behind the key may
stand the next one, which the server has announced: when it shows that one, it is still itself.
"""

from __future__ import annotations

import errno
import logging
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from socketchat.errors import UntrustedBecause, UntrustedPeer
from socketchat.file_lock import FileLock
from socketchat.fingerprint import is_pin
from socketchat.options import DEFAULT_PORT
from socketchat.trust.secret_files import replace_secret

__all__ = [
    "KnownHost",
    "KnownHosts",
    "as_typed",
    "check_server",
    "default_directory",
    "host_and_port",
]

#: Seconds that another program may take to change the file.
PATIENCE = 5.0

_Change: TypeAlias = Callable[[list[str]], list[str]]

_log = logging.getLogger("socketchat.trust")


def default_directory() -> Path:
    """Return the directory where this user's keys and known hosts lie."""
    import platformdirs  # noqa: PLC0415 - it loads what moves and compresses files

    return Path(platformdirs.user_data_dir("socketchat"))


def host_and_port(host: str, port: int) -> str:
    """Return the name by which a server is known."""
    host = host.lower()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def as_typed(host: str) -> str:
    """Return the name by which a server is known as one would type it: the usual port left out."""
    return host.removesuffix(f":{DEFAULT_PORT}")


@dataclass(frozen=True, slots=True)
class KnownHost:
    """One server that is known.

    Attributes:
        host: Its name, as `host:port`.
        pin: The pin of its key.
        next_pin: The pin of the key that it has announced as its next one; empty if it has not.
        line: The line of the file, from 1.
    """

    host: str
    pin: str
    next_pin: str
    line: int


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """The file of known hosts, which several programs share.

    It is read anew at every look. A change is made under a lock, and puts a new file in the place
    of the old one, whose other lines stay as they are: comments, blank lines, and what is no line
    of ours.
    """

    path: Path

    def find(self, host: str) -> KnownHost | None:
        """Return what is known of `host`, as `host:port`; of several lines the first counts.

        Raises:
            OSError: The file is there and cannot be read, or what it says of the host is no pin.
        """
        for number, line in enumerate(self._lines(), 1):
            if _host_in(line) == host:
                found = _parse(line, number)
                if found is None:
                    raise OSError(errno.EINVAL, self._spoilt(number, host), str(self.path))
                return found
        return None

    def spoilt(self) -> list[str]:
        """Return what is wrong with lines that count and can be used for nothing, for people.

        Raises:
            OSError: The file is there and cannot be read.
        """
        first: dict[str, tuple[int, str]] = {}
        for number, line in enumerate(self._lines(), 1):
            if host := _host_in(line):
                first.setdefault(host, (number, line))
        return [
            self._spoilt(number, host)
            for host, (number, line) in first.items()
            if _parse(line, number) is None
        ]

    def _spoilt(self, number: int, host: str) -> str:
        return (
            f"line {number} has no SHA256:... behind {host}: mend it, or delete it "
            f"with: {self.how_to_forget(host)}"
        )

    def all(self) -> list[KnownHost]:
        """Return every host that is known, in the order of the file.

        Raises:
            OSError: The file is there and cannot be read.
        """
        parsed = [_parse(line, number) for number, line in enumerate(self._lines(), 1)]
        return [host for host in parsed if host is not None]

    def add(self, host: str, pin: str) -> bool:
        """Remember the pin of `host`, unless something is known of it already.

        Returns:
            Whether it was added.

        Raises:
            OSError: The file cannot be read or written.
        """

        def change(lines: list[str]) -> list[str]:
            if any(_host_in(line) == host for line in lines):
                return lines
            return [*lines, f"{host} {pin}"]

        return self._change(change)

    def forget(self, host: str) -> bool:
        """Forget what is known of `host`, whatever it is.

        Returns:
            Whether anything was known.

        Raises:
            OSError: The file cannot be read or written.
        """
        return self._change(lambda lines: [line for line in lines if _host_in(line) != host])

    def announce(self, host: str, next_pin: str, *, by: str = "") -> bool:
        """Remember which key `host` will have next, as it has said itself.

        To be called only with what was said in a session whose server has shown the key that is
        known of `host`. Of a host that is not known nothing is remembered. Where nothing is to be
        changed, as is usual, the file is only read.

        Args:
            host: Its name, as `host:port`.
            next_pin: The pin of its next key; empty takes an earlier announcement back. What is no
                pin is passed over.
            by: The pin of the key that was shown; if it is given, and not the one that is known of
                `host`, nothing is remembered.

        Returns:
            Whether that was new.

        Raises:
            OSError: The file cannot be read or written.
        """
        if next_pin and not is_pin(next_pin):
            return False

        def change(found: KnownHost) -> str:
            pins = [found.pin]
            if next_pin not in ("", found.pin):
                pins.append(next_pin)
            return " ".join((host, *pins))

        return self._change_line(host, change, lambda found: by in ("", found.pin))

    def promote(self, host: str, pin: str) -> bool:
        """Make the key that `host` has announced its current one, if `pin` is that key.

        Returns:
            Whether it is.

        Raises:
            OSError: The file cannot be read or written.
        """
        return self._change_line(
            host, lambda _: f"{host} {pin}", lambda found: found.next_pin == pin
        )

    def how_to_forget(self, host: str) -> str:
        """Return the command that forgets `host`, as one would type it."""
        at = self.path.parent
        data = "" if at == default_directory() else f" --data {shlex.quote(str(at))}"
        return f"socketchat trust forget {as_typed(host)}{data}"

    # ---- the file ----

    def _lines(self) -> list[str]:
        try:
            # What people wrote into it and is no UTF-8 is kept as it is; so are their line ends.
            text = self.path.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        lines = text.split("\n")
        return lines[:-1] if not lines[-1] else lines

    def _change_line(
        self, host: str, line_for: Callable[[KnownHost], str], fits: Callable[[KnownHost], bool]
    ) -> bool:
        """Change the line that counts for `host`, if there is one and it fits."""

        def change(lines: list[str]) -> list[str]:
            for number, line in enumerate(lines):
                if _host_in(line) == host:
                    found = _parse(line, number + 1)
                    if found is None or not fits(found):
                        return lines
                    changed = line_for(found)
                    if changed.split() == line.split():
                        return lines
                    return [*lines[:number], changed, *lines[number + 1 :]]
            return lines

        return self._change(change)

    def _change(self, change: _Change) -> bool:
        """Change the lines of the file, under the lock; tell whether there was anything to do."""
        lines = self._lines()
        if change(lines) == lines:
            return False
        with self._lock():
            lines = self._lines()
            changed = change(lines)
            if changed == lines:
                return False
            text = "".join(f"{line}\n" for line in changed)
            replace_secret(self.path, text.encode("utf-8", "surrogateescape"))
            return True

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file of its own: the one that is guarded is another after each change.
        lock = FileLock(self.path.with_name(f"{self.path.name}.lock"))
        deadline = time.monotonic() + PATIENCE
        while not lock.acquire():
            if time.monotonic() > deadline:
                what = "another program is changing it, and does not come to an end"
                raise OSError(errno.EAGAIN, what, str(self.path))
            time.sleep(0.01)
        try:
            yield
        finally:
            lock.release()


def _host_in(line: str) -> str:
    """Return the host that a line is about; empty if it is about none."""
    host, *_ = line.split(maxsplit=1) or ("",)
    return "" if host.startswith("#") else host.lower()


def _parse(line: str, number: int) -> KnownHost | None:
    """Return what a line says, if it is one of ours."""
    pins = line.split()[1:]
    if not _host_in(line) or len(pins) not in (1, 2) or not all(map(is_pin, pins)):
        return None
    return KnownHost(_host_in(line), pins[0], pins[1] if len(pins) == 2 else "", number)


def check_server(trust: str, known: KnownHosts, host: str, pin: str) -> bool:
    """Check the key that a server showed, before anything is sent to it.

    A key that the server has announced as its next one becomes its current one here.

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
            raise UntrustedPeer(
                message, fingerprint=pin, reason=UntrustedBecause.NOT_THE_PIN, host=host
            )
        return False
    found = known.find(host)
    if found is None and trust != "accept-new":
        message = (
            f"{host} is not known here; if its key is {pin}, as the server shows it when it "
            f"starts, give that as the fingerprint to trust"
        )
        raise UntrustedPeer(message, fingerprint=pin, reason=UntrustedBecause.UNKNOWN, host=host)
    is_new = False
    if found is None:
        # Another program may meet it in the same moment: then its word counts.
        is_new = known.add(host, pin)
        found = known.find(host) or KnownHost(host, pin, "", 0)
    if pin not in (found.pin, found.next_pin):
        message = (
            f"the key of {host} has changed to {pin}: it may be another server, and nothing was "
            f"sent to it. Line {found.line} of {known.path} has the one before; if the new one is "
            f"right: {known.how_to_forget(host)}"
        )
        raise UntrustedPeer(message, fingerprint=pin, reason=UntrustedBecause.CHANGED, host=host)
    if pin == found.next_pin and known.promote(host, pin):
        _log.info("%s shows its next key, %s, as it had announced", host, pin)
    return is_new
