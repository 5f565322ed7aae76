"""What a session reports to its application: messages, and what happens around them.

Plain values. This file knows neither the wire nor asyncio; `session.py` makes these from what
arrives, and the command renders them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from socketchat.fingerprint import fingerprint_of

__all__ = [
    "Event",
    "Gap",
    "Joined",
    "Left",
    "LinkLost",
    "LinkRestored",
    "Message",
    "Present",
    "Rejected",
    "Renamed",
    "Restarted",
    "Topic",
    "Typing",
]


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message, as the other side said it.

    Attributes:
        body: What was said: `str` for text, `bytes` for data.
        sender: The name of the one who said it.
        number: Its place in the room's log, or in the other side's lane: strictly increasing.
        at: When it was said, in microseconds since the epoch: the log's clock in a room, the
            sender's between plain peers.
        to: The one it is for, if it is a direct message; else empty.
        replayed: It was said before this session joined.
        own: It is this session's own message, come back in the room's order; only `events()`
            shows those.
        own_number: Its number in our lane, as `Receipt.number`, if it is our own; else 0.
        public: The public key of the sender, 32 bytes; empty if it has none, or if it is the other
            side itself.
    """

    body: str | bytes
    sender: str
    number: int
    at: int
    to: str = ""
    replayed: bool = False
    own: bool = False
    own_number: int = 0
    public: bytes = b""

    @property
    def text(self) -> str:
        """The message's text.

        Raises:
            TypeError: The message is data.
        """
        if isinstance(self.body, str):
            return self.body
        raise TypeError("this message is data, not text: use .data")

    @property
    def data(self) -> bytes:
        """The message's data.

        Raises:
            TypeError: The message is text.
        """
        if isinstance(self.body, bytes):
            return self.body
        raise TypeError("this message is text, not data: use .text")

    @property
    def key(self) -> str:
        """The fingerprint of `public`, or empty."""
        return fingerprint_of(self.public)

    @property
    def time(self) -> datetime:
        """`at` as a timezone-aware datetime in UTC."""
        return datetime.fromtimestamp(self.at / 1_000_000, UTC)


class Joined(msgspec.Struct, frozen=True):
    """Someone came into the room. `address` is told to the host alone.

    `key` is the fingerprint of their key, or empty.
    """

    nick: str
    address: str = ""
    key: str = ""


class Left(msgspec.Struct, frozen=True):
    """Someone left the room. `address` is told to the host alone.

    `key` is the fingerprint of their key, or empty.
    """

    nick: str
    address: str = ""
    key: str = ""


class Present(msgspec.Struct, frozen=True):
    """These were in the room already; of many, more than one is told.

    `keys` are the fingerprints of their keys, in the same order, empty for those who have none.
    """

    nicks: tuple[str, ...]
    keys: tuple[str, ...] = ()


class Renamed(msgspec.Struct, frozen=True):
    """Someone goes by another name from now on.

    `key` is the fingerprint of their key, or empty.
    """

    nick: str
    now: str
    key: str = ""


class Topic(msgspec.Struct, frozen=True):
    """What the room is about, as `nick` has put it; an empty text takes that away."""

    text: str
    nick: str = ""


class Typing(msgspec.Struct, frozen=True):
    """Someone is typing."""

    nick: str


class LinkLost(msgspec.Struct, frozen=True):
    """The link broke; what is sent now waits. `LinkRestored` or the session's end follows.

    Attributes:
        reason: Why, for people to read.
        code: With which close code the server has said goodbye, to be called again; None if it has
            said nothing.
    """

    reason: str
    code: int | None = None


class LinkRestored(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """The link is back; what waited has been sent again, in order.

    Attributes:
        server: At which server, as `host:port`, if it is another one than before; else empty.
    """

    server: str = ""


class Restarted(msgspec.Struct, frozen=True):
    """The other side lost its memory of this session: both lanes started afresh.

    What it had not acknowledged was sent again; what it had sent and we did not get is lost. In a
    room it means that the log is not the one whose entries we have, and that it is read from its
    beginning.
    """


class Gap(msgspec.Struct, frozen=True):
    """Entries `first` to `last` are no longer in the room's log and cannot be shown."""

    first: int
    last: int


class Rejected(msgspec.Struct, frozen=True):
    """The other side refused our message `number` for good."""

    number: int
    code: int
    reason: str


Event: TypeAlias = (
    Message
    | Joined
    | Left
    | Present
    | Renamed
    | Topic
    | Typing
    | LinkLost
    | LinkRestored
    | Restarted
    | Gap
    | Rejected
)
