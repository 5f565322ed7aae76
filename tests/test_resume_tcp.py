"""Claims about sessions that outlive their links, over TCP, through a proxy that cuts.

All there is to say about resuming is tested in memory, in `test_resume.py`; here it is shown that
real sockets, TLS and both event loops change nothing about it.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from socketchat import (
    Identity,
    LinkLost,
    LinkRestored,
    Restarted,
    Session,
    SessionState,
    connect,
    serve,
)
from tests.proxy import CuttingProxy
from tests.sessions import receive, receive_all, say_nothing, send_all, until

IDENTITY = Identity.generate()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients come back sooner than people would want."""
    monkeypatch.setattr("socketchat.client.FIRST_DELAY", 0.01)


@pytest.mark.both_loops
@pytest.mark.parametrize(
    ("seed", "tls"), [(1, False), (2, False), (3, False), (4, True), (5, True)]
)
async def test_wherever_the_link_is_cut_each_message_arrives_once_and_in_order(
    seed: int, tls: bool
) -> None:
    rng = random.Random(seed)
    bodies: list[list[str | bytes]] = [
        [f"{number}" + "x" * rng.choice([0, 0, 10, 3000]) for number in range(600)]
        for _ in range(2)
    ]
    received: list[str | bytes] = []

    async def handler(session: Session) -> None:
        receiving = asyncio.create_task(receive_all(session))
        await send_all(session, bodies[1])
        await session.wait_closed()
        received.extend(await receiving)

    options: dict[str, Any] = {"max_unacked": (100, 2**20), "open_timeout": 30}
    async with (
        serve(handler, "127.0.0.1", 0, identity=IDENTITY, tls=tls, **options) as server,
        CuttingProxy(server.port, rng, max_bytes=100_000) as proxy,
        connect("127.0.0.1", proxy.port, trust=IDENTITY.fingerprint, tls=tls, **options) as client,
    ):
        receiving = asyncio.create_task(receive(client, 600))
        await send_all(client, bodies[0])
        assert await receiving == bodies[1]
        proxy.calm = True
        await client.close()
        assert client.close_code == 1000
        await until(lambda: received)
        assert received == bodies[0]
        assert proxy.links > 5


@pytest.mark.both_loops
async def test_a_server_that_comes_back_on_its_port_finds_its_clients_again() -> None:
    async with serve(say_nothing, "127.0.0.1", 0, tls=False) as first:
        port = first.port
        client = await connect("127.0.0.1", port, tls=False)
        await client.send("to the first")
        await client.flush()
        await first.close(1012, "restarting")
    await until(lambda: client.state is SessionState.LOST)
    receipt = await client.send("to the second")
    async with serve(say_nothing, "127.0.0.1", port, tls=False) as second:
        await receipt
        (session,) = second.sessions
        assert await receive(session, 1) == ["to the second"]
        await session.close()
        events = [event async for event in client.events()]
        assert events == [
            LinkLost("restarting", 1012),
            Restarted(),
            LinkRestored(),
        ]
        await client.wait_closed()
        assert client.close_code == 1000
