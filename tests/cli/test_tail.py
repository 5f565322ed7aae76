"""Claims about `socketchat.cli.tail`: what was said in a room, and what is said."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.processes import Piped, Server, Stage, stage


def tail(it: Stage, server: Server, *options: str) -> Piped:
    return it.start("tail", server.address, "--data", str(it.folder / "client"), *options)


def say(it: Stage, server: Server, text: str) -> Piped:
    """Say something in the room, and stay there."""
    ada = it.join(server.address, "ada", "--json")
    ada.write(text)
    ada.until(lambda: len(ada.kinds("delivered")) == text.count("\n"))
    return ada


def test_it_begins_with_what_was_said_and_goes_on_until_it_is_stopped(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = say(it, server, "one\ntwo\nthree\n")
        reader = tail(it, server, "--history", "2")
        reader.until(lambda: len(reader.lines) == 2)
        ada.write("four\n")
        reader.until(lambda: reader.lines == ["ada: two", "ada: three", "ada: four"])
        reader.signal(signal.SIGINT)
        assert reader.wait() == 130


def test_without_following_it_ends_with_what_was_said(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        say(it, server, "one\ntwo\n")
        readers = [
            tail(it, server, "--no-follow"),
            tail(it, server, "--no-follow", "--history", "0"),
            tail(it, server, "--no-follow", "--since", "1h", "--json"),
            tail(it, server, "--no-follow", "--since", "2100-01-01"),
        ]
        assert [reader.wait() for reader in readers] == [0, 0, 0, 0]
        assert [reader.out for reader in readers[:2]] == ["ada: one\nada: two\n", ""]
        messages = readers[2].kinds("message")
        assert [value["text"] for value in messages] == ["one", "two"]
        assert all(value["replayed"] for value in messages)
        assert readers[3].out == ""


def test_it_says_nothing_and_needs_no_outbox(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        assert tail(it, server, "--no-follow").wait() == 0
        assert not (tmp_path / "client" / "outbox").exists()


def test_what_was_meant_for_others_does_not_hold_it_up(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        say(it, server, "one\n")
        it.join(server.address, "bob")
        secret = it.start("send", server.address, "--to", "bob", "psst")
        assert secret.wait() == 0
        reader = tail(it, server, "--no-follow", "--data", str(tmp_path / "another device"))
        assert reader.wait() == 0
        assert reader.lines == ["ada: one"]


def test_it_reads_no_input_and_ends_with_its_reader(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = say(it, server, "one\ntwo\nthree\n")
        command = f'"$0" -m socketchat tail {server.address} --data client | head -n 2'
        head = subprocess.Popen(
            ["/bin/sh", "-c", command, sys.executable],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=it.environment,
            cwd=tmp_path,
        )
        try:
            server.until(lambda: head.poll() is not None or say_more(ada))
            out, err = head.communicate()
        finally:
            head.kill()
            head.communicate()
        assert out == b"ada: one\nada: two\n"
        assert b"input" not in err


def test_it_ends_with_its_reader_though_nobody_says_more(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        say(it, server, "one\ntwo\n")
        reader = tail(it, server, "--history", "50")
        reader.until(lambda: reader.lines == ["ada: one", "ada: two"])
        reader.close_output()
        assert reader.wait() == 0


def say_more(process: Piped) -> bool:
    process.write("more\n")
    return False


def test_it_follows_through_a_restart(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = say(it, server, "one\n")
        reader = tail(it, server)
        reader.until(lambda: reader.lines == ["ada: one"])
        server.signal(signal.SIGKILL)
        reader.until(lambda: "the link is lost" in reader.err)
        it.serve(port=server.port)
        ada.write("two\n")
        reader.until(lambda: reader.lines == ["ada: one", "ada: two"])
        assert "the link is back" in reader.err
