"""Claims about `socketchat.cli.connect`: whom it cannot reach, and whom it does not trust."""

from __future__ import annotations

import functools
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from socketchat import Identity, connect
from socketchat.messages import VERSION, Greeting, Refused, WireMessage, encode
from socketchat.trust.known_hosts import KnownHosts
from socketchat.trust.tls import server_context
from tests.cli.processes import last_line, stage, status
from tests.cli.strangers import Behaviour, fake_server

# Servers that cannot be reached


def answer_http(caller: socket.socket) -> None:
    caller.recv(2**16)
    caller.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    caller.recv(2**16)


def greet_as_ssh(caller: socket.socket) -> None:
    caller.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    while caller.recv(2**16):
        pass


def hang_up(caller: socket.socket) -> None:
    caller.recv(2**16)


def reset(caller: socket.socket) -> None:
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def speak_tls(data: bytes) -> Behaviour:
    """Return something that listens with TLS, and says this."""
    context = server_context(Identity.generate())

    def behave(caller: socket.socket) -> None:
        with context.wrap_socket(caller, server_side=True) as secure:
            secure.sendall(data)
            while secure.recv(2**16):
                pass

    return behave


def say(*messages: WireMessage) -> Behaviour:
    def behave(caller: socket.socket) -> None:
        caller.sendall(b"".join(map(encode, messages)))
        while caller.recv(2**16):
            pass

    return behave


STRANGERS: dict[str, tuple[Callable[[], Behaviour], list[str], int, str]] = {
    "http": (lambda: answer_http, [], 3, "not a socketchat server"),
    "ssh": (lambda: greet_as_ssh, [], 3, "not a socketchat server"),
    "ssh in the clear": (lambda: greet_as_ssh, ["--no-tls"], 3, "not a socketchat server"),
    "hangs up": (lambda: hang_up, [], 3, "not a socketchat server"),
    "hangs up in the clear": (lambda: lambda _: None, ["--no-tls"], 3, "not a socketchat server"),
    "resets": (lambda: reset, [], 3, "not a socketchat server"),
    "without tls": (lambda: say(Greeting(VERSION, bytes(32))), [], 3, "--no-tls"),
    "tls, http": (
        lambda: speak_tls(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        [],
        3,
        "not a socketchat server",
    ),
    "tls, garbage": (lambda: speak_tls(b"\0\0\0\1\xc1"), [], 3, "not a socketchat server"),
    "of a later version": (
        lambda: speak_tls(encode(Greeting(2, bytes(32)))),
        [],
        3,
        "version 2 of the protocol, this program version 1: update",
    ),
    "refuses": (
        lambda: say(Greeting(VERSION, bytes(32)), Refused(1008, "you are \x1b[31mbanned")),
        ["--no-tls"],
        5,
        "you are ",
    ),
}


@pytest.mark.parametrize("kind", list(STRANGERS))
def test_something_else_at_the_port_is_told_in_one_line(tmp_path: Path, kind: str) -> None:
    make, options, code, words = STRANGERS[kind]
    with stage(tmp_path) as it, fake_server(make()) as address:
        client = it.call(address, *options)
        client.end_input()
        assert client.wait() == code
        assert words in last_line(client)
        assert address in last_line(client)
        assert "\x1b" not in client.err
        assert client.out == ""


@pytest.mark.parametrize(
    ("target", "words"),
    [("nowhere.invalid", "no such host"), ("a" * 64 + ".invalid", "no host name")],
)
def test_a_host_that_there_is_not(tmp_path: Path, target: str, words: str) -> None:
    with stage(tmp_path) as it:
        client = it.call(target)
        assert client.wait() == (3 if "such" in words else 2)
        assert words in last_line(client)


def test_a_port_where_nobody_listens(tmp_path: Path) -> None:
    with stage(tmp_path) as it, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = it.call(f"127.0.0.1:{unused.getsockname()[1]}/room")
        assert client.wait() == 3
        assert f"socketchat serve --port {unused.getsockname()[1]}" in last_line(client)


@pytest.mark.parametrize("options", [[], ["--no-tls"]], ids=str)
def test_a_server_that_never_answers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    impatient = functools.partial(connect, open_timeout=0.1)
    monkeypatch.setattr("socketchat.cli.calling.connect", impatient)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        asked = ("connect", target, "--data", str(tmp_path), *options)
        assert status(monkeypatch, *asked) == 3
        out, err = capfd.readouterr()
        assert out == ""
        assert err == (
            f"calling {target}\nsocketchat: cannot reach {target}: no answer in time; "
            "check the address, and that a firewall lets it through\n"
        )


def test_a_host_with_several_addresses_is_told_of_as_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    addresses = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert status(monkeypatch, "connect", "localhost:1", "--data", str(tmp_path)) == 3
    assert capfd.readouterr().err.splitlines()[1] == (
        "socketchat: cannot reach localhost:1: nobody listens there; "
        "start one with: socketchat serve --port 1"
    )


# Whom to trust


def test_a_key_is_remembered_and_another_stops_it_before_it_has_sent_anything(
    tmp_path: Path,
) -> None:
    received: list[bytes] = []
    with stage(tmp_path) as it:
        server = it.serve()
        known = tmp_path / "client" / "known_hosts"
        assert it.call(server.address, stdin=subprocess.DEVNULL).wait() == 0
        assert known.read_text() == f"{server.address} {server.key}\n"

        context = server_context(Identity.generate())

        def behave(caller: socket.socket) -> None:
            with context.wrap_socket(caller, server_side=True) as secure:
                secure.sendall(encode(Greeting(VERSION, bytes(32))))
                received.append(secure.recv(2**16))

        with fake_server(behave) as address:
            KnownHosts(known).add(address, server.key)
            client = it.call(address)
            client.write("secret\n")
            assert client.wait() == 4
            line = last_line(client)
            assert address in line
            assert "has changed" in line
            assert f"Line 2 of {known}" in line
        assert received in ([b""], [])


def test_a_fingerprint_that_is_right_is_enough_and_is_remembered(tmp_path: Path) -> None:
    known = tmp_path / "client" / "known_hosts"
    with stage(tmp_path) as it:
        server = it.serve()
        client = it.call(server.address, "--fingerprint", server.key, stdin=subprocess.DEVNULL)
        assert client.wait() == 0
        assert f"its key {server.key} is new here; it is remembered" in client.err
        assert known.read_text() == f"{server.address} {server.key}\n"
        for option in (["--trust", "strict"], ["--fingerprint", server.key]):
            again = it.call(server.address, *option, stdin=subprocess.DEVNULL)
            assert again.wait() == 0
            assert "is new here" not in again.err


def test_a_fingerprint_changes_nothing_of_a_host_that_is_known_by_another(tmp_path: Path) -> None:
    known = tmp_path / "client" / "known_hosts"
    with stage(tmp_path) as it:
        server = it.serve()
        line = f"{server.address} {Identity.generate().fingerprint}\n"
        known.parent.mkdir()
        known.write_text(line)
        client = it.call(server.address, "--fingerprint", server.key, stdin=subprocess.DEVNULL)
        assert client.wait() == 0
        assert known.read_text() == line


def test_a_fingerprint_that_is_wrong_stops_it(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        wrong = Identity.generate().fingerprint
        client = it.call(server.address, "--fingerprint", wrong)
        assert client.wait() == 4
        assert server.key in last_line(client)
        assert wrong in last_line(client)


def test_a_stranger_is_not_called_strictly(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = it.call(server.address, "--trust", "strict")
        assert client.wait() == 4
        assert f"say --fingerprint {server.key}" in last_line(client)
        assert it.call(server.address, stdin=subprocess.DEVNULL).wait() == 0
        strict = it.call(server.address, "--trust", "strict", stdin=subprocess.DEVNULL)
        assert strict.wait() == 0


def test_a_file_of_known_hosts_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        known = tmp_path / "client" / "known_hosts"
        known.mkdir(parents=True)
        client = it.call(server.address)
        assert client.wait() == 2
        assert str(known) in last_line(client)


def test_the_rest_of_ssl_is_told_as_what_it_is(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    identity = Identity.generate()
    path = tmp_path / "server.pem"
    path.write_bytes(identity.key + identity.certificate)
    context.load_cert_chain(path)

    def behave(caller: socket.socket) -> None:
        context.wrap_socket(caller, server_side=True).close()

    with stage(tmp_path) as it, fake_server(behave) as address:
        client = it.call(address)
        assert client.wait() == 3
        assert "not a socketchat server" in last_line(client)
