"""Claims about `socketchat.cli.send`: something is said, and it is there when the command ends."""

from __future__ import annotations

import functools
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from socketchat import CloseCode
from socketchat.cli import delivery
from socketchat.messages import Bye, encode
from tests.cli.processes import Piped, Stage, last_line, stage, status
from tests.cli.strangers import fake_server, take_and_never_acknowledge


def send(it: Stage, target: str, *arguments: str, text: str = "", nick: str = "ada") -> Piped:
    """Run `send` to its end."""
    data = ["--data", str(it.folder / "client"), "--nick", nick]
    process = it.start("send", *data, target, *arguments)
    process.write(text)
    process.end_input()
    process.wait()
    return process


def test_a_text_or_each_line_of_stdin_is_in_the_room_when_it_ends(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        one = send(it, server.address, "hello,", "room", text="not read\n")
        two = send(it, server.address, text="/quit\n\nlast")
        assert (one.popen.returncode, two.popen.returncode) == (0, 0)
        assert one.out == two.out == ""
        assert not list((tmp_path / "client" / "outbox").iterdir())
        bob = it.join(server.address, "bob")
        bob.until(lambda: len(bob.lines) == 4)
        assert bob.lines == ["ada: hello, room", "ada: /quit", "ada: ", "ada: last"]


def test_it_may_be_for_one_alone(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        bob = it.join(server.address, "bob")
        eve = it.join(server.address, "eve", "--json", "--data", str(tmp_path / "eve's"))
        assert send(it, server.address, "--to", "bob", "psst").popen.returncode == 0
        assert send(it, server.address, "hello").popen.returncode == 0
        bob.until(lambda: bob.lines == ["ada → bob: psst", "ada: hello"])
        eve.until(lambda: eve.kinds("message"))
        assert [value["text"] for value in eve.kinds("message")] == ["hello"]


def test_what_is_refused_is_5_and_the_rest_is_sent(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        process = send(it, server.address, "--json", text="one\n" + "x" * 20_000 + "\nthree\n")
        assert process.popen.returncode == 5
        assert [value["number"] for value in process.kinds("delivered")] == [1, 2]
        (rejected,) = process.kinds("rejected")
        assert (rejected["line"], rejected["number"], rejected["code"]) == (2, 2, 1009)
        assert "at most 16384 bytes" in rejected["reason"]
        assert "-- line 2 was not sent: a message has at most" in process.err
        nobody = send(it, server.address, "--to", "nobody", "psst")
        assert nobody.popen.returncode == 5
        assert "-- not sent: nobody here is called 'nobody'\n" in nobody.err


def test_a_room_that_is_full_of_talk_does_not_hold_it_up(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--rate", "0")
        bob = it.join(server.address, "bob")
        text = "".join(f"{'x' * 1000} {number}\n" for number in range(5000))
        bob.write(text)
        process = send(it, server.address, text="".join(f"{n}\n" for n in range(2000)), nick="ada")
        assert process.popen.returncode == 0
        assert process.out == ""
        bob.until(lambda: bob.out.count("\n") == 2000)


def test_what_is_not_acknowledged_in_time_is_6_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE", 0.1)
    keep = functools.partial(take_and_never_acknowledge, threading.Event(), b"")
    with fake_server(keep) as address:
        asked = ("send", address, "--no-tls", "--nick", "ada", "--data", str(tmp_path), "hello")
        assert status(monkeypatch, *asked) == 6
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == (
        "socketchat: 1 line was not acknowledged: no sign of it in 0.1 s; "
        f"1 line is kept, and goes out when {address} is called as ada again"
    )
    assert len(list((tmp_path / "outbox").glob("*.outbox"))) == 1


def test_a_goodbye_before_the_acknowledgement_is_no_success(tmp_path: Path) -> None:
    bye = encode(Bye(CloseCode.GOING_AWAY, "closing time"))
    behave = functools.partial(take_and_never_acknowledge, threading.Event(), bye)
    with stage(tmp_path) as it, fake_server(behave) as address:
        process = send(it, address, "--no-tls", "hello")
        assert process.popen.returncode == 6
        assert "closing time" in last_line(process)
        assert "1 line is kept" in last_line(process)


def test_an_outbox_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        (tmp_path / "client").mkdir()
        (tmp_path / "client" / "outbox").write_text("not a directory")
        process = send(it, server.address, "hello")
        assert process.popen.returncode == 2
        assert last_line(process).count(str(tmp_path / "client" / "outbox")) == 1
        assert "--data" in last_line(process)


def test_nothing_to_say_is_nothing_wrong(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        process = it.start("send", server.address, stdin=subprocess.DEVNULL)
        assert process.wait() == 0


# The server cannot be reached


def free_address() -> str:
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_what_is_said_while_nobody_listens_is_kept_and_goes_out_in_order(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        address = free_address()
        one = send(it, address, "one")
        more = send(it, address, text="two\n\nfour\n")
        secret = send(it, address, "--to", "ada", "five")
        assert [process.popen.returncode for process in (one, more, secret)] == [3, 3, 3]
        again = f"when {address} is called as ada again"
        assert "nobody listens there" in last_line(one)
        assert last_line(one).endswith(f"; 1 line is kept, and goes out {again}")
        assert last_line(more).endswith(f"; 4 lines are kept, and go out {again}")
        server = it.serve(port=int(address.rpartition(":")[2]))
        last = send(it, address, "six")
        assert last.popen.returncode == 0
        assert "-- 5 lines from last time were sent\n" in last.err
        reader = it.start("history", "--data", str(tmp_path / "server"), stdin=subprocess.DEVNULL)
        assert reader.wait() == 0
        assert [line[17:] for line in reader.lines] == [
            *("ada: one", "ada: two", "ada: ", "ada: four", "ada → ada: five", "ada: six"),
        ]
        assert server.popen.poll() is None


def test_lines_that_cannot_be_kept_are_named_and_all_others_are_kept(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        process = it.start("send", free_address(), "--nick", "ada", "--data", str(tmp_path))
        process.write(b"one\n\xff\n" + b"x" * 2**20 + b"\nfour\n")
        process.end_input()
        assert process.wait() == 3
        assert "-- line 2 is not kept: it is not UTF-8" in process.err
        assert "-- line 3 is not kept: the message takes" in process.err
        assert "2 lines are kept" in last_line(process)
        assert "the rest of the input" not in process.err


def test_an_input_that_goes_on_is_not_waited_for(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        process = it.start("send", free_address(), "--nick", "ada", "--data", str(tmp_path))
        process.write("one\ntwo\n")
        assert process.wait() == 3
        assert "-- the rest of the input is not kept\n" in process.err
        assert "2 lines are kept" in last_line(process)


def test_more_than_an_outbox_holds_is_told_of(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        process = send(it, free_address(), text="x\n" * 5000)
        assert "-- the rest of the input is not kept\n" in process.err
        assert "4,096 lines are kept" in last_line(process)


def test_a_server_that_is_not_trusted_gets_nothing_later_either(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        wrong = f"SHA256:{'A' * 43}"
        process = send(it, server.address, "--fingerprint", wrong, "hello")
        assert process.popen.returncode == 4
        assert not list((tmp_path / "client" / "outbox").iterdir())


# Lines that wait for others


def test_lines_that_wait_for_another_call_are_mentioned_at_the_next_one(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        address = free_address()
        port = address.rpartition(":")[2]
        send(it, f"LOCALHOST:{port}", "one")
        send(it, address, "two", nick="bob")
        it.serve(port=int(port))
        process = send(it, address, "three")
        assert process.popen.returncode == 0
        assert (
            f"-- 1 line waits until localhost:{port} is called as ada; "
            f"1 line waits until {address} is called as bob\n"
        ) in process.err
        assert "-- 1 line from last time was sent" in send(it, f"LocalHost:{port}", "four").err
