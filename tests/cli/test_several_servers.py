"""Claims about a `TARGET` of several servers: where one is, and that what is kept goes out.

The servers here have a log each, so that to come to another one is a restart. What servers have
that share a log is claimed in `tests/test_failover.py`.
"""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.cli.processes import Server, Stage, last_line, stage


def both(it: Stage) -> tuple[Server, Server]:
    return it.serve(), it.serve(data="second")


def test_who_loses_a_server_is_told_at_which_it_is_then(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        first, second = both(it)
        target = f"{first.address},{second.address}/tea"
        ada = it.join(target, "ada")
        bob = it.join(target, "bob", "--json")
        assert f"calling {target}\n" in ada.err
        assert f", at {first.address} (" in ada.err
        first.signal(signal.SIGKILL)
        ada.until(lambda: f"-- the link is back, at {second.address}\n" in ada.err)
        bob.until(lambda: len(bob.kinds("connected")) == 2)
        assert bob.kinds("connected")[1] == {
            "type": "connected",
            "room": "tea",
            "nick": "bob",
            "server": second.address,
        }
        ada.write("hello\n")
        bob.until(lambda: bob.kinds("message"))
        assert bob.kinds("message")[0]["text"] == "hello"


def test_the_first_server_that_is_there_is_the_one(tmp_path: Path) -> None:
    with stage(tmp_path) as it, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = it.serve()
        target = f"127.0.0.1:{unused.getsockname()[1]},{server.address}/tea"
        asked = ("--nick", "ada", "--data", str(tmp_path / "client"))
        assert it.start("send", target, "hello", *asked).wait() == 0
        reader = it.start("tail", target, "--no-follow", *asked)
        assert reader.wait() == 0
        assert reader.out == "ada: hello\n"
        assert f"at {server.address} (" in reader.err


def test_what_is_kept_for_several_goes_out_at_any_of_them_in_whichever_order(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{unused.getsockname()[1]}"
        server = it.serve()
        server.signal(signal.SIGKILL)
        server.wait()
        asked = ("--nick", "ada", "--data", str(tmp_path / "client"))
        client = it.start("send", f"{server.address},{dead}/tea", "hello", *asked)
        assert client.wait() == 3
        assert f"cannot reach {server.address},{dead}/tea: nobody listens" in last_line(client)
        assert "1 line is kept, and goes out when 127.0.0.1:" in last_line(client)
        server = it.serve(port=server.port)
        again = it.start("send", f"{dead},{server.address}/tea", "again", *asked)
        assert again.wait() == 0
        assert "-- 1 line from last time was sent\n" in again.err
        reader = it.start("tail", f"{server.address}/tea", "--no-follow", *asked)
        assert reader.wait() == 0
        assert reader.out == "ada: hello\nada: again\n"


def test_an_invite_to_several_is_redeemed_at_the_one_that_has_made_it(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        first, second = it.serve("--private"), it.serve(data="second")
        also = ("--also", f"{second.address}={second.key}")
        made = it.start("invite", "--data", str(tmp_path / "server"), "--room", "tea", *also)
        assert made.wait() == 0
        ada = it.join(made.lines[0], "ada", env={"SOCKETCHAT_TRUST": "strict"})
        assert f", at {first.address} (" in ada.err
        first.signal(signal.SIGKILL)
        ada.until(lambda: f"-- the link is back, at {second.address}\n" in ada.err)
        ada.end_input()
        assert ada.wait() == 0
