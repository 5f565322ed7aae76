"""Every exception of the package, and the codes with which a session closes.

A leaf: it imports nothing of the package, and everything else may import it.

Local and remote are kept apart throughout: `LocalProtocolError` is a bug of the program that calls
the library, `RemoteProtocolError` is something that the other side did.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple

__all__ = [
    "Close",
    "CloseCode",
    "CommandFailed",
    "ConcurrencyError",
    "HandshakeError",
    "HandshakeRefused",
    "InvalidInvite",
    "LocalProtocolError",
    "LogError",
    "LogFailed",
    "LogUnavailable",
    "MessageRejected",
    "MessageTooBig",
    "ProtocolError",
    "RemoteProtocolError",
    "SessionClosed",
    "SessionClosedError",
    "SessionClosedOK",
    "SocketChatError",
    "UnsupportedVersion",
    "UntrustedBecause",
    "UntrustedPeer",
]


class CloseCode(IntEnum):
    """Why a session was closed: the numbers of RFC 6455, section 7.4.1.

    Applications may use 4000 to 4999 for reasons of their own.
    """

    OK = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    #: Never on the wire, since the link ended without a goodbye.
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013

    @classmethod
    def is_temporary(cls, code: int) -> bool:
        """Tell whether a client that was closed with `code` should come back by itself."""
        return code in (cls.SERVICE_RESTART, cls.TRY_AGAIN_LATER)

    @classmethod
    def is_sendable(cls, code: int) -> bool:
        """Tell whether an application may close a session with `code`."""
        return 4000 <= code <= 4999 or (code in cls._value2member_map_ and code != cls.ABNORMAL)


class Close(NamedTuple):
    """One side's goodbye: its code and its reason."""

    code: int
    reason: str

    def __str__(self) -> str:
        name = (
            CloseCode(self.code).name.lower().replace("_", " ")
            if self.code in CloseCode._value2member_map_
            else "application"
        )
        # It is another side's text, and may be logged: one line, and nothing that a terminal obeys.
        reason = self.reason if self.reason.isprintable() else ascii(self.reason)[1:-1]
        return f"{self.code} ({name})" + (f": {reason}" if reason else "")


class SocketChatError(Exception):
    """The root of every exception that this package raises on purpose."""


class _Coded(SocketChatError):
    """What says why by a code and in words; the code counts for programs, the words for people."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class SessionClosed(SocketChatError):
    """The session is over.

    Attributes:
        code: The code of the goodbye that came first, 1006 if there was none.
        reason: Its reason.
        received: The other side's goodbye, or None.
        sent: Our own goodbye, or None.
    """

    def __init__(
        self, first: Close, *, received: Close | None = None, sent: Close | None = None
    ) -> None:
        super().__init__(first, received, sent)
        self.code: int = first.code
        self.reason: str = first.reason
        self.received = received
        self.sent = sent

    def __str__(self) -> str:
        received = f"received {self.received}" if self.received else "received no goodbye"
        sent = f"sent {self.sent}" if self.sent else "sent no goodbye"
        why = f"; {self.reason}" if self.reason and not (self.received or self.sent) else ""
        return f"session closed: {received}; {sent}{why}"


class SessionClosedOK(SessionClosed):
    """The session ended in good order: code 1000 or 1001."""


class SessionClosedError(SessionClosed):
    """The session ended in any other way: an error of one side, or a link lost for good."""


class HandshakeError(SocketChatError):
    """No session came about: the other side could not be understood, or refused."""


class HandshakeRefused(_Coded, HandshakeError):
    """The server answered, and said no.

    Attributes:
        code: The server's code, one of `CloseCode` or 4000-4999.
        reason: The server's words.
    """

    def __str__(self) -> str:
        return f"refused by the server: {Close(self.code, self.reason)}"


class UnsupportedVersion(HandshakeError):
    """The server speaks another version of the protocol.

    Attributes:
        version: The version that it speaks.
    """

    def __init__(self, version: int, ours: int) -> None:
        super().__init__(version, ours)
        self.version = version
        self.ours = ours

    def __str__(self) -> str:
        return (
            f"the server speaks version {self.version} of the protocol, this program version "
            f"{self.ours}: update the older of the two"
        )


class UntrustedBecause(Enum):
    """Why a server is not trusted."""

    #: It was never met here, so its key may well be right, and nobody has said so.
    UNKNOWN = "unknown"
    #: It has another key than the one that it had before, so it may be another server.
    CHANGED = "changed"
    #: It has another key than the one that was asked for.
    NOT_THE_PIN = "not the pin"


class UntrustedPeer(HandshakeError):
    """The server's key is not the one that was expected, or not known; nothing was sent to it.

    Attributes:
        fingerprint: The key that the server showed, as `SHA256:...`.
        reason: Why it is not trusted.
        host: The server as it was called, `host:port`, or empty.
    """

    def __init__(
        self, message: str, *, fingerprint: str, reason: UntrustedBecause, host: str = ""
    ) -> None:
        super().__init__(message)
        self.fingerprint = fingerprint
        self.reason = reason
        self.host = host


class InvalidInvite(SocketChatError, ValueError):
    """An invite's token does not let its bearer in.

    Attributes:
        reason: Why not, for people to read; nothing of the token is in it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProtocolError(SocketChatError):
    """One of the two sides broke the protocol."""


class LocalProtocolError(ProtocolError):
    """The calling program did something that the protocol does not allow: a bug on this side."""


class RemoteProtocolError(_Coded, ProtocolError):
    """The other side broke the protocol.

    Attributes:
        code: The close code with which it was answered.
        reason: What it did.
    """

    def __str__(self) -> str:
        return f"the other side broke the protocol: {Close(self.code, self.reason)}"


class MessageTooBig(SocketChatError, ValueError):
    """A message does not fit into what the other side takes; it was not sent.

    Attributes:
        size: The message's size on the wire, in bytes.
        max_size: The most that the other side takes, in bytes.
    """

    def __init__(self, size: int, max_size: int) -> None:
        super().__init__(size, max_size)
        self.size = size
        self.max_size = max_size

    def __str__(self) -> str:
        return f"the message takes {self.size} bytes, the other side at most {self.max_size}"


class MessageRejected(SocketChatError):
    """The other side refused this one message for good; the session goes on.

    Attributes:
        number: The message's number in its lane.
        code: Why, one of `CloseCode` or 4000-4999.
        reason: The other side's words.
    """

    def __init__(self, number: int, code: int, reason: str) -> None:
        super().__init__(number, code, reason)
        self.number = number
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"message {self.number} was rejected: {Close(self.code, self.reason)}"


class CommandFailed(_Coded):
    """The server did not do what a command asked for.

    Attributes:
        code: Why, one of `CloseCode` or 4000-4999; 1006 if the link was lost before it answered,
            so that it may have been done after all.
        reason: The server's words.
    """

    def __str__(self) -> str:
        return f"the command failed: {Close(self.code, self.reason)}"


class ConcurrencyError(SocketChatError, RuntimeError):
    """Two tasks wait for messages of one session at once; only one may."""


class LogError(SocketChatError):
    """A room's log could not do what was asked of it."""


class LogUnavailable(LogError):
    """Nothing of it was done, and it may go better later: the disk is full, the store is away."""


class LogFailed(LogError):
    """What became of it is not known: nothing more may be acknowledged."""

    def __str__(self) -> str:
        return f"the log has failed: {super().__str__()}"
