"""Claims about `socketchat.cli.connect`: a client as a process of its own, at pipes."""

from __future__ import annotations

import functools
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from socketchat import CloseCode
from socketchat.messages import Bye, encode
from socketchat.trust.device import Device
from tests.cli.processes import Piped, last_line, stage
from tests.cli.strangers import fake_server, take_and_never_acknowledge

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
        assert ada.err.splitlines() == [
            f"calling {server.address}",
            f"connected to {socket.gethostname()} ({server.address})",
            "-- here: bob",
        ]


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
        server = it.serve("--rate", "0", *options)
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
        assert ada.wait() == 6
        assert "the rest of the input was not sent" in last_line(ada)
        assert ada.objects[0] == {"type": "connected", "room": "tea", "nick": "ada"}
        key = Device.load_or_generate(tmp_path / "client").fingerprint
        assert ada.kinds("joined") == [
            {"type": "joined", "room": "tea", "from": "bob", "key": key, "address": ""}
        ]
        (message,) = ada.kinds("message")
        assert (message["from"], message["text"]) == ("bob", '"quoted" \x1b')
        (delivered,) = ada.kinds("delivered")
        assert {delivered["number"], message["number"]} == {1, 2}
        (disconnected,) = ada.kinds("disconnected")
        assert ada.objects[-1] == disconnected
        assert (disconnected["code"], disconnected["reason"]) == (1001, "the server is stopping")
        assert bob.kinds("message")[0]["text"] == "hello"
        assert "\x1b" not in ada.out
        assert ada.err.count("\n") == 4  # it calls, it is connected, the key is new; the end
        (present,) = bob.kinds("present")
        assert (present["names"], present["keys"]) == (["ada"], [key])


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
        assert bob.err.count("\n") <= 4


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
            server.until(lambda: head.poll() is not None or say_more(ada))
            out, err = head.communicate()
            assert out == b"ada: one\nada: two\n"
            assert err.count(b"\n") == 4
            assert b"no more of the input is sent" in err
        finally:
            head.kill()
            head.communicate()


def say_more(process: Piped) -> bool:
    process.write("more\n")
    return False


def test_nobody_reads_its_output_and_yet_it_can_be_ended(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--rate", "0")
        ada, bob = it.join(server.address, "ada"), it.join(server.address, "bob")
        bob.stop_reading()
        ada.write(("x" * 1000 + "\n") * 1000)
        ada.end_input()
        assert ada.wait() == 0
        # The first asks it to leave, which takes a while; the second to do so at once; one more
        # may come when it listens to none any more.
        it.until(lambda: bob.popen.poll() is not None or signal_again(bob))
        assert bob.popen.returncode in (128 + signal.SIGTERM, -signal.SIGTERM)


def signal_again(process: Piped) -> bool:
    process.signal(signal.SIGTERM)
    return False


# Inputs that cannot be sent


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"one\n\xff\xfe\nthree\n", "line 2 was not sent: it is not UTF-8"),
        (b"one\n" + b"x" * (2**20 + 1) + b"\nthree\n", "line 2 was not sent: it is longer"),
    ],
    ids=["utf8", "long"],
)
def test_a_line_that_cannot_be_sent_is_named_and_all_others_are_sent(
    tmp_path: Path, data: bytes, words: str
) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        bob = it.join(server.address, "bob")
        ada = it.join(server.address, "ada", "--json")
        ada.write(data)
        ada.end_input()
        assert ada.wait() == 5
        assert words in ada.err
        assert len(ada.kinds("delivered")) == 2
        bob.until(lambda: bob.lines == ["ada: one", "ada: three"])


# Links that are lost


def test_a_server_that_is_killed_and_comes_back_gets_what_was_typed_meanwhile(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        port = server.port
        ada = it.join(server.address, "ada", "--json")
        ada.write("before\n")
        ada.until(lambda: ada.kinds("delivered"))
        server.signal(signal.SIGKILL)
        ada.until(lambda: ada.kinds("disconnected"))
        ada.write("one\ntwo\n")
        ada.end_input()
        server = it.serve(port=port)
        assert ada.wait() == 0
        kinds = [value["type"] for value in ada.objects]
        assert kinds == [
            *("connected", "delivered", "disconnected", "connected"),
            *("delivered", "delivered"),
        ]
        assert [value["number"] for value in ada.kinds("delivered")] == [1, 2, 3]


def test_what_is_typed_while_the_link_is_lost_arrives_in_order(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        port = server.port
        ada, bob = it.join(server.address, "ada"), it.join(server.address, "bob")
        server.signal(signal.SIGTERM)
        server.wait()
        for client in (ada, bob):
            client.until(lambda client=client: "the link is lost" in client.err)  # type: ignore[misc]
        server = it.serve("--rate", "0", port=port)
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
        # Bob may have heard it before she knows.
        told = [line for line in ada.err.splitlines() if "not acknowledged yet" not in line]
        assert len(told) <= 3
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
    taken = threading.Event()
    keep = functools.partial(take_and_never_acknowledge, taken, b"")
    with stage(tmp_path) as it, fake_server(keep) as address:
        ada = it.join(address, "ada", "--no-tls")
        ada.write("hello\n")
        ada.until(taken.is_set)
        ada.signal(signal.SIGINT)
        ada.until(lambda: "1 line was not acknowledged" in ada.err)
        ada.signal(signal.SIGINT)
        assert ada.wait() == 130
        assert "socketchat:" not in ada.err


@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_a_goodbye_before_the_acknowledgement_is_no_success(
    tmp_path: Path, options: list[str]
) -> None:
    bye = encode(Bye(CloseCode.GOING_AWAY, "closing time"))
    behave = functools.partial(take_and_never_acknowledge, threading.Event(), bye)
    with stage(tmp_path) as it, fake_server(behave) as address:
        ada = it.call(address, "--no-tls", *options)
        ada.write("hello\n")
        ada.end_input()
        assert ada.wait() == 6
        assert "closing time" in last_line(ada)
        assert "1 line was not acknowledged" in last_line(ada)
        assert f"1 line is kept, and goes out when {address} is called as " in last_line(ada)


# Telling more


def test_more_is_said_to_who_asks_for_it(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        assert it.call(server.address, stdin=subprocess.DEVNULL).wait() == 0
        said = []
        for flags in ([], ["-v"], ["-vv"]):
            client = it.call(server.address, *flags, stdin=subprocess.DEVNULL)
            assert client.wait() == 0
            said.append(client.err)
        quiet, more, most = said
        assert quiet.count("\n") == 2
        assert "session closed" in more
        assert "selector" not in more
        assert "selector" in most


def test_a_new_key_is_told_once_however_much_is_said(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        for number, flags in enumerate(([], ["-v"], ["-vv"])):
            client = it.start(
                *("send", server.address, "--data", str(tmp_path / str(number)), "hello"), *flags
            )
            assert client.wait() == 0
            assert client.err.count(server.key) == 1
