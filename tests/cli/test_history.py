"""Claims about `socketchat.cli.history`: a host reads its own log."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from socketchat.chat.log import Draft
from socketchat.chat.sqlite_log import SQLiteLog
from tests.cli.processes import stage, status

START = int(datetime(2026, 1, 31, 18, 30).astimezone().timestamp()) * 1_000_000
MINUTE = 60_000_000

TALK = [
    ("lobby", Draft(1, "hello", "ada")),
    ("tea", Draft(1, "milk?\nor not?", "bob\x1b")),
    ("lobby", Draft(2, "psst", "ada", "eve", bytes(16))),
    ("lobby", Draft(3, b"\x00\xff", "ada")),
]


def keep(directory: Path, talk: Sequence[tuple[str, Draft]]) -> None:
    """Keep what was said, a minute each."""
    times = iter(range(START, START + 10**12, MINUTE))

    async def main() -> None:
        log = SQLiteLog(directory, clock=lambda: next(times))
        await log.open()
        for room, draft in talk:
            await log.append(room, b"\1" * 16, [draft])
        await log.close()

    asyncio.run(main())


def read(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    directory: Path,
    *options: str,
) -> tuple[list[str], str]:
    """Return what the command prints, and what it says besides."""
    assert status(monkeypatch, "history", "--data", str(directory), *options) == 0
    out, err = capfd.readouterr()
    return out.splitlines(), err


def test_everything_is_told_in_the_order_of_its_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, TALK)
    assert read(monkeypatch, capfd, tmp_path) == (
        [
            "2026-01-31 18:30 [lobby] ada: hello",
            "2026-01-31 18:31 [tea] bob␛: milk?",
            "    or not?",
            "2026-01-31 18:32 [lobby] ada → eve: psst",
            "2026-01-31 18:33 [lobby] ada: [2 bytes of data]",
        ],
        "",
    )


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--room", "lobby"], ["ada: hello", "ada → eve: psst", "ada: [2 bytes of data]"]),
        (["--room", " lobby "], ["ada: hello", "ada → eve: psst", "ada: [2 bytes of data]"]),
        (["--search", "HELLO"], ["[lobby] ada: hello"]),
        (["--room", "tea", "--search", "hello"], []),
        (["--since", "2026-01-31T18:32"], ["[lobby] ada → eve: psst", "[lobby] ada: [2 bytes of"]),
        (["--limit", "1"], ["[lobby] ada: [2 bytes of data]"]),
    ],
)
def test_one_may_ask_for_some_of_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    texts: list[str],
) -> None:
    keep(tmp_path, TALK)
    lines, _ = read(monkeypatch, capfd, tmp_path, *options)
    assert len(lines) == len(texts)
    for line, text in zip(lines, texts, strict=True):
        assert line[17:].startswith(text)


def test_a_room_is_named_only_where_there_are_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, TALK[:1])
    assert read(monkeypatch, capfd, tmp_path)[0] == ["2026-01-31 18:30 ada: hello"]


def test_what_is_left_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, TALK)
    for limit, count, told in ((3, 3, True), (4, 4, False), (0, 4, False)):
        lines, err = read(monkeypatch, capfd, tmp_path, "--json", "--limit", str(limit))
        assert len(lines) == count
        assert ("earlier messages are left out" in err) is told


def test_a_room_in_which_nobody_spoke_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, TALK)
    lines, err = read(monkeypatch, capfd, tmp_path, "--room", "pub")
    assert lines == []
    assert err == "-- nobody has said anything in 'pub' yet; there are: lobby, tea\n"


def test_a_search_without_a_hit_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, TALK)
    lines, err = read(monkeypatch, capfd, tmp_path, "--search", "goodbye")
    assert lines == []
    assert err == "-- nothing was found: no message there has all of these words in it\n"


def test_json_is_the_messages_as_connect_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, TALK)
    lines, _ = read(monkeypatch, capfd, tmp_path, "--json")
    values: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert [(value["room"], value["number"], value["from"]) for value in values] == [
        ("lobby", 1, "ada"),
        ("tea", 1, "bob\x1b"),
        ("lobby", 2, "ada"),
        ("lobby", 3, "ada"),
    ]
    assert {value["type"] for value in values} == {"message"}
    assert all(value["replayed"] for value in values)
    assert (values[2]["to"], values[2]["text"]) == ("eve", "psst")
    assert values[3]["data"] == "AP8="


def test_it_reads_while_the_server_runs_and_after_it(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        sent = it.start("send", server.address, "--nick", "ada", "hello")
        assert sent.wait() == 0
        data = str(tmp_path / "server")
        during = it.start("history", "--data", data, stdin=subprocess.DEVNULL)
        assert during.wait() == 0
        server.signal(signal.SIGKILL)
        server.wait()
        after = it.start("history", "--data", data, stdin=subprocess.DEVNULL)
        assert after.wait() == 0
        assert during.out == after.out
        assert during.out.endswith(" ada: hello\n")
        assert during.err == after.err == ""


def test_who_has_read_enough_ends_it(tmp_path: Path) -> None:
    keep(tmp_path, [("lobby", Draft(number, "x" * 1000, "ada")) for number in range(1, 300)])
    with stage(tmp_path) as it:
        command = '"$0" -m socketchat history --data . | head -n 1'
        done = subprocess.run(
            ["/bin/sh", "-c", command, sys.executable],
            env=it.environment,
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert done.stdout.count(b"\n") == 1
        assert done.stderr == b""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no server has kept a log there"),
        (lambda path: path.write_bytes(b"x" * 5000), "cannot be used"),
        (lambda path: newer(path), "newer version of socketchat"),
    ],
    ids=["nothing", "garbage", "newer"],
)
def test_a_log_that_cannot_be_read_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    make: Any,
    words: str,
) -> None:
    make(tmp_path / "log.db")
    assert status(monkeypatch, "history", "--data", str(tmp_path)) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"socketchat: {tmp_path}")
    assert words in err


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
def test_an_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    keep(tmp_path, TALK)
    with stage(tmp_path) as it, Path("/dev/full").open("w") as full:
        process = it.start("history", "--data", str(tmp_path), stdout=full)
        assert process.wait() == 1
        assert process.err == "socketchat: cannot write the output: No space left on device\n"
