"""Claims about `serve --metrics` and `--log-json`, with a server as a process of its own."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.cli.pages import ask, figure, port_of
from tests.cli.processes import Piped, Server, Stage, stage


def say(it: Stage, server: Server, nick: str, *lines: str) -> None:
    process = it.start(
        *("send", server.address, *lines, "--nick", nick, "--data", str(it.folder / nick))
    )
    assert process.wait() == 0


def test_a_server_shows_its_figures(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--metrics", ":0")
        assert "there is neither TLS nor a key" not in server.err
        ada, bob = it.join(server.address, "ada"), it.join(server.address, "bob")
        server.until(lambda: figure(server, "members") == 2)
        ada.write("one\ntwo\n")
        bob.until(lambda: bob.lines == ["ada: one", "ada: two"])
        assert figure(server, "messages_total") == 2
        assert figure(server, "deliveries_total") == 4
        assert 1 <= figure(server, "commits_total") <= 2
        assert figure(server, "commit_seconds_sum") > 0
        assert figure(server, "healthy") == 1
        assert ask(port_of(server), "/healthz") == (200, "ok\n")
        assert ask(port_of(server), "/")[0] == 404
        for client in (ada, bob):
            client.end_input()
            assert client.wait() == 0
        server.until(lambda: figure(server, "sessions") == 0)


def test_callers_that_are_turned_away_are_counted(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--metrics", ":0", "--private")
        caller = it.call(server.address)
        caller.end_input()
        assert caller.wait() == 5
        _, page = ask(port_of(server), "/metrics")
        assert '\nsocketchat_refusals_total{reason="not_admitted"} 1\n' in page


def test_who_shows_them_to_others_is_told_so(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--metrics", "0.0.0.0:0")
        assert "-- whoever can call that port can read them" in server.err
        (port,) = re.findall(r"metrics at http://0\.0\.0\.0:(\d+)/metrics", server.err)
        assert ask(int(port), "/healthz") == (200, "ok\n")


def test_a_port_that_is_taken_is_an_error_before_anybody_is_let_in(tmp_path: Path) -> None:
    with stage(tmp_path) as it, socket.create_server(("127.0.0.1", 0)) as taken:
        metrics = f"127.0.0.1:{taken.getsockname()[1]}"
        data = ("--port", "0", "--data", str(tmp_path / "server"))
        server = it.start("serve", "--headless", *data, "--metrics", metrics)
        assert server.wait() == 3
        assert server.err.splitlines()[-1].endswith("; try another --metrics")
        assert server.out == ""


def test_without_the_option_nothing_listens(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        assert "metrics" not in it.serve().err


def test_a_server_that_stops_says_so_to_the_last(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--metrics", ":0")
        port = port_of(server)
        idle = it.join(server.address, "ada")
        idle.signal(signal.SIGSTOP)  # it does not answer the goodbye: closing takes a while
        try:
            server.signal(signal.SIGTERM)
            server.until(lambda: ask(port, "/healthz") != (200, "ok\n"))
            assert ask(port, "/healthz") == (503, "the server is stopping\n")
            assert "\nsocketchat_healthy 0\n" in ask(port, "/metrics")[1]
        finally:
            idle.signal(signal.SIGCONT)
        assert server.wait() == 0
        with pytest.raises(ConnectionError):
            ask(port, "/healthz")


# --log-json


def objects(process: Piped) -> list[dict[str, object]]:
    """Return what stands on stderr; every line must be an object of the same form."""
    values = [json.loads(line) for line in process.err.splitlines()]
    for value in values:
        assert list(value)[:4] == ["ts", "level", "logger", "message"]
    return values


def test_all_of_stderr_is_objects(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--log-json", "--metrics", ":0", "-vv")
        assert server.out == f"listening on 127.0.0.1 port {server.port}\n"
        say(it, server, "a\x1b[2J", "hello")
        server.until(lambda: "has left" in server.err)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        values = objects(server)
        messages = [str(value["message"]) for value in values]
        assert messages[0] == f"starting on {socket.gethostname()}"
        online = [value for value in values if str(value["message"]).endswith("is online")]
        assert [value["logger"] for value in online] == ["socketchat.chat"]
        assert any("session" in value for value in values)
        assert "\x1b" not in server.err


def test_an_error_is_an_object_too(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        data = ("--data", str(tmp_path / "server"), "--no-tls", "--host", "192.0.2.1")
        server = it.start("serve", "--headless", "--log-json", *data)
        assert server.wait() == 2
        *_, last = objects(server)
        assert last["level"] == "error"
        assert str(last["message"]).startswith("--no-tls is for this machine only")
