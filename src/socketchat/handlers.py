"""What a server runs for its sessions: a handler, and what else a handler may say to.

Types alone: `server.py` asks whether a handler has these methods, and calls them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from socketchat.logged import LogPlace
from socketchat.messages import Hello
from socketchat.session import Session

__all__ = ["Admission", "Admits", "Handler", "Opens", "Withdraws"]

#: Called with each new session; it may be an object with more methods.
Handler: TypeAlias = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Admission:
    """How a caller is let in.

    Attributes:
        nick: The name that it goes by here.
        room: The room that it is in.
        place: Where it goes on in the log that keeps its session; the handler is then given a
            `LoggedSession`. None has the session kept in memory.
    """

    nick: str
    room: str
    place: LogPlace | None = None


@runtime_checkable
class Admits(Protocol):
    """A handler that also decides who comes in."""

    async def admit(self, hello: Hello, address: str) -> Admission:
        """Let a caller in.

        Args:
            hello: What the caller has said. Of it may be read `nick` and `room`, which it asks for
                and nobody has looked at; `key`, its Ed25519 public key, which it has proved to
                hold, or empty; `invite`, a token or empty; `lane`, a secret by which it would get
                its session back; and, to find its `LogPlace`, `session`, `after` and `history`.
            address: Whence it calls, as `host:port`; empty is the one who sits at the server
                itself, `local` any other who has none. See `Server.accept`.

        Raises:
            HandshakeRefused: It may not come in.
        """


@runtime_checkable
class Withdraws(Protocol):
    """A handler that wants to know when one whom it has admitted does not come in after all."""

    def withdraw(self, hello: Hello, admission: Admission) -> None:
        """Take notice of that: a newer link of the same lane has come."""


@runtime_checkable
class Opens(Protocol):
    """A handler that is opened before the server takes callers, and closed after the last."""

    async def open(self) -> None:
        """Make ready.

        Raises:
            OSError: That cannot be done; `strerror` says why.
        """

    async def close(self) -> None:
        """Finish what is under way."""
