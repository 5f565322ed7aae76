"""What a server runs for its sessions: a handler, and what else a handler may say to.

What a handler does wrong is turned here into what its caller is told, and a line in the log. It
knows nothing of sockets or of other sessions: when a handler is asked is up to `server.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from socketchat.errors import CloseCode, HandshakeRefused, SessionClosed
from socketchat.logged import LogPlace
from socketchat.messages import Hello
from socketchat.session import Session

__all__ = [
    "Admission",
    "Admits",
    "Handler",
    "Opens",
    "Withdraws",
    "ask_admission",
    "run_handler",
]

# For those who read the log, a handler is a part of its server.
_log = logging.getLogger("socketchat.server")

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


async def ask_admission(handler: Handler, hello: Hello, address: str) -> Admission:
    """Have a handler let a caller in, or let it in as it asks, if the handler has no say in it.

    Raises:
        HandshakeRefused: It may not come in, or the handler has failed.
    """
    if not isinstance(handler, Admits):
        return Admission(hello.nick, hello.room)
    try:
        return await handler.admit(hello, address)
    except HandshakeRefused:
        raise
    except Exception as exc:
        _log.exception("the handler failed to admit a caller from %s", address)
        raise HandshakeRefused(CloseCode.INTERNAL_ERROR, "internal error") from exc


async def run_handler(handler: Handler, session: Session) -> None:
    """Run a handler for a session, and close the session as it deserves.

    Cancellation: cuts the session off.
    """
    code = CloseCode.OK
    try:
        await handler(session)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            session.abort()
            raise
        # It was not cancelled itself: it awaited something that was cancelled.
        _log.error("the handler of %r was cancelled", session)
        code = CloseCode.INTERNAL_ERROR
    except SessionClosed:
        pass  # The handler need not catch what it can do nothing about.
    except ExceptionGroup as group:
        # From a TaskGroup in the handler, one of whose tasks met the end of the session.
        if group.split(SessionClosed)[1] is not None:
            _log.exception("the handler of %r failed", session)
            code = CloseCode.INTERNAL_ERROR
    except Exception:  # noqa: BLE001 - the handler's boundary, and it is logged
        _log.exception("the handler of %r failed", session)
        code = CloseCode.INTERNAL_ERROR
    await session.close(code)
