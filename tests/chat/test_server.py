"""Claims about `socketchat.chat.server`: rooms, names and their owners, over real sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat import (
    Event,
    HandshakeRefused,
    Joined,
    Left,
    Message,
    Restarted,
    Session,
    SessionClosedError,
    SessionState,
    Side,
)
from socketchat.chat import ChatServer, room
from socketchat.messages import MAX_NAME
from socketchat.options import OptionArgs
from socketchat.testing import stream_pair
from socketchat.text import NAME_COLUMNS, clean, clean_name, width
from tests.sessions import MemoryNetwork, now, receive, receive_all, send_all, turns, until

virtual_time = pytest.mark.virtual_time


class Chat:
    """A chat server that one calls over links in memory."""

    def __init__(self, network: MemoryNetwork, stack: AsyncExitStack) -> None:
        self.network = network
        self._stack = stack

    async def call(self, nick: str = "", room: str = "", **options: Any) -> Session:
        session = await self._stack.enter_async_context(
            self.network.connect(nick=nick, room=room, **options)
        )
        await turns()  # until it has its seat
        return session


@asynccontextmanager
async def chat(
    monkeypatch: pytest.MonkeyPatch,
    server: ChatServer | None = None,
    **options: Unpack[OptionArgs],
) -> AsyncIterator[Chat]:
    network = MemoryNetwork(monkeypatch)
    async with network.serve(server or ChatServer(), **options), AsyncExitStack() as stack:
        yield Chat(network, stack)


async def events(session: Session, count: int) -> list[Event]:
    """Return what happens next."""
    happened: list[Event] = []
    async for event in session.events():
        happened.append(event)
        if len(happened) == count:
            break
    return happened


# Talking


@virtual_time
async def test_each_line_goes_to_all_others_in_order_and_not_to_its_author(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        people = [await it.call(nick) for nick in ("ada", "bob", "cleo")]
        lines = [f"line {number}" for number in range(300)]
        await asyncio.gather(*(send_all(session, lines) for session in people))
        for session in people:
            got = [await session.recv() for _ in range(600)]
            others = {other.nick for other in people if other is not session}
            assert {message.sender for message in got} == others
            for nick in others:
                assert [message.text for message in got if message.sender == nick] == lines
        assert all(session.unacknowledged == 0 for session in people)


@virtual_time
async def test_what_was_said_before_is_not_told_to_newcomers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await (await ada.send("before"))
        bob = await it.call("bob")
        await ada.send("after")
        assert (await bob.recv()).text == "after"


@virtual_time
async def test_a_room_holds_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        members = [await it.call() for _ in range(100)]
        assert len({member.nick for member in members}) == 100
        await asyncio.gather(*(send_all(member, [member.nick]) for member in members))
        for member in members:
            heard = set(await receive(member, 99))
            assert heard == {other.nick for other in members if other is not member}


@virtual_time
async def test_rooms_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada", "red"), await it.call("bob", "blue")
        cleo = await it.call("cleo", "red")
        assert (ada.room, bob.room, cleo.room) == ("red", "blue", "red")
        await bob.send("from blue")
        await ada.send("from red")
        await ada.close()
        message, left = await events(cleo, 2)
        assert isinstance(message, Message)
        assert (message.sender, message.text) == ("ada", "from red")
        assert left == Left("ada")
        await bob.close()
        await cleo.close()
        assert [event async for event in cleo.events()] == []
        assert [event async for event in bob.events()] == []


@virtual_time
async def test_rooms_whose_names_differ_at_their_ends_are_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        rooms = ["r" * (MAX_NAME - 1) + end for end in "12"]
        ada, bob = [await it.call("ada", room) for room in rooms]
        assert [ada.room, bob.room] == rooms
        assert [ada.nick, bob.nick] == ["ada", "ada"]


@virtual_time
@pytest.mark.parametrize("room", ["tea", "tea\u200b", " tea", "t\u202eea", "tea\n"])
async def test_rooms_that_look_the_same_are_the_same(
    monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    async with chat(monkeypatch, ChatServer("tea")) as it:
        assert (await it.call("ada", room)).room == "tea"


@virtual_time
async def test_a_room_whose_name_grows_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        with pytest.raises(HandshakeRefused, match="room's name"):
            await it.call("ada", " \u0301" * 32)


@virtual_time
async def test_who_asks_for_no_room_is_in_the_servers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, ChatServer("tea  room")) as it:
        ada, bob = await it.call("ada"), await it.call("bob", "tea room")
        assert ada.room == bob.room == "tea room"
        await ada.send("hello")
        assert (await bob.recv()).text == "hello"


@virtual_time
async def test_a_room_that_all_have_left_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChatServer()
    async with chat(monkeypatch, server) as it:
        for _ in range(3):
            ada, bob = await it.call("ada", "red"), await it.call("bob", "red")
            assert set(server._rooms) == {"red"}
            await ada.close()
            await bob.close()
            await until(lambda: not server._rooms)
            assert not server._names


# Names


@virtual_time
async def test_a_name_that_is_taken_gets_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        nicks = [(await it.call(nick)).nick for nick in ("ada", "Ada", "ADA", "ada-2", "bob")]
        assert nicks == ["ada", "Ada-2", "ADA-3", "ada-2-2", "bob"]


@virtual_time
async def test_a_name_is_taken_in_one_room_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        assert [(await it.call("ada", room)).nick for room in ("", "red")] == ["ada", "ada"]


@virtual_time
async def test_a_name_is_free_again_when_its_owner_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ChatServer()
    async with chat(monkeypatch, server) as it:
        first, second = await it.call("ada"), await it.call("ada")
        await first.close()
        await until(lambda: len(server._names) == 1)
        assert (await it.call("ADA")).nick == "ADA"
        await second.close()
        await until(lambda: len(server._names) == 1)
        assert (await it.call("ada")).nick == "ada-2"


@virtual_time
async def test_a_name_is_kept_while_its_owners_link_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        it.network.links[0].cut()
        await until(lambda: ada.state is SessionState.LOST)
        assert (await it.call("ada")).nick == "ada-2"
        await bob.send("while it was away")
        assert (await ada.recv()).text == "while it was away"
        assert ada.nick == "ada"


@virtual_time
async def test_one_that_does_not_come_back_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, resume_timeout=30) as it:
        bob = await it.call("bob")
        await it.call("ada", reconnect=False)
        it.network.cut()
        assert await events(bob, 2) == [Joined("ada"), Left("ada")]
        assert now() == pytest.approx(30, abs=1)
        assert (await it.call("ada")).nick == "ada"


@virtual_time
async def test_who_gives_no_name_is_a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        assert [(await it.call()).nick for _ in range(3)] == ["guest", "guest-2", "guest-3"]


HOSTILE = {
    "\x1b[2Jroot": "␛[2Jroot",
    "a\nb": "a b",
    "a\u202eb": "ab",
    "ad\u200ba": "ada",
    " \t ": "?",
    "\u200b": "?",
    "x" * 64: "x" * 23 + "…",
    "日" * 64: "日" * 11 + "…",
    "z" + "\u0301" * 63: "ź\u0301\u0301",
    "bob: I quit": "bob_ I quit",  # or it could put words into bob's mouth
}


@virtual_time
@pytest.mark.parametrize("nick", list(HOSTILE))
async def test_a_hostile_name_becomes_a_harmless_one(
    monkeypatch: pytest.MonkeyPatch, nick: str
) -> None:
    async with chat(monkeypatch) as it:
        bob = await it.call("bob")
        mallory = await it.call(nick)
        assert mallory.nick == HOSTILE[nick]
        await mallory.send("hello")
        joined, message = await events(bob, 2)
        assert joined == Joined(HOSTILE[nick])
        assert isinstance(message, Message)
        assert message.sender == HOSTILE[nick]


LONG = (
    "n" * NAME_COLUMNS,
    "n" * MAX_NAME,
    "n\u0316\u0317" * 21,
    "日" * MAX_NAME,
    "नि" * 32,
    "a\u0301" * 32,
)


@virtual_time
@pytest.mark.parametrize("nick", LONG)
async def test_long_names_can_be_told_apart_on_the_screen(
    monkeypatch: pytest.MonkeyPatch, nick: str
) -> None:
    async with chat(monkeypatch) as it:
        nicks = [(await it.call(nick)).nick for _ in range(12)]
        assert len({clean_name(name) for name in nicks}) == 12


@given(st.lists(st.text(max_size=MAX_NAME), min_size=1, max_size=20))
def test_whatever_is_asked_for_a_name_is_one_that_can_be_sent_and_shown(asked: list[str]) -> None:
    server = ChatServer()
    given_names = [server.reserve(nick) for nick in asked * 2]
    for admission in given_names:
        assert 0 < len(admission.nick) <= MAX_NAME
        assert width(admission.nick) <= NAME_COLUMNS
        assert clean_name(admission.nick) == admission.nick
        assert ":" not in admission.nick
    assert len({one.nick.casefold() for one in given_names}) == len(given_names)


@given(st.text(max_size=MAX_NAME))
def test_whatever_room_is_asked_for_has_a_name_that_can_be_sent_and_asked_for(room: str) -> None:
    server = ChatServer()
    try:
        name = server.reserve("ada", room).room
    except HandshakeRefused:
        return
    assert 0 < len(name) <= MAX_NAME
    assert clean(name, multiline=False) == name
    assert server.reserve("ada", name).room == name


def test_a_room_of_the_servers_own_has_a_name_that_can_be_sent() -> None:
    with pytest.raises(ValueError, match="room's name"):
        ChatServer("r" * (MAX_NAME + 1))
    assert ChatServer("r" * MAX_NAME).reserve("ada").room == "r" * MAX_NAME


# Coming and going


@virtual_time
async def test_all_are_told_who_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        bob = await it.call("bob")
        await bob.close()
        assert await events(ada, 2) == [Joined("bob"), Left("bob")]


@virtual_time
async def test_the_host_alone_is_told_from_where(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChatServer()
    async with chat(monkeypatch, server) as it, host_of(server) as host:
        ada = await it.call("ada")
        bob = await it.call("bob")
        await bob.close()
        where = "192.0.2.1:50000"
        assert await events(host, 3) == [
            Joined("ada", where),
            Joined("bob", where),
            Left("bob", where),
        ]
        assert await events(ada, 2) == [Joined("bob"), Left("bob")]


@asynccontextmanager
async def host_of(server: ChatServer, **options: Unpack[OptionArgs]) -> AsyncIterator[Session]:
    """Seat a host at the server itself."""
    place = server.reserve("host")
    with stream_pair() as link:
        near, far = await asyncio.gather(
            Session.from_streams(*link.near, side=Side.CLIENT, nick=place.nick, room=place.room),
            Session.from_streams(*link.far, side=Side.SERVER, **options),
        )
        attending = asyncio.create_task(server.attend(far, is_host=True))
        await turns()
        try:
            yield near
        finally:
            near.abort()
            await near.wait_closed()
            with suppress(SessionClosedError):
                await attending


@virtual_time
async def test_one_who_leaves_has_said_everything_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch, max_unacked=(16, 2**20)) as it:
        bob = await it.call("bob", max_queue=(8, 4))
        ada = await it.call("ada")
        lines: list[str | bytes] = [f"line {number}" for number in range(1000)]
        await send_all(ada, lines)
        await ada.close()
        happened = await events(bob, 1002)
        assert happened[0] == Joined("ada")
        assert [event.text for event in happened[1:-1] if isinstance(event, Message)] == lines
        assert happened[-1] == Left("ada")


# Slowness


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rooms keep less, so that tests take less."""
    monkeypatch.setattr(room, "MAX_ENTRIES", 2048)


@virtual_time
async def test_two_who_talk_as_fast_as_they_can_lose_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, max_unacked=(64, 2**20)) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        lines = [str(number) for number in range(8000)]

        async def read(session: Session) -> list[str]:
            read = []
            for _ in lines:
                read.append((await session.recv()).text)
                await asyncio.sleep(0)  # it has other things to do
            return read

        _, _, heard_by_ada, heard_by_bob = await asyncio.gather(
            send_all(ada, lines), send_all(bob, lines), read(ada), read(bob)
        )
        assert heard_by_ada == heard_by_bob == lines


@virtual_time
async def test_one_who_does_not_read_delays_nobody_and_is_told_when_it_is_too_far_behind(
    monkeypatch: pytest.MonkeyPatch, small_room: None
) -> None:
    async with chat(monkeypatch, max_unacked=(16, 2**20)) as it:
        slow = await it.call("slow", max_queue=(8, 4))
        ada, bob = await it.call("ada"), await it.call("bob")
        lines: list[str | bytes] = [f"line {number}" for number in range(10_000)]
        sending = asyncio.create_task(send_all(ada, lines))
        assert await receive(bob, len(lines)) == lines
        await sending
        assert now() <= 64 * room.PAUSE
        # What was on its way to it arrives first; then it hears why, and comes back.
        heard: list[str | bytes] = []
        async for event in slow.events():
            if isinstance(event, Message):
                heard.append(event.body)
            if isinstance(event, Restarted):
                break
        assert heard == lines[: len(heard)]
        assert len(heard) < len(lines)
        await turns()
        await ada.send("again")
        assert (await slow.recv()).text == "again"


@virtual_time
async def test_the_reason_of_one_who_is_too_far_behind_says_by_how_much(
    monkeypatch: pytest.MonkeyPatch, small_room: None
) -> None:
    async with chat(monkeypatch, max_unacked=(16, 2**20)) as it:
        slow = await it.call("slow", max_queue=(8, 4), reconnect=False)
        ada = await it.call("ada")
        await send_all(ada, map(str, range(10_000)))
        await ada.flush()
        await receive_all(slow)
        assert slow.close_code == 1013
        assert "messages behind what the room keeps" in slow.close_reason


@virtual_time
async def test_a_message_too_big_for_one_member_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        small = await it.call("small", max_size=4096)
        # As long as the server takes it; with its author's name it is longer than they take.
        longest = 2**20
        while not await fits(ada, "x" * longest):
            longest -= 1
        await ada.send("after")
        assert len((await bob.recv()).body) < longest
        assert (await bob.recv()).text == "after"
        assert "too big" in (await small.recv()).text
        assert (await small.recv()).text == "after"
        assert len(it.network.server.sessions if it.network.server else ()) == 3


@virtual_time
async def test_a_member_that_cannot_be_fed_is_not_left_deaf(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_down(*_: object) -> None:
        raise ZeroDivisionError

    async with chat(monkeypatch) as it:
        monkeypatch.setattr(room.Room, "feed", break_down)
        ada = await it.call("ada")
        await ada.wait_closed()
        assert ada.close_code == 1011
    assert "ada cannot be fed" in caplog.text


async def fits(session: Session, body: str) -> bool:
    try:
        await session.send(body)
    except ValueError:
        return False
    return True
