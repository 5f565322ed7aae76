"""Claims about a client's session in a room: its place in the log, and its own messages.

The server is a `ChatServer` on a log in memory; time is virtual. What the server makes of it all is
told in `tests/chat/`, how a session outlives its links elsewhere in `test_resume.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest

from socketchat import (
    Event,
    Gap,
    Joined,
    LinkLost,
    LinkRestored,
    Message,
    MessageRejected,
    Present,
    Restarted,
    Session,
    SessionState,
)
from socketchat.chat import ChatServer, MemoryLog, Rules
from tests.sessions import (
    MemoryNetwork,
    MemoryServer,
    lost_and_found,
    next_events,
    receive,
    receive_all,
    send_all,
    turns,
    until,
)

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    """Put a network in memory where TCP would be."""
    return MemoryNetwork(monkeypatch)


def room(log: MemoryLog | None = None, *, max_size: int = 16 * 1024) -> ChatServer:
    """Return a chat server in which everyone speaks as fast as they can."""
    return ChatServer(log, rules=Rules(rate=None, max_size=max_size))


async def say_all(session: Session, *texts: str) -> None:
    """Send texts, and wait until they are in the log."""
    for receipt in await send_all(session, texts):
        await receipt


async def messages_among(session: Session, count: int) -> list[Message]:
    """Return the next messages, one's own among them."""
    found: list[Message] = []
    async for event in session.events():
        if isinstance(event, Message):
            found.append(event)
            if len(found) == count:
                break
    return found


# Coming in


async def test_a_room_begins_with_as_much_history_as_was_asked_for(network: MemoryNetwork) -> None:
    async with network.serve(room()), network.connect(nick="ada") as ada:
        await say_all(ada, *"abcdef")
        async with network.connect(nick="bob", history=2) as bob, network.connect() as carol:
            await say_all(ada, "g")
            old, older, new = [await bob.recv() for _ in range(3)]
            assert [(m.text, m.replayed) for m in (old, older, new)] == [
                ("e", True),
                ("f", True),
                ("g", False),
            ]
            assert [m.number for m in (old, older, new)] == [5, 6, 7]
            assert await receive(carol, 1) == ["g"]


async def test_a_room_begins_with_what_was_said_since_a_time(network: MemoryNetwork) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = iter(start + timedelta(minutes=minute) for minute in range(100))
    log = MemoryLog(clock=lambda: int(next(times).timestamp() * 1_000_000))
    async with network.serve(room(log)), network.connect(nick="ada") as ada:
        await say_all(ada, *"abcdef")
        since = start + timedelta(minutes=4)
        async with network.connect(nick="bob", since=since) as bob:
            first = await bob.recv()
            assert (first.text, first.time, first.replayed) == ("e", since, True)
            assert await receive(bob, 1) == ["f"]


async def test_who_comes_in_is_told_who_is_there_and_the_others_that_it_came(
    network: MemoryNetwork,
) -> None:
    async with (
        network.serve(room()),
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        assert await next_events(bob, 1) == [Present(("ada",))]
        assert await next_events(ada, 1) == [Joined("bob")]


# One's own messages


async def test_own_messages_are_among_the_events_where_the_room_has_them(
    network: MemoryNetwork,
) -> None:
    async with (
        network.serve(room()),
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        collecting = asyncio.create_task(messages_among(ada, 3))
        await turns()
        await say_all(ada, "one")
        await say_all(bob, "two")
        await say_all(ada, "three")
        assert [(m.text, m.sender, m.number, m.own) for m in await collecting] == [
            ("one", "ada", 1, True),
            ("two", "bob", 2, False),
            ("three", "ada", 3, True),
        ]


async def test_recv_and_iterating_leave_own_messages_out(network: MemoryNetwork) -> None:
    async with (
        network.serve(room()),
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        await say_all(ada, "one")
        await say_all(bob, "two")
        assert await receive(ada, 1) == ["two"]
        iterating = asyncio.create_task(receive_all(ada))
        await say_all(ada, "three")
        await say_all(bob, "four")
        await bob.flush()
        await until(lambda: not ada._inbox.items)
        await ada.close()
        assert await iterating == ["four"]


async def test_own_messages_that_were_wanted_and_not_read_are_still_left_out_by_recv(
    network: MemoryNetwork,
) -> None:
    async with (
        network.serve(room()),
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        events = ada.events()
        await say_all(bob, "first")
        assert isinstance(await anext(events), Joined)
        await say_all(ada, "mine")
        assert any(getattr(item, "own", 0) for item in ada._inbox.items)
        await events.aclose()
        await say_all(bob, "second")
        assert await receive(ada, 2) == ["first", "second"]


async def test_a_receipt_bears_the_place_in_the_log_once_it_is_acknowledged(
    network: MemoryNetwork,
) -> None:
    log = MemoryLog(clock=lambda: 1_700_000_000_000_000)
    async with (
        network.serve(room(log)),
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        await say_all(bob, "x", "y")
        receipt = await ada.send("mine")
        assert receipt.entry == 0
        await receipt
        assert (receipt.number, receipt.entry) == (1, 3)
        assert receipt.at == 1_700_000_000_000_000


async def test_whoever_sends_and_never_reads_is_not_held_up_by_its_own_messages(
    network: MemoryNetwork,
) -> None:
    async with network.serve(room()), network.connect(nick="ada", max_queue=(8, 2)) as ada:
        await say_all(ada, *map(str, range(2000)))
        assert len(ada._inbox.items) < 8


async def test_a_message_that_the_room_refuses_is_told_and_takes_no_place(
    network: MemoryNetwork,
) -> None:
    async with (
        network.serve(room(max_size=10)),
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        long = await ada.send("much too long")
        short = await ada.send("short")
        with pytest.raises(MessageRejected) as caught:
            await long
        assert (caught.value.number, caught.value.code) == (1, 1009)
        await short
        assert (long.entry, short.entry) == (0, 1)
        assert await receive(bob, 1) == ["short"]


# Coming back


async def test_a_client_that_comes_back_reads_on_from_its_place(network: MemoryNetwork) -> None:
    async with (
        network.serve(room()),
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        name = bob.id
        await say_all(ada, "a", "b")
        network.links[1].cut()
        await until(lambda: bob.state is SessionState.LOST)
        await say_all(ada, "c", "d")
        await until(lambda: bob.state is SessionState.OPEN)
        await say_all(ada, "e")
        read = [await bob.recv() for _ in range(5)]
        assert [m.text for m in read] == ["a", "b", "c", "d", "e"]
        # What it missed meanwhile was said while it was in the room.
        assert not any(m.replayed for m in read)
        assert bob.id == name


async def test_a_client_that_comes_back_before_anything_was_said_is_told_no_restart(
    network: MemoryNetwork,
) -> None:
    async with network.serve(room()), network.connect(nick="ada") as ada:
        network.cut()
        await lost_and_found(ada)
        await say_all(ada, "hello")
        assert await kinds_of(ada, 2) == [LinkLost, LinkRestored]


async def test_who_comes_back_is_not_told_that_it_is_there_itself(network: MemoryNetwork) -> None:
    async with (
        network.serve(room()),
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        network.links[0].cut()
        await lost_and_found(ada)
        await say_all(bob, "hello")
        found = [event async for event in _until_message(ada)]
        assert [event for event in found if isinstance(event, Present)] == [Present(("bob",))]


async def _until_message(session: Session) -> AsyncGenerator[Event, None]:
    async for event in session.events():
        yield event
        if isinstance(event, Message):
            break


async def kinds_of(session: Session, count: int) -> list[type[Event]]:
    return [type(event) for event in await next_events(session, count)]


async def test_what_was_in_the_log_already_is_acknowledged_by_the_greeting(
    network: MemoryNetwork,
) -> None:
    network.latency = 0.1
    async with network.serve(room()), network.connect(nick="ada") as ada:
        receipt = await ada.send("hello")
        await asyncio.sleep(0.15)  # it is there, and the answer is on its way
        network.cut()
        collecting = asyncio.create_task(messages_among(ada, 1))
        await receipt
        (own,) = await collecting
        assert (own.text, own.own, own.number) == ("hello", True, 1)
        # Nothing more is known of where it stands: it was found there over the new link.
        assert (receipt.done, receipt.entry) == (True, 0)


async def test_a_client_that_comes_back_too_late_is_shown_the_gap_once_and_reads_on(
    network: MemoryNetwork,
) -> None:
    log = MemoryLog(max_entries=3)
    async with network.serve(room(log)), network.connect(nick="ada") as ada:
        async with network.connect(nick="bob") as bob:
            await say_all(bob, "0")
            assert (await ada.recv()).number == 1
            network.server = None
            network.links[0].cut()
            await until(lambda: ada.state is SessionState.LOST)
            await say_all(bob, *"123456")
        # Nobody is there any more: only the log remembers.
        async with MemoryServer(room(log)) as network.server:
            await until(lambda: ada.state is SessionState.OPEN)
            await asyncio.sleep(60)
            events = await next_events(ada, 6)
            assert [type(e) for e in events[:2]] == [LinkLost, LinkRestored]
            assert events[2] == Gap(2, 4)
            assert [e.text for e in events if isinstance(e, Message)] == ["4", "5", "6"]
            assert ada.state is SessionState.OPEN


async def test_entries_that_a_gap_was_shown_for_do_not_come_after_all(
    network: MemoryNetwork,
) -> None:
    async with (
        network.serve(room(MemoryLog(max_entries=3))) as server,
        network.connect(nick="ada") as ada,
        network.connect(nick="bob") as bob,
    ):
        await say_all(bob, "0")
        assert (await ada.recv()).number == 1
        network.server = None
        network.links[0].cut()
        await until(lambda: ada.state is SessionState.LOST)
        await say_all(bob, *"123456")  # which the room itself still remembers
        network.server = server
        numbers = [m.number for m in await messages_among(ada, 3)]
        assert numbers == [5, 6, 7]


async def test_a_log_that_is_another_is_told_and_read_from_its_beginning(
    network: MemoryNetwork,
) -> None:
    async with network.serve(room()), network.connect(nick="ada") as ada:
        name = ada.id
        await say_all(ada, "a", "b", "c")
        network.server = None
        network.links[0].cut()
        await until(lambda: ada.state is SessionState.LOST)
        receipt = await ada.send("d")
        other = MemoryLog()
        async with MemoryServer(room(other)) as network.server:
            async with network.connect(nick="bob") as bob:
                await say_all(bob, "A", "B")
                await receipt
                assert await receive(bob, 1) == ["d"]
            assert await kinds_of(ada, 3) == [LinkLost, Restarted, LinkRestored]
            assert await receive(ada, 2) == ["A", "B"]
            assert ada.id != name


# A slow reader


async def test_a_reader_that_the_log_has_left_behind_comes_back_and_is_shown_the_gap(
    network: MemoryNetwork,
) -> None:
    log = MemoryLog(max_entries=50)
    async with (
        network.serve(room(log)),
        network.connect(nick="ada", max_queue=(4, 1)) as ada,
        network.connect(nick="bob") as bob,
    ):
        for number in range(500):
            await say_all(bob, f"{number:09000}")
        seen: list[int] = []
        gaps: list[Gap] = []
        async for event in ada.events():
            if isinstance(event, Gap):
                gaps.append(event)
                assert event.first == seen[-1] + 1
            elif isinstance(event, Message):
                seen.append(event.number)
                if event.number == 500:
                    break
        missed = {number for gap in gaps for number in range(gap.first, gap.last + 1)}
        assert gaps
        assert not missed & set(seen)
        assert missed | set(seen) == set(range(1, 501))
        assert seen == sorted(set(seen))
