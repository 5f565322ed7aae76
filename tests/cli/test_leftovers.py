"""Claims about `socketchat.cli.leftovers`: what a killed client had still to say is said, once."""

from __future__ import annotations

import functools
import signal
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from socketchat import Device, Joined, Message, Session, connect
from socketchat import Server as SocketServer
from socketchat import serve as listen
from socketchat.chat import ChatServer
from socketchat.cli import delivery
from socketchat.cli.calling import Call
from socketchat.cli.leftovers import send_leftovers
from socketchat.file_outbox import FileOutbox
from socketchat.lanes import Lanes
from socketchat.options import Options
from tests.cli.processes import Piped, Server, Stage, Terminal, last_line, stage, status
from tests.cli.strangers import fake_server, take_and_never_acknowledge


def killed_with(it: Stage, server: Server, *lines: str) -> None:
    """Kill a server, have a client take lines that it cannot deliver, and kill that too."""
    client = it.open_terminal(
        *("connect", server.address, "--data", str(it.folder / "client"), "--nick", "ada")
    )
    client.shows(">>")
    kill(server)
    client.shows("the link is lost")
    for line in lines:
        client.write(line + "\r")
        client.shows(f"… {line[:20]}")
    kill(client)


def kill(process: Server | Terminal) -> None:
    process.signal(signal.SIGKILL)
    process.wait()


def ada(it: Stage, server: Server) -> Piped:
    """Start a client once more, without anything new to say, and wait until it has ended."""
    client = it.call(server.address, "--nick", "ada", "--history", "0")
    client.end_input()
    client.wait()
    return client


def said(it: Stage, server: Server) -> list[str]:
    """Return all that is in the room."""
    reader = it.start("tail", server.address, "--no-follow", "--json")
    assert reader.wait() == 0
    return [value["text"] for value in reader.kinds("message")]


def test_what_was_shown_as_waiting_when_the_client_was_killed_is_sent_once_by_the_next(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        killed_with(it, server, "first", "second", "third")
        server = it.serve(port=server.port)
        client = ada(it, server)
        assert client.popen.returncode == 0
        assert "-- 3 lines from last time were sent\n" in client.err
        assert client.err.count("calling") == client.err.count("connected") == 1
        assert "from last time" not in ada(it, server).err
        assert said(it, server) == ["first", "second", "third"]
        assert not list((tmp_path / "client" / "outbox").iterdir())


def test_it_comes_before_what_the_next_one_says(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        killed_with(it, server, "first")
        server = it.serve(port=server.port)
        client = it.start(
            "send", server.address, "--data", str(tmp_path / "client"), "--nick", "ada", "second"
        )
        assert client.wait() == 0
        assert "-- 1 line from last time was sent\n" in client.err
        assert said(it, server) == ["first", "second"]


def test_it_stays_as_long_as_the_server_cannot_be_reached(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        killed_with(it, server, "first", "second")
        for _ in range(2):
            client = ada(it, server)
            assert client.popen.returncode == 3
            words = "nobody listens there; start one with: socketchat serve --port"
            assert words in last_line(client)
            assert (
                f"2 lines are kept, and go out when {server.address} is called as ada again"
                in last_line(client)
            )
        assert "2 lines from last time were sent" in ada(it, it.serve(port=server.port)).err


def test_it_is_not_sent_to_another_room_nor_said_by_another(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        killed_with(it, server, "first")
        server = it.serve(port=server.port)
        others = it.call(f"{server.address}/tea", "--nick", "ada"), it.call(server.address)
        for client in others:
            client.end_input()
            assert client.wait() == 0
            assert "from last time" not in client.err
        assert "1 line from last time was sent" in ada(it, server).err


def test_what_is_refused_is_told_with_the_reason_and_not_tried_again(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        killed_with(it, server, "first", "x" * 20_000)
        server = it.serve(port=server.port)
        client = ada(it, server)
        assert client.popen.returncode == 0
        assert "-- 1 line from last time was sent\n" in client.err
        assert "-- 1 line from last time was refused: a message has at most 16384" in client.err
        assert "from last time" not in ada(it, server).err
        assert said(it, server) == ["first"]


def test_a_crowd_in_the_room_does_not_hold_it_up(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        killed_with(it, server, *(f"line {number}" for number in range(3)))
        server = it.serve("--rate", "0", port=server.port)
        bob = it.join(server.address, "bob")
        bob.write("x\n" * 3000)
        assert "3 lines from last time were sent" in ada(it, server).err


def test_who_left_with_lines_unsent_is_told_and_the_next_start_sends_them(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        data = str(tmp_path / "client")
        client = it.open_terminal("connect", server.address, "--data", data, "--nick", "ada")
        client.shows(">>")
        kill(server)
        client.shows("the link is lost")
        client.write("meanwhile\r")
        client.shows("… meanwhile")
        client.write("\x04")
        assert client.wait() == 0
        client.shows("ada: meanwhile ✗ not confirmed", "-- 1 line is kept, and goes out when")
        assert "1 line from last time was sent" in ada(it, it.serve(port=server.port)).err


def test_who_leaves_a_pipe_while_the_link_is_lost_need_not_wait(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = it.join(server.address, "ada")
        kill(server)
        client.until(lambda: "the link is lost" in client.err)
        texts = ["first " + "x" * 10_000, "second " + "x" * 10_000]
        client.write("\n".join(texts) + "\n")
        (outbox,) = (tmp_path / "client" / "outbox").glob("*.outbox")
        client.until(lambda: outbox.stat().st_size > 20_000)
        client.signal(signal.SIGINT)
        assert client.wait() == 130
        assert client.err.endswith(
            f"-- 2 lines are kept, and go out when {server.address} is called as ada again\n"
        )
        server = it.serve(port=server.port)
        ada(it, server)
        assert said(it, server) == texts


def test_what_is_not_acknowledged_in_time_is_kept_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE", 0.1)
    keep = functools.partial(take_and_never_acknowledge, threading.Event(), b"")
    with fake_server(keep) as address:
        for text in ("first", "second"):
            asked = ("send", address, "--no-tls", "--nick", "ada", "--data", str(tmp_path), text)
            assert status(monkeypatch, *asked) == 6
    err = capfd.readouterr().err
    assert (
        "-- 1 line from last time was not sent: no sign of it in 0.1 s; "
        f"1 line is kept, and goes out when {address} is called as ada again\n"
    ) in err
    assert len(list((tmp_path / "outbox").glob("*.outbox"))) == 2


def test_a_damaged_file_is_told_of_and_does_no_harm(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        killed_with(it, server, "first")
        (file,) = (tmp_path / "client" / "outbox").glob("*.outbox")
        file.write_bytes(b"garbage" * 1000)
        server = it.serve(port=server.port)
        client = ada(it, server)
        assert client.popen.returncode == 0
        assert f"{file} is damaged" in client.err
        assert "damaged" not in ada(it, server).err


def test_a_signal_while_it_is_sent_leaves_it_where_it_is(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        killed_with(it, server, "first")
        taken = threading.Event()
        keep = functools.partial(take_and_never_acknowledge, taken, b"")
        file, journal = sorted((tmp_path / "client" / "outbox").iterdir())
        assert journal.name == file.name + "-journal"
        # Another server at the same place, which does not acknowledge.
        with fake_server(keep, server.port):
            client = it.call(server.address, "--no-tls", "--nick", "ada")
            client.until(taken.is_set)
            client.signal(signal.SIGINT)
            assert client.wait() == 130
        assert file.exists()


def test_who_leaves_a_server_that_does_not_answer_waits_once(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        data = str(tmp_path / "client")
        client = it.open_terminal("connect", server.address, "--data", data, "--nick", "ada")
        client.shows(">>")
        server.signal(signal.SIGSTOP)
        client.write("meanwhile\r")
        client.shows("… meanwhile")
        client.write("\x04")
        client.shows("ada: meanwhile ✗ not confirmed")
        since = time.monotonic()
        assert client.wait() == 0
        assert time.monotonic() - since < (Options().close_timeout or 0) / 2
        client.shows("-- 1 line is kept, and goes out when")
        server.signal(signal.SIGCONT)
        ada(it, server)
        assert said(it, server) == ["meanwhile"]


def test_what_is_piped_in_while_nobody_listens_is_kept(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        kill(server)
        client = it.call(server.address, "--nick", "ada")
        client.write("one\ntwo\n")
        client.end_input()
        assert client.wait() == 3
        assert "2 lines are kept, and go out when" in last_line(client)
        killed = it.call(server.address, "--nick", "ada")
        killed.write("three\n")
        killed.end_input()
        assert killed.wait() == 3
        assert "3 lines are kept, and go out when" in last_line(killed)
        server = it.serve(port=server.port)
        ada(it, server)
        assert said(it, server) == ["one", "two", "three"]


class CallWithKey:
    """A call as `leftovers.py` needs it, by a device that has a key."""

    label = "ada@here/"
    kept = 0

    def __init__(self, outboxes: Path, server: SocketServer) -> None:
        self.outboxes = outboxes
        self._server = server
        self._device = Device.generate()

    async def open(self, *, outbox: FileOutbox | None = None) -> Session:
        address, port = "127.0.0.1", self._server.port
        trust = self._server.fingerprint
        return await connect(
            address, port, nick="ada", trust=trust, device=self._device, outbox=outbox
        )


@pytest.mark.may_block("outboxes are opened")
async def test_others_do_not_see_that_it_went_out_over_another_session(tmp_path: Path) -> None:
    outbox = FileOutbox.create(tmp_path, CallWithKey.label, 10, 2**20)
    Lanes(outbox.lane, outbox).post("from last time", 0)
    outbox.close()
    async with listen(ChatServer(), "127.0.0.1", 0) as server:
        trust = server.fingerprint
        async with connect("127.0.0.1", server.port, nick="bob", trust=trust) as bob:
            call = CallWithKey(tmp_path, server)
            await send_leftovers(cast("Call", call))
            async with await call.open() as session:
                await session.send("hello")
                seen = []
                async for event in bob.events():
                    seen.append(event)
                    if isinstance(event, Message) and event.text == "hello":
                        break
    assert [type(event) for event in seen] == [Joined, Message, Message]
