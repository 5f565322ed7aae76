"""Claims about keys of devices in the greeting: whose lane it is, and what a relay gains.

The relay is a real one: it has a certificate of its own, and passes on all that is said.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from socketchat import (
    Device,
    HandshakeRefused,
    Identity,
    Server,
    Session,
    UntrustedPeer,
    connect,
    serve,
)
from socketchat.handlers import Handler
from socketchat.messages import VERSION, Greeting, Hello, Refused, Welcome, decode, encode
from socketchat.session import Side
from socketchat.streams import open_streams
from socketchat.trust.identity import pin_of
from socketchat.trust.tls import client_context, server_context
from tests.sessions import echo, receive, say_nothing

pytestmark = pytest.mark.may_block("log lines are written")

IDENTITY, RELAYS = Identity.generate(), Identity.generate()
ADA, EVE = Device.generate(), Device.generate()
LANE = bytes(range(16))

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(handler: Handler = echo) -> AsyncIterator[Server]:
    """Serve on a free port."""
    async with serve(handler, "127.0.0.1", 0, identity=IDENTITY) as server:
        yield server


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes."""
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)


async def relay(near: Streams, to_port: int) -> None:
    """Pass on what a caller and a server say to each other, until one of them goes."""
    try:
        far = await asyncio.open_connection(
            "127.0.0.1", to_port, ssl=client_context(), server_hostname=""
        )
    except OSError:
        near[1].transport.abort()
        return
    pumps = {
        asyncio.create_task(pump(near[0], far[1])),
        asyncio.create_task(pump(far[0], near[1])),
    }
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for writer in (near[1], far[1]):
            writer.transport.abort()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


@asynccontextmanager
async def relaying(to_port: int) -> AsyncIterator[int]:
    """Stand between callers and a server, with a certificate of one's own; yield the port."""
    context = await asyncio.to_thread(server_context, RELAYS)
    relays: set[asyncio.Task[None]] = set()

    def take(*near: *Streams) -> None:
        relays.add(asyncio.create_task(relay(near, to_port)))

    listening = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


async def answer_to(port: int, hello: Hello, *, device: Device | None = None) -> object:
    """Say this hello to the server, signed by a device if there is one, and return its answer."""
    reader, writer = await open_streams("127.0.0.1", port, client_context(), "")
    try:
        pin = pin_of(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        greeting = decode(await read_frame(reader))
        assert isinstance(greeting, Greeting)
        if device is not None:
            signature = device.prove(pin, greeting.nonce, hello.lane)
            hello = Hello(VERSION, hello.lane, hello.nick, key=hello.key, signature=signature)
        writer.write(encode(hello))
        return decode(await read_frame(reader))
    finally:
        writer.transport.abort()


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Read one frame's body."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


@pytest.mark.both_loops
async def test_a_server_knows_a_caller_by_its_key() -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def note(session: Session) -> None:
        seen.put_nowait(session.peer.key)
        await session.wait_closed()

    async with serving(note) as server:
        for device in (ADA, ADA, EVE, None):
            pin = server.fingerprint
            async with connect("127.0.0.1", server.port, trust=pin, device=device):
                expected = "" if device is None else device.fingerprint
                assert await seen.get() == expected


async def test_a_relay_is_refused_even_on_first_contact(tmp_path: Path) -> None:
    async with serving() as server, relaying(server.port) as port:
        with pytest.raises(HandshakeRefused, match="somebody may stand between") as caught:
            await connect(
                "127.0.0.1",
                port,
                trust="accept-new",
                known_hosts=tmp_path / "known_hosts",
                device=ADA,
            )
        assert caught.value.code == 1008
        assert not server.sessions


async def test_the_same_relay_is_not_noticed_by_one_without_a_key(tmp_path: Path) -> None:
    # What the test above is worth: it is the proof that the relay fails at.
    async with serving() as server, relaying(server.port) as port:
        known = tmp_path / "known_hosts"
        async with connect("127.0.0.1", port, trust="accept-new", known_hosts=known) as session:
            await session.send("hello")
            assert await receive(session, 1) == ["hello"]
            assert session.peer.key == RELAYS.fingerprint


async def test_a_relay_is_refused_where_the_server_is_known(tmp_path: Path) -> None:
    async with serving() as server, relaying(server.port) as port:
        with pytest.raises(UntrustedPeer):
            await connect("127.0.0.1", port, trust=server.fingerprint, device=ADA)


async def test_a_signature_by_another_key_is_refused() -> None:
    async with serving() as server:
        answer = await answer_to(server.port, Hello(VERSION, LANE, key=ADA.public), device=EVE)
    assert isinstance(answer, Refused)
    assert answer.code == 1008


@pytest.mark.parametrize("signature", [b"", bytes(64), os.urandom(64)[:63]])
async def test_a_key_without_a_proof_is_refused(signature: bytes) -> None:
    async with serving() as server:
        hello = Hello(VERSION, LANE, key=ADA.public, signature=signature)
        answer = await answer_to(server.port, hello)
    assert isinstance(answer, Refused)
    assert answer.code == 1008


@pytest.mark.parametrize("key", [b"\1", bytes(31), ADA.public[:-1]])
async def test_what_is_no_key_is_refused(key: bytes) -> None:
    async with serving() as server:
        answer = await answer_to(server.port, Hello(VERSION, LANE, key=key), device=ADA)
    assert isinstance(answer, Refused)
    assert answer.code == 1008


async def test_a_greeting_that_was_overheard_is_worth_nothing_again() -> None:
    async with serving() as server:
        # Signed for the nonce of another greeting.
        signature = ADA.prove(server.fingerprint, bytes(32), LANE)
        hello = Hello(VERSION, LANE, key=ADA.public, signature=signature)
        assert isinstance(await answer_to(server.port, hello), Refused)


@pytest.mark.parametrize("thief", [EVE, None], ids=["with a key", "without"])
async def test_a_lane_that_was_stolen_does_not_open_its_session(thief: Device | None) -> None:
    async with serving(say_nothing) as server:
        hello = Hello(VERSION, LANE, key=ADA.public)
        assert isinstance(await answer_to(server.port, hello, device=ADA), Welcome)
        (session,) = server.sessions
        key = b"" if thief is None else thief.public
        answer = await answer_to(server.port, Hello(VERSION, LANE, key=key), device=thief)
        assert answer == Refused(1008, "this lane belongs to another key")
        assert server.sessions == {session}
        again = await answer_to(server.port, hello, device=ADA)
        assert isinstance(again, Welcome)
        assert again.session.hex() == session.id


async def test_without_tls_a_key_is_proved_to_this_greeting_alone() -> None:
    async with (
        serve(echo, "127.0.0.1", 0, tls=False) as server,
        connect("127.0.0.1", server.port, tls=False, device=ADA) as session,
    ):
        await session.send("hello")
        assert await receive(session, 1) == ["hello"]
        (theirs,) = server.sessions
        assert theirs.peer.key == ADA.fingerprint


async def test_a_server_at_one_end_of_streams_takes_a_key_on_nobodys_word() -> None:
    # Nothing has checked it there.
    ours, theirs = [await asyncio.open_connection(sock=end) for end in socket.socketpair()]
    server = asyncio.create_task(Session.from_streams(*theirs, side=Side.SERVER))
    async with await Session.from_streams(*ours, side=Side.CLIENT, device=ADA):
        assert (await server).peer.key == ""
        await (await server).close()
