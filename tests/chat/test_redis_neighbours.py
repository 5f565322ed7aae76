"""Claims about several chat servers over one Redis: one room, whose people are at all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from socketchat import (
    CloseCode,
    CommandFailed,
    Device,
    Event,
    HandshakeRefused,
    Identity,
    Joined,
    Left,
    LogUnavailable,
    Message,
    MessageRejected,
    Present,
    Renamed,
    Session,
    SessionState,
    Topic,
    Typing,
)
from socketchat.chat import ChatServer
from socketchat.chat.inviter import Inviter
from socketchat.chat.member import Member
from socketchat.chat.neighbours import Ask, Came, News, Place, Seat, ShowOut, Went, pack
from socketchat.chat.redis_facts import RedisFacts
from socketchat.chat.redis_log import RedisLog
from socketchat.chat.redis_neighbours import _MAX_QUEUE, RedisNeighbours
from socketchat.chat.registry import MAX_NAMES, MAX_REASON, Registry, Standing
from socketchat.testing import MemoryLink
from socketchat.trust.invites import Further, Invite
from tests.chat.chatting import FREE, unread
from tests.chat.redis_logs import ask, prefixes, redis_is_missing, running
from tests.redis_server import RedisServer
from tests.sessions import MemoryNetwork, MemoryServer, turns, until

pytestmark = redis_is_missing
logs = pytest.mark.may_block("what is logged here, pytest writes to a file")

ADA, EVE, OPERATOR = Device.generate(), Device.generate(), Device.generate()
IDENTITY = Identity.generate()
BEAT = 0.1


class Town:
    """Chat servers that share a Redis, and those who call them.

    Attributes:
        network: Where callers find one of the servers.
        heard: What each session was told, and has not been waited for.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, stack: AsyncExitStack, redis: RedisServer
    ) -> None:
        self.network = MemoryNetwork(monkeypatch)
        self._stack = stack
        self._redis = redis
        self._prefix = next(prefixes)
        self._neighbours: dict[MemoryServer, RedisNeighbours] = {}
        self._chats: dict[MemoryServer, ChatServer] = {}
        self._links: dict[Session, MemoryLink] = {}
        self.heard: dict[Session, list[Event]] = {}

    @property
    def channel(self) -> str:
        return f"{self._prefix}:servers"

    async def open(
        self, invites: Inviter | None = None, *operators: Device, **options: Any
    ) -> MemoryServer:
        """Start a server."""
        url, prefix = self._redis.url, self._prefix
        neighbours = RedisNeighbours(url, prefix=prefix, beat=BEAT)
        if invites is not None:
            neighbours.place = Place(invites.host, invites.port, invites.pin)
        keys = frozenset(device.fingerprint for device in (OPERATOR, *operators))
        registry = Registry(RedisFacts(url, prefix=prefix), operators=keys, **options)
        log = RedisLog(url, prefix=prefix)
        chat = ChatServer(
            log, rules=FREE, registry=registry, invites=invites, neighbours=neighbours
        )
        server = await self._stack.enter_async_context(MemoryServer(chat))
        self._neighbours[server], self._chats[server] = neighbours, chat
        return server

    async def call(
        self, server: MemoryServer, nick: str, *, address: str = "192.0.2.1", **options: Any
    ) -> Session:
        """Call a server from an address, and wait until seated there."""
        self.network.server = server
        server.call = partial(MemoryServer.call, server, address=address)  # type: ignore[method-assign]
        opened = self.network.connect(nick=nick, **options)
        session = await self._stack.enter_async_context(opened)
        self.heard[session] = []
        self._links[session] = self.network.links[-1]
        await turns()
        return session

    async def die(self, server: MemoryServer) -> None:
        """Have a server tell the others nothing more, and hear nothing."""
        neighbours = self._neighbours[server]
        for task in neighbours._tasks:
            task.cancel()
        await asyncio.wait(neighbours._tasks)
        neighbours._tasks = []

    def chat(self, server: MemoryServer) -> ChatServer:
        return self._chats[server]

    def neighbours(self, server: MemoryServer) -> RedisNeighbours:
        return self._neighbours[server]

    def lose_next(self, server: MemoryServer, kind: type) -> None:
        """Lose the next message of a kind on its way from a server."""
        neighbours = self._neighbours[server]
        put = neighbours._put

        def lose(news: News, told: asyncio.Future[None] | None = None) -> None:
            if not isinstance(news, kind):
                put(news, told)
                return
            neighbours._put = put  # type: ignore[method-assign]
            next(neighbours._numbers)
            if told is not None:
                told.set_result(None)

        neighbours._put = lose  # type: ignore[method-assign]

    @contextmanager
    def deaf(self, *servers: MemoryServer) -> Iterator[None]:
        """Have servers hear only at the end what is told meanwhile."""
        with ExitStack() as stack:
            for server in servers:
                stack.enter_context(self._deaf(self._neighbours[server]))
            yield

    @staticmethod
    @contextmanager
    def _deaf(neighbours: RedisNeighbours) -> Iterator[None]:
        told: list[tuple[Any, ...]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(neighbours, "_heard", lambda *news: told.append(news))
            patch.setattr(neighbours, "_heard_myself", lambda _news: None)
            yield
        for news in told:
            neighbours._heard(*news)

    def cut(self, session: Session) -> None:
        """Cut a session's link."""
        self._links[session].cut()

    def member(self, server: MemoryServer, nick: str) -> Member:
        """Return a seat."""
        members = self._chats[server]._rooms["lobby"].members.values()
        (member,) = (one for one in members if one.nick == nick)
        return member

    def is_known(self, server: MemoryServer, nick: str) -> bool:
        """Tell whether a server knows of one in the lobby at another."""
        return self.is_known_in(server, "lobby", nick)

    def is_known_in(self, server: MemoryServer, room: str, nick: str) -> bool:
        """Tell whether a server knows of one in a room at another."""
        return self._chats[server]._around.find(room, nick) is not None

    async def all_told(self, session: Session, count: int) -> list[Event]:
        """Return what a session is told until it has heard so many messages."""
        told = self.heard[session]

        def is_told() -> bool:
            told.extend(unread(session))
            return sum(isinstance(one, Message) for one in told) >= count

        await until(is_told)
        return told

    def names(self, server: MemoryServer, room: str = "lobby") -> list[str]:
        """Return who is in a room, as far as a server knows."""
        return sorted(one.nick for one in self._chats[server]._rooms[room].roster)

    async def told(self, session: Session, *events: Event) -> None:
        """Wait until a session is told this next."""
        told = self.heard[session]

        def is_told() -> bool:
            told.extend(unread(session))
            return len(told) >= len(events)

        await until(is_told)
        assert told[: len(events)] == list(events)
        del told[: len(events)]


@asynccontextmanager
async def town(monkeypatch: pytest.MonkeyPatch, redis: RedisServer) -> AsyncIterator[Town]:
    """Open a town."""
    async with AsyncExitStack() as stack:
        yield Town(monkeypatch, stack, redis)


def passed(session: Session, it: Town) -> list[Event]:
    """Return what a session was told until now, and forget it."""
    told = it.heard[session] + unread(session)
    it.heard[session] = []
    return told


# Who is here


async def test_a_room_has_the_people_of_all_servers(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        ada = await it.call(one, "ada", device=ADA)
        await until(lambda: it.is_known(two, "ada"))
        bob = await it.call(two, "bob")
        await it.told(ada, Joined("bob"))
        assert passed(bob, it) == [Present(("ada",), (ADA.fingerprint,))]
        assert await bob.command("names") == await ada.command("names") == "ada\nbob"
        await ada.close()
        await it.told(bob, Left("ada", key=ADA.fingerprint))
        assert it.names(two) == ["bob"]


async def test_a_server_that_starts_is_told_who_is_at_the_others(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one = await it.open()
        await it.call(one, "ada")
        two = await it.open()
        bob = await it.call(two, "bob")
        assert passed(bob, it) == [Present(("ada",))]
        assert (await it.call(two, "ADA")).nick == "ADA-2"


async def test_a_name_is_not_given_at_two_servers(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        ada = await it.call(one, "ada")
        await until(lambda: it.is_known(two, "ada"))
        other = await it.call(two, "ada")
        assert other.nick == "ada-2"
        assert await other.command("nick", "Ada") == "Ada-2"
        await ada.close()
        await until(lambda: not it.is_known(two, "ada"))
        assert (await it.call(two, "ada")).nick == "ada"


async def test_of_two_who_get_a_name_at_the_same_moment_the_first_keeps_it(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        servers = await it.open(), await it.open()
        with it.deaf(*servers):
            first = await it.call(servers[0], "ada")
            second = await it.call(servers[1], "Ada")
            assert (first.nick, second.nick) == ("ada", "Ada")
            receipt = await second.send("hello")
        await until(lambda: second.nick == "Ada-2")
        await receipt
        for server in servers:
            await until(lambda: it.names(server) == ["Ada-2", "ada"])  # noqa: B023
        assert first.nick == "ada"
        told = await it.all_told(first, 1)
        assert [one.text for one in told if isinstance(one, Message)] == ["hello"]


async def test_who_owns_a_name_keeps_it_though_a_stranger_got_it_a_moment_before(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        with it.deaf(one, two):
            stranger = await it.call(one, "ada")
            owner = await it.call(two, "ada", device=ADA)
            assert (stranger.nick, owner.nick) == ("ada", "ada")
            it.network.server = one
        await until(lambda: stranger.nick == "ada-2")
        for server in (one, two):
            await until(lambda: it.names(server) == ["ada", "ada-2"])  # noqa: B023
        assert owner.nick == "ada"


async def test_sessions_of_one_device_at_two_servers_are_one(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        bob = await it.call(two, "bob")
        first = await it.call(one, "ada", device=ADA)
        await it.told(bob, Joined("ada", key=ADA.fingerprint))
        second = await it.call(two, "ada", device=ADA)
        assert second.nick == "ada"
        await first.close()
        await until(lambda: not it.is_known(two, "ada"))
        assert it.names(two) == ["ada", "bob"]
        await second.close()
        await it.told(bob, Left("ada", key=ADA.fingerprint))


async def test_names_topics_and_typing_are_told_at_all_servers(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        bob = await it.call(two, "bob")
        root = await it.call(one, "root", device=OPERATOR)
        key = OPERATOR.fingerprint
        await it.told(bob, Joined("root", key=key))
        root.tell(Typing("root"))
        await it.told(bob, Typing("root"))
        await root.command("topic", "tea")
        await it.told(bob, Topic("tea", "root"))
        await root.command("nick", "boss")
        await it.told(bob, Renamed("root", "boss", key))
        assert it.names(two) == ["bob", "boss"]


async def test_of_two_topics_at_once_all_servers_have_the_one_that_is_kept(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        root = await it.call(one, "root", device=OPERATOR)
        bob = await it.call(two, "bob", device=ADA)
        await until(lambda: it.is_known(one, "bob"))
        await root.command("op", "bob")
        await until(lambda: it.member(two, "bob").standing.is_operator)
        passed(bob, it)
        with it.deaf(two):
            await root.command("topic", "tea")
            await bob.command("topic", "coffee")
            await until(lambda: it.chat(one)._rooms["lobby"].topic == ("coffee", "bob"))
        await root.command("topic", "cake")
        await it.told(bob, Topic("coffee", "bob"), Topic("cake", "root"))
        await root.command("topic", "-")
        await it.told(bob, Topic("", "root"))


async def test_a_server_that_dies_takes_its_people_along(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        bob = await it.call(two, "bob")
        await it.call(one, "ada")
        await it.told(bob, Joined("ada"))
        await it.die(one)
        await it.told(bob, Left("ada"))
        assert it.names(two) == ["bob"]
        assert (await it.call(two, "ada")).nick == "ada"


async def test_who_goes_on_at_another_server_is_not_told_to_have_left(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        bob = await it.call(two, "bob")
        ada = await it.call(one, "ada")
        await it.told(bob, Joined("ada"))
        receipt = await ada.send("first")
        await receipt
        it.network.server = two
        it.cut(ada)
        await until(lambda: any(one.nick == "ada" for one in two.sessions))
        await it.die(one)
        await until(lambda: not it.is_known(two, "ada"))
        await ada.send("second")
        await ada.flush()
        told = await it.all_told(bob, 2)
        assert [one.text for one in told if isinstance(one, Message)] == ["first", "second"]
        assert not any(isinstance(one, Left | Joined) for one in told)


async def test_who_moves_on_from_a_server_that_is_stopped_has_not_left(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        it.chat(two)._all_here_at = 0.0  # it was started long ago
        bob = await it.call(two, "bob")
        ada = await it.call(one, "ada")
        await it.told(bob, Joined("ada"))
        it.network.server = None
        await one.close(CloseCode.SERVICE_RESTART)
        await until(lambda: not it.neighbours(two)._servers)
        await (await bob.send("for you", to="ada"))
        it.network.server = two
        assert [(await ada.recv()).text] == ["for you"]
        await (await ada.send("here I am"))
        assert not any(isinstance(event, Left | Joined) for event in await it.all_told(bob, 1))


async def test_who_does_not_come_back_from_a_server_that_was_stopped_has_left(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    monkeypatch.setattr("socketchat.chat.redis_neighbours.LINGER", BEAT)
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        bob = await it.call(two, "bob")
        await it.call(one, "ada", reconnect=False)
        cyd = await it.call(one, "cyd")
        await it.told(bob, Joined("ada"), Joined("cyd"))
        await cyd.close()
        await it.told(bob, Left("cyd"))
        await one.close(CloseCode.SERVICE_RESTART)
        await it.told(bob, Left("ada"))
        assert it.names(two) == ["bob"]
        assert not it.neighbours(two)._left


async def test_what_was_missed_while_redis_was_away_is_made_up_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with running(tmp_path) as redis, town(monkeypatch, redis) as it:
        one, two = await it.open(), await it.open()
        bob = await it.call(two, "bob")
        ada, cyd = await it.call(one, "ada"), await it.call(one, "cyd")
        await it.told(bob, Joined("ada"), Joined("cyd"))
        await asyncio.to_thread(redis.kill)
        await cyd.close()
        await asyncio.to_thread(redis.start)
        await it.told(bob, Left("cyd"))
        assert it.names(two) == ["ada", "bob"]
        assert ada.nick == "ada"


async def test_what_is_lost_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        bob = await it.call(two, "bob")
        it.lose_next(one, Came)
        await it.call(one, "ada")
        await it.told(bob, Joined("ada"))


@logs
async def test_nonsense_on_the_channel_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        bob = await it.call(two, "bob")
        long = Came("lobby", Seat("x" * 65, b"", b"", ""))
        for data in (b"", b"\xc1", b"\x93\xa1a\x01\x91\x63", pack("mallory", 1, long)):
            await ask(redis_server, "PUBLISH", it.channel, data)
        await it.call(one, "ada")
        await it.told(bob, Joined("ada"))


async def test_many_people_are_told_in_parts(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    monkeypatch.setattr("socketchat.chat.redis_neighbours._PART", 2)
    async with town(monkeypatch, redis_server) as it:
        one = await it.open()
        for number in range(5):
            await it.call(one, f"ada{number}")
        two = await it.open()
        await it.call(two, "bob")
        assert it.names(two) == ["ada0", "ada1", "ada2", "ada3", "ada4", "bob"]


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Return what the loop is told of errors, which nothing else is done about."""
    loop = asyncio.get_running_loop()
    told: list[str] = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
    yield told
    loop.set_exception_handler(handler)


async def test_an_error_in_what_hears_a_server_does_not_deafen_it(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        await it.call(one, "ada")

        def fail(*_: object) -> None:
            raise ValueError("not here")

        with complaints() as told:
            it.chat(one).on_presence = fail
            await it.call(two, "bob")
            await until(lambda: told)
            it.chat(one).on_presence = None
        assert told == ["not here"]
        await it.call(two, "cyd")
        await until(lambda: it.names(one) == ["ada", "bob", "cyd"])


@pytest.mark.parametrize("work", ["_heard_part", "_ask_again"], ids=["hearing", "telling"])
async def test_a_server_whose_work_among_servers_fails_begins_it_afresh(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer, work: str
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        await it.call(one, "ada")
        neighbours = it.neighbours(one)

        def fail(*_: object) -> None:
            monkeypatch.delattr(neighbours, work)
            raise ValueError("not here")

        with complaints() as told:
            monkeypatch.setattr(neighbours, work, fail, raising=False)
            neighbours._put(Ask(""))
            await until(lambda: told)
        assert told == ["not here"]
        await it.call(two, "bob")
        await it.call(one, "cyd")
        for server in (one, two):
            await until(lambda: "bob" in it.names(server) and "cyd" in it.names(server))  # noqa: B023


# Bounds


async def test_of_a_server_with_ever_so_many_people_the_first_are_known(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    monkeypatch.setattr("socketchat.chat.redis_neighbours._PART", 2)
    monkeypatch.setattr("socketchat.chat.redis_neighbours._MAX_WHOLE", 3)
    async with town(monkeypatch, redis_server) as it:
        one = await it.open()
        for number in range(6):
            await it.call(one, f"ada{number}")
        two = await it.open()
        await it.call(two, "bob")
        assert it.names(two) == ["ada0", "ada1", "ada2", "bob"]
        # What it says from now on is heard as ever, and it is not asked again and again.
        bob = await it.call(two, "cyd")
        await it.call(one, "dan")
        await it.told(bob, Present(("bob", "ada0", "ada1", "ada2")), Joined("dan"))


async def test_of_ever_so_many_servers_some_are_heard_and_others_when_those_are_gone(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    monkeypatch.setattr("socketchat.chat.redis_neighbours._MAX_SERVERS", 1)
    async with town(monkeypatch, redis_server) as it:
        one = await it.open()
        two = await it.open()
        await it.call(two, "bob")
        await until(lambda: it.is_known(one, "bob"))
        three = await it.open()
        await it.call(three, "cyd")
        # Of the two one is heard, the first.
        await it.call(two, "dan")
        await until(lambda: it.is_known(one, "dan"))
        assert not it.is_known(one, "cyd")
        await it.die(two)
        await until(lambda: it.is_known(one, "cyd"))
        assert not it.is_known(one, "bob")


@logs
async def test_what_is_too_much_to_be_told_is_given_up_and_the_whole_is_told_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with running(tmp_path) as redis, town(monkeypatch, redis) as it:
        one, two = await it.open(), await it.open()
        await it.call(one, "ada")
        await until(lambda: it.is_known(two, "ada"))
        full = it.neighbours(one)
        redis.pause()
        full.tell(Went("lobby", "ada"))
        await until(lambda: not full._queue)  # it is on its way, and the next must wait
        order = asyncio.create_task(full.order(ShowOut("", b"", "nobody")))
        await turns()
        for number in range(_MAX_QUEUE + 10):
            full.tell(Went("lobby", f"{number}"))
            assert len(full._queue) <= _MAX_QUEUE
        with pytest.raises(LogUnavailable, match="too much is to be told"):
            await order
        redis.resume()
        await it.call(one, "cyd")
        await until(lambda: it.is_known(two, "cyd") and it.is_known(two, "ada"))


# Talking to one, and moderation


async def test_a_direct_message_finds_its_way(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        ada, eve = await it.call(one, "ada", device=ADA), await it.call(one, "eve")
        await until(lambda: it.is_known(two, "ada") and it.is_known(two, "eve"))
        bob = await it.call(two, "bob")
        await until(lambda: it.is_known(one, "bob"))
        await (await bob.send("hush", to="ada"))
        await (await bob.send("all"))
        assert [(await ada.recv()).text for _ in range(2)] == ["hush", "all"]
        assert (await eve.recv()).text == "all"
        await (await ada.send("yes", to="bob"))
        assert (await bob.recv()).text == "yes"


@logs
@pytest.mark.parametrize("device", [None, EVE], ids=["without a key", "with a key"])
@pytest.mark.parametrize("command", ["kick", "ban"])
async def test_an_operator_shows_out_whom_another_server_has(
    monkeypatch: pytest.MonkeyPatch,
    redis_server: RedisServer,
    command: str,
    device: Device | None,
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        eve = await it.call(one, "eve", device=device, room="tea")
        root = await it.call(two, "root", device=OPERATOR, address="192.0.2.9")
        await until(lambda: it.is_known_in(two, "tea", "eve"))
        await root.command(command, "eve for noise")
        await until(lambda: eve.state is SessionState.CLOSED)
        verb = "kicked" if command == "kick" else "banned"
        assert eve.close_reason == f"{verb} by root: for noise"
        if command == "ban":
            for server in (one, two):
                with pytest.raises(HandshakeRefused):
                    await it.call(server, "eve", device=device)


async def test_of_a_long_reason_as_much_is_told_as_all_servers_take(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        eve = await it.call(one, "eve", device=EVE)
        root = await it.call(two, "root", device=OPERATOR)
        await until(lambda: it.is_known(two, "eve"))
        await root.command("kick", "eve " + "x" * 900)
        await until(lambda: eve.state is SessionState.CLOSED)
        assert eve.close_reason == "kicked by root: " + "x" * MAX_REASON


@pytest.mark.parametrize("device", [None, EVE], ids=["without a key", "with a key"])
async def test_an_operator_mutes_whom_another_server_has(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer, device: Device | None
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        eve = await it.call(one, "eve", device=device)
        root = await it.call(two, "root", device=OPERATOR)
        await until(lambda: it.is_known(two, "eve"))
        await root.command("mute", "eve")
        await until(lambda: it.member(one, "eve").standing.is_muted)
        with pytest.raises(MessageRejected):
            await (await eve.send("noise"))
        await root.command("unmute", "eve")
        await until(lambda: not it.member(one, "eve").standing.is_muted)
        await (await eve.send("sorry"))


async def test_an_operator_is_made_at_another_server(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        ada = await it.call(one, "ada", device=ADA)
        root = await it.call(two, "root", device=OPERATOR)
        await until(lambda: it.is_known(two, "ada"))
        await root.command("op", "ada")
        await until(lambda: it.member(one, "ada").standing.is_operator)
        await ada.command("topic", "mine")
        await root.command("deop", "ada")
        await until(lambda: not it.member(one, "ada").standing.is_operator)


@logs
async def test_an_operator_by_a_servers_own_settings_is_left_alone_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open(None, ADA)
        root = await it.call(one, "root", device=OPERATOR, address="192.0.2.9")
        ada = await it.call(two, "ada", device=ADA)
        await until(lambda: it.is_known(one, "ada"))
        for command, whom in (("deop", "ada"), ("mute", "ada"), ("kick", "ada")):
            await root.command(command, whom)
        for whom in ("ada", "192.0.2.1"):
            await root.command("ban", whom)
        await root.command("topic", "tea")  # behind all that
        await until(lambda: it.chat(two)._rooms["lobby"].topic == ("tea", "root"))
        around = it.chat(two)._around
        around.missed()
        await asyncio.wait(around.orders.looking)
        assert ada.state is SessionState.OPEN
        assert it.member(two, "ada").standing == Standing(is_operator=True)


async def test_a_ban_that_was_missed_is_found(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        eve = await it.call(one, "eve", device=EVE)
        root = await it.call(two, "root", device=OPERATOR)
        await until(lambda: it.is_known(two, "eve"))
        it.lose_next(two, ShowOut)
        await root.command("ban", "eve")
        await until(lambda: eve.state is SessionState.CLOSED)
        assert eve.close_reason == "you are banned here"


async def test_a_ban_that_could_not_be_told_is_found(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        eve = await it.call(one, "eve", device=EVE)
        root = await it.call(two, "root", device=OPERATOR)
        await until(lambda: it.is_known(two, "eve"))
        it.neighbours(two)._is_linked = False
        with pytest.raises(CommandFailed, match="cannot be told"):
            await root.command("ban", "eve")
        it.neighbours(two)._is_linked = True
        await until(lambda: eve.state is SessionState.CLOSED)
        assert eve.close_reason == "you are banned here"


async def test_a_ban_by_a_server_that_was_not_heard_of_yet_is_found(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one = await it.open()
        eve = await it.call(one, "eve", device=EVE)
        with monkeypatch.context() as patch:
            patch.setattr(RedisNeighbours, "_speak", lambda _: asyncio.Event().wait())
            two = await it.open()
            root = await it.call(two, "root", device=OPERATOR)
            with pytest.raises(CommandFailed, match="cannot be told"):
                await root.command("ban", EVE.fingerprint)
        neighbours = it.neighbours(two)
        neighbours._tasks.append(asyncio.create_task(neighbours._speak()))
        await until(lambda: eve.state is SessionState.CLOSED)
        assert eve.close_reason == "you are banned here"


async def test_an_order_that_cannot_be_told_is_not_said_to_be_done(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    async with town(monkeypatch, redis_server) as it:
        one, two = await it.open(), await it.open()
        await it.call(one, "eve")
        root = await it.call(two, "root", device=OPERATOR)
        await until(lambda: it.is_known(two, "eve"))
        it.neighbours(two)._is_linked = False
        with pytest.raises(CommandFailed, match="cannot be told"):
            await root.command("kick", "eve")
        it.neighbours(two)._is_linked = True


async def test_a_key_has_so_many_names_at_all_servers_together(redis_server: RedisServer) -> None:
    prefix = next(prefixes)
    doors = [Registry(RedisFacts(redis_server.url, prefix=prefix)) for _ in range(2)]
    for door in doors:
        await door.open()
    names = ["x" * (number + 1) for number in range(MAX_NAMES + 3)]
    for number, name in enumerate(names):
        assert await doors[number % 2].claim(name, ADA.public, "")
    owners = [await doors[0].owner(name) for name in names]
    assert owners == [ADA.fingerprint] * MAX_NAMES + [""] * 3
    for door in doors:
        await door.close()


# Invites


@logs
async def test_an_invite_is_used_once_at_all_servers(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    inviter = Inviter(IDENTITY, "server.test", 7625)
    token = inviter.invite("", 2**31).token
    async with town(monkeypatch, redis_server) as it:
        one, two = [await it.open(inviter, private=True) for _ in range(2)]
        await it.call(one, "ada", device=ADA, invite=token)
        with pytest.raises(HandshakeRefused, match="used already"):
            await it.call(two, "eve", device=EVE, invite=token)
        assert (await it.call(two, "ada", device=ADA)).nick == "ada"


@logs
async def test_an_operators_invite_is_good_at_all_servers_that_live(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    inviters = [Inviter(Identity.generate(), name, 7625) for name in ("maple", "oak", "elm")]
    async with town(monkeypatch, redis_server) as it:
        one, two, three = [await it.open(each, private=True) for each in inviters]
        root = await it.call(one, "root", device=OPERATOR)
        await until(lambda: len(it.neighbours(one).places()) == 2)
        invites = [
            Invite.parse((await root.command("invite", "60 tea")).partition("\n")[0])
            for _ in range(2)
        ]
        places = [Further(each.host, each.port, each.pin) for each in inviters]
        assert invites[0].servers[0] == places[0]
        assert sorted(invites[0].servers) == sorted(places)
        await it.die(one)
        with pytest.raises(HandshakeRefused, match="for the room tea"):
            await it.call(two, "ada", device=ADA, invite=invites[0].token)
        await it.call(two, "ada", device=ADA, invite=invites[0].token, room="tea")
        with pytest.raises(HandshakeRefused, match="used already"):
            await it.call(three, "eve", device=EVE, invite=invites[0].token, room="tea")
        await it.call(three, "eve", device=EVE, invite=invites[1].token, room="tea")
        boss = await it.call(two, "boss", device=OPERATOR)
        await until(lambda: len(it.neighbours(two).places()) == 1)
        url = (await boss.command("invite")).partition("\n")[0]
        assert Invite.parse(url).servers == (places[1], places[2])


async def test_of_two_who_show_an_invite_at_once_one_comes_in(redis_server: RedisServer) -> None:
    prefix = next(prefixes)
    doors = [Registry(RedisFacts(redis_server.url, prefix=prefix)) for _ in range(2)]
    for door in doors:
        await door.open()
    for number in range(20):
        redeemed = await asyncio.gather(
            doors[0].redeem(f"invite {number}", ADA.public, "lobby"),
            doors[1].redeem(f"invite {number}", EVE.public, "lobby"),
        )
        assert sorted(redeemed) == [False, True]
    for door in doors:
        await door.close()
