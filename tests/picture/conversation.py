"""A little conversation on real terminals, up to the moment in which the picture is taken.

A server with its host's console, two callers at consoles of their own, and one at a pipe, who is in
another room. Each step waits until the last one is to be seen on the host's screen.
"""

from __future__ import annotations

from tests.cli.processes import Stage, Terminal

__all__ = ["COLUMNS", "ROWS", "play"]

COLUMNS, ROWS = 80, 13

_NEWLINE = "\r"
_CLEAR = "\x0c"  # Ctrl-L
_FIRST_ROOM = "\x1b1"  # Alt-1


def play(it: Stage) -> Terminal:
    """Let people talk, and return the terminal of the one who looks."""
    ada = it.open_terminal(
        *("serve", "--host", "127.0.0.1", "--port", "0", "--name", "maple", "--nick", "ada"),
        *("--data", str(it.folder / "ada")),
        columns=COLUMNS,
        rows=ROWS,
    )
    _shows(ada, ">>")
    port = next(row for row in ada.everything if row.startswith("listening on")).split()[-1]
    _join_another_room(ada)
    bob, grace = (_call(it, port, name) for name in ("bob", "grace"))
    _say(
        ada,
        grace,
        "morning! the packages of 0.2 are built, and the tests went through on all three machines",
    )
    _say(ada, grace, "ada: the second page of the tutorial still shows the old prompt")
    _say(ada, ada, "good catch, I am mending it", "good catch, I am mending it ✓ sent")
    _say(ada, ada, "/topic release day: 0.2", "topic: release day: 0.2")
    _say(ada, grace, "then I write the notes meanwhile, if nobody minds")
    _say(ada, bob, "/me puts the kettle on", "bob puts the kettle on")
    _say(ada, bob, "/msg ada tea or coffee?", "tea or coffee?")
    builds = it.join(f"127.0.0.1:{port}/builds", "ci")
    builds.write("".join(f"{name}: all tests passed\n" for name in ("linux", "macos", "windows")))
    ada.write("done: have a look at the")
    _shows(ada, ">> done: have a look at the", "2:builds 3", "3 here")
    # His first key but for commands, of which nobody is told; seen for a few seconds only.
    bob.write("thanks")
    _shows(ada, "bob is typing")
    return ada


def _join_another_room(ada: Terminal) -> None:
    ada.write("/join builds" + _NEWLINE)
    _shows(ada, "[2:builds]")
    ada.write(_FIRST_ROOM)
    _shows(ada, "[1:lobby]")
    ada.write(_CLEAR)
    ada.until(lambda: "lobby ──" not in ada.text and ">>" in ada.text)


def _call(it: Stage, port: str, name: str) -> Terminal:
    data = str(it.folder / name)
    caller = it.open_terminal("connect", f"127.0.0.1:{port}", "--nick", name, "--data", data)
    _shows(caller, ">>", "online")
    return caller


def _say(reader: Terminal, speaker: Terminal, text: str, shown: str | None = None) -> None:
    """Have somebody say something, and wait until it is to be seen."""
    speaker.write(text + _NEWLINE)
    # A long line goes on in the next row.
    _shows(reader, shown or text[:40])


def _shows(terminal: Terminal, *texts: str) -> None:
    """Wait until all of this is to be seen at once."""
    terminal.until(lambda: all(text in terminal.text for text in texts))
