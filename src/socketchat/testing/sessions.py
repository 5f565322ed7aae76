"""Two sessions joined in memory: what a program that talks over a `Session` is tested with.

It stands beside the library's own doors, `connect`, `serve` and `Session.from_streams`, and opens
links as they do, but without a network, TLS or a handler. Its neighbours: `streams` makes the link
between the two, `clock` the time in which nothing waits.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Unpack

from socketchat.link import Link
from socketchat.messages import VERSION, Greeting, Limits, check_names
from socketchat.options import OptionArgs, Options
from socketchat.protocol import Protocol
from socketchat.session import Session, SessionState, Side
from socketchat.testing.streams import MemoryLink, stream_pair

__all__ = ["SessionPair", "session_pair"]


@asynccontextmanager
async def session_pair(
    link: MemoryLink | None = None,
    *,
    nick: str = "client",
    name: str = "server",
    room: str = "",
    reconnect: bool = False,
    **options: Unpack[OptionArgs],
) -> AsyncIterator[SessionPair]:
    """Open a session over a link in memory, and give both ends of it.

    The program under test gets one end, the test plays the other:

        async with session_pair() as (client, server):
            answering = asyncio.create_task(handler(server))
            await client.send("hello")
            assert (await client.recv()).text == "you said hello"
            await client.close()
            await answering

    When the block is left, both ends are aborted, whatever they are doing; close one of them
    inside the block if it is the goodbye that is tested.

    Args:
        link: What joins the two, made by `stream_pair`; its near end is the client's. None makes
            one without delay.
        nick: The client's name, at most 64 characters.
        name: The server's, likewise.
        room: The room that both are in, likewise.
        reconnect: True: both outlive a lost link, as those of `connect` and `serve` do, and wait
            for `SessionPair.rejoin`. False: they end with it, as those of `from_streams` do.
        **options: See `Options`; both ends have the same.

    Raises:
        HandshakeError: The link broke in the greeting.
        TimeoutError: The greeting took longer than `open_timeout`, over a slow or stalled link.
        ValueError: An argument is out of range.
    """
    pair = SessionPair(nick=nick, name=name, room=room, reconnect=reconnect, options=options)
    try:
        await pair.join(link or stream_pair())
        yield pair
    finally:
        await pair.leave()


class SessionPair:
    """Two open sessions, and the link in memory that joins them.

    Made by `session_pair`. It unpacks into its ends: `client, server = pair`.

    Attributes:
        client: The end that called.
        server: The end that was called.
        link: What joins them: cut it, stall it, or deliver its bytes in pieces (`MemoryLink`).
    """

    client: Session
    server: Session
    link: MemoryLink

    def __init__(
        self, *, nick: str, name: str, room: str, reconnect: bool, options: OptionArgs
    ) -> None:
        """For `session_pair` alone."""
        check_names(nick, name, room)
        self._options = Options(**options)
        self._nick = nick
        self._room = room
        self._reconnect = reconnect
        self._greeting = Greeting(VERSION, bytes(32), name, Limits(self._options.max_size))
        self._lane = os.urandom(16)
        self._sessions: list[Session] = []
        self._drivers: list[asyncio.Task[None]] = []
        self.client = self._new_session(Side.CLIENT)
        self.server = self._new_session(Side.SERVER)

    def __iter__(self) -> Iterator[Session]:
        return iter((self.client, self.server))

    async def rejoin(self, link: MemoryLink | None = None) -> None:
        """Join the two again over a new link, as `connect` does by itself; the old one is cut.

        If the server's end is over, by `abort` or after `resume_timeout`, `server` is a new
        session from then on, and the client is told `Restarted`: it is as if the server had been
        started again. The test runs its handler anew.

        Cancellation: the link that was being opened is lost.

        Args:
            link: The new link, made by `stream_pair`; None makes one without delay.

        Raises:
            HandshakeError: The new link broke in the greeting.
            RuntimeError: The client's end is over, or the pair was opened without `reconnect`.
            TimeoutError: The greeting took longer than `open_timeout`.
        """
        if not self._reconnect:
            raise RuntimeError("this pair ends with its link: open it with reconnect=True")
        self.link.cut()
        await self._wait_undriven()
        if self.client.state is SessionState.CLOSED:
            raise RuntimeError("the client's session is over")
        if self.server.state is SessionState.CLOSED:
            self.server = self._new_session(Side.SERVER)
        await self.join(link or stream_pair())

    async def join(self, link: MemoryLink) -> None:
        """Greet over `link` and go on over it; for `session_pair` and `rejoin` alone."""
        self.link = link
        self._drivers.clear()
        try:
            async with asyncio.timeout(self._options.open_timeout):
                await self._meet()
        except BaseException:
            link.cut()
            raise

    async def _meet(self) -> None:
        # When one end fails, the other must not go on by itself.
        ends = asyncio.gather(self._greet(), self._welcome(), return_exceptions=True)
        for failure in await ends:
            if failure is not None:
                raise failure

    async def _greet(self) -> None:
        protocol = self.client.client_protocol(nick=self._nick, room=self._room)
        link = Link(*self.link.near, protocol)
        await self.client.greet_server(link)
        self._drive(self.client, link)

    async def _welcome(self) -> None:
        now = asyncio.get_running_loop().time()
        protocol = Protocol(Side.SERVER, self._options, now, greeting=self._greeting)
        link = Link(*self.link.far, protocol)
        hello = await link.greet_client()
        self.server.welcome(link, hello, hello.nick, hello.room)
        self._drive(self.server, link)

    def _new_session(self, side: Side) -> Session:
        session = Session(side, self._options, lane=self._lane, resumable=self._reconnect)
        self._sessions.append(session)
        return session

    def _drive(self, session: Session, link: Link) -> None:
        self._drivers.append(asyncio.create_task(session.drive(link)))

    async def leave(self) -> None:
        """End both sessions; for `session_pair` alone."""
        for session in self._sessions:
            session.abort()
        await self._wait_undriven()

    async def _wait_undriven(self) -> None:
        if self._drivers:
            await asyncio.wait(self._drivers)
