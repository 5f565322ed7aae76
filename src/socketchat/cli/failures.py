"""How the command fails: which exit code, and one line that says what happened and what to do."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl

from socketchat.cli.outcome import ExitCode, Failure
from socketchat.cli.render import closing_words
from socketchat.errors import (
    CloseCode,
    HandshakeError,
    HandshakeRefused,
    SessionClosed,
    UntrustedBecause,
    UntrustedPeer,
)
from socketchat.session import Session
from socketchat.trust.known_hosts import as_typed

__all__ = [
    "ExitCode",
    "Failure",
    "failure_to_connect",
    "failure_to_listen",
    "file_failure",
    "session_exit_code",
    "session_failure",
]


def failure_to_connect(target: str, exc: OSError | HandshakeError) -> Failure:
    """Say why the server at `target` could not be joined, and what may help."""
    if type(exc) is OSError and exc.errno is None:
        exc = _last_of(exc)
    match exc:
        case UntrustedPeer():
            return Failure(ExitCode.NOT_TRUSTED, _untrusted_words(target, exc))
        case ssl.SSLCertVerificationError():
            return Failure(ExitCode.NOT_TRUSTED, f"{target}: {_certificate_words(exc)}")
        case HandshakeRefused():
            why = exc.reason or f"it gave no reason, but the code {exc.code}"
            return Failure(ExitCode.REFUSED, f"refused by {target}: {why}")
        case HandshakeError():
            return Failure(ExitCode.CANNOT_REACH, f"{target}: {exc}")
        case OSError(filename=str()):
            # No connection bears a file's name: it is one of ours.
            return file_failure(exc)
        case socket.gaierror():
            why = "no such host; check the name"
        case TimeoutError():
            why = "no answer in time; check the address, and that a firewall lets it through"
        case ConnectionRefusedError():
            port = target.partition("/")[0].rpartition(":")[2]
            option = f" --port {port}" if port.isdecimal() else ""
            why = f"nobody listens there; start one with: socketchat serve{option}"
        case ssl.SSLError() | ConnectionResetError():
            why = "not a socketchat server, or one without TLS (then use --no-tls)"
        case _:
            why = exc.strerror or str(exc)
    return Failure(ExitCode.CANNOT_REACH, f"cannot reach {target}: {why}")


def _untrusted_words(target: str, exc: UntrustedPeer) -> str:
    """Say why a server is not trusted, and what may help: as an option, where it is one here."""
    if exc.reason is not UntrustedBecause.UNKNOWN:
        return str(exc)
    name = as_typed(exc.host) or target.partition("/")[0]
    return (
        f"{name} is not known here. Its key is {exc.fingerprint}: if that is "
        f"right, as the server shows it when it starts, say --fingerprint {exc.fingerprint}"
    )


def _certificate_words(exc: ssl.SSLCertVerificationError) -> str:
    why = exc.verify_message.rstrip(".")
    return f"its certificate cannot be trusted: {why}; without --ca its key is what counts"


def _last_of(exc: OSError) -> OSError:
    """Return the last of the errors that asyncio puts together for a host of several addresses."""
    numbers = re.findall(r"\[Errno ([0-9]+)\]", str(exc))
    return OSError(int(numbers[-1]), os.strerror(int(numbers[-1]))) if numbers else exc


def failure_to_listen(exc: OSError) -> Failure:
    """Say why the server cannot start, and what may help."""
    why = exc.strerror or str(exc)
    if exc.errno == errno.EADDRINUSE:
        why += "; a server may be running there already: call it, or try another --port"
    else:
        why += "; try another --host or --port"
    return Failure(ExitCode.CANNOT_REACH, why)


def file_failure(exc: OSError) -> Failure:
    """Say why a file of our own, or its directory, cannot be used, and what may help."""
    what = exc.strerror or str(exc)
    if str(exc.filename) not in what:
        what = f"{exc.filename}: {what}"
    help_ = "see --data"
    if exc.errno == errno.EBUSY:
        help_ = "call that one, or choose another directory with --data"
    return Failure(ExitCode.USAGE, f"{what}; {help_}")


def session_failure(target: str, exc: SessionClosed) -> Failure:
    """Say why the session with `target` ended, which was not in good order."""
    match exc.__cause__:  # the one that was found on coming back
        case UntrustedPeer() as cause:
            return Failure(ExitCode.NOT_TRUSTED, _untrusted_words(target, cause))
        case ssl.SSLCertVerificationError() as cause:
            return Failure(ExitCode.NOT_TRUSTED, f"{target}: {_certificate_words(cause)}")
    # With a good code, something of ours was on its way when it ended.
    code = _exit_code(exc.code) or ExitCode.NOT_ACKNOWLEDGED
    return Failure(code, f"{target}: {closing_words(exc.code, exc.reason)}")


def session_exit_code(session: Session) -> ExitCode:
    """Return what a session that may have ended deserves."""
    return ExitCode.DONE if session.close_code is None else _exit_code(session.close_code)


def _exit_code(code: int) -> ExitCode:
    match code:
        case CloseCode.OK | CloseCode.GOING_AWAY | CloseCode.SERVICE_RESTART:
            return ExitCode.DONE
        case CloseCode.ABNORMAL:
            return ExitCode.CANNOT_REACH
        case CloseCode.PROTOCOL_ERROR | CloseCode.INVALID_DATA | CloseCode.INTERNAL_ERROR:
            return ExitCode.INTERNAL_ERROR
        case _:
            return ExitCode.REFUSED
