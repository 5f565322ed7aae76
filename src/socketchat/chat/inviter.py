"""Makes a server's invites, and judges those that are shown to it.

What an invite is and how it is signed is `trust/invites.py`'s to say; that it works once is
`registry.py`'s affair. Used by `server.py` for members, and by the command `socketchat invite`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from socketchat.errors import CloseCode, HandshakeRefused, InvalidInvite
from socketchat.trust.identity import Identity
from socketchat.trust.invites import TOKEN_ID_SIZE, Further, Invite, check_token, make_token

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
        pin = self._identity.fingerprint
        return Invite(self.host.lower(), self.port, room, pin, token, self._others)

    def make(self, room: str, seconds: int) -> str:
        """Return the URL of a new invite that is valid for so long.

        Raises:
            ValueError: See `invite`.
        """
        return self.invite(room, int(self._clock()) + seconds).url

    def check(self, token: str) -> tuple[str, str]:
        """Return the name by which an invite is known, and for which room it is, empty for all.

        Raises:
            HandshakeRefused: It is none of this server's, or has expired; the reason says which.
        """
        try:
            grant = check_token(self._identity.certificate, token, int(self._clock()))
        except InvalidInvite as exc:
            raise HandshakeRefused(CloseCode.POLICY_VIOLATION, str(exc)) from exc
        return grant.token_id.hex(), grant.room
