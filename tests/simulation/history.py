"""What happened in a run, in order: what each client was told, and what the log holds.

Plain values, which `checker.py` reads. Nothing in here is known to clients but what their users
are told, and lanes; nothing is known of the server but what its disk holds.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from socketchat.chat.log import Entry

__all__ = [
    "Accepted",
    "Afresh",
    "Committed",
    "Died",
    "Ended",
    "Fate",
    "Followed",
    "Happened",
    "Heard",
    "History",
    "Joined",
    "Record",
    "Rewound",
    "Settled",
    "Shown",
    "ToldGap",
    "ToldRestart",
    "Trimmed",
    "Unfollowed",
]


class Fate(Enum):
    """What a sender is told of a message."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    #: The session ended first.
    UNKNOWN = "unknown"


class Record(Struct, frozen=True):
    """Something that happened.

    Attributes:
        when: The virtual time, in seconds.
    """

    when: float

    def __str__(self) -> str:
        fields = [f"{name}={_short(getattr(self, name))}" for name in self.__struct_fields__[1:]]
        return f"{self.when:11.6f}  {type(self).__name__.lower():<11} {' '.join(fields)}"


class Accepted(Record, frozen=True):
    """A session took a message for sending, under a number of its lane.

    Attributes:
        kept: Whether it is in an outbox that survives its process.
        refusable: Whether it may be refused; without a word, if its sender is gone.
    """

    who: str
    lane: bytes
    number: int
    body: str
    kept: bool = False
    refusable: bool = False


class Settled(Record, frozen=True):
    """A sender was told what became of a message; `entry` is its number in the log, if told."""

    lane: bytes
    number: int
    fate: Fate
    entry: int = 0


class Died(Record, frozen=True):
    """A process that sent under this lane was killed: nobody waits for its messages any more."""

    lane: bytes


class Joined(Record, frozen=True):
    """A session was let into a room; from here on it is the member of this name."""

    member: str
    room: str
    lane: bytes
    history: int = 0


class Shown(Record, frozen=True):
    """A member was shown a message."""

    member: str
    number: int
    said: int
    body: str
    own: bool = False


class ToldGap(Record, frozen=True):
    """A member was told that these entries are gone."""

    member: str
    first: int
    last: int


class ToldRestart(Record, frozen=True):
    """A member was told that the log is another one, and is read from its beginning."""

    member: str


class Ended(Record, frozen=True):
    """A member's session is over; it is owed nothing more."""

    member: str


class Committed(Record, frozen=True):
    """An entry became durable: nothing can take it back."""

    room: str
    entry: Entry


class Trimmed(Record, frozen=True):
    """A room's log let go of the entries below `floor`."""

    room: str
    floor: int


class Rewound(Record, frozen=True):
    """A room's log was replaced by what it had been, from entry `floor` to entry `head`."""

    room: str
    head: int
    floor: int = 1


class Followed(Record, frozen=True):
    """A server's process began to follow a room."""

    server: str
    room: str


class Heard(Record, frozen=True):
    """A server's process was told of an entry by its log."""

    server: str
    room: str
    number: int
    said: int
    lane: bytes


class Afresh(Record, frozen=True):
    """A server's process was told by its log that a room does not go on from where it was."""

    server: str
    room: str


class Unfollowed(Record, frozen=True):
    """A server's process follows nothing any more: it is gone, or about to be."""

    server: str


class Happened(Record, frozen=True):
    """Something else that a reader of the story wants to know: a fault above all."""

    what: str


class History:
    """The records of a run, in the order in which things happened.

    Attributes:
        records: What happened.
        now: Tells the time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.records: list[Record] = []
        self.now = now

    def add(self, record: Record) -> None:
        """Note what happened."""
        self.records.append(record)

    def tell(self, what: str) -> None:
        """Note something for whoever reads the story."""
        self.add(Happened(self.now(), what))


def _short(value: object) -> str:
    match value:
        case bytes():
            return value.hex()[:6]
        case Entry():
            to = f" to {value.to} ({value.to_id.hex()[:6]})" if value.to else ""
            text = _short(value.body)
            return f"{value.number} = {value.lane.hex()[:6]}:{value.lane_number} {text}{to}"
        case Fate():
            return value.value
        case str():
            text = value if len(value) <= 24 else f"{value[:20]}… ({len(value)})"
            return repr(text)
        case _:
            return repr(value)
