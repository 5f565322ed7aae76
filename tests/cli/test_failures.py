"""Claims about `socketchat.cli.failures`: the exit code, and the one line that says what to do."""

from __future__ import annotations

import errno
import socket
import ssl
from types import SimpleNamespace
from typing import cast

import pytest

from socketchat import (
    Close,
    CloseCode,
    HandshakeError,
    HandshakeRefused,
    Session,
    SessionClosedError,
    UntrustedBecause,
    UntrustedPeer,
)
from socketchat.cli.failures import (
    ExitCode,
    failure_to_connect,
    failure_to_listen,
    file_failure,
    session_exit_code,
    session_failure,
)

NOT_VOUCHED_FOR = ssl.SSLCertVerificationError(1, "certificate verify failed")
NOT_VOUCHED_FOR.verify_message = "Hostname mismatch."

REACHING: list[tuple[OSError | HandshakeError, int, str]] = [
    (socket.gaierror(-2, "Name or service not known"), 3, "check the name"),
    (TimeoutError(), 3, "firewall"),
    (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), 3, "firewall"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), 3, "socketchat serve"),
    (ssl.SSLError(1, "wrong version number"), 3, "not a socketchat server"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset"), 3, "not a socketchat server"),
    (OSError(errno.ENETUNREACH, "Network is unreachable"), 3, "Network is unreachable"),
    (OSError("whatever it is"), 3, "whatever it is"),
    (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), 3, "socketchat serve"),
    (HandshakeError("not a socketchat server: malformed"), 3, "not a socketchat server"),
    (NOT_VOUCHED_FOR, 4, "its certificate cannot be trusted: Hostname mismatch; without --ca"),
    (HandshakeRefused(1008, "you are banned"), 5, "you are banned"),
    (
        UntrustedPeer("it has changed", fingerprint="SHA256:x", reason=UntrustedBecause.CHANGED),
        4,
        "it has changed",
    ),
    (
        UntrustedPeer("a pin", fingerprint="SHA256:x", reason=UntrustedBecause.UNKNOWN),
        4,
        "if that is right, as the server shows it when it starts, say --fingerprint SHA256:x",
    ),
]


@pytest.mark.parametrize(("exc", "code", "words"), REACHING, ids=lambda value: repr(value)[:40])
def test_each_way_not_to_reach_a_server_has_its_code_and_its_words(
    exc: OSError | HandshakeError, code: int, words: str
) -> None:
    failure = failure_to_connect("example.org:80", exc)
    assert failure.code == code
    assert words in str(failure)
    assert "\n" not in str(failure)
    if code != ExitCode.NOT_TRUSTED:
        assert "example.org:80" in str(failure)


def test_a_file_of_ours_is_named() -> None:
    exc = PermissionError(errno.EACCES, "Permission denied", "/data/known_hosts")
    failure = failure_to_connect("example.org", exc)
    assert failure.code == ExitCode.USAGE
    assert "/data/known_hosts: Permission denied" in str(failure)
    assert "example.org" not in str(failure)


@pytest.mark.parametrize(
    ("exc", "line"),
    [
        (PermissionError(13, "Permission denied", "/d"), "/d: Permission denied; see --data"),
        (OSError(28, "the outbox /d/o is full", "/d/o"), "the outbox /d/o is full; see --data"),
        (OSError(errno.EBUSY, "it is in use", "/d"), "/d: it is in use; call that one, or"),
    ],
)
def test_a_file_is_named_once_and_what_may_help(exc: OSError, line: str) -> None:
    failure = file_failure(exc)
    assert failure.code == ExitCode.USAGE
    assert str(failure).startswith(line)


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (OSError(errno.EADDRINUSE, "cannot listen on ::1 port 80: in use"), "cannot listen on ::1"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError("whatever"), "whatever"),
    ],
)
def test_a_server_that_cannot_start_says_what_to_try(exc: OSError, words: str) -> None:
    failure = failure_to_listen(exc)
    assert failure.code == ExitCode.CANNOT_REACH
    assert words in str(failure)
    assert "--port" in str(failure)


ENDS = {
    CloseCode.OK: 0,
    CloseCode.GOING_AWAY: 0,
    CloseCode.SERVICE_RESTART: 0,
    CloseCode.ABNORMAL: 3,
    CloseCode.PROTOCOL_ERROR: 1,
    CloseCode.INVALID_DATA: 1,
    CloseCode.INTERNAL_ERROR: 1,
    CloseCode.POLICY_VIOLATION: 5,
    CloseCode.TOO_BIG: 5,
    CloseCode.TRY_AGAIN_LATER: 5,
}


def test_no_code_is_forgotten_here() -> None:
    assert set(ENDS) == set(CloseCode)


@pytest.mark.parametrize(("code", "status"), [*ENDS.items(), (4000, 5), (4999, 5)])
def test_each_end_of_a_session_has_its_exit_code(code: int, status: int) -> None:
    session = cast("Session", SimpleNamespace(close_code=code))
    assert session_exit_code(session) == status


@pytest.mark.parametrize(
    "cause",
    [
        NOT_VOUCHED_FOR,
        UntrustedPeer("not it", fingerprint="SHA256:x", reason=UntrustedBecause.CHANGED),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_a_server_that_is_not_trusted_on_coming_back_is_told_as_at_the_first_call(
    cause: OSError | HandshakeError,
) -> None:
    closed = SessionClosedError(Close(CloseCode.ABNORMAL, str(cause)))
    closed.__cause__ = cause
    told, at_first = session_failure("maple", closed), failure_to_connect("maple", cause)
    assert (told.code, str(told)) == (at_first.code, str(at_first)) == (4, str(at_first))


def test_a_session_that_goes_on_has_done_its_work() -> None:
    assert session_exit_code(cast("Session", SimpleNamespace(close_code=None))) == 0


@pytest.mark.parametrize(("code", "status"), ENDS.items())
def test_a_session_that_broke_names_the_server_and_why(code: int, status: int) -> None:
    failure = session_failure("example.org", SessionClosedError(Close(code, "no room")))
    assert failure.code == (status or ExitCode.NOT_ACKNOWLEDGED)
    assert str(failure).startswith("example.org: ")
    assert "no room" in str(failure)
