"""Claims about `socketchat.cli.event_writer`: what is heard, and until when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from socketchat import Gap, Joined, LinkLost, Message, Rejected, Session, SessionClosedError, Side
from socketchat.cli.event_writer import EventWriter, hear_all, hear_earlier, hear_of_the_link
from socketchat.cli.stdio import LineOutput
from socketchat.messages import Bye, Greeting, Ping, Pong, TextPost, Welcome
from socketchat.testing import stream_pair
from tests.sessions import Wire, now, turns

pytestmark = pytest.mark.virtual_time


class Output:
    """What an `EventWriter` needs of an output."""

    def __init__(self) -> None:
        self.data = b""

    def put(self, data: bytes) -> None:
        self.data += data

    async def ready(self) -> None:
        pass

    @property
    def lines(self) -> list[str]:
        return self.data.decode().splitlines()


def writer_to(session: Session, output: Output, *, as_json: bool = False) -> EventWriter:
    return EventWriter(session, cast("LineOutput", output), as_json=as_json)


def said(*numbers: int) -> list[TextPost]:
    return [TextPost(number, f"text {number}", number, "bob") for number in numbers]


@asynccontextmanager
async def in_a_room(
    head: int, behind: int, *posts: TextPost
) -> AsyncIterator[tuple[Session, Wire, Output]]:
    """Come into a room whose log ends at `head`, and be given what is said behind a place."""
    with stream_pair() as link:
        wire = Wire(*link.far)
        wire.say(
            Greeting(1, bytes(32)),
            Welcome(bytes(16), 0, "ada", "tea", 1, head, (behind, behind)),
            *posts,
        )
        session = await Session.from_streams(*link.near, side=Side.CLIENT)
        try:
            yield session, wire, Output()
        finally:
            session.abort()
            await session.wait_closed()


# One event


async def test_messages_go_to_the_output_and_the_rest_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with in_a_room(0, 0) as (session, _, output):
        writer = writer_to(session, output)
        for event in (Message("hi", "bob", 1, 1), Joined("eve"), LinkLost("reset"), Gap(1, 2)):
            writer.put(event)
        assert output.lines == ["bob: hi"]
        assert [line[:6] for line in capsys.readouterr().err.splitlines()] == [
            *("-- eve", "-- the", "-- 2 m")
        ]


@pytest.mark.parametrize("as_json", [False, True])
async def test_what_the_receipts_tell_is_not_told_twice(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    async with in_a_room(0, 0) as (session, _, output):
        writer = writer_to(session, output, as_json=as_json)
        writer.put(Message("mine", "ada", 1, 1, own=True))
        writer.put(Rejected(1, 1008, "no"))
        assert output.lines == []
        assert capsys.readouterr().err == ""


async def test_json_goes_to_the_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    async with in_a_room(0, 0) as (session, _, output):
        writer = writer_to(session, output, as_json=True)
        writer.put(Joined("eve"))
        writer.put(Message("hi", "bob", 1, 1))
        objects: list[dict[str, Any]] = [json.loads(line) for line in output.lines]
        assert [(value["type"], value["room"]) for value in objects] == [
            ("joined", "tea"),
            ("message", "tea"),
        ]
        assert capsys.readouterr().err == ""


# Until when


async def test_all_is_heard_until_the_session_ends() -> None:
    async with in_a_room(2, 0, *said(1, 2, 3)) as (session, wire, output):
        wire.say(Bye(1011, "oh"))
        with pytest.raises(SessionClosedError):
            await hear_all(session, writer_to(session, output))
        assert output.lines == ["bob: text 1", "bob: text 2", "bob: text 3"]


async def test_who_only_sends_reads_and_writes_nothing() -> None:
    async with in_a_room(0, 0, *said(*range(1, 1000))) as (session, wire, output):
        hearing = asyncio.create_task(hear_of_the_link(session, writer_to(session, output)))
        wire.say(Bye(1000, ""))
        await hearing
        assert output.lines == []


async def test_what_was_said_before_ends_with_the_last_of_it() -> None:
    async with in_a_room(3, 1, *said(2, 3, 4)) as (session, _, output):
        await hear_earlier(session, writer_to(session, output))
        assert output.lines == ["bob: text 2", "bob: text 3"]
        assert now() == 0


async def test_where_nothing_was_said_before_there_is_nothing_to_wait_for() -> None:
    async with in_a_room(3, 3) as (session, _, output):
        await hear_earlier(session, writer_to(session, output))
        assert output.lines == []
        assert now() == 0


async def test_a_new_message_comes_behind_all_that_was_said_before() -> None:
    async with in_a_room(3, 0, *said(1, 4)) as (session, _, output):
        await hear_earlier(session, writer_to(session, output))
        assert output.lines == ["bob: text 1"]
        assert now() == 0


async def test_the_last_may_have_been_meant_for_somebody_else() -> None:
    async with in_a_room(3, 0, *said(1)) as (session, wire, output):
        hearing = asyncio.create_task(hear_earlier(session, writer_to(session, output)))
        ping = await wire.expect(Ping)
        # It is not over before the server answers, however long that takes.
        await asyncio.sleep(15)
        assert not hearing.done()
        wire.say(*said(2), Pong(ping.number))
        ping = await wire.expect(Ping)
        wire.say(Pong(ping.number))
        await hearing
        assert output.lines == ["bob: text 1", "bob: text 2"]


async def test_the_end_of_the_session_ends_what_was_said_before() -> None:
    async with in_a_room(3, 0, *said(1)) as (session, wire, output):
        wire.say(Bye(1001, "closing time"))
        await hear_earlier(session, writer_to(session, output))
        assert output.lines == ["bob: text 1"]


async def test_hearing_of_what_was_said_before_can_be_cancelled() -> None:
    async with in_a_room(3, 0, *said(1)) as (session, _, output):
        hearing = asyncio.create_task(hear_earlier(session, writer_to(session, output)))
        await turns()
        hearing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hearing
