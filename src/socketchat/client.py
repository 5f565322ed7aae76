"""`connect`: open a session with a server, check who it is, and keep it connected.

The link is opened here and handed to the session (`session.py`); when it is lost, here it is opened
again. Whom to trust is decided in `trust/`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from socketchat.awaiting import Opening
from socketchat.errors import (
    Close,
    CloseCode,
    HandshakeError,
    HandshakeRefused,
    UnsupportedVersion,
    UntrustedPeer,
)
from socketchat.fingerprint import is_pin
from socketchat.link import Link
from socketchat.messages import MAX_INVITE, check_names
from socketchat.options import DEFAULT_PORT, OptionArgs, Options
from socketchat.session import Session, Side, microseconds_of
from socketchat.streams import open_streams
from socketchat.trust.device import Device
from socketchat.trust.identity import pin_of
from socketchat.trust.known_hosts import (
    KnownHosts,
    check_server,
    default_directory,
    host_and_port,
)
from socketchat.trust.tls import client_context

if TYPE_CHECKING:
    from socketchat.file_outbox import FileOutbox  # loads sqlite3, which few clients need

__all__ = ["connect"]

#: Seconds between attempts to come back: doubling from the first to the last, with full jitter.
FIRST_DELAY = 0.2
MAX_DELAY = 20.0

_log = logging.getLogger("socketchat.client")


def connect(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    room: str | None = None,
    nick: str | None = None,
    trust: str | ssl.SSLContext = "strict",
    known_hosts: Path | None = None,
    tls: bool = True,
    reconnect: bool = True,
    history: int = 0,
    since: datetime | None = None,
    outbox: FileOutbox | None = None,
    device: Device | None = None,
    invite: str | None = None,
    **options: Unpack[OptionArgs],
) -> Opening[Session]:
    """Open a session with the server at `host`.

    Await it, or enter it with `async with`, which closes the session at the end. The session stays
    the same one through lost links: it connects again, with delays from 0.2 s doubling to 20 s with
    full jitter, and what was not acknowledged is sent again.

    Cancellation: leaves nothing behind.

    Args:
        host: A name or an address.
        port: A TCP port.
        room: The room to ask for; None is the server's first.
        nick: The name to go by; None leaves it to the server.
        trust: `strict`, the server's key must be in `known_hosts`; `accept-new`, the key of a
            server that is not there yet is added; a pin, `SHA256:...`; or an `ssl.SSLContext`, for
            a server with a public certificate.
        known_hosts: The file of known hosts; None is the user's own.
        tls: False speaks in the clear, as the server must too.
        reconnect: False ends the session when its link is lost.
        history: How many earlier messages of the room to begin with.
        since: Begin with what was said in the room at this time or later, instead.
        outbox: A file in which messages wait to be acknowledged, so that they survive this process;
            None keeps them in memory. Close it after the session.
        device: Whose key to show to the server (`Device.load_or_generate`), by which it knows us
            again; None shows none, and we are strangers each time.
        invite: The token of an invite, for a server that lets in none but those whom it knows; it
            is shown until the server has let us in once. Give the invite's pin as `trust`.
        **options: See `Options`.

    Raises:
        OSError: The server cannot be reached.
        TimeoutError: It was not reached within `open_timeout`.
        UntrustedPeer: It is not the server that it should be, or not known.
        HandshakeRefused: It does not let us in.
        HandshakeError: It is no socketchat server, or one of another version.
        ValueError: An argument is out of range.
    """
    if isinstance(trust, str) and trust not in ("strict", "accept-new") and not is_pin(trust):
        raise ValueError(f'trust must be "strict", "accept-new" or "SHA256:...": {trust!r}')
    check_names(nick or "", room or "")
    if history < 0:
        raise ValueError(f"history must be 0 or more messages: {history!r}")
    if len(invite or "") > MAX_INVITE:
        raise ValueError(f"an invite's token has at most {MAX_INVITE} characters")
    dialer = Dialer(
        host=host,
        port=port,
        nick=nick or "",
        room=room or "",
        trust=trust,
        known_hosts=known_hosts,
        tls=tls,
        reconnect=reconnect,
        history=history,
        since=microseconds_of(since),
        outbox=outbox,
        device=device,
        invite=invite or "",
        options=Options(**options),
    )
    return Opening(dialer.open)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialer:
    """Opens the links of one session, the first and all later ones."""

    host: str
    port: int
    nick: str
    room: str
    trust: str | ssl.SSLContext
    known_hosts: Path | None
    tls: bool
    reconnect: bool
    history: int
    since: int
    outbox: FileOutbox | None
    device: Device | None
    invite: str = field(repr=False)
    options: Options

    async def open(self) -> Session:
        """Open the session over a first link, and have it kept connected."""
        session = Session(
            Side.CLIENT,
            self.options,
            lane=self.outbox.lane if self.outbox is not None else os.urandom(16),
            resumable=self.reconnect,
            outbox=self.outbox,
        )
        session.run(self._keep(session, await self._dial(session)))
        return session

    async def _keep(self, session: Session, link: Link | None) -> None:
        """Drive the session over this link, and over others after it, until it is closed."""
        try:
            while link is not None:
                noting = asyncio.create_task(self._note_next_key(session))
                try:
                    await session.drive(link)
                finally:
                    await asyncio.wait([noting])
                link = await self._reopen(session)
        except Exception as exc:  # noqa: BLE001 - nobody awaits this task: the session must tell
            _log.exception("the session with %s failed", self.host)
            session.end(Close(CloseCode.INTERNAL_ERROR, "internal error"), exc)

    async def _reopen(self, session: Session) -> Link | None:
        """Open another link, sooner or later, unless the session closes before."""
        delay = FIRST_DELAY
        # Not a secret: it only keeps many clients from coming back at once.
        while not await session.closed_within(random.uniform(0, delay)):  # noqa: S311
            delay = min(2 * delay, MAX_DELAY)
            try:
                return await self._dial_again(session)
            except (OSError, HandshakeError) as exc:
                _log.info("could not come back to %s: %s", self.host, exc)
                if not _is_passing(exc):
                    session.end(_close_for(exc), exc)
        return None

    async def _dial_again(self, session: Session) -> Link:
        """Open one link; the end of the session, which waits for nobody, cancels that."""
        task = asyncio.current_task()
        assert task is not None
        session.on_end = lambda: None if session.linked else task.cancel()
        try:
            return await self._dial(session)
        finally:
            session.on_end = None

    async def _dial(self, session: Session) -> Link:
        """Open one link and go through the greeting."""
        time = asyncio.timeout(self.options.open_timeout)
        try:
            async with time:
                return await self._open_link(session)
        except TimeoutError as exc:
            if not time.expired():
                raise  # the kernel's own, which says what it is
            seconds = self.options.open_timeout
            raise TimeoutError(f"no session with {self.host} within {seconds:g} s") from exc

    async def _open_link(self, session: Session) -> Link:
        reader, writer = await open_streams(
            self.host, self.port, self._context(), self._server_hostname()
        )
        try:
            pin = await self._check(writer)
            protocol = session.client_protocol(
                nick=self.nick,
                room=self.room,
                history=self.history,
                since=self.since,
                device=self.device,
                pin=pin,
                invite=self.invite,
            )
            link = Link(reader, writer, protocol)
            await session.greet_server(link, pin)
        except BaseException:
            writer.transport.abort()
            raise
        return link

    async def _note_next_key(self, session: Session) -> None:
        """Remember which key the server will have next, or that it keeps the one that it has."""
        pin = session.peer.key
        if not pin or isinstance(self.trust, ssl.SSLContext):
            return
        host = host_and_port(self.host, self.port)
        try:
            await asyncio.to_thread(lambda: self._known().announce(host, session.next_pin, by=pin))
        except OSError as exc:
            _log.warning("the next key of %s is not remembered: %s", host, exc)

    def _known(self) -> KnownHosts:
        """Return whom we know; in a thread, since the first time it takes long to find the file."""
        return KnownHosts(self.known_hosts or default_directory() / "known_hosts")

    def _context(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        return self.trust if isinstance(self.trust, ssl.SSLContext) else client_context()

    def _server_hostname(self) -> str | None:
        # An address in brackets, or with a zone, is no server name; with a pin none is needed.
        if not self.tls:
            return None
        return self.host if isinstance(self.trust, ssl.SSLContext) else ""

    async def _check(self, writer: asyncio.StreamWriter) -> str:
        """Check the server's key, before anything is written; return its pin."""
        if not self.tls:
            return ""
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return await asyncio.to_thread(self._check_key, certificate)

    def _check_key(self, certificate: bytes) -> str:
        """Check the key in a DER certificate, and return its pin; in a thread."""
        pin = pin_of(certificate)  # the first time it takes long
        if isinstance(self.trust, ssl.SSLContext):
            return pin
        host = host_and_port(self.host, self.port)
        if check_server(self.trust, self._known(), host, pin):
            _log.info("%s is new here; its key %s is remembered", host, pin)
        return pin


def _is_passing(exc: OSError | HandshakeError) -> bool:
    """Tell whether it may go better at the next attempt."""
    match exc:
        case HandshakeRefused():
            return CloseCode.is_temporary(exc.code)
        case UntrustedPeer() | UnsupportedVersion() | ssl.SSLCertVerificationError():
            return False
        case OSError(filename=str()):
            return False  # the file of known hosts
        case _:
            # Another program at the port, for a moment, or the network away.
            return True


def _close_for(exc: Exception) -> Close:
    if isinstance(exc, HandshakeRefused):
        return Close(exc.code, exc.reason)
    return Close(CloseCode.ABNORMAL, str(exc))
