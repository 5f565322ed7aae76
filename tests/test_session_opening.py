"""Claims about `Session.from_streams`: it opens over any streams, or leaves nothing."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from socketchat import HandshakeError, Session, Side
from socketchat.messages import Greeting, Hello, TextPost, Welcome
from socketchat.testing import Streams, stream_pair
from tests.sessions import LANE, Wire, receive, send_all, session_pair, turns

virtual_time = pytest.mark.virtual_time


# Over any streams


@asynccontextmanager
async def memory_streams(_: Path) -> AsyncIterator[tuple[Streams, Streams]]:
    """Join two ends in memory."""
    with stream_pair() as link:
        yield link.near, link.far


@asynccontextmanager
async def socketpair_streams(_: Path) -> AsyncIterator[tuple[Streams, Streams]]:
    """Join two ends by a pair of sockets."""
    near, far = socket.socketpair()
    yield await asyncio.open_connection(sock=near), await asyncio.open_connection(sock=far)


@asynccontextmanager
async def unix_streams(folder: Path) -> AsyncIterator[tuple[Streams, Streams]]:
    """Join two ends by a Unix socket."""
    accepted: asyncio.Queue[Streams] = asyncio.Queue()
    path = folder / "socket"
    server = await asyncio.start_unix_server(lambda *ends: accepted.put_nowait(ends), path)
    yield await asyncio.open_unix_connection(path), await accepted.get()
    server.close()
    await server.wait_closed()


@pytest.mark.both_loops
@pytest.mark.parametrize("streams", [memory_streams, socketpair_streams, unix_streams])
async def test_a_session_runs_over_any_pair_of_streams(
    streams: Callable[[Path], AbstractAsyncContextManager[tuple[Streams, Streams]]],
    tmp_path: Path,
    loop_name: str,
) -> None:
    async with streams(tmp_path) as (near, far):
        client, server = await asyncio.gather(
            Session.from_streams(*near, side=Side.CLIENT, nick="ada"),
            Session.from_streams(*far, side=Side.SERVER, name="babbage"),
        )
        assert (client.peer.nick, server.peer.nick) == ("babbage", "ada")
        async with client, server:
            bodies: list[str | bytes] = [f"line {n}" for n in range(300)] + [b"\0\xff" * 50_000]
            there = asyncio.create_task(receive(server, 301))
            back = asyncio.create_task(receive(client, 301))
            await asyncio.gather(send_all(client, bodies), send_all(server, bodies))
            assert await there == await back == bodies
            await client.close()
        assert (client.close_code, server.close_code) == (1000, 1000)
        assert near[1].is_closing()
        assert far[1].is_closing()


@virtual_time
@pytest.mark.parametrize("seed", range(20))
async def test_the_pieces_in_which_bytes_arrive_do_not_matter(seed: int) -> None:
    link = stream_pair(latency=0.01)
    link.deliver_chunks(random.Random(seed))
    async with session_pair(link) as (client, server, _):
        bodies: list[str | bytes] = [str(n) * (n % 97) for n in range(200)]
        _, there, _, back = await asyncio.gather(
            send_all(client, bodies),
            receive(server, 200),
            send_all(server, bodies),
            receive(client, 200),
        )
        assert there == back == bodies


# Opening


@virtual_time
@pytest.mark.parametrize("side", Side)
async def test_a_greeting_that_takes_too_long_is_given_up_and_the_streams_are_closed(
    side: Side,
) -> None:
    with stream_pair() as link:
        with pytest.raises(TimeoutError):
            await Session.from_streams(*link.near, side=side, open_timeout=3)
        assert asyncio.get_running_loop().time() == 3
        assert link.near[1].is_closing()


@virtual_time
async def test_without_a_limit_the_greeting_is_waited_for_for_ever() -> None:
    with stream_pair() as link:
        opening = asyncio.create_task(
            Session.from_streams(*link.near, side=Side.CLIENT, open_timeout=None)
        )
        await asyncio.sleep(100_000)
        assert not opening.done()
        opening.cancel()
        await asyncio.wait([opening])
        assert link.near[1].is_closing()


@virtual_time
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    "arguments",
    [{"nick": "x" * 65}, {"name": "x" * 65}, {"max_size": 1}],
    ids=["nick", "name", "max_size"],
)
async def test_arguments_out_of_range_are_refused_and_the_streams_are_closed(
    side: Side, arguments: dict[str, Any]
) -> None:
    with stream_pair() as link:
        with pytest.raises(ValueError, match=r"at most 64|max_size"):
            await Session.from_streams(*link.near, side=side, **arguments)
        assert link.near[1].is_closing()


@virtual_time
async def test_two_ends_of_the_same_side_do_not_come_together() -> None:
    with stream_pair() as link:
        opening = [Session.from_streams(*end, side=Side.SERVER) for end in link]
        failures = await asyncio.gather(*opening, return_exceptions=True)
        assert [type(failure) for failure in failures] == [HandshakeError, HandshakeError]


@virtual_time
@pytest.mark.parametrize("side", Side)
async def test_an_opening_cancelled_at_any_moment_leaves_nothing_behind(side: Side) -> None:
    for moment in range(1, 30):
        with stream_pair() as link:
            wire = Wire(*link.far)
            opening = asyncio.create_task(Session.from_streams(*link.near, side=side))
            if side is Side.CLIENT:
                wire.say(Greeting(1, bytes(32)), Welcome(bytes(16), 0, "ada"))
            else:
                wire.say(Hello(1, LANE, "ada"))
            await turns(moment)
            opening.cancel()
            (done,), _ = await asyncio.wait([opening])
            if not done.cancelled():
                (await done).abort()
                await done.result().wait_closed()
            assert link.near[1].is_closing()


@virtual_time
async def test_what_comes_right_behind_the_welcome_is_not_lost() -> None:
    with stream_pair() as link:
        wire = Wire(*link.far)
        wire.say(Greeting(1, bytes(32)), Welcome(bytes(16), 0, "ada"), TextPost(1, "hello"))
        async with await Session.from_streams(*link.near, side=Side.CLIENT) as session:
            assert (await session.recv()).text == "hello"
            session.abort()


@virtual_time
async def test_a_client_knows_what_was_said_before_it_came() -> None:
    with stream_pair() as link:
        wire = Wire(*link.far)
        welcome = Welcome(bytes(16), 0, "ada", "lobby", 3, 9, (6, 1))
        wire.say(Greeting(1, bytes(32)), welcome, TextPost(9, "before"), TextPost(10, "after"))
        async with await Session.from_streams(*link.near, side=Side.CLIENT) as session:
            assert list(session.earlier) == [7, 8, 9]
            assert [(await session.recv()).replayed for _ in range(2)] == [True, False]
            session.abort()


@virtual_time
async def test_between_plain_peers_nothing_was_said_before() -> None:
    async with session_pair() as (client, server, _):
        assert not client.earlier
        assert not server.earlier
