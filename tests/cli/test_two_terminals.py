"""The program as people meet it: two processes at two terminals, and what stands on them."""

from __future__ import annotations

import signal
import socket
import termios
from pathlib import Path

import pytest

from socketchat.fingerprint import tag_of
from socketchat.trust.device import Device
from socketchat.trust.invites import Invite
from tests.cli.processes import Stage, Terminal, stage

HOST = socket.gethostname()


def host(it: Stage, *options: str, columns: int = 80, rows: int = 24) -> Terminal:
    """Start a server at a terminal, and wait for its prompt."""
    data = str(it.folder / "server")
    at = ("--host", "127.0.0.1", "--port", "0", "--data", data, "--nick", "host")
    terminal = it.open_terminal("serve", *at, *options, columns=columns, rows=rows)
    terminal.until(lambda: prompt_of(terminal) == ">>")
    return terminal


def port_of(terminal: Terminal) -> str:
    (line,) = (row for row in terminal.everything if row.startswith("listening on"))
    return line.split()[-1]


def caller(
    it: Stage, server: Terminal, *options: str, columns: int = 80, rows: int = 24
) -> Terminal:
    """Start a client at a terminal, and wait for its prompt."""
    data = str(it.folder / "client")
    target = f"127.0.0.1:{port_of(server)}"
    terminal = it.open_terminal(
        "connect", target, "--data", data, *options, columns=columns, rows=rows
    )
    terminal.until(lambda: prompt_of(terminal) == ">>")
    return terminal


def prompt_of(terminal: Terminal) -> str | None:
    """Return the row in which one types, with what is typed."""
    rows = [row for row in terminal.rows if row.startswith(">>")]
    return rows[-1] if rows else None


def lines_of(terminal: Terminal) -> list[str]:
    """Return what was said, without the times and what aligns the names, above the prompt."""
    rows = terminal.everything
    rows = rows[: max((n for n, row in enumerate(rows) if row.startswith(">>")), default=len(rows))]
    return [row[6:].lstrip() for row in rows if row[2:3] == ":" and row[:2].isdigit()]


# The oldest form


def test_the_oldest_form_step_by_step(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        # The host starts the server, which says on which host, that it has bound, that it waits.
        server = host(it)
        port = port_of(server)
        rows = server.everything
        steps = [f"starting on {HOST}", f"bound to 127.0.0.1, port {port}", "waiting for callers"]
        places = [next(n for n, row in enumerate(rows) if row.startswith(step)) for step in steps]
        assert places == sorted(places)

        # The caller is asked for the host name if none was given.
        data = str(tmp_path / "client")
        client = it.open_terminal("connect", "--data", data, "--nick", "ada")
        client.shows("host name:")
        client.write(f"127.0.0.1:{port}\r")

        # The server reports the caller's address and that it is online; both are at a prompt.
        server.shows("ada (127.0.0.1:", "is online")
        client.shows(f"calling 127.0.0.1:{port}", f"connected to {HOST} (127.0.0.1:{port})")
        client.until(lambda: prompt_of(client) == ">>")

        # Each line is confirmed as sent, and the other side's lines appear with its name.
        client.write("hello, host\r")
        server.until(lambda: lines_of(server) == ["ada: hello, host"])
        client.until(lambda: lines_of(client) == ["ada: hello, host ✓ sent"])
        server.write("hello, ada\r")
        client.until(lambda: lines_of(client)[1:] == ["host: hello, ada"])
        server.until(lambda: lines_of(server)[1:] == ["host: hello, ada ✓ sent"])

        # And the end: the caller leaves, the host is told, the host leaves.
        client.write("\x04")
        assert client.wait() == 0
        server.until(lambda: any("ada" in row and "left" in row for row in server.rows))
        server.write("\x04")
        assert server.wait() == 0


def test_both_may_type_at_any_time_and_no_line_is_torn(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        client = caller(it, server, "--nick", "ada")
        client.write("half a li")
        server.write("and the ho")
        client.until(lambda: prompt_of(client) == ">> half a li")
        server.until(lambda: prompt_of(server) == ">> and the ho")
        server.write("st\r")
        client.until(lambda: lines_of(client) == ["host: and the host"])
        assert prompt_of(client) == ">> half a li"
        server.write("one\rtwo\rthree\rfour")
        client.write("ne\rnext")
        client.until(lambda: len(lines_of(client)) == 5)
        server.until(lambda: len(lines_of(server)) == 5)
        assert prompt_of(client) == ">> next"
        assert prompt_of(server) == ">> four"
        said = {"and the host", "one", "two", "three"}
        assert {line[6:] for line in lines_of(client) if line.startswith("host: ")} == said
        assert [line for line in lines_of(client) if line.startswith("ada")] == [
            "ada: half a line ✓ sent"
        ]
        assert "ada: half a line" in lines_of(server)


def test_a_flood_tears_no_half_typed_line_and_loses_nothing(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it, "--rate", "0")
        client = caller(it, server, "--nick", "ada")
        piped = it.join(f"127.0.0.1:{port_of(server)}", "bob")
        client.write("half a line")
        client.until(lambda: prompt_of(client) == ">> half a line")
        before = client.settings
        piped.write("".join(f"line {number}\n" for number in range(2000)))
        for letter in " and more":
            client.write(letter)
        said = [f"bob: line {number}" for number in range(2000)]
        for terminal in (client, server):
            terminal.until(lambda terminal=terminal: b"line 1999" in terminal.read)  # type: ignore[misc]
            terminal.until(lambda terminal=terminal: lines_of(terminal) == said)  # type: ignore[misc]
        client.until(lambda: prompt_of(client) == ">> half a line and more")
        assert client.settings == before


def test_three_at_terminals_see_all_and_names_that_are_taken_get_a_tag(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        homes = [tmp_path / name for name in ("one", "two")]
        clients = [caller(it, server, "--nick", "host", "--data", str(home)) for home in homes]
        tags = [tag_of(Device.load_or_generate(home).public) for home in homes]
        for client in clients:
            client.write("me\r")
        for terminal in (server, *clients):
            terminal.until(lambda terminal=terminal: len(lines_of(terminal)) == 2)  # type: ignore[misc]
            names = {line.split(":")[0] for line in lines_of(terminal)}
            assert names == {f"host~{tag}" for tag in tags}


# Leaving


KEYS = {"ctrl-c": "\x03", "ctrl-d": "\x04", "quit": "/quit\r"}


@pytest.mark.parametrize("keys", list(KEYS.values()), ids=list(KEYS))
def test_a_key_or_a_command_leaves_and_the_terminal_is_as_it_was(tmp_path: Path, keys: str) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        client = caller(it, server)
        untouched = it.open_terminal("--help")
        untouched.wait()
        for terminal in (client, server):
            assert not terminal.settings[3] & (termios.ECHO | termios.ICANON)
            terminal.write(keys)
            assert terminal.wait() == 0
            assert terminal.settings == untouched.settings
            assert terminal.blocking
            assert prompt_of(terminal) is None
            assert "Traceback" not in terminal.text


def test_ctrl_c_clears_what_is_typed_before_it_leaves(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        client = caller(it, server)
        client.write("a secret")
        client.until(lambda: prompt_of(client) == ">> a secret")
        client.write("\x03")
        client.until(lambda: prompt_of(client) == ">>")
        client.write("\x03")
        assert client.wait() == 0
        assert lines_of(server) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(tmp_path: Path, number: signal.Signals) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        client = caller(it, server)
        untouched = it.open_terminal("--help")
        untouched.wait()
        client.write("half a line")
        client.until(lambda: prompt_of(client) == ">> half a line")
        client.signal(number)
        assert client.wait() == 128 + number
        assert client.settings == untouched.settings
        assert prompt_of(client) is None
        assert any("half a line" in line and "not sent" in line for line in client.everything)
        server.signal(number)
        assert server.wait() == 0
        assert server.settings == untouched.settings
        for terminal in (client, server):
            assert "Traceback" not in terminal.text


def test_a_terminal_that_hangs_up_ends_both_kinds(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        client = caller(it, server, "--nick", "ada")
        client.hang_up()
        it.until(lambda: client.popen.poll() is not None)
        server.shows("left")
        server.hang_up()
        it.until(lambda: server.popen.poll() is not None)


def test_when_the_host_leaves_the_caller_is_told_why_and_ends(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        client = caller(it, server)
        server.write("bye\r")
        client.until(lambda: lines_of(client) == ["host: bye"])
        client.write("half a line")
        client.until(lambda: prompt_of(client) == ">> half a line")
        server.write("\x04")
        assert server.wait() == 0
        assert client.wait() == 0
        text = "\n".join(client.everything)
        assert "the server is stopping" in text
        assert "half a line ✗ not sent" in text
        assert client.settings[3] & termios.ECHO


def test_a_server_that_is_started_again_gets_what_was_typed_meanwhile(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        port = server.port
        data = str(tmp_path / "client")
        client = it.open_terminal("connect", server.address, "--data", data, "--nick", "ada")
        client.until(lambda: prompt_of(client) == ">>")
        server.signal(signal.SIGKILL)
        client.shows("the link is lost", "offline")
        client.write("meanwhile\r")
        client.shows("… meanwhile", "offline, 1 waiting")
        it.serve(port=port)
        client.shows("the link is back")
        client.until(lambda: lines_of(client) == ["ada: meanwhile ✓ sent"])
        client.until(lambda: client.rows[-1] == "" or "online" in client.text)


# What a terminal can be


def test_a_new_size_is_taken_up_in_between(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it, columns=100, rows=30)
        client = caller(it, server, "--nick", "ada")
        server.write("before\r")
        client.until(lambda: lines_of(client) == ["host: before"])
        client.resize(40, 12)
        text = "one two three four five six seven eight nine ten"
        server.write(f"{text}\r")
        client.until(lambda: "eight nine ten" in client.text)
        assert all(len(row) <= 40 for row in client.rows)
        client.resize(100, 30)
        client.write("typed\r")
        server.until(lambda: lines_of(server)[-1] == "ada: typed")
        client.until(lambda: prompt_of(client) == ">>")


PLAIN = {"plain": (["--plain"], {}), "dumb": ([], {"TERM": "dumb"}), "none": ([], {"TERM": ""})}


@pytest.mark.parametrize("kind", list(PLAIN))
def test_plain_lines_at_a_terminal(tmp_path: Path, kind: str) -> None:
    options, environment = PLAIN[kind]
    with stage(tmp_path) as it:
        data = str(tmp_path / "server")
        at = ("--host", "127.0.0.1", "--port", "0", "--data", data, "--nick", "host")
        server = it.open_terminal("serve", *at, *options, env=environment)
        server.shows("waiting for callers")
        target = f"127.0.0.1:{port_of(server)}"
        data = str(tmp_path / "client")
        client = it.open_terminal(
            "connect", target, "--data", data, "--nick", "ada", *options, env=environment
        )
        client.shows("connected to")
        server.shows("-- ada (127.0.0.1:")
        client.write("hello\n")
        client.shows("-- sent")
        server.shows("ada: hello")
        server.write("hi\n/frob\n")
        client.shows("host: hi")
        server.shows("-- sent", "no command /frob")
        client.write("/help\n")
        client.shows("Ctrl-D on an empty line leaves, and so does Ctrl-C.")
        assert not any("Alt-Enter" in row for row in client.everything)
        client.write("\x04")
        assert client.wait() == 0
        server.shows("-- ada (127.0.0.1:", "left")
        server.write("/quit\n")
        assert server.wait() == 0
        for terminal in (client, server):
            assert b"\x1b" not in terminal.read


@pytest.mark.parametrize(
    ("options", "environment", "colored"),
    [([], {}, True), ([], {"NO_COLOR": "1"}, False), (["--no-color"], {}, False)],
)
def test_colours_can_be_done_without(
    tmp_path: Path, options: list[str], environment: dict[str, str], colored: bool
) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        data = str(tmp_path / "client")
        ada = it.open_terminal(
            "connect", server.address, "--data", data, "--nick", "ada", *options, env=environment
        )
        ada.until(lambda: prompt_of(ada) == ">>")
        bob = it.join(server.address, "bob")
        bob.write("hello\n")
        ada.until(lambda: lines_of(ada) == ["bob: hello"])
        assert (b"38;5;" in ada.read) is colored


def test_log_lines_stand_above_the_prompt(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it, "-v", columns=200)
        server.write("half a line")
        server.until(lambda: prompt_of(server) == ">> half a line")
        with socket.create_connection(("127.0.0.1", int(port_of(server)))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            server.shows("turned away a caller")
        assert prompt_of(server) == ">> half a line"


# Being asked for the host name


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ("\x04", 2, "no host name was given"),
        ("\r \r\x04", 2, "no host name was given"),
        ("not a host\r", 2, "HOST:PORT"),
        ("\x03", 130, "host name:"),
    ],
)
def test_no_host_name_is_no_call(tmp_path: Path, keys: str, code: int, words: str) -> None:
    with stage(tmp_path) as it:
        client = it.open_terminal("connect")
        client.shows("host name:")
        client.write(keys)
        assert client.wait() == code
        assert words in " ".join(client.text.split())
        assert "Traceback" not in client.text


def test_an_error_behind_the_question_has_a_line_of_its_own(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        client = it.open_terminal("connect")
        client.shows("host name:")
        client.write("\x04")
        client.wait()
        assert client.text.split("\n") == [
            "host name:",
            "socketchat: no host name was given",
        ]


def test_what_is_said_besides_is_not_broken_within_words(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = it.open_terminal("connect", server.address, columns=72)
        client.shows(">>")
        said = " ".join(" ".join(client.everything).split())
        assert f"its key {server.key} is new here; it is remembered from now on" in said
        asked = it.open_terminal("connect", "--fingerprint", "x", "localhost", columns=40)
        assert asked.wait() == 2
        assert asked.text.split("\n") == [
            "socketchat: --fingerprint wants",
            "   SHA256:... as the server shows it",
            "   when it starts",
        ]


def test_the_host_sees_who_comes_and_goes_in_other_rooms_too(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        data = str(tmp_path / "server")
        host = it.open_terminal(
            *("serve", "--host", "127.0.0.1", "--port", "0", "--data", data, "--nick", "host")
        )
        host.shows("listening on", ">>", "Ctrl-D stops the server")
        (line,) = (line for line in host.everything if line.startswith("listening on"))
        ada = it.join(f"127.0.0.1:{line.split()[-1]}/tea", "ada")
        host.shows("-- in tea: ada (127.0.0.1:", "is online")
        ada.end_input()
        assert ada.wait() == 0
        host.shows(") left")
        assert sum("ada (" in row for row in host.everything) == 2
        bob = it.join(f"127.0.0.1:{line.split()[-1]}", "bob")
        host.shows("-- bob (127.0.0.1:")
        assert not any("in lobby: bob" in row for row in host.everything)
        bob.end_input()
        bob.wait()


def test_the_host_sees_what_operators_do_and_with_more_said_nobody_comes_twice(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        key = Device.load_or_generate(tmp_path / "client").fingerprint
        server = host(it, "-v", "--operator", key, columns=200)
        grace = caller(it, server, "--nick", "grace", columns=400)
        grace.write("/invite 1h\r/bans\r")
        server.shows("-- operator grace: /invite: ", "-- operator grace: /bans: nobody is banned")
        assert sum("is online" in row for row in server.everything) == 1
        (url,) = (word for word in grace.text.split() if word.startswith("socketchat://"))
        assert Invite.parse(url).token not in "".join(server.everything)
