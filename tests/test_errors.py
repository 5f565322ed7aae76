"""What `socketchat.errors` promises: who is to blame, which code, and words for people."""

from __future__ import annotations

import pytest

from socketchat import errors
from socketchat.errors import (
    Close,
    CloseCode,
    CommandFailed,
    ConcurrencyError,
    HandshakeError,
    HandshakeRefused,
    InvalidInvite,
    LocalProtocolError,
    LogError,
    LogFailed,
    LogUnavailable,
    MessageRejected,
    MessageTooBig,
    ProtocolError,
    RemoteProtocolError,
    SessionClosed,
    SessionClosedError,
    SessionClosedOK,
    SocketChatError,
    UnsupportedVersion,
    UntrustedBecause,
    UntrustedPeer,
)

UNKNOWN = UntrustedBecause.UNKNOWN

#: What is no error itself.
VALUES = ("Close", "CloseCode", "UntrustedBecause")

ONE_OF_EACH: list[SocketChatError] = [
    SocketChatError("text"),
    SessionClosed(Close(1000, "done")),
    SessionClosedOK(Close(1000, "done"), sent=Close(1000, "done")),
    SessionClosedError(Close(1002, "bad"), received=Close(1002, "bad")),
    HandshakeError("text"),
    HandshakeRefused(1008, "go away"),
    UnsupportedVersion(2, 1),
    UntrustedPeer("text", fingerprint="SHA256:x", reason=UNKNOWN),
    InvalidInvite("this is no invite"),
    ProtocolError("text"),
    LocalProtocolError("text"),
    RemoteProtocolError(1002, "bad"),
    MessageTooBig(5000, 4096),
    MessageRejected(7, 1008, "no"),
    CommandFailed(1008, "no"),
    ConcurrencyError("text"),
    LogError("text"),
    LogUnavailable("text"),
    LogFailed("text"),
]


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_every_error_is_a_socketchat_error_and_says_something(error: SocketChatError) -> None:
    assert isinstance(error, SocketChatError)
    assert str(error)
    assert str(error)[0] not in "(<"  # words, not a tuple of arguments


def test_a_failed_log_is_said_to_have_failed_once() -> None:
    assert str(LogFailed("the disk is gone")) == "the log has failed: the disk is gone"


def test_one_of_each_error_is_looked_at() -> None:
    names = {name for name in errors.__all__ if name not in VALUES}
    assert {type(error).__name__ for error in ONE_OF_EACH} == names


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (SessionClosedOK, SessionClosed),
        (SessionClosedError, SessionClosed),
        (HandshakeRefused, HandshakeError),
        (UntrustedPeer, HandshakeError),
        (LocalProtocolError, ProtocolError),
        (RemoteProtocolError, ProtocolError),
        (MessageTooBig, ValueError),
        (InvalidInvite, ValueError),
        (ConcurrencyError, RuntimeError),
        (LogUnavailable, LogError),
        (LogFailed, LogError),
    ],
)
def test_a_wide_except_catches_the_narrow_error(narrow: type, wide: type) -> None:
    assert issubclass(narrow, wide)


def test_what_this_side_did_is_never_taken_for_what_the_other_did() -> None:
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert not issubclass(RemoteProtocolError, LocalProtocolError)


def test_codes_are_those_of_rfc_6455() -> None:
    assert {code.value for code in CloseCode} == {
        *(1000, 1001, 1002, 1006, 1007, 1008, 1009, 1011, 1012, 1013)
    }


def test_only_the_known_codes_and_those_of_applications_may_be_sent() -> None:
    sendable = {code for code in range(6000) if CloseCode.is_sendable(code)}
    assert sendable == {*range(4000, 5000), *CloseCode} - {CloseCode.ABNORMAL}


def test_a_client_comes_back_after_a_restart_and_after_try_again_later() -> None:
    assert {code for code in range(6000) if CloseCode.is_temporary(code)} == {1012, 1013}


@pytest.mark.parametrize(
    ("close", "text"),
    [
        (Close(1000, ""), "1000 (ok)"),
        (Close(1001, "bye"), "1001 (going away): bye"),
        (Close(4321, "mine"), "4321 (application): mine"),
        (Close(2999, ""), "2999 (application)"),
    ],
)
def test_a_goodbye_is_put_into_words(close: Close, text: str) -> None:
    assert str(close) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            SessionClosedOK(
                Close(1000, "done"), received=Close(1000, ""), sent=Close(1000, "done")
            ),
            "session closed: received 1000 (ok); sent 1000 (ok): done",
        ),
        (
            SessionClosedError(Close(1006, "the link broke")),
            "session closed: received no goodbye; sent no goodbye; the link broke",
        ),
        (
            SessionClosedError(Close(1006, ""), sent=Close(1000, "")),
            "session closed: received no goodbye; sent 1000 (ok)",
        ),
        (
            HandshakeRefused(1008, "go away"),
            "refused by the server: 1008 (policy violation): go away",
        ),
        (
            RemoteProtocolError(1002, "Post while start"),
            "the other side broke the protocol: 1002 (protocol error): Post while start",
        ),
        (MessageTooBig(5000, 4096), "the message takes 5000 bytes, the other side at most 4096"),
        (MessageRejected(7, 4001, "muted"), "message 7 was rejected: 4001 (application): muted"),
        (UntrustedPeer("another key", fingerprint="SHA256:x", reason=UNKNOWN), "another key"),
    ],
)
def test_errors_say_what_happened(error: SocketChatError, text: str) -> None:
    assert str(error) == text


def test_errors_bear_what_a_program_needs() -> None:
    closed = SessionClosedError(
        Close(1002, "bad"), received=Close(1000, ""), sent=Close(1002, "bad")
    )
    assert (closed.code, closed.reason) == (1002, "bad")
    assert (closed.received, closed.sent) == (Close(1000, ""), Close(1002, "bad"))
    refused = HandshakeRefused(1008, "go away")
    assert (refused.code, refused.reason) == (1008, "go away")
    remote = RemoteProtocolError(1002, "bad")
    assert (remote.code, remote.reason) == (1002, "bad")
    rejected = MessageRejected(7, 1008, "no")
    assert (rejected.number, rejected.code, rejected.reason) == (7, 1008, "no")
    untrusted = UntrustedPeer("text", fingerprint="SHA256:x", reason=UNKNOWN)
    assert (untrusted.fingerprint, untrusted.reason) == ("SHA256:x", UNKNOWN)
    assert InvalidInvite("this is no invite").reason == "this is no invite"
