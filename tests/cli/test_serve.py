"""Claims about `socketchat.cli.serve`: a server as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from socketchat import Identity
from socketchat.cli.serve import ServeSettings, _callers_name
from socketchat.framing import FrameDecoder
from socketchat.messages import VERSION, Greeting, Hello, Welcome, decode, encode
from tests.cli.processes import Piped, Server, stage

STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


# Starting


def test_it_says_one_line_on_stdout_and_all_else_on_stderr(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        assert server.out == f"listening on 127.0.0.1 port {server.port}\n"
        lines = server.err.splitlines()
        assert lines[0] == f"starting on {socket.gethostname()}"
        assert lines[1] == f"bound to 127.0.0.1, port {server.port}"
        assert lines[2].startswith("key SHA256:")
        assert lines[3] == f"waiting for callers: socketchat connect 127.0.0.1:{server.port}"
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
    settings = ServeSettings(
        hosts=hosts,
        port=1,
        room="",
        nick="",
        name="",
        headless=True,
        retain=None,
        rate=0,
        no_tls=no_tls,
        data=None,
        plain=False,
        no_color=False,
    )
    assert _callers_name(settings, "machine") == name


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
            *("server.pem", "known_hosts", "outbox"),
            *("server.lock", "log.db", "log.db-wal", "log.db-shm"),
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
        path.write_bytes(b"x" + Identity.generate().certificate)
        server = it.start("serve", "--port", "0", "--data", str(path.parent))
        assert server.wait() == 2
        assert "the server's key cannot be used" in one_line(server)
        server = it.start("serve", "--port", "0", "--data", str(path / "below"))
        assert server.wait() == 2
        assert "Not a directory" in one_line(server)


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
            assert client.wait() == 0
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
            server.until(lambda: "did not come in" in server.err)
        quiet = it.serve("--no-tls", data="other")
        with socket.create_connection(("127.0.0.1", quiet.port)) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\n\r\n")
            read(caller)
            while caller.recv(100):
                pass
        quiet.signal(signal.SIGTERM)
        quiet.wait()
        assert len(quiet.err.splitlines()) == 3
