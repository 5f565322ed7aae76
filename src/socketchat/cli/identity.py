"""`socketchat identity`: the keys of this device and of its server, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socketchat.cli.failures import ExitCode, Failure, file_failure
from socketchat.cli.output import write_out
from socketchat.cli.render_json import json_line
from socketchat.cli.server_key import check_pair, no_key_in, server_identity
from socketchat.cli.terminal import say
from socketchat.fingerprint import tag_of
from socketchat.text import clean
from socketchat.trust.device import DEVICE, Device
from socketchat.trust.identity import NEXT, OLD, SERVER, Identity
from socketchat.trust.known_hosts import default_directory

__all__ = ["run_identity"]


_ANNOUNCED = (
    "the server announces it, within seconds if it runs, to each caller who comes in from then on; "
    "put it into use with --rotate once they all have called"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """What the command line asks for; see `main.py`."""

    make_next: bool
    rotate: bool
    cert: Path | None
    key: Path | None
    as_json: bool
    data: Path | None


def run_identity(**settings: Any) -> int:
    """Print this device's keys, or change the server's; return the exit code."""
    checked = IdentitySettings(**settings)
    directory = checked.data or default_directory()
    check_pair(checked.cert, checked.key)
    changes = checked.make_next or checked.rotate
    if changes:
        _check_change(checked, directory)
    try:
        if checked.make_next:
            Identity.next(directory)
            say(_ANNOUNCED)
        elif checked.rotate:
            _rotate(directory)
        keys = _keys(directory)
    except OSError as exc:
        raise file_failure(exc) from exc
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, f"{exc}; see --data") from exc
    if checked.cert is not None:
        given = server_identity(directory, checked.cert, checked.key, make=False)
        keys |= {"server": given.fingerprint, "next": None}
    if checked.as_json:
        write_out([json_line({"type": "identity", **keys})])
    elif changes:
        write_out([f"{keys['next' if checked.make_next else 'server']}\n".encode()])
    else:
        write_out(_lines(keys, checked.cert))
    return ExitCode.DONE


def _check_change(settings: IdentitySettings, directory: Path) -> None:
    """Check that the server's key can be changed here, and in one way alone.

    Raises:
        Failure: It cannot.
    """
    if settings.make_next and settings.rotate:
        what = "--next and --rotate exclude each other: let callers hear of a key before it is used"
        raise Failure(ExitCode.USAGE, what)
    if settings.cert is not None:
        what = (
            "the server's own key is changed by --next and --rotate, not one that --cert names: "
            "renew that where it comes from"
        )
        raise Failure(ExitCode.USAGE, what)
    try:
        has_one = (directory / SERVER).exists()
    except OSError as exc:
        raise file_failure(exc) from exc
    if not has_one:
        raise no_key_in(directory)


def _rotate(directory: Path) -> None:
    """Put the next key into use.

    Raises:
        Failure: There is none.
        OSError: The files cannot be read or written.
        ValueError: What lies there is no key and certificate.
    """
    try:
        Identity.rotate(directory)
    except FileNotFoundError as exc:
        what = "there is no next key: make it with --next, and let callers hear of it first"
        raise Failure(ExitCode.USAGE, what) from exc
    say(f"the server shows it from its next start on; the old one is kept in {directory / OLD}")


def _keys(directory: Path) -> dict[str, str | None]:
    """Return the keys, and where they lie; the device's is made if there is none yet."""
    device = Device.load_or_generate(directory)
    return {
        "device": device.fingerprint,
        "tag": tag_of(device.public),
        "server": Identity.pin_in(directory / SERVER) or None,
        "next": Identity.next_pin(directory) or None,
        "directory": str(directory),
    }


def _lines(keys: Mapping[str, str | None], cert: Path | None) -> Iterator[bytes]:
    files = {"device": DEVICE, "server": SERVER, "next": NEXT}
    for name, file in files.items():
        if keys[name]:
            lies = cert if cert and name == "server" else Path(keys["directory"] or "", file)
            path = clean(str(lies), multiline=False)
            tag = f" (tag {keys['tag']})" if name == "device" else ""
            yield f"{name} {keys[name]}{tag} in {path}\n".encode()
    if not keys["server"]:
        say(
            "there is no server here: socketchat serve makes its key at its first start; one that "
            "was given to it is shown with --cert and --key"
        )
