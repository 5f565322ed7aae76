"""Claims about how a server closes: everyone is told, handlers are waited for, nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from socketchat import Session, SessionClosedError, SessionState
from socketchat.messages import Bye, Greeting, Hello, Refused
from tests.sessions import (
    MemoryNetwork,
    echo,
    now,
    receive,
    receive_all,
    say_nothing,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    """Put a network in memory where TCP would be."""
    return MemoryNetwork(monkeypatch)


async def test_closing_tells_everyone_and_waits_for_the_handlers(network: MemoryNetwork) -> None:
    done: list[str] = []

    async def handler(session: Session) -> None:
        async for _ in session:
            pass
        await asyncio.sleep(3)
        done.append(session.nick)

    async with (
        network.serve(handler) as server,
        network.connect(nick="a") as one,
        network.connect(nick="b") as two,
    ):
        await server.close(1001, "so long")
        assert now() == 3
        assert sorted(done) == ["a", "b"]
        assert not server.sessions
        for client in (one, two):
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1001, "so long")


async def test_leaving_the_block_closes_with_1001(network: MemoryNetwork) -> None:
    async with network.serve(say_nothing):
        client_opening = network.connect()
        client = await client_opening.__aenter__()
    await client.wait_closed()
    assert client.close_code == 1001
    await client_opening.__aexit__(None, None, None)


async def test_a_handler_that_does_not_return_in_time_is_cancelled(
    network: MemoryNetwork,
) -> None:
    ended: list[type[BaseException]] = []

    async def stubborn(session: Session) -> None:
        try:
            await asyncio.Event().wait()
        except BaseException as exc:
            ended.append(type(exc))
            raise

    async with network.serve(stubborn, close_timeout=5) as server, network.connect() as client:
        await server.close()
        assert now() == 5
        assert ended == [asyncio.CancelledError]
        assert client.close_code == 1001


async def test_a_handler_may_close_the_server_itself(network: MemoryNetwork) -> None:
    closed: list[float] = []

    async def handler(session: Session) -> None:
        await session.recv()
        await server.close(1001, "as you wish")
        closed.append(now())

    async with network.serve(handler) as server, network.connect() as client:
        start = now()
        await client.send("please close")
        await client.wait_closed()
        assert client.close_reason == "as you wish"
        await server.wait_closed()
        await until(lambda: closed)
        assert closed == [start]


async def test_sessions_that_do_not_end_in_time_are_aborted(network: MemoryNetwork) -> None:
    async with network.serve(say_nothing, close_timeout=5) as server:
        wires = []
        for number in range(3):
            wires.append(server.call_raw())
            await wires[-1].greet(Hello(1, bytes([number]) * 16))
        await server.close(1012, "restarting")
        assert now() == 5
        assert not server.sessions
        for wire in wires:
            with pytest.raises(ConnectionResetError):
                await wire.read_bye()


async def test_a_session_that_is_closed_by_its_handler_just_then_is_no_trouble(
    network: MemoryNetwork,
) -> None:
    async def handler(session: Session) -> None:
        await session.recv()
        await session.close(4001)

    async with network.serve(handler) as server, network.connect() as client:
        await client.send("now")
        await server.close()
        await client.wait_closed()
        assert client.close_code in {1001, 4001}


async def test_closing_does_not_wait_for_clients_that_are_away(network: MemoryNetwork) -> None:
    async with network.pair() as (client, away):
        server, network.server = network.server, None
        assert server is not None
        receipt = await away.send("never acknowledged")
        network.cut()
        await until(lambda: away.state is SessionState.LOST)
        start = now()
        await server.close()
        assert now() == start
        with pytest.raises(SessionClosedError):
            await receipt
        assert client.state is SessionState.LOST


async def test_closing_again_and_at_once_only_waits(network: MemoryNetwork) -> None:
    async def slow(session: Session) -> None:
        await session.wait_closed()
        await asyncio.sleep(3)

    async with network.serve(slow) as server, network.connect() as client:
        waiting = [
            asyncio.create_task(waiter)
            for waiter in (server.wait_closed(), server.serve_forever(), server.wait_closed())
        ]
        closing = [asyncio.create_task(server.close(4000 + n)) for n in range(3)]
        await turns()
        waiting[0].cancel()
        closing[0].cancel()
        await asyncio.wait(waiting + closing)
        assert now() == 3
        assert [task.cancelled() for task in waiting] == [True, False, False]
        assert [task.cancelled() for task in closing] == [True, False, False]
        assert client.close_code == 4000
        await server.close()
        await server.wait_closed()
        await server.serve_forever()


async def test_cancelling_serve_forever_does_not_close_the_server(network: MemoryNetwork) -> None:
    async with network.serve(echo) as server:
        serving = asyncio.create_task(server.serve_forever())
        await turns()
        serving.cancel()
        await asyncio.wait([serving])
        async with network.connect() as client:
            await client.send("hello")
            assert await receive(client, 1) == ["hello"]


@pytest.mark.parametrize("code", [1006, 999, 5000])
async def test_a_code_that_may_not_be_sent_is_refused_and_nothing_is_closed(
    network: MemoryNetwork, code: int
) -> None:
    async with network.serve(echo) as server, network.connect() as client:
        with pytest.raises(ValueError, match="no code to close with"):
            await server.close(code)
        with pytest.raises(ValueError, match="at most 500"):
            await server.close(1001, "x" * 501)
        await client.send("hello")
        assert await receive(client, 1) == ["hello"]


async def test_a_caller_that_comes_while_the_server_closes_is_told_the_same(
    network: MemoryNetwork,
) -> None:
    async def slow(session: Session) -> None:
        await session.wait_closed()
        await asyncio.sleep(3)

    async with network.serve(slow) as server, network.connect():
        wire = server.call_raw()
        await wire.expect(Greeting)
        closing = asyncio.create_task(server.close(1012, "back soon"))
        await asyncio.sleep(1)
        wire.say(Hello(1, bytes(16)))
        refused = await wire.expect(Refused)
        assert (refused.code, refused.reason) == (1012, "back soon")
        await closing


async def test_a_caller_that_is_in_the_greeting_when_the_server_is_closed_is_hung_up_on(
    network: MemoryNetwork,
) -> None:
    async with network.serve(echo) as server:
        wire = server.call_raw()
        await wire.expect(Greeting)
        await server.close()
        assert now() == 0
        with pytest.raises((EOFError, ConnectionResetError)):
            await wire.expect(Bye)


async def test_what_was_sent_before_the_server_is_closed_arrives(network: MemoryNetwork) -> None:
    network.latency = 0.1
    async with network.serve(say_nothing) as server, network.connect() as client:
        (session,) = server.sessions
        receipts = [await session.send(str(number)) for number in range(300)]
        await client.send("on its way")
        await server.close()
        await client.wait_closed()
        assert await receive_all(client) == [str(number) for number in range(300)]
        assert await receive_all(session) == ["on its way"]
        assert {receipt.error for receipt in receipts} == {None}
