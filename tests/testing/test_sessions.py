"""Claims about `socketchat.testing.sessions`: two ends of a session, and a link that can fail."""

from __future__ import annotations

import asyncio

import pytest

from socketchat import (
    CloseCode,
    HandshakeError,
    LinkLost,
    LinkRestored,
    Message,
    Restarted,
    Session,
    SessionClosedError,
    SessionClosedOK,
    SessionState,
)
from socketchat.testing import End, session_pair, stream_pair
from tests.testing.helpers import now, run, turns

virtual_time = pytest.mark.virtual_time


async def answer(session: Session) -> None:
    """Answer every message; a handler."""
    async for message in session:
        await session.send(f"you said {message.text}")


@pytest.mark.both_loops
async def test_both_ends_talk_at_once() -> None:
    async with session_pair() as (client, server):
        held = [await client.send("to the server"), await server.send(b"to the client")]
        assert (await server.recv()).text == "to the server"
        assert (await client.recv()).data == b"to the client"
        for receipt in held:
            await receipt


@virtual_time
async def test_the_ends_are_also_there_by_name() -> None:
    async with session_pair(nick="ada", name="station", room="lab") as pair:
        client, server = pair
        assert (client, server) == (pair.client, pair.server)
        assert (client.nick, client.room, client.peer.nick) == ("ada", "lab", "station")
        assert (server.nick, server.room, server.peer.nick) == ("ada", "lab", "ada")
        assert client.id == server.id
        await client.send("hello")
        assert (await server.recv()).sender == "ada"


@virtual_time
async def test_a_handler_is_tested_with_a_goodbye() -> None:
    async with session_pair() as (client, server):
        answering = asyncio.create_task(answer(server))
        await client.send("hello")
        assert (await client.recv()).text == "you said hello"
        await client.close()
        await answering
        assert server.close_code == CloseCode.OK


@virtual_time
async def test_options_are_those_of_both_ends() -> None:
    async with session_pair(max_unacked=(3, 2**20), ping_interval=None) as pair:
        pair.link.stall()
        for session in pair:
            sending = asyncio.create_task(send_many(session, 4))
            await turns()
            assert session.unacknowledged == 3
            assert not sending.done()
            pair.link.resume()
            await sending
            pair.link.stall()


async def send_many(session: Session, count: int) -> None:
    for number in range(count):
        await session.send(str(number))


@virtual_time
async def test_a_link_of_ones_own_may_be_slow() -> None:
    async with session_pair(stream_pair(latency=1.0)) as (client, server):
        assert await client.ping() == await server.ping() == 2.0


@virtual_time
async def test_a_link_of_ones_own_may_come_in_pieces() -> None:
    link = stream_pair()
    link.deliver_chunks([1] * 1000)
    async with session_pair(link) as (client, server):
        await client.send("in pieces")
        assert (await server.recv()).text == "in pieces"


@virtual_time
@pytest.mark.parametrize("reset", [True, False])
async def test_a_pair_ends_with_its_link(reset: bool) -> None:
    async with session_pair() as pair:
        pair.link.cut(reset=reset)
        for session in pair:
            with pytest.raises(SessionClosedError):
                await session.recv()
            assert session.close_code == CloseCode.ABNORMAL
        with pytest.raises(RuntimeError, match="reconnect=True"):
            await pair.rejoin()


# Over more than one link


@virtual_time
async def test_what_is_sent_while_the_link_is_lost_arrives_once_it_is_back() -> None:
    async with session_pair(reconnect=True) as pair:
        client, server = pair
        await client.send("before")
        pair.link.cut()
        await client.send("meanwhile")
        await server.send("meanwhile too")
        await asyncio.sleep(60.0)
        assert client.state is server.state is SessionState.LOST
        await pair.rejoin()
        assert (client, server) == tuple(pair)
        assert [(await server.recv()).text for _ in range(2)] == ["before", "meanwhile"]
        assert (await client.recv()).text == "meanwhile too"
        await client.flush()
        assert now() == 60.0


@virtual_time
async def test_both_ends_are_told_of_a_lost_link() -> None:
    async with session_pair(reconnect=True) as pair:
        pair.link.cut()
        await pair.rejoin()
        for session in pair:
            events = session.events()
            assert isinstance(await anext(events), LinkLost)
            assert isinstance(await anext(events), LinkRestored)
            await events.aclose()


@virtual_time
async def test_a_link_that_still_stands_is_cut_before_the_next() -> None:
    async with session_pair(reconnect=True) as pair:
        first = pair.link
        await pair.client.send("lost on the way, and sent again")
        await pair.rejoin(stream_pair(latency=0.5))
        assert pair.link is not first
        assert first.near[1].is_closing()
        assert first.far[1].is_closing()
        assert (await pair.server.recv()).text == "lost on the way, and sent again"
        assert await pair.client.ping() == 1.0


@virtual_time
async def test_a_server_that_is_over_is_a_new_one_after_the_next_link() -> None:
    async with session_pair(reconnect=True, resume_timeout=30.0) as pair:
        old = pair.server
        pair.link.cut()
        await pair.client.send("kept")
        await asyncio.sleep(31.0)
        assert old.state is SessionState.CLOSED
        await pair.rejoin()
        assert pair.server is not old
        assert (await pair.server.recv()).text == "kept"
        await pair.server.send("hello again")
        events = pair.client.events()
        kinds = [type(await anext(events)) for _ in range(4)]
        assert kinds == [LinkLost, Restarted, LinkRestored, Message]
        await events.aclose()


@virtual_time
async def test_a_server_can_be_killed_and_started_again() -> None:
    async with session_pair(reconnect=True) as pair:
        await pair.client.flush()
        pair.server.abort()
        await turns()
        assert pair.client.state is SessionState.LOST
        await pair.rejoin()
        assert pair.client.state is pair.server.state is SessionState.OPEN


@virtual_time
async def test_a_goodbye_waits_for_the_next_link() -> None:
    async with session_pair(reconnect=True) as pair:
        pair.link.cut()
        await turns()
        receipt = await pair.client.send("last words")
        closing = asyncio.create_task(pair.client.close())
        await turns()
        await pair.rejoin()
        await closing
        await receipt
        assert (await pair.server.recv()).text == "last words"
        with pytest.raises(SessionClosedOK):
            await pair.server.recv()
        with pytest.raises(RuntimeError, match="is over"):
            await pair.rejoin()


# What leaves nothing behind


@virtual_time
async def test_both_ends_are_over_when_the_block_is_left() -> None:
    async with session_pair(reconnect=True) as pair:
        await pair.rejoin()
        receiving = asyncio.create_task(pair.client.recv())
        await turns()
        pair.link.stall()
    assert pair.client.state is pair.server.state is SessionState.CLOSED
    with pytest.raises(SessionClosedError):
        await receiving
    assert now() == 0.0


@virtual_time
async def test_the_block_can_be_left_by_an_exception() -> None:
    with pytest.raises(ZeroDivisionError):
        async with session_pair():
            raise ZeroDivisionError
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_a_link_that_stalls_in_the_greeting_is_given_up() -> None:
    link = stream_pair()
    link.stall(End.FAR)
    with pytest.raises(TimeoutError):
        async with session_pair(link, open_timeout=3.0):
            pass
    assert now() == 3.0
    assert len(asyncio.all_tasks()) == 1


@virtual_time
@pytest.mark.parametrize("latency", [2.0, 4.0])
async def test_a_link_that_is_slow_in_the_greeting_is_given_up(latency: float) -> None:
    with pytest.raises(TimeoutError):
        async with session_pair(stream_pair(latency=latency), open_timeout=5.0):
            pass
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_a_link_that_breaks_in_the_greeting_is_an_error() -> None:
    link = stream_pair()
    link.cut()
    with pytest.raises(HandshakeError):
        async with session_pair(link):
            pass


@virtual_time
async def test_a_pair_whose_next_link_failed_can_be_joined_by_another() -> None:
    async with session_pair(reconnect=True) as pair:
        broken = stream_pair()
        broken.cut()
        with pytest.raises(HandshakeError):
            await pair.rejoin(broken)
        await pair.rejoin()
        assert await pair.client.ping() >= 0.0


@pytest.mark.parametrize("options", [{"nick": "x" * 65}, {"name": "x" * 65}, {"max_size": 1}])
def test_arguments_are_checked(options: dict[str, object]) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=r"at most 64 characters|max_size"):
            async with session_pair(**options):  # type: ignore[arg-type]
                pass

    run(main())
