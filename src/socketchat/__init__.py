"""Full-duplex chat between machines, and the asyncio library under it.

`connect` and `serve` open sessions; a `Session` carries messages in both directions, in order and
exactly once, through lost links. See `docs/` for the tutorial, the protocol and the architecture.
"""

from socketchat.client import connect
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
from socketchat.events import (
    Event,
    Gap,
    Joined,
    Left,
    LinkLost,
    LinkRestored,
    Message,
    Present,
    Rejected,
    Renamed,
    Restarted,
    Topic,
    Typing,
)
from socketchat.handlers import Admission
from socketchat.options import DEFAULT_PORT, Options
from socketchat.peers import Peer
from socketchat.receipt import Receipt
from socketchat.refusals import Refusal
from socketchat.server import Server, serve
from socketchat.session import Session, SessionState, Side
from socketchat.trust.device import Device
from socketchat.trust.identity import Identity

__all__ = [
    "DEFAULT_PORT",
    "Admission",
    "Close",
    "CloseCode",
    "CommandFailed",
    "ConcurrencyError",
    "Device",
    "Event",
    "Gap",
    "HandshakeError",
    "HandshakeRefused",
    "Identity",
    "InvalidInvite",
    "Joined",
    "Left",
    "LinkLost",
    "LinkRestored",
    "LocalProtocolError",
    "LogError",
    "LogFailed",
    "LogUnavailable",
    "Message",
    "MessageRejected",
    "MessageTooBig",
    "Options",
    "Peer",
    "Present",
    "ProtocolError",
    "Receipt",
    "Refusal",
    "Rejected",
    "RemoteProtocolError",
    "Renamed",
    "Restarted",
    "Server",
    "Session",
    "SessionClosed",
    "SessionClosedError",
    "SessionClosedOK",
    "SessionState",
    "Side",
    "SocketChatError",
    "Topic",
    "Typing",
    "UnsupportedVersion",
    "UntrustedBecause",
    "UntrustedPeer",
    "connect",
    "serve",
]
