"""Claims about `socketchat.cli.connect`: a client as a process of its own, at pipes."""

from __future__ import annotations

import functools
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from socketchat import CloseCode, Identity, connect
from socketchat.framing import FrameDecoder
from socketchat.messages import (
    VERSION,
    Bye,
    Greeting,
    Hello,
    Refused,
    TextPost,
    Welcome,
    WireMessage,
    decode,
    encode,
)
from socketchat.trust.known_hosts import KnownHosts
from socketchat.trust.tls import server_context
from tests.cli.processes import Piped, stage, status

# Talking


def test_each_line_of_stdin_is_sent_and_then_it_ends(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        bob = it.join(server.address, "bob")
        ada = it.call(server.address, "--nick", "ada")
        ada.write("one\n\n  grün 日本 \nlast")
        ada.end_input()
        assert ada.wait() == 0
        bob.until(lambda: len(bob.lines) == 4)
        assert bob.lines == ["ada: one", "ada: ", "ada:   grün 日本 ", "ada: last"]
        assert ada.out == ""
        assert ada.err == (
            f"calling {server.address}\nconnected to {socket.gethostname()} ({server.address})\n"
        )


def test_a_file_or_nothing_is_an_input_too(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        bob = it.join(server.address, "bob")
        path = tmp_path / "input"
        path.write_text("one\ntwo\n")
        with path.open() as file:
            assert it.call(server.address, "--nick", "ada", stdin=file).wait() == 0
        assert it.call(server.address, stdin=subprocess.DEVNULL).wait() == 0
        bob.until(lambda: len(bob.lines) == 2)
        assert bob.lines == ["ada: one", "ada: two"]


@pytest.mark.parametrize("options", [[], ["--no-tls"]], ids=str)
def test_two_say_as_much_as_they_can_and_nothing_is_lost(
    tmp_path: Path, options: list[str]
) -> None:
    with stage(tmp_path) as it:
        server = it.serve(*options)
        ada, bob = (it.join(server.address, nick, *options) for nick in ("ada", "bob"))
        count = 20_000
        ada.write("".join(f"line {number} of ada\n" for number in range(count)))
        bob.write("".join(f"line {number} of bob\n" for number in range(count)))
        it.until(lambda: ada.out.count("\n") >= count and bob.out.count("\n") >= count)
        assert ada.lines == [f"bob: line {number} of bob" for number in range(count)]
        assert bob.lines == [f"ada: line {number} of ada" for number in range(count)]
        for client in (ada, bob):
            client.end_input()
            assert client.wait() == 0
            assert "lost" not in client.err


def test_json_is_an_object_a_line(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = it.join(f"{server.address}/tea", "ada", "--json")
        bob = it.join(f"{server.address}/tea", "bob", "--json")
        ada.until(lambda: ada.kinds("joined"))
        ada.write("hello\n")
        bob.write('"quoted" \x1b\n')
        bob.until(lambda: bob.kinds("message") and bob.kinds("delivered"))
        ada.until(lambda: ada.kinds("message") and ada.kinds("delivered"))
        bob.end_input()
        bob.wait()
        ada.until(lambda: ada.kinds("left"))
        server.signal(signal.SIGINT)
        assert ada.wait() == 0
        assert ada.objects[0] == {"type": "connected", "room": "tea"}
        assert ada.kinds("joined") == [
            {"type": "joined", "room": "tea", "from": "bob", "address": ""}
        ]
        (message,) = ada.kinds("message")
        assert (message["from"], message["text"]) == ("bob", '"quoted" \x1b')
        (delivered,) = ada.kinds("delivered")
        assert delivered["number"] == 1
        (disconnected,) = ada.kinds("disconnected")
        assert ada.objects[-1] == disconnected
        assert (disconnected["code"], disconnected["reason"]) == (1001, "the server is stopping")
        assert bob.kinds("message")[0]["text"] == "hello"
        assert "\x1b" not in ada.out
        assert ada.err.count("\n") == 2


# Outputs that end early


def test_who_has_read_enough_ends_it(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada, bob = it.join(server.address, "ada"), it.join(server.address, "bob")
        ada.write("one\n")
        bob.until(lambda: bob.lines)
        bob.close_output()
        ada.write("two\n")
        assert bob.wait() == 0
        assert bob.err.count("\n") <= 3


def test_a_pipe_to_head_ends(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = it.join(server.address, "ada")
        command = f'"$0" -m socketchat connect {server.address} --data client | head -n 2'
        head = subprocess.Popen(
            ["/bin/sh", "-c", command, sys.executable],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=it.environment,
            cwd=tmp_path,
        )
        try:
            ada.until(lambda: "online" in ada.err)
            ada.write("one\ntwo\nthree\n")
            server.until(lambda: server.err.count("online") == 2)
            ada.until(lambda: head.poll() is not None or ada.write("more\n"))
            out, err = head.communicate()
            assert out == b"ada: one\nada: two\n"
            assert err.count(b"\n") == 2
        finally:
            head.kill()
            head.communicate()


def test_nobody_reads_its_output_and_yet_it_can_be_ended(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada, bob = it.join(server.address, "ada"), it.join(server.address, "bob")
        bob.stop_reading()
        ada.write("x" * 1000 + "\n" * 1 + ("y" * 1000 + "\n") * 1000)
        ada.end_input()
        assert ada.wait() == 0
        bob.signal(signal.SIGTERM)
        bob.signal(signal.SIGTERM)
        assert bob.popen.wait(60) == 128 + signal.SIGTERM


# Inputs that cannot be sent


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"one\n\xff\xfe\nthree\n", "line 2 of the input is not UTF-8"),
        (b"one\n" + b"x" * (2**20 + 1) + b"\nthree\n", "line 2 of the input is longer"),
    ],
    ids=["utf8", "long"],
)
def test_a_line_that_cannot_be_sent_is_named_and_those_before_it_are_sent(
    tmp_path: Path, data: bytes, words: str
) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        bob = it.join(server.address, "bob")
        ada = it.join(server.address, "ada", "--json")
        ada.write(data)
        assert ada.wait() == 2
        assert words in last_line(ada)
        assert len(ada.kinds("delivered")) == 1
        bob.until(lambda: bob.lines == ["ada: one"])


def last_line(process: Piped) -> str:
    """Return the error of a process: its last line on stderr, and the only one."""
    lines = process.err.splitlines()
    errors = [line for line in lines if line.startswith("socketchat: ")]
    assert errors == lines[-1:], process.err
    assert all(line.startswith(("calling", "connected", "-- ")) for line in lines[:-1])
    return errors[0]


# Servers that cannot be reached


Behaviour = Callable[[socket.socket], object]


@contextmanager
def fake_server(behave: Behaviour) -> Iterator[str]:
    """Let something else listen; `behave` is called with each caller, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            with caller, suppress(OSError):
                caller.settimeout(60)
                behave(caller)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


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
        "you are ␛[31mbanned",
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
        assert "socketchat serve" in last_line(client)


@pytest.mark.parametrize("options", [[], ["--no-tls"]], ids=str)
def test_a_server_that_never_answers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    impatient = functools.partial(connect, open_timeout=0.1)
    monkeypatch.setattr("socketchat.cli.connect.connect", impatient)
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
            assert f"line 2 of {known}" in line
        assert received in ([b""], [])


def test_a_fingerprint_that_is_right_is_enough(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = it.call(server.address, "--fingerprint", server.key, stdin=subprocess.DEVNULL)
        assert client.wait() == 0
        assert not (tmp_path / "client").exists()


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
        assert server.key in last_line(client)
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
        known.rmdir()
        known.write_bytes(b"\xff\xfe\n")
        client = it.call(server.address)
        assert client.wait() == 2
        assert str(known) in last_line(client)


# Links that are lost


def test_a_server_that_is_killed_and_comes_back_gets_what_was_typed_meanwhile(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        port = server.port
        ada = it.join(server.address, "ada")
        ada.write("before\n")
        server.until(lambda: "ada" in server.err)
        server.signal(signal.SIGKILL)
        ada.until(lambda: "the link is lost" in ada.err)
        ada.write("one\ntwo\n")
        ada.end_input()
        server = it.serve(port=port)
        bob = it.join(server.address, "bob")
        code = ada.wait()
        assert "the link is back" in ada.err
        assert code == 0
        assert bob.lines in ([], ["ada: one", "ada: two"])
        assert server.err.count("ada (") == 2


def test_what_is_typed_while_the_link_is_lost_arrives_in_order(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        port = server.port
        ada, bob = it.join(server.address, "ada"), it.join(server.address, "bob")
        server.signal(signal.SIGTERM)
        server.wait()
        for client in (ada, bob):
            client.until(lambda client=client: "the link is lost" in client.err)  # type: ignore[misc]
        server = it.serve(port=port)
        bob.until(lambda: "the link is back" in bob.err)
        ada.until(lambda: "the link is back" in ada.err)
        ada.write("".join(f"{number}\n" for number in range(100)))
        bob.until(lambda: len(bob.lines) == 100)
        assert bob.lines == [f"ada: {number}" for number in range(100)]


def test_without_reconnecting_the_lost_link_is_the_end(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = it.join(server.address, "ada", "--no-reconnect")
        bob = it.join(server.address, "bob", "--no-reconnect", "--json")
        server.signal(signal.SIGKILL)
        assert ada.wait() == bob.wait() == 3
        for client in (ada, bob):
            assert server.address in last_line(client)
            assert "the session is over: the link broke" in last_line(client)
        (disconnected,) = bob.kinds("disconnected")
        assert disconnected["code"] == 1006


def test_a_server_that_comes_back_with_another_key_is_not_trusted(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        port = server.port
        ada = it.join(server.address, "ada")
        server.signal(signal.SIGTERM)
        server.wait()
        (tmp_path / "server" / "server.pem").unlink()
        it.serve(port=port)
        assert ada.wait() == 4
        assert "has changed" in last_line(ada)


# Leaving


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_once_all_is_acknowledged(tmp_path: Path, number: signal.Signals) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        bob = it.join(server.address, "bob")
        ada = it.join(server.address, "ada")
        ada.write("hello\n")
        bob.until(lambda: bob.lines == ["ada: hello"])
        ada.signal(number)
        assert ada.wait() == 128 + number
        assert ada.err.count("\n") <= 3
        bob.until(lambda: "ada left" in bob.err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_it_calls(tmp_path: Path, number: signal.Signals) -> None:
    with stage(tmp_path) as it, socket.create_server(("127.0.0.1", 0)) as listener:
        client = it.call(f"127.0.0.1:{listener.getsockname()[1]}")
        caller, _ = listener.accept()
        with caller:
            client.signal(number)
            assert client.wait() == 128 + number
            assert client.err.count("\n") == 1


def test_a_second_signal_waits_for_no_acknowledgement(tmp_path: Path) -> None:
    with stage(tmp_path) as it, fake_server(take_and_never_acknowledge) as address:
        ada = it.join(address, "ada", "--no-tls")
        ada.write("hello\n")
        ada.signal(signal.SIGINT)
        ada.until(lambda: "1 line was not acknowledged" in ada.err)
        ada.signal(signal.SIGINT)
        assert ada.wait() == 130
        assert "socketchat:" not in ada.err


def take_and_never_acknowledge(caller: socket.socket, *last: WireMessage) -> None:
    """Let a client in, take its first post, and say some last words."""
    frames = FrameDecoder(2**20)
    caller.sendall(encode(Greeting(VERSION, bytes(32))))
    while data := caller.recv(2**16):
        for message in map(decode, frames.frames(data)):
            if isinstance(message, Hello):
                caller.sendall(encode(Welcome(bytes(16), 0, message.nick)))
                frames.max_size = 2**20
            if isinstance(message, TextPost):
                caller.sendall(b"".join(map(encode, last)))


@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_a_goodbye_before_the_acknowledgement_is_no_success(
    tmp_path: Path, options: list[str]
) -> None:
    farewell = functools.partial(
        take_and_never_acknowledge_but_say_bye, code=CloseCode.GOING_AWAY, reason="closing time"
    )
    with stage(tmp_path) as it, fake_server(farewell) as address:
        ada = it.call(address, "--no-tls", *options)
        ada.write("hello\n")
        ada.end_input()
        assert ada.wait() == 6
        assert "closing time" in last_line(ada)
        assert "1 line was not acknowledged" in last_line(ada)


def take_and_never_acknowledge_but_say_bye(
    caller: socket.socket, code: int, reason: str
) -> None:
    take_and_never_acknowledge(caller, Bye(code, reason))


# Telling more


def test_more_is_said_to_who_asks_for_it(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        said = []
        for flags in ([], ["-v"], ["-vv"]):
            client = it.call(server.address, *flags, stdin=subprocess.DEVNULL)
            assert client.wait() == 0
            said.append(client.err)
        quiet, more, most = said
        assert "socketchat" not in quiet.replace(str(tmp_path), "")
        assert "is remembered" not in quiet
        assert "session closed" in more
        assert "selector" not in more
        assert "selector" in most


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
