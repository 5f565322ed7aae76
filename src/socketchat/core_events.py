"""What the core reports to whoever drives it: plain values, one kind each.

Made by `protocol.py`, taken by `link.py` during the greeting and by `lifecycle.py` after it. Not to
be confused with `events.py`, which is what an application sees.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from socketchat.errors import Close, MessageTooBig
from socketchat.messages import (
    Answer,
    Command,
    Event,
    Greeting,
    Hello,
    Post,
    Present,
    Welcome,
)
from socketchat.outbox import Outgoing

__all__ = [
    "Acknowledged",
    "CoreEvent",
    "Failed",
    "Greeted",
    "HelloReceived",
    "Passed",
    "Passing",
    "Ponged",
    "Received",
    "RefusedByPeer",
    "Rejection",
    "Resumed",
    "SaidBye",
    "Unresponsive",
    "Welcomed",
]


class Greeted(Struct, frozen=True):
    """The server greeted; our Hello is on its way."""

    greeting: Greeting


class HelloReceived(Struct, frozen=True):
    """A client asks to be let in: answer with `welcome` or `refuse`."""

    hello: Hello


class Resumed(Struct, frozen=True):
    """What became of our posts when a link opened; those that it does not name go out again.

    Attributes:
        acknowledged: The other side holds them.
        too_big: They are longer than the other side takes now, and were taken out of the outbox.
        restarted: The other side lost its memory of the session.
        missed: The first and the last of the other side's posts that it can send no more.
    """

    acknowledged: list[Outgoing]
    too_big: list[tuple[Outgoing, MessageTooBig]]
    restarted: bool = False
    missed: tuple[int, int] | None = None


class Welcomed(Struct, frozen=True):
    """The server let us in: the link is open."""

    welcome: Welcome
    resumed: Resumed


class RefusedByPeer(Struct, frozen=True):
    """The server did not let us in."""

    code: int
    reason: str


class Received(Struct, frozen=True):
    """New posts of the other side's lane, in order. Their numbers are taken, not yet committed."""

    posts: list[Post]


class Acknowledged(Struct, frozen=True):
    """The other side holds these posts of ours."""

    posts: list[Outgoing]


class Rejection(Struct, frozen=True):
    """The other side refused this post of ours for good."""

    post: Outgoing
    code: int
    reason: str


Passing: TypeAlias = Event | Present | Command | Answer


class Passed(Struct, frozen=True):
    """A passing event, a command, or the answer to one."""

    event: Passing


class Ponged(Struct, frozen=True):
    """The other side answered every ping up to `number`, the last one after so many seconds."""

    number: int
    seconds: float


class SaidBye(Struct, frozen=True):
    """The other side said goodbye; ours has been queued, if it was not said before."""

    close: Close


class Unresponsive(Struct, frozen=True):
    """The other side gave no sign of life, or did not finish its goodbye: cut the link."""

    reason: str


class Failed(Struct, frozen=True):
    """The other side broke the protocol; our goodbye with this code is queued. Cut the link.

    `version` is set if all that is wrong is that it speaks another version.
    """

    close: Close
    version: int | None = None


CoreEvent: TypeAlias = (
    Greeted
    | HelloReceived
    | Welcomed
    | RefusedByPeer
    | Received
    | Acknowledged
    | Rejection
    | Passed
    | Ponged
    | SaidBye
    | Unresponsive
    | Failed
)
