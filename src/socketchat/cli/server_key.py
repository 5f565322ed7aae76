"""The key and certificate of this host's own server, as its commands use them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.terminal import say
from socketchat.trust.identity import Identity

__all__ = ["check_pair", "no_key_in", "server_identity", "where_it_is"]


def check_pair(cert: Path | None, key: Path | None) -> None:
    """Check that `--cert` and `--key` are given both, or neither.

    Raises:
        Failure: One is missing.
    """
    if (cert is None) != (key is None):
        given, missing = ("--cert", "--key") if key is None else ("--key", "--cert")
        raise Failure(ExitCode.USAGE, f"{given} needs {missing} too")


def where_it_is(cert: Path | None) -> str:
    """Return the options that say where the key lies."""
    return "--data" if cert is None else "--cert and --key"


def server_identity(
    directory: Path, cert: Path | None, key: Path | None, *, make: bool
) -> Identity:
    """Return the server's key and certificate: what is given, or what lies in its directory.

    Args:
        directory: The server's data directory.
        cert: The file of the certificate that is given, if one is.
        key: The file of its key.
        make: Whether to make a key there if there is none.

    Raises:
        Failure: It cannot be used, or there is none.
    """
    try:
        if cert is not None and key is not None:
            identity = Identity.load(cert, key)
        elif make:
            return Identity.load_or_generate(directory)
        else:
            return Identity.kept_in(directory)
    except FileNotFoundError as exc:
        if cert is None and not make:
            raise no_key_in(directory, given=True) from exc
        raise _unusable(exc, cert) from exc
    except (OSError, ValueError) as exc:
        raise _unusable(exc, cert) from exc
    if identity.valid_until < datetime.now(UTC):
        ended = f"{cert} is out of date since {identity.valid_until:%Y-%m-%d}"
        say(f"{ended}: callers with --ca will refuse it")
    return identity


def no_key_in(directory: Path, *, given: bool = False) -> Failure:
    """Make the error for a directory in which no server has a key.

    Args:
        directory: The directory.
        given: Whether a key that was given to the server would do as well.
    """
    elsewhere = ", or its certificate and key with --cert and --key" if given else ""
    what = (
        f"no server has a key in {directory} yet: start one first with socketchat serve, "
        f"or name its directory with --data{elsewhere}"
    )
    return Failure(ExitCode.USAGE, what)


def _unusable(exc: OSError | ValueError, cert: Path | None) -> Failure:
    why = f"{exc.filename}: {exc.strerror}" if isinstance(exc, OSError) else str(exc)
    return Failure(ExitCode.USAGE, f"the server's key: {why}; see {where_it_is(cert)}")
