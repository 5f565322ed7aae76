"""`connect`: open a session with a server, check who it is, and keep it connected.

The link is opened here and handed to the session (`session.py`); when it is lost, here it is opened
again. Which of several servers has its turn is kept in `servers.py`, whom to trust is decided in
`trust/`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
from collections.abc import Sequence
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
)
from socketchat.link import Link
from socketchat.messages import MAX_INVITE, check_names
from socketchat.options import DEFAULT_PORT, OptionArgs, Options
from socketchat.servers import Host, Place, Rota, Trust, places_of
from socketchat.session import Session, Side, microseconds_of
from socketchat.streams import open_streams
from socketchat.trust.device import Device
from socketchat.trust.identity import pin_of
from socketchat.trust.known_hosts import (
    KnownHosts,
    check_server,
    default_directory,
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
    host: str | Sequence[Host],
    port: int = DEFAULT_PORT,
    *,
    room: str | None = None,
    nick: str | None = None,
    trust: Trust | Sequence[Trust] = "strict",
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
    """Open a session with the server at `host`, or with one of several.

    Await it, or enter it with `async with`, which closes the session at the end. The session stays
    the same one through lost links: it connects again, with delays from 0.2 s doubling to 20 s with
    full jitter, and what was not acknowledged is sent again.

    Several servers, which serve the same rooms, are called in turn: at first until one lets us in,
    and when the link is lost from the one behind the last on, all of them between two delays. Who
    cannot be trusted, or refuses for good, is passed over with a warning in the log: one server out
    of order shall not keep us from the others. If none lets us in, the most serious error is
    raised, with what each of them said in its notes; and a session that is lost ends once all of
    them have refused for good. `Session.peer` tells at which of them it is.

    Cancellation: leaves nothing behind.

    Args:
        host: A name or an address; or several servers, each as `"host"`, `"host:port"`,
            `"[::1]:7625"` or `(host, port)`.
        port: A TCP port; of several servers, that of those that have none of their own.
        room: The room to ask for; None is the server's first.
        nick: The name to go by; None leaves it to the server.
        trust: `strict`, the server's key must be in `known_hosts`; `accept-new`, the key of a
            server that is not there yet is added; a pin, `SHA256:...`; or an `ssl.SSLContext`, for
            a server with a public certificate. It holds for all servers; or it is a sequence with
            an item for each.
        known_hosts: The file of known hosts; None is the user's own.
        tls: False speaks in the clear, as the server must too.
        reconnect: False ends the session when its link is lost.
        history: How many earlier messages of the room to begin with.
        since: Begin with what was said in the room at this time or later, instead.
        outbox: A file in which messages wait to be acknowledged, so that they survive this process
            (`FileOutbox.create`, of `socketchat.file_outbox`); it has its own bounds in place of
            `max_unacked`. None keeps them in memory. Close it after the session.
        device: Whose key to show to the server (`Device.load_or_generate`), by which it knows us
            again; None shows none, and we are strangers each time.
        invite: The token of an invite, for a server that lets in none but those whom it knows; it
            is shown until the server has let us in once. Give the invite's pin as `trust`; of
            several servers, those without a pin are not shown the token, unless all are trusted
            alike.
        **options: See `Options`.

    Raises:
        OSError: The server cannot be reached.
        TimeoutError: It was not reached within `open_timeout`.
        UntrustedPeer: It is not the server that it should be, or not known.
        HandshakeRefused: It does not let us in.
        HandshakeError: It is no socketchat server, or one of another version.
        ValueError: An argument is out of range.
    """
    places = places_of(host, port, trust)
    check_names(nick or "", room or "")
    if history < 0:
        raise ValueError(f"history must be 0 or more messages: {history!r}")
    if len(invite or "") > MAX_INVITE:
        raise ValueError(f"an invite's token has at most {MAX_INVITE} characters")
    dialer = Dialer(
        rota=Rota(places),
        nick=nick or "",
        room=room or "",
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

    rota: Rota
    nick: str
    room: str
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
        session.run(self._keep(session, await self._call(session)))
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
            _log.exception("the session with %s failed", self.rota)
            session.end(Close(CloseCode.INTERNAL_ERROR, "internal error"), exc)

    async def _reopen(self, session: Session) -> Link | None:
        """Open another link, sooner or later, unless the session closes before."""
        delay = FIRST_DELAY
        # Not a secret: it only keeps many clients from coming back at once.
        while not await session.closed_within(random.uniform(0, delay)):  # noqa: S311
            delay = min(2 * delay, MAX_DELAY)
            try:
                return await self._call_again(session)
            except (OSError, HandshakeError) as exc:
                _log.info("could not come back to %s: %s", self.rota, exc)
                if self.rota.is_over:
                    session.end(_close_for(exc), exc)
        return None

    async def _call_again(self, session: Session) -> Link:
        """Call each server once; the end of the session, which waits for nobody, cancels that."""
        task = asyncio.current_task()
        assert task is not None
        session.on_end = lambda: None if session.linked else task.cancel()
        try:
            return await self._call(session)
        finally:
            session.on_end = None

    async def _call(self, session: Session) -> Link:
        """Call each server once, until one lets us in; open a link to that."""
        for place in self.rota.round():
            try:
                return await self._dial(session, place)
            except (OSError, HandshakeError) as exc:
                self.rota.pass_over(place, exc)
        raise self.rota.worst()

    async def _dial(self, session: Session, place: Place) -> Link:
        """Open one link and go through the greeting."""
        time = asyncio.timeout(self.options.open_timeout)
        try:
            async with time:
                return await self._open_link(session, place)
        except TimeoutError as exc:
            if not time.expired():
                raise  # the kernel's own, which says what it is
            seconds = self.options.open_timeout
            raise TimeoutError(f"no session with {place.host} within {seconds:g} s") from exc

    async def _open_link(self, session: Session, place: Place) -> Link:
        reader, writer = await open_streams(
            place.host, place.port, self._context(place), self._server_hostname(place)
        )
        try:
            pin = await self._check(writer, place)
            protocol = session.client_protocol(
                nick=self.nick,
                room=self.room,
                history=self.history,
                since=self.since,
                device=self.device,
                pin=pin,
                invite=self.invite if self.rota.may_see_invite(place) else "",
            )
            link = Link(reader, writer, protocol)
            await session.greet_server(link, pin, place.name)
        except BaseException:
            writer.transport.abort()
            raise
        self.rota.settle(place)
        return link

    async def _note_next_key(self, session: Session) -> None:
        """Remember which key the server will have next, or that it keeps the one that it has."""
        pin = session.peer.key
        place = self.rota.current
        if not pin or isinstance(place.trust, ssl.SSLContext):
            return
        host = place.name
        try:
            await asyncio.to_thread(lambda: self._known().announce(host, session.next_pin, by=pin))
        except OSError as exc:
            _log.warning("the next key of %s is not remembered: %s", host, exc)

    def _known(self) -> KnownHosts:
        """Return whom we know; in a thread, since the first time it takes long to find the file."""
        return KnownHosts(self.known_hosts or default_directory() / "known_hosts")

    def _context(self, place: Place) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        return place.trust if isinstance(place.trust, ssl.SSLContext) else client_context()

    def _server_hostname(self, place: Place) -> str | None:
        # An address in brackets, or with a zone, is no server name; with a pin none is needed.
        if not self.tls:
            return None
        return place.host if isinstance(place.trust, ssl.SSLContext) else ""

    async def _check(self, writer: asyncio.StreamWriter, place: Place) -> str:
        """Check the server's key, before anything is written; return its pin."""
        if not self.tls:
            return ""
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return await asyncio.to_thread(self._check_key, certificate, place)

    def _check_key(self, certificate: bytes, place: Place) -> str:
        """Check the key in a DER certificate, and return its pin; in a thread."""
        pin = pin_of(certificate)  # the first time it takes long
        if isinstance(place.trust, ssl.SSLContext):
            return pin
        if check_server(place.trust, self._known(), place.name, pin):
            _log.info("%s is new here; its key %s is remembered", place.name, pin)
        return pin


def _close_for(exc: Exception) -> Close:
    if isinstance(exc, HandshakeRefused):
        return Close(exc.code, exc.reason)
    return Close(CloseCode.ABNORMAL, str(exc))
