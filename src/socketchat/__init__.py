"""Full-duplex chat between machines, and the asyncio library under it.

`connect` and `serve` open sessions; a `Session` carries messages in both directions, in order and
exactly once, through lost links. See `docs/` for the tutorial, the protocol and the architecture.

All of it is loaded when the first name is asked for (PEP 562), so that the command, which lives
below this package too, answers `--help` without loading asyncio, ssl or msgspec. Where a name comes
from is said twice: for type checkers as imports, and for `__getattr__` in `_NAMES`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from socketchat.handlers import Admission, Admits, Handler, Opens, Withdraws
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
    "Admits",
    "Close",
    "CloseCode",
    "CommandFailed",
    "ConcurrencyError",
    "Device",
    "Event",
    "Gap",
    "Handler",
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
    "Opens",
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
    "Withdraws",
    "connect",
    "serve",
]

#: The public names, by the modules that define them.
_NAMES = {
    "client": "connect",
    "errors": (
        "Close CloseCode CommandFailed ConcurrencyError HandshakeError HandshakeRefused "
        "InvalidInvite LocalProtocolError LogError LogFailed LogUnavailable MessageRejected "
        "MessageTooBig ProtocolError RemoteProtocolError SessionClosed SessionClosedError "
        "SessionClosedOK SocketChatError UnsupportedVersion UntrustedBecause UntrustedPeer"
    ),
    "events": (
        "Event Gap Joined Left LinkLost LinkRestored Message Present Rejected Renamed Restarted "
        "Topic Typing"
    ),
    "handlers": "Admission Admits Handler Opens Withdraws",
    "options": "DEFAULT_PORT Options",
    "peers": "Peer",
    "receipt": "Receipt",
    "refusals": "Refusal",
    "server": "Server serve",
    "session": "Session SessionState Side",
    "trust.device": "Device",
    "trust.identity": "Identity",
}


if not TYPE_CHECKING:  # for whom any name would be there then

    def __getattr__(name: str) -> Any:
        """Load all public names, since the first is asked for.

        All at once, and not each by itself: a program that names a type where it defines a function
        has everything then, and loads nothing more when its event loop runs.
        """
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        for home, names in _NAMES.items():
            module = importlib.import_module(f"{__name__}.{home}")
            globals().update((each, getattr(module, each)) for each in names.split())
        return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
