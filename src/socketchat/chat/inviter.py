"""Makes a server's invites, and judges those that are shown to it.

What an invite is and how it is signed is `trust/invites.py`'s to say; that it works once is
`registry.py`'s affair. Used by `server.py` for members, and by the command `socketchat invite`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from socketchat.chat.neighbours import Place
from socketchat.errors import CloseCode, HandshakeRefused, InvalidInvite
from socketchat.trust.identity import Identity
from socketchat.trust.invites import (
    TOKEN_ID_SIZE,
    Further,
    Grant,
    Invite,
    check_token,
    check_validity,
    make_token,
)

__all__ = ["Inviter"]


class Inviter:
    """Invites to one server.

    Args:
        identity: The server's key.
        host: Where callers find it.
        port: Likewise, once it is known.
        others: Other servers of the same rooms.
        clock: Tells the time, in seconds since the epoch.

    Attributes:
        host: Where callers find the server.
        port: Likewise; 0 until it is known.
    """

    def __init__(
        self,
        identity: Identity,
        host: str,
        port: int = 0,
        *,
        others: Sequence[Further] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.host = host
        self.port = port
        self._others = tuple(others)
        self._identity = identity
        self._clock = clock

    @property
    def pin(self) -> str:
        """The pin of the server's key."""
        return self._identity.fingerprint

    def invite(self, room: str, expires: int) -> Invite:
        """Return a new invite.

        Args:
            room: The room; empty is all of them.
            expires: When it expires, in seconds since the epoch.

        Raises:
            ValueError: The room or the place cannot stand in an invite.
        """
        token = make_token(
            self._identity.key, room=room, expires=expires, token_id=os.urandom(TOKEN_ID_SIZE)
        )
        return Invite(self.host.lower(), self.port, room, self.pin, token, self._others)

    def make(self, room: str, seconds: int, others: Iterable[Place] = ()) -> Invite:
        """Return a new invite that is valid for so long.

        Args:
            room: The room; empty is all of them.
            seconds: How long.
            others: Where other servers of the same rooms say that they are. What an invite cannot
                name, or has no room for, is left out.

        Raises:
            ValueError: See `invite`.
        """
        invite = self.invite(room, int(self._clock()) + seconds)
        for other in others:
            further = Further(other.host.lower(), other.port, other.pin)
            with contextlib.suppress(ValueError):
                invite = replace(invite, others=(*invite.others, further))
        return invite

    def check(self, token: str, issued: Grant | None = None) -> Grant:
        """Return what an invite gives.

        Args:
            token: What was shown.
            issued: What it gives, if another server has made it, and said so.

        Raises:
            HandshakeRefused: It is none of this server's, or has expired; the reason says which.
        """
        now = int(self._clock())
        try:
            if issued is None:
                return check_token(self._identity.certificate, token, now)
            check_validity(issued, now)
        except InvalidInvite as exc:
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, str(exc)) from exc
        return issued
