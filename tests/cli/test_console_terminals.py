"""The console as people meet it, beyond lines: several rooms, names, coming back, small terminals.

As in `test_two_terminals.py`: real processes at terminals of their own.
"""

from __future__ import annotations

import signal
import termios
from pathlib import Path

import pytest

from tests.cli.processes import Server, Stage, Terminal, stage
from tests.cli.test_two_terminals import host, lines_of, port_of, prompt_of


def call(
    it: Stage, address: str, nick: str, *options: str, columns: int = 80, rows: int = 24
) -> Terminal:
    """Start a client at a terminal, with files of its own, and wait for its prompt."""
    data = str(it.folder / nick)
    at = ("connect", address, "--data", data, "--nick", nick, "--trust", "accept-new")
    terminal = it.open_terminal(*at, *options, columns=columns, rows=rows)
    terminal.until(lambda: prompt_of(terminal) == ">>")
    return terminal


def bar_of(terminal: Terminal) -> str:
    """Return the last row that has something in it."""
    return next((row for row in reversed(terminal.rows) if row), "")


def starts_with_bar(terminal: Terminal, start: str) -> None:
    terminal.until(lambda: bar_of(terminal).startswith(start))


def test_rooms_are_joined_and_looked_at_in_turn(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada, bob = call(it, server.address, "ada"), call(it, f"{server.address}/tea", "bob")
        ada.write("/join tea\r")
        starts_with_bar(ada, "1:lobby [2:tea] · 2 here · online")
        ada.write("hello, tea\r")
        bob.until(lambda: lines_of(bob) == ["ada: hello, tea"])
        ada.write("\x1b1hello, lobby\r")
        ada.until(lambda: "ada: hello, lobby ✓ sent" in lines_of(ada))
        bob.write("ada: there is cake\r")
        starts_with_bar(ada, "[1:lobby] 2:tea 1! · online")
        assert "bob: ada: there is cake" not in lines_of(ada)
        ada.write("\x1b2")
        ada.shows("── tea ──", "── new ──", "bob: ada: there is cake")
        ada.write("/part\r")
        starts_with_bar(ada, "lobby · online")
        bob.shows("-- ada left")
        ada.write("\x04")
        assert ada.wait() == 0


def test_the_host_sits_in_other_rooms_too(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        bob = call(it, f"127.0.0.1:{port_of(server)}/tea", "bob")
        server.shows("-- in tea: bob (127.0.0.1:")
        server.write("/join tea\r")
        starts_with_bar(server, "1:lobby [2:tea] · 2 here")
        server.write("may I?\r")
        bob.until(lambda: lines_of(bob) == ["host: may I?"])
        bob.write("/quit\r")
        server.until(lambda: any(row.startswith("-- bob (127.0.0.1:") for row in server.rows))
        server.write("\x04")
        assert server.wait() == 0


def test_what_is_sent_in_a_joined_room_outlives_its_server(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = call(it, server.address, "ada")
        ada.write("/join tea\r")
        starts_with_bar(ada, "1:lobby [2:tea]")
        server.signal(signal.SIGKILL)
        ada.until(lambda: "offline" in bar_of(ada))
        ada.write("meanwhile\r")
        ada.until(lambda: "offline, 1 waiting" in bar_of(ada))
        ada.write("\x04")
        assert ada.wait() == 0
        assert "1 line is kept" in " ".join(ada.text.split())
        server = it.serve(port=server.port)
        again = call(it, f"{server.address}/tea", "ada")
        again.shows("1 line from last time was sent")
        again.until(lambda: lines_of(again) == ["ada: meanwhile"])


def test_commands_of_the_server_work_for_everybody(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = host(it)
        ada = call(it, f"127.0.0.1:{port_of(server)}", "ada")
        server.write("/topic tea and cake\r")
        ada.shows("-- topic: tea and cake (by host)")
        ada.write("/topic coffee\r")
        ada.shows("-- /topic: only operators may say what the room is about")
        ada.write("/nick lovelace\r")
        ada.shows("-- you are lovelace now")
        server.shows("-- ada is now lovelace")
        ada.write("/me waves\r")
        server.shows("* lovelace waves")
        ada.write("/msg host psst\r")
        server.until(lambda: "lovelace → host: psst" in [line.strip() for line in lines_of(server)])
        ada.write("/names\r")
        ada.shows("-- here: host, lovelace")
        ada.write("/search psst\r")
        ada.shows(" lovelace → host: psst")
        ada.write("/history\r")
        ada.shows("-- this was said before:", "-- those were the last 2 messages")
        ada.write("/reconnect\r")
        ada.shows("-- the link is lost: it was asked for a new one", "-- the link is back")
        ada.write("/status\r")
        ada.shows("lovelace in lobby", "its key is SHA256:")


def test_what_came_while_one_was_away_is_marked_at_the_next_start(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada, bob = call(it, server.address, "ada"), it.join(server.address, "bob")
        bob.write("seen\n")
        ada.until(lambda: lines_of(ada) == ["bob: seen"])
        ada.write("\x04")
        assert ada.wait() == 0
        bob.write("missed\n")
        again = call(it, server.address, "ada")
        again.shows("bob: missed")
        seen, new, missed = (
            next(n for n, row in enumerate(again.rows) if part in row)
            for part in ("bob: seen", "── new ──", "bob: missed")
        )
        assert seen < new < missed


def test_what_was_typed_is_there_at_the_next_start(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = call(it, server.address, "ada")
        ada.write("a line to find\r")
        ada.until(lambda: lines_of(ada) == ["ada: a line to find ✓ sent"])
        ada.write("\x04")
        assert ada.wait() == 0
        again = call(it, server.address, "ada")
        again.write("a li\x1b[A")
        again.until(lambda: prompt_of(again) == ">> a line to find")


def call_with_editor(it: Stage, address: str, script: str) -> Terminal:
    """Start ada's client with an editor that is this script, and wait for its prompt."""
    editor = it.folder / "editor"
    editor.write_text(script)
    editor.chmod(0o700)
    data = str(it.folder / "client")
    terminal = it.open_terminal(
        *("connect", address, "--data", data, "--nick", "ada"), env={"EDITOR": str(editor)}
    )
    terminal.until(lambda: prompt_of(terminal) == ">>")
    return terminal


EDITOR = '#!/bin/sh\nread -r answer\necho "$answer" >>"$1"\n'


def test_an_editor_has_the_terminal_as_it_is_used_to(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = call_with_editor(it, server.address, EDITOR)
        raw = ada.settings
        ada.write("begun\x18\x05")
        ada.until(lambda: prompt_of(ada) is None and ada.settings != raw)
        # It reads a line, which the terminal edits and echoes.
        ada.write("wrong\x15and done\r")
        ada.until(lambda: prompt_of(ada) == ">> begun")
        ada.write("\r")
        ada.until(lambda: "ada: begun" in lines_of(ada))
        ada.shows("and done ✓ sent")
        assert ada.settings == raw


def test_ctrl_c_in_an_editor_is_for_the_editor(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = call_with_editor(
            it,
            server.address,
            '#!/bin/sh\ntrap "echo interrupted" INT\necho ready\nread -r answer\n',
        )
        ada.write("\x18\x05")
        ada.shows("ready")
        ada.write("\x03")
        ada.shows("interrupted")
        ada.write("\r")
        ada.until(lambda: prompt_of(ada) == ">>")
        ada.write("still here\r")
        ada.until(lambda: "ada: still here ✓ sent" in lines_of(ada))


def test_the_second_signal_ends_an_editor_too(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = call_with_editor(it, server.address, "#!/bin/sh\necho open\nexec sleep 1000\n")
        ada.write("\x18\x05")
        ada.shows("open")

        def has_left() -> bool:
            """Signal again, unless the second signal was heeded: two at once may be one."""
            if "has left" not in server.err:
                ada.signal(signal.SIGTERM)
            return "has left" in server.err

        it.until(has_left)
        assert ada.wait() == 128 + signal.SIGTERM
        assert ada.settings[3] & termios.ECHO


def test_a_room_that_is_left_is_left_for_the_others_too(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada, bob = call(it, server.address, "ada"), call(it, server.address, "bob")
        ada.write("/join tea\r")
        starts_with_bar(ada, "1:lobby [2:tea]")
        ada.write("\x1b1/part\r")
        bob.shows("-- ada left")
        bob.write("/msg ada are you there?\r")
        bob.shows("nobody here is called 'ada'")
        ada.write("/nick lovelace\r")
        ada.shows("you are lovelace now")
        ada.write("/history\r/join lobby\r")
        bob.shows("-- lovelace is online")
        assert bob.text.count("ada is online") <= 1


def test_a_command_that_is_to_be_copied_is_one_line(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        data = str(tmp_path / "server")
        server = it.open_terminal(
            *("serve", "--host", "127.0.0.1", "--port", "0", "--data", data), columns=60
        )
        server.shows("waiting for callers")
        server.until(lambda: prompt_of(server) == ">>")
        whole = server.read.decode().replace("\r", "")
        (line,) = (one for one in whole.split("\n") if one.startswith("waiting for callers"))
        assert " --fingerprint SHA256:" in line


# Small and plain terminals


@pytest.mark.parametrize(("columns", "rows"), [(30, 15), (20, 6), (80, 3)])
def test_small_terminals_show_what_matters(tmp_path: Path, columns: int, rows: int) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = call(it, server.address, "ada", columns=columns, rows=rows)
        bob = it.join(server.address, "bob")
        bob.write("one two three four five six seven eight nine ten eleven twelve\n")
        ada.shows("twelve")
        ada.write("a long line of my own that does not fit\r")
        ada.until(lambda: any("✓ sent" in row for row in ada.everything))
        assert all(len(row) <= columns for row in ada.everything)
        assert prompt_of(ada) == ">>"
        ada.write("\x04")
        assert ada.wait() == 0


TEXTS = {
    "wide": "漢字かな交じり文の例です。" * 3,
    "combining": "e\u0301a\u0308o\u0302 " * 12,
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 " * 6,
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 " * 5,
}


@pytest.mark.parametrize("text", list(TEXTS.values()), ids=list(TEXTS))
def test_any_script_is_shown_and_tears_nothing(tmp_path: Path, text: str) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        ada = call(it, server.address, "ada", columns=30, rows=15)
        bob = it.join(server.address, "bob")
        bob.write(text + "\nand then\n")
        ada.until(lambda: "bob: and then" in lines_of(ada))
        ada.write(text + "\r")
        ada.until(lambda: any("✓ sent" in row for row in ada.everything))
        assert prompt_of(ada) == ">>"
        starts_with_bar(ada, "lobby")


def test_a_window_is_resized_while_lines_arrive_and_one_types(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server: Server = it.serve("--rate", "0")
        ada = call(it, server.address, "ada")
        bob = it.join(server.address, "bob")
        for number, (columns, rows) in enumerate([(30, 10), (100, 40), (45, 12), (80, 24)]):
            bob.write("".join(f"{number} {line}\n" for line in range(300)))
            ada.write("x")
            ada.resize(columns, rows)
            ada.until(lambda number=number: f"bob: {number} 299" in lines_of(ada))  # type: ignore[misc]
            ada.until(lambda number=number: prompt_of(ada) == ">> " + "x" * (number + 1))  # type: ignore[misc]
        ada.write("\r")
        ada.until(lambda: "ada: xxxx ✓ sent" in lines_of(ada))


def test_plain_lines_take_the_commands_too(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        data = str(tmp_path / "ada")
        at = ("connect", server.address, "--data", data, "--nick", "ada", "--plain")
        ada, bob = it.open_terminal(*at), it.join(server.address, "bob")
        ada.shows("-- ada in lobby:")
        bob.write("hello\n")
        ada.shows("bob: hello")
        ada.write("/me waves\n/msg bob psst\n/names\n/history 1\n/join tea\n")
        ada.shows(
            "-- here: ada, bob",
            "-- plain lines have one room: socketchat connect HOST/tea opens another",
        )
        bob.until(lambda: bob.lines == ["* ada waves", "ada → bob: psst"])
        ada.write("/ignore bob\n")
        ada.shows("what bob says is not shown")
        cyd = it.join(server.address, "cyd")
        bob.write("unheard\n")
        cyd.until(lambda: "bob: unheard" in cyd.lines)
        ada.write("/search unheard\n")
        ada.shows(" bob: unheard")
        ada.write("/part\n")
        assert ada.wait() == 0
        assert not any(row.startswith("bob: unheard") for row in ada.everything)
        assert b"\x1b" not in ada.read
