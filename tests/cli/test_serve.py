"""Claims about `socketchat.cli.serve`: a server as a process of its own."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sqlite3
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from socketchat import LogFailed, LogUnavailable, Session
from socketchat import serve as listen
from socketchat.chat import ChatServer
from socketchat.chat.facts import MemoryFacts
from socketchat.chat.log import Diverged, Draft, Entry, Watcher
from socketchat.chat.memory_log import MemoryLog
from socketchat.chat.neighbours import NoNeighbours
from socketchat.cli import serve as serve_module
from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.serve import Hosting, ServeSettings, _callers_name, _chat, _serve_until
from socketchat.cli.stores import Stores
from socketchat.framing import FrameDecoder
from socketchat.messages import VERSION, Greeting, Hello, Welcome, decode, encode
from socketchat.trust.device import Device
from tests.cli.processes import Piped, Server, stage
from tests.sessions import until

STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]

ADA = Device.generate()
IN_MEMORY = Stores(MemoryLog(), MemoryFacts(), NoNeighbours())


# Starting


def test_it_says_one_line_on_stdout_and_all_else_on_stderr(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        assert server.out == f"listening on 127.0.0.1 port {server.port}\n"
        lines = server.err.splitlines()
        assert lines[0] == f"starting on {socket.gethostname()}"
        assert lines[1] == f"bound to 127.0.0.1, port {server.port}"
        assert lines[2].startswith("key SHA256:")
        line = f"socketchat connect 127.0.0.1:{server.port} --fingerprint {server.key}"
        assert lines[3] == f"waiting for callers: {line}"
        ada = it.join(server.address, "ada")
        server.until(lambda: "ada (127.0.0.1:" in server.err)
        ada.end_input()
        server.until(lambda: "has left" in server.err)
        assert server.out.count("\n") == 1


def test_what_it_says_can_be_typed(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        for options, data in (([], "server"), (["--no-tls"], "other")):
            server = it.serve(*options, data=data)
            (hint,) = (line for line in server.err.splitlines() if "waiting" in line)
            command = hint.partition(": socketchat ")[2].split()
            client = it.start(*command, "--data", str(tmp_path / "client"))
            client.end_input()
            assert client.wait() == 0


@pytest.mark.parametrize(
    ("hosts", "no_tls", "name"),
    [
        ((), False, "machine"),
        ((), True, "localhost"),
        (("0.0.0.0",), False, "machine"),
        (("::",), False, "machine"),
        (("192.0.2.7", "::1"), False, "192.0.2.7"),
        (("example.org",), False, "example.org"),
        (("::1",), True, "::1"),
    ],
)
def test_it_names_itself_as_callers_find_it(
    hosts: tuple[str, ...], no_tls: bool, name: str
) -> None:
    assert _callers_name(settings(hosts=hosts, no_tls=no_tls), "machine") == name


def settings(*, hosts: tuple[str, ...] = (), no_tls: bool = False, nick: str = "") -> ServeSettings:
    """Return what the command line asks for, if little is asked for."""
    return ServeSettings(
        hosts=hosts,
        port=1,
        room="lobby",
        nick=nick,
        name="",
        private=False,
        operators=(),
        address=None,
        headless=True,
        retain=None,
        redis="",
        redis_wait=0,
        rate=0,
        max_callers=10,
        max_per_address=10,
        metrics=None,
        no_tls=no_tls,
        no_lan=True,
        cert=None,
        key=None,
        data=None,
        plain=False,
        no_color=False,
    )


def test_without_a_terminal_it_only_serves(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        data = str(tmp_path / "server")
        server = it.start("serve", "--host", "127.0.0.1", "--port", "0", "--data", data)
        server.until(lambda: server.lines and "waiting for callers" in server.err)
        server.end_input()
        port = server.lines[0].split()[-1]
        ada, bob = it.join(f"127.0.0.1:{port}", "ada"), it.join(f"127.0.0.1:{port}", "bob")
        ada.write("hello\n")
        bob.until(lambda: bob.lines == ["ada: hello"])


def test_the_environment_may_say_it_all(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        environment = {
            "SOCKETCHAT_HOST": "127.0.0.1",
            "SOCKETCHAT_PORT": "0",
            "SOCKETCHAT_DATA": str(tmp_path / "elsewhere"),
            "SOCKETCHAT_ROOM": "tea",
            "SOCKETCHAT_NICK": "ada",
            "SOCKETCHAT_JSON": "1",
        }
        server = it.start("serve", env=environment, kind=Server)
        assert isinstance(server, Server)
        server.until(lambda: server.lines)
        client = it.start("connect", server.address, env=environment)
        client.write("hello\n")
        client.end_input()
        assert client.wait() == 0
        assert {value["room"] for value in client.objects} == {"tea"}
        assert "ada" in server.err
        assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {
            *("server.pem", "address", "known_hosts", "known_hosts.lock", "outbox"),
            *("server.lock", "log.db", "log.db-wal", "log.db-shm", "people.db", "device.key"),
        }


def test_its_key_is_made_once_and_kept_to_itself(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        first = it.serve()
        stop(first)
        again = it.serve()
        assert again.key == first.key
        stop(again)
        path = tmp_path / "server" / "server.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.unlink()
        assert it.serve().key != first.key


def stop(server: Server) -> None:
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ([], socket.gethostname()),
        (["--name", "The Pub"], "The Pub"),
        (["--name", "\x1b[2J" + "x" * 100], "␛[2J"),
        ([b"--name", b"\xff"], "�"),
    ],
)
def test_callers_are_told_its_name(tmp_path: Path, options: list[str], name: str) -> None:
    with stage(tmp_path) as it:
        server = it.serve(*options)
        client = it.join(server.address, "ada")
        assert f"connected to {name}" in client.err
        assert "\x1b" not in client.err


@pytest.mark.parametrize(
    "nick", [b"ada lovelace", b"\xff\xfe", b"\x1b[2J", ("n\u0316\u0317" * 40).encode(), b""]
)
def test_whatever_name_one_gives_one_gets_in(tmp_path: Path, nick: bytes) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--no-tls")
        arguments = (b"--nick", nick, b"--data", os.fsencode(tmp_path), b"--no-tls")
        clients = [it.start("connect", server.address, *arguments) for _ in range(2)]
        for client in clients:
            client.until(lambda client=client: "connected to" in client.err)  # type: ignore[misc]
        clients[0].write("hello\n")
        clients[1].until(lambda: clients[1].lines)
        for client in clients:
            client.end_input()
            assert client.wait() == 0


# Not starting


def one_line(process: Piped) -> str:
    """Return the one line that a process says on stderr, but for its status."""
    (line,) = (line for line in process.err.splitlines() if not line.startswith("starting"))
    assert line.startswith("socketchat: ")
    assert process.out == ""
    return line


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        port = str(it.serve().port)
        data = str(tmp_path / "other")
        other = it.start("serve", "--host", "127.0.0.1", "--port", port, "--data", data)
        assert other.wait() == 3
        assert f"port {port}: Address already in use" in one_line(other)


@pytest.mark.parametrize("host", ["203.0.113.7", "nowhere.invalid", "2001:db8::7"])
def test_an_address_that_it_has_not_is_named(tmp_path: Path, host: str) -> None:
    with stage(tmp_path) as it:
        server = it.start("serve", "--host", host, "--port", "0", "--headless")
        assert server.wait() == 3
        assert host in one_line(server)


def test_a_key_that_is_none_is_named(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        for directory, content in (("garbage", b"garbage"), ("empty", b"")):
            path = tmp_path / directory / "server.pem"
            path.parent.mkdir()
            path.write_bytes(content)
            server = it.start("serve", "--port", "0", "--data", str(path.parent))
            assert server.wait() == 2
            assert str(path) in one_line(server)
        server = it.start("serve", "--port", "0", "--data", str(path / "below"))
        assert server.wait() == 2
        assert "Not a directory" in one_line(server)


def test_a_data_directory_in_use_is_named(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        it.serve()
        data = tmp_path / "server"
        other = it.start("serve", "--headless", "--port", "0", "--data", str(data))
        assert other.wait() == 2
        assert f"{data}: it is in use by another server; call that one, or" in one_line(other)


def test_a_log_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        for name, make, words in (
            ("newer", newer, "newer version of socketchat: update this one"),
            ("garbage", lambda path: path.write_bytes(b"x" * 5000), "cannot be used"),
            ("directory", Path.mkdir, "directory"),
        ):
            path = tmp_path / name / "log.db"
            path.parent.mkdir()
            make(path)
            server = it.start("serve", "--headless", "--port", "0", "--data", str(path.parent))
            assert server.wait() == 2
            line = one_line(server)
            assert line.startswith(f"socketchat: {path}: ")
            assert words in line
            assert line.endswith("; see --data")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


# The log


def test_what_was_acknowledged_is_there_after_any_end(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        port = 0
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            server = it.serve("--rate", "0", port=port)
            port = server.port
            ada = it.start("send", server.address, "--nick", "ada", "--json")
            ada.write("".join(f"{number.name} {count}\n" for count in range(200)))
            ada.until(lambda ada=ada: ada.kinds("delivered"))  # type: ignore[misc]
            server.signal(number)
            server.wait()
            ada.signal(signal.SIGKILL)
            ada.wait()
            delivered = len(ada.kinds("delivered"))
            data = str(tmp_path / "server")
            kept = it.start("history", "--data", data, "--search", number.name, "--json")
            kept.end_input()
            assert kept.wait() == 0
            texts = [value["text"] for value in kept.objects]
            assert texts == [f"{number.name} {count}" for count in range(len(texts))]
            assert len(texts) >= delivered


@pytest.mark.skipif(sys.platform != "linux", reason="the fault is Linux's")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_a_log_that_has_failed_ends_it_and_members_keep_what_they_have_to_say(
    tmp_path: Path, options: list[str]
) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--rate", "0", preexec_fn=let_files_be_small)
        ada, bob = it.join(server.address, "ada"), it.join(server.address, "bob", *options)
        ada.write("".join(f"{number} {'x' * 10_000}\n" for number in range(200)))
        assert server.wait() == 1
        (line,) = (line for line in server.err.splitlines() if line.startswith("socketchat: "))
        assert "the log has failed" in line
        assert line.endswith("see that the disk is in order, and start again")
        for client in (ada, bob):
            client.until(lambda client=client: "the log has failed" in client.err + client.out)  # type: ignore[misc]
        server = it.serve("--rate", "0", port=server.port)
        ada.end_input()
        assert ada.wait() == 0
        reader = it.start("tail", server.address, "--no-follow", "--history", "1000")
        assert reader.wait() == 0
        assert [line.split()[1] for line in reader.lines] == [str(n) for n in range(200)]


def let_files_be_small() -> None:
    """Have writes fail beyond so many bytes of a file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))


# The host's seat


class Seat:
    """What a host's front end is to `serve`: it says something, and stays until it is ended."""

    taken = 0

    def __init__(self, session: Session, **_: object) -> None:
        self.session = session
        self.left = asyncio.Event()
        Seat.taken += 1

    @property
    def close_code(self) -> int | None:
        return self.session.close_code

    def leave(self) -> None:
        self.left.set()

    async def run(self) -> ExitCode:
        await self.session.send(f"at seat {Seat.taken}")
        leaving = asyncio.create_task(self.left.wait())
        ending = asyncio.create_task(self.session.wait_closed())
        _, rest = await asyncio.wait((leaving, ending), return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.wait((leaving, ending))
        return ExitCode.DONE


class FullLog(MemoryLog):
    """A log for which there is no room, for a while."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.kept = asyncio.Event()

    def append(
        self, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        if self.failures:
            self.failures -= 1
            failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            failed.set_exception(LogUnavailable("the disk is full"))
            return failed
        self.kept.set()
        return super().append(room, lane, drafts, after=after)


@pytest.mark.may_block("log lines are written")
async def test_a_host_whom_a_full_disk_turned_away_is_seated_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve_module, "Front", Seat)
    monkeypatch.setattr(serve_module, "SEAT_PAUSE", 0.01)
    monkeypatch.setattr("socketchat.chat.server.LOG_PAUSE", 0.05)
    monkeypatch.setattr(Seat, "taken", 0)
    log = FullLog(2)
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    chat = ChatServer(log)
    hosting = Hosting(chat, None, None, ADA, IN_MEMORY)
    async with listen(chat, "127.0.0.1", 0, tls=False) as server:
        chatting = asyncio.create_task(_chat(server, settings(nick="ada"), hosting, [end]))
        await log.kept.wait()
        assert [entry.body for entry in await log.read("lobby", 0)] == ["at seat 3"]
        end.set_result(None)
        await chatting
    assert capsys.readouterr().err.count("the server goes on") >= 2


class ReplacedLog(MemoryLog):
    """A log that is found to be another one as soon as something was said."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.heads: list[int] = []
        self.diverged: list[Diverged] = []

    def watch(
        self, room: str, watcher: Watcher, diverged: Diverged | None = None
    ) -> Callable[[], None]:
        assert diverged is not None
        self.diverged.append(diverged)
        return super().watch(room, self._heard, None)

    def _heard(self, entries: Sequence[Entry]) -> None:
        self.heads.append(entries[-1].number)
        if len(self.heads) <= self.times:
            self.diverged[-1](entries[-1].number)


@pytest.mark.may_block("log lines are written")
async def test_a_host_is_seated_again_when_the_log_was_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve_module, "Front", Seat)
    monkeypatch.setattr(serve_module, "SEAT_PAUSE", 0.01)
    monkeypatch.setattr(Seat, "taken", 0)
    log = ReplacedLog(2)
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    chat = ChatServer(log)
    hosting = Hosting(chat, None, None, ADA, IN_MEMORY)
    async with listen(chat, "127.0.0.1", 0, tls=False) as server:
        chatting = asyncio.create_task(_chat(server, settings(nick="ada"), hosting, [end]))
        await until(lambda: len(log.heads) > 2 or chatting.done())
        assert not chatting.done()
        end.set_result(None)
        await chatting
    assert capsys.readouterr().err.count("the server goes on") == 2


async def test_a_host_who_leaves_is_not_seated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_module, "Front", Seat)
    monkeypatch.setattr(Seat, "taken", 0)
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    end.set_result(None)
    chat = ChatServer()
    hosting = Hosting(chat, None, None, ADA, IN_MEMORY)
    async with listen(chat, "127.0.0.1", 0, tls=False) as server:
        await _chat(server, settings(nick="ada"), hosting, [end])
    assert Seat.taken == 1


# Ending


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_ends_it_in_good_order_and_callers_are_told(
    tmp_path: Path, number: signal.Signals
) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = it.join(server.address, "ada")
        server.signal(number)
        assert server.wait() == 0
        client.until(lambda: "the server is stopping" in client.err)
        if number is signal.SIGTERM:  # it may be started again: callers wait for it
            assert "the link is lost" in client.err
            assert client.popen.poll() is None
        else:
            assert client.wait() == 6  # its input had not ended
            assert client.err.count("the session is over") == 1
        assert "Traceback" not in server.err + client.err


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_may_come_as_soon_as_it_has_said_a_word(
    tmp_path: Path, number: signal.Signals
) -> None:
    with stage(tmp_path) as it:
        at = ["--host", "127.0.0.1", "--port", "0", "--data", str(tmp_path)]
        server = it.start("serve", *at)
        server.until(lambda: server.err)
        server.signal(number)
        assert server.wait() == 0
        assert "socketchat:" not in server.err


def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--no-tls")
        with socket.create_connection(("127.0.0.1", server.port)) as caller:
            greet(caller)
            server.until(lambda: "mallory" in server.err)
            server.signal(signal.SIGINT)
            read(caller)  # its goodbye, which is not answered
            server.signal(signal.SIGINT)
            assert server.wait() == 130
            assert "Traceback" not in server.err


class FailingAtTheEnd(MemoryLog):
    """A log whose last commits fail."""

    def __init__(self) -> None:
        super().__init__()
        self.error: LogFailed | None = None

    async def close(self) -> None:
        self.error = LogFailed("disk I/O error")
        await super().close()

    async def failed(self) -> LogFailed | None:
        await super().failed()
        return self.error


@pytest.mark.may_block("it says what it does")
async def test_commits_that_fail_while_it_ends_are_a_failure() -> None:
    signalled: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    signalled.set_result(signal.SIGTERM)
    asked = replace(settings(no_tls=True, hosts=("127.0.0.1",)), port=0)
    hosting = Hosting(ChatServer(FailingAtTheEnd()), None, None, ADA, IN_MEMORY)
    with pytest.raises(Failure, match="disk I/O error; see that the disk is in order") as caught:
        await _serve_until(signalled, asked, hosting)
    assert caught.value.code == ExitCode.INTERNAL_ERROR


def greet(caller: socket.socket) -> None:
    """Go through the greeting as a client."""
    frames = FrameDecoder(2**20)
    while not any(isinstance(decode(body), Greeting) for body in frames.frames(read(caller))):
        pass
    caller.sendall(encode(Hello(VERSION, bytes(16), "mallory")))
    while not any(isinstance(decode(body), Welcome) for body in frames.frames(read(caller))):
        pass


def read(caller: socket.socket) -> bytes:
    caller.settimeout(60)
    data = caller.recv(2**16)
    assert data
    return data


# Log lines


def test_more_is_said_to_who_asks_for_it(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("-v", "--no-tls")
        with socket.create_connection(("127.0.0.1", server.port)) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\n\r\n")
            server.until(lambda: "not a socketchat client" in server.err)
        quiet = it.serve("--no-tls", data="other")
        with socket.create_connection(("127.0.0.1", quiet.port)) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\n\r\n")
            read(caller)
            while caller.recv(100):
                pass
        quiet.signal(signal.SIGTERM)
        quiet.wait()
        turned_away = quiet.err.splitlines()[3:]
        assert len(turned_away) == 1
        assert "turned away a caller from 127.0.0.1: no greeting" in turned_away[0]
