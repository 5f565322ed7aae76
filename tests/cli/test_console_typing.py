"""What is typed at the real console, beyond lines: completion, history, editor, long messages.

As in `test_console.py`, everything is typed and looked at, and waited for.
"""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from socketchat.cli.console_input import MAX_UNASKED
from socketchat.cli.input_history import MAX_KEPT, InputHistory
from socketchat.cli.places import Place, Places
from socketchat.events import Joined
from tests.cli.console_harness import FakeRooms, terminal

pytestmark = pytest.mark.may_block("a pipe stands for the keyboard")

PASTE = "\x1b[200~{}\x1b[201~"


# Completion


async def test_a_command_is_completed_behind_a_slash() -> None:
    async with terminal() as it:
        it.type("/reco\t")
        await it.until(">> /reconnect\n")
        it.type("\r")
        await it.until(lambda text: text.endswith(">>\nlobby · online"))
        assert it.session.reconnected == 1


async def test_tab_goes_through_the_candidates_and_lists_them() -> None:
    async with terminal() as it:
        it.type("/un\t")
        await it.until(">> /unban\nunban  unignore  unmute")
        it.type("\t")
        await it.until(">> /unignore")
        it.type("\x1b[Z")
        await it.until(">> /unban")
        it.type("x")
        await it.until(">> /unban x\nlobby · online")


async def test_names_are_completed_where_names_stand() -> None:
    async with terminal() as it:
        it.session.happen(Joined("Bob"), Joined("carol lee"))
        await it.until("3 here")
        it.type("b\thello @CAR\t")
        await it.until(">> Bob: hello @carol lee\n")
        it.type("\x15/msg car\tpsst\r")
        await it.until("ada → carol lee: psst ✓ sent")
        assert [(one.text, one.to) for one in it.session.receipts] == [("psst", "carol lee")]


@pytest.mark.parametrize("typed", ["hello b\t", "//he\t", "/quit b\t", "/frob b\t", "x\n/he\t"])
async def test_elsewhere_nothing_is_completed(typed: str) -> None:
    async with terminal() as it:
        it.session.happen(Joined("Bob"))
        await it.until("2 here")
        it.type(typed.replace("\n", "\x1b\r") + "|")
        await it.until("|")
        assert "Bob" not in it.screen.rows[-1]
        assert "|" in it.screen.text
        shown = typed.removesuffix("\t").rpartition("\n")[2] + "|"
        assert any(row.endswith(shown) for row in it.screen.rows)


async def test_many_candidates_fit_into_one_row() -> None:
    async with terminal(columns=30) as it:
        it.session.happen(*(Joined(f"guest-{number:02}") for number in range(20)))
        await it.until("21 here")
        it.type("gue\t")
        await it.until(">> guest-00:\nguest-00  guest-01  …")
        it.type("\t\t")
        await it.until(">> guest-02:\nguest-02  guest-03  …")


# The history of what was typed


async def test_what_was_typed_is_there_the_next_time(tmp_path: Path) -> None:
    async with terminal(directory=tmp_path) as it:
        it.type("first\rone\x1b\rtwo\r secret\r")
        await it.until("secret ✓ sent")
    path = tmp_path / "input_history"
    assert stat.S_IMODE((await asyncio.to_thread(path.stat)).st_mode) == 0o600
    async with terminal(directory=tmp_path) as it:
        it.type("\x1b[A")
        await it.until(">> one\n   two")
        it.type("\x1b[A\x1b[A")
        await it.until(">> first")
        it.type("\x03")
        await it.until(">>\nlobby")
        it.type("\x12fir")
        await it.until("first")
        it.type("\r\r")
        await it.until("12:01 ada: first ✓ sent")


async def test_the_arrow_finds_what_begins_as_what_is_typed(tmp_path: Path) -> None:
    async with terminal(directory=tmp_path) as it:
        it.type("hello bob\rgood morning\r")
        await it.until("good morning ✓ sent")
        it.type("hel\x1b[A")
        await it.until(">> hello bob")


def read(path: Path) -> list[str]:
    history = InputHistory(path)
    history.read()
    return list(history.load_history_strings())


def test_a_long_history_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = InputHistory(path)
    for number in range(2 * MAX_KEPT + 1):
        history.store_string(f"line {number}")
    kept = read(path)
    assert kept == [f"line {number}" for number in range(2 * MAX_KEPT, MAX_KEPT, -1)]
    assert len(path.read_bytes().splitlines()) == MAX_KEPT


def test_a_history_that_is_damaged_is_read_as_far_as_it_is_one(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b'"one"\n\xff\n{}\n12\n"two\n"three\\ntwo lines"\n')
    assert read(path) == ["three\ntwo lines", "one"]
    missing = tmp_path / "one" / "history"
    assert read(missing) == []
    InputHistory(missing).store_string("kept")
    assert read(missing) == ["kept"]


def test_a_history_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "history"
    InputHistory(path).store_string("lost")
    assert read(path) == []


# Long messages


async def test_a_long_message_is_sent_when_one_says_so_twice() -> None:
    text = "\n".join(f"line {number}" for number in range(MAX_UNASKED + 1))
    async with terminal(rows=50) as it:
        it.type(PASTE.format(text) + "\r")
        await it.until("21 lines in one message: Enter again sends them, Ctrl-C drops them")
        assert it.session.sent == []
        it.type("!")  # it is another one now
        await it.until("lobby · online")
        it.type("\r")
        await it.until("Enter again sends them")
        it.type("\r")
        await it.until("✓ sent")
        assert it.session.sent == [text + "!"]


async def test_what_was_dropped_is_asked_about_again() -> None:
    text = "\n".join(f"line {number}" for number in range(MAX_UNASKED + 1))
    async with terminal(rows=10) as it:
        for _ in range(2):
            it.type(PASTE.format(text) + "\r")
            await it.until("Enter again sends them")
            it.type("\x03")
            await it.until(">>\nlobby · online")
        assert it.session.sent == []


async def test_what_is_not_that_long_is_sent_at_once() -> None:
    text = "\n".join(f"line {number}" for number in range(MAX_UNASKED))
    async with terminal(rows=50) as it:
        it.type(PASTE.format(text) + "\r")
        await it.until("✓ sent")
        assert it.session.sent == [text]


# The editor


def editor(tmp_path: Path, script: str) -> str:
    path = tmp_path / "an editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return f"'{path}'"


async def test_what_is_typed_is_opened_in_an_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = await asyncio.to_thread(editor, tmp_path, 'tr a-z A-Z <"$1" >t && cat t >"$1"')
    monkeypatch.setenv("VISUAL", command)
    monkeypatch.chdir(tmp_path)
    async with terminal() as it:
        it.type("hello\x1b\rthere\x18\x05")
        await it.until(">> HELLO\n   THERE")
        it.session.say("and it goes on")
        it.type("\r")
        await it.until("ada: HELLO\n           THERE ✓ sent")


@pytest.mark.parametrize("script", ["exit 1", "printf '\\377' >\"$1\""])
async def test_an_editor_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setenv("VISUAL", await asyncio.to_thread(editor, tmp_path, script))
    async with terminal() as it:
        it.type("hello\x18\x05")
        it.session.say("meanwhile")
        await it.until("meanwhile")
        it.type("!\r")
        await it.until("hello! ✓ sent")


async def test_an_editor_that_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "/nowhere/to/be-found")
    async with terminal() as it:
        it.type("hello\x18\x05")
        await it.until("-- the editor cannot be used: [Errno 2]")
        await it.until(">> hello")
        monkeypatch.delenv("VISUAL")
        monkeypatch.delenv("EDITOR", raising=False)
        monkeypatch.setenv("PATH", "/nowhere")
        it.type("\x18\x05")
        await it.until("-- there is no editor here: name one in the variable EDITOR")


async def test_what_is_being_edited_is_not_thrown_away_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    command = await asyncio.to_thread(
        editor, tmp_path, f'while [ ! -e "{go}" ]; do sleep 0.01; done; echo rest >>"$1"'
    )
    monkeypatch.setenv("VISUAL", command)
    async with terminal() as it:
        it.type("begun\x18\x05")
        await it.until(lambda text: ">>" not in text)
        it.console.leave()
        await asyncio.to_thread(go.touch)
        await it.ended()
        assert it.screen.text.endswith("12:01 ada: begun\n           rest ✗ not sent")


async def test_a_command_that_is_none_is_told_of_and_may_be_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDITOR", "vim '")
    monkeypatch.delenv("VISUAL", raising=False)
    async with terminal() as it:
        it.type("\x18\x05")
        await it.until("-- the editor cannot be used: No closing quotation")
        it.type("\x18\x05")
        await it.until(lambda text: text.count("the editor cannot be used") == 2)


async def test_unknown_commands_are_not_kept(tmp_path: Path) -> None:
    async with terminal(directory=tmp_path) as it:
        it.type("/login hunter2\r//slash\r")
        await it.until("ada: /slash ✓ sent")
        it.type("\x1b[A")
        await it.until(">> //slash")
        it.type("\x1b[A")
        it.type("!\r")
        await it.until("ada: /slash! ✓ sent")
    assert b"hunter2" not in await asyncio.to_thread((tmp_path / "input_history").read_bytes)


async def test_rooms_that_one_was_in_are_completed(tmp_path: Path) -> None:
    places = Places(tmp_path / "places.json")
    places.note("maple/teahouse", Place(1, 1))
    places.note("oak/tearoom", Place(1, 1))
    await asyncio.to_thread(places.save)
    async with terminal(directory=tmp_path, rooms=FakeRooms()) as it:
        it.type("/join te\t\r")
        await it.until("── teahouse ──")


# Ordinary keys


async def test_words_are_edited_as_everywhere() -> None:
    async with terminal() as it:
        # A word is deleted, two are gone back, one deleted there; then the ends, and Delete.
        it.type("one two three\x17four\x1b[1;5D\x1bb\x1bd!\x1b[H\x1b[3~\x1b[F?\r")
        await it.until("12:01 ada: ne ! four? ✓ sent")
