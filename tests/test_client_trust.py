"""Claims about whom `connect` trusts, and that it says nothing to anyone before it knows."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from socketchat import (
    HandshakeError,
    Identity,
    SessionClosedError,
    SessionState,
    UntrustedPeer,
    connect,
    listening,
    serve,
)
from socketchat.listening import listen
from socketchat.messages import VERSION, Greeting, Hello, decode, encode
from socketchat.streams import accept_streams
from socketchat.trust.known_hosts import KnownHosts
from socketchat.trust.tls import server_context
from tests.certificates import issue
from tests.sessions import echo, receive, say_nothing, until

IDENTITY, OTHER = Identity.generate(), Identity.generate()


@pytest.fixture
def known(tmp_path: Path) -> KnownHosts:
    """Return a file of known hosts that is not there yet."""
    return KnownHosts(tmp_path / "known_hosts")


async def find(known: KnownHosts, host: str) -> tuple[str, int] | None:
    """Return the pin of a host and its line, without holding up the loop."""
    found = await asyncio.to_thread(known.find, host)
    return (found.pin, found.line) if found is not None else None


async def add(known: KnownHosts, host: str, pin: str) -> None:
    """Add a host, without holding up the loop."""
    await asyncio.to_thread(known.add, host, pin)


# Nothing is said before the key is known to be the right one


@dataclass
class Eavesdropper:
    """A server for one caller, whom it greets and hangs up on once it has said something."""

    port: int = 0
    heard: bytes | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Serve with the key of `IDENTITY`, and note what is said under TLS."""
        context = await asyncio.to_thread(server_context, IDENTITY)
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        heard = b""
        with suppress(OSError):
            reader, writer = await accept_streams(connection, context, 5)
            writer.write(encode(Greeting(VERSION, bytes(32))))
            with suppress(OSError):
                heard = await reader.read(2**16)
            writer.transport.abort()
        self.heard = heard


@asynccontextmanager
async def eavesdropping() -> AsyncIterator[Eavesdropper]:
    """Serve one caller."""
    (listener,) = await listen("127.0.0.1", 0)
    with listener:
        eavesdropper = Eavesdropper(listener.getsockname()[1])
        serving = asyncio.create_task(eavesdropper.listen(listener))
        yield eavesdropper
        await serving


@pytest.mark.both_loops
@pytest.mark.parametrize("before", [None, OTHER.fingerprint], ids=["unknown", "changed"])
@pytest.mark.parametrize("trust", ["strict", "accept-new", OTHER.fingerprint, "context"])
async def test_to_a_server_that_is_not_trusted_nothing_is_said(
    known: KnownHosts, trust: str, before: str | None
) -> None:
    async with eavesdropping() as eavesdropper:
        host = f"127.0.0.1:{eavesdropper.port}"
        if before is not None:
            await add(known, host, before)
        if (trust, before) == ("accept-new", None):
            await add(known, host, OTHER.fingerprint)
        whom = ssl.create_default_context() if trust == "context" else trust
        with pytest.raises((UntrustedPeer, ssl.SSLCertVerificationError)) as caught:
            await connect("127.0.0.1", eavesdropper.port, trust=whom, known_hosts=known.path)
        if isinstance(caught.value, UntrustedPeer):
            assert caught.value.fingerprint == IDENTITY.fingerprint
    assert eavesdropper.heard == b""


async def test_to_a_server_that_is_trusted_a_hello_is_said() -> None:
    async with eavesdropping() as eavesdropper:
        with pytest.raises(HandshakeError, match="closed at once"):
            await connect("127.0.0.1", eavesdropper.port, trust=IDENTITY.fingerprint)
    assert eavesdropper.heard is not None
    assert isinstance(decode(eavesdropper.heard[4:]), Hello)


# Known hosts


async def test_a_server_that_is_not_known_is_refused_with_the_way_out(known: KnownHosts) -> None:
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY) as server:
        with pytest.raises(UntrustedPeer, match="is not known") as caught:
            await connect("127.0.0.1", server.port, known_hosts=known.path)
        assert IDENTITY.fingerprint in str(caught.value)
        assert caught.value.fingerprint == server.fingerprint
        assert await find(known, f"127.0.0.1:{server.port}") is None
        async with connect("127.0.0.1", server.port, trust=caught.value.fingerprint) as client:
            await client.send("hello")
            assert await receive(client, 1) == ["hello"]


async def test_a_new_server_is_accepted_once_and_known_from_then_on(known: KnownHosts) -> None:
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY) as server:
        for trust in ("accept-new", "strict", "accept-new"):
            async with connect(
                "127.0.0.1", server.port, trust=trust, known_hosts=known.path
            ) as client:
                await client.send("hello")
                assert await receive(client, 1) == ["hello"]
            found = await find(known, f"127.0.0.1:{server.port}")
            assert found == (IDENTITY.fingerprint, 1)


@pytest.mark.parametrize("trust", ["strict", "accept-new"])
async def test_a_server_whose_key_has_changed_is_refused_with_the_line_to_delete(
    known: KnownHosts, trust: str
) -> None:
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY) as server:
        host = f"127.0.0.1:{server.port}"
        await add(known, "elsewhere:7625", IDENTITY.fingerprint)
        await add(known, host, OTHER.fingerprint)
        with pytest.raises(UntrustedPeer, match=f"Line 2 of {known.path}"):
            await connect("127.0.0.1", server.port, trust=trust, known_hosts=known.path)
        assert await find(known, host) == (OTHER.fingerprint, 2)


async def test_a_pin_needs_no_file_and_changes_none(known: KnownHosts) -> None:
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY) as server:
        await add(known, f"127.0.0.1:{server.port}", OTHER.fingerprint)
        async with connect(
            "127.0.0.1", server.port, trust=IDENTITY.fingerprint, known_hosts=known.path
        ):
            pass
        found = await find(known, f"127.0.0.1:{server.port}")
        assert found == (OTHER.fingerprint, 1)


async def test_without_a_file_of_ones_own_it_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.client.default_directory", lambda: tmp_path)
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY) as server:
        async with connect("127.0.0.1", server.port, trust="accept-new"):
            pass
        found = await find(KnownHosts(tmp_path / "known_hosts"), f"127.0.0.1:{server.port}")
        assert found == (IDENTITY.fingerprint, 1)


@pytest.mark.skipif(not listening._has_ipv6(), reason="there is no IPv6 here")
async def test_an_ipv6_address_is_known_in_brackets(known: KnownHosts) -> None:
    async with serve(echo, "::1", 0, identity=IDENTITY) as server:
        async with connect("::1", server.port, trust="accept-new", known_hosts=known.path):
            pass
        assert await find(known, f"[::1]:{server.port}") == (IDENTITY.fingerprint, 1)


async def test_a_file_that_cannot_be_read_is_an_error_of_the_system(known: KnownHosts) -> None:
    await asyncio.to_thread(known.path.mkdir)
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY) as server:
        with pytest.raises(OSError, match="known_hosts"):
            await connect("127.0.0.1", server.port, known_hosts=known.path)


async def test_another_server_in_its_place_ends_the_session(
    known: KnownHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.client.FIRST_DELAY", 0.01)
    async with serve(say_nothing, "127.0.0.1", 0, identity=IDENTITY) as server:
        port = server.port
        client = await connect("127.0.0.1", port, trust="accept-new", known_hosts=known.path)
        await server.close(1012)
    await until(lambda: client.state is SessionState.LOST)
    receipt = await client.send("for the first one only")
    async with serve(say_nothing, "127.0.0.1", port, identity=OTHER) as impostor:
        with pytest.raises(SessionClosedError) as caught:
            await receipt
        assert isinstance(caught.value.__cause__, UntrustedPeer)
        assert caught.value.code == 1006
        assert "has changed" in client.close_reason
        await client.wait_closed()
        assert not impostor.sessions


async def test_a_file_that_cannot_be_read_any_more_ends_the_session(
    known: KnownHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.client.FIRST_DELAY", 0.01)
    async with serve(say_nothing, "127.0.0.1", 0, identity=IDENTITY) as server:
        host = ("127.0.0.1", server.port)
        async with connect(*host, trust="accept-new", known_hosts=known.path) as client:
            await asyncio.to_thread(known.path.unlink)
            await asyncio.to_thread(known.path.mkdir)
            for session in server.sessions:
                session.abort()
            with pytest.raises(SessionClosedError) as caught:
                await client.recv()
            assert isinstance(caught.value.__cause__, IsADirectoryError)


# Public certificates


@pytest.mark.both_loops
@pytest.mark.parametrize(
    ("name", "trusted"),
    [
        (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), True),
        (x509.DNSName("other.example.org"), False),
    ],
    ids=["its own name", "another name"],
)
async def test_a_context_checks_the_chain_and_the_name(
    name: x509.GeneralName, trusted: bool, known: KnownHosts
) -> None:
    ca, identity = issue([name])
    context = ssl.create_default_context(cadata=ca.decode())
    async with serve(echo, "127.0.0.1", 0, identity=identity) as server:
        opening = connect("127.0.0.1", server.port, trust=context, known_hosts=known.path)
        if trusted:
            async with opening as client:
                await client.send("hello")
                assert await receive(client, 1) == ["hello"]
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await opening
    assert not await asyncio.to_thread(known.path.exists)


# The next key of a server


@pytest.mark.may_block(reason="server_context")
async def test_a_server_that_has_announced_its_next_key_is_known_by_it(known: KnownHosts) -> None:
    port = await free_port()
    host = f"127.0.0.1:{port}"
    await add(known, host, IDENTITY.fingerprint)
    announcing = {"identity": IDENTITY, "next_pin": OTHER.fingerprint}
    async with serve(echo, "127.0.0.1", port, **announcing) as server:  # type: ignore[arg-type]
        async with connect("127.0.0.1", server.port, known_hosts=known.path) as session:
            await session.send("hello")
            assert await receive(session, 1) == ["hello"]
        found = await asyncio.to_thread(known.find, host)
        assert found is not None
        assert (found.pin, found.next_pin) == (IDENTITY.fingerprint, OTHER.fingerprint)
    async with (
        serve(echo, "127.0.0.1", port, identity=OTHER),
        connect("127.0.0.1", port, known_hosts=known.path),
    ):
        found = await asyncio.to_thread(known.find, host)
        assert found is not None
        assert (found.pin, found.next_pin) == (OTHER.fingerprint, "")
    async with serve(echo, "127.0.0.1", port, identity=IDENTITY):
        with pytest.raises(UntrustedPeer, match="has changed"):
            await connect("127.0.0.1", port, known_hosts=known.path)


@pytest.mark.may_block(reason="server_context")
async def test_an_announcement_can_be_taken_back(known: KnownHosts) -> None:
    port = await free_port()
    host = f"127.0.0.1:{port}"
    await add(known, host, IDENTITY.fingerprint)
    for next_pin in (OTHER.fingerprint, ""):
        async with (
            serve(echo, "127.0.0.1", port, identity=IDENTITY, next_pin=next_pin),
            connect("127.0.0.1", port, known_hosts=known.path),
        ):
            pass
        found = await asyncio.to_thread(known.find, host)
        assert found is not None
        assert found.next_pin == next_pin


@pytest.mark.may_block(reason="server_context")
async def test_what_one_announces_who_is_not_the_known_one_is_not_remembered(
    known: KnownHosts,
) -> None:
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY, next_pin=OTHER.fingerprint) as server:
        host = f"127.0.0.1:{server.port}"
        await add(known, host, OTHER.fingerprint)
        whom = IDENTITY.fingerprint
        async with connect("127.0.0.1", server.port, trust=whom, known_hosts=known.path):
            pass
        found = await asyncio.to_thread(known.find, host)
        assert found is not None
        assert (found.pin, found.next_pin) == (OTHER.fingerprint, "")


@pytest.mark.may_block(reason="server_context")
async def test_what_is_announced_can_be_changed_while_the_server_runs(known: KnownHosts) -> None:
    async with serve(echo, "127.0.0.1", 0, identity=IDENTITY) as server:
        host = f"127.0.0.1:{server.port}"
        await add(known, host, IDENTITY.fingerprint)
        for next_pin in (OTHER.fingerprint, ""):
            server.announce(next_pin)
            async with connect("127.0.0.1", server.port, known_hosts=known.path):
                pass
            found = await asyncio.to_thread(known.find, host)
            assert found is not None
            assert found.next_pin == next_pin
        with pytest.raises(ValueError, match="next_pin must be"):
            server.announce("SHA1:abc")


async def test_what_is_no_pin_cannot_be_announced() -> None:
    with pytest.raises(ValueError, match="next_pin must be"):
        serve(echo, "127.0.0.1", 0, next_pin="SHA1:abc")


async def free_port() -> int:
    """Return a port that nobody listens on."""
    (listener,) = await listen("127.0.0.1", 0)
    with listener:
        return int(listener.getsockname()[1])
