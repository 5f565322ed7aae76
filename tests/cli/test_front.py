"""Claims about `socketchat.cli.front`: which front end a session gets, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from socketchat import CloseCode, Session
from socketchat.cli import front as front_module
from socketchat.cli.failures import ExitCode
from socketchat.cli.front import Front
from tests.cli.console_harness import FakeRooms


class Fake:
    """What a front end is to a `Front`; it notes how it was made."""

    made: list[tuple[str, dict[str, Any]]]

    def __init__(self, _session: object, **settings: Any) -> None:
        given = {name: value for name, value in settings.items() if value is not None}
        self.made.append((type(self).__name__, given))
        self.left = asyncio.Event()
        self.notices: list[str] = []
        #: Of the room that one looks at, perhaps not the first.
        self.session = session(CloseCode.SERVICE_RESTART)

    def leave(self) -> None:
        self.left.set()

    def notice(self, text: str) -> None:
        self.notices.append(text)

    async def run(self) -> ExitCode:
        await self.left.wait()
        return ExitCode.REFUSED

    def sits_in(self, room: str) -> bool:
        return room == "tea"


class Lines(Fake):
    """The plain one."""


class Console(Fake):
    """The other one."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    monkeypatch.setattr("socketchat.cli.lines.Lines", Lines)
    monkeypatch.setattr("socketchat.cli.console.Console", Console)
    monkeypatch.delenv("NO_COLOR", raising=False)
    Fake.made = []
    yield Fake.made
    Fake.made = []


def at_terminal(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(front_module, "is_interactive", lambda *, plain: terminal and not plain)


def session(code: int | None = None) -> Session:
    return cast("Session", SimpleNamespace(close_code=code, room="lobby"))


@pytest.mark.parametrize(
    ("terminal", "settings", "chosen"),
    [
        (True, {}, ("Console", {"color": True, "leaving": "leaves"})),
        (True, {"no_color": True}, ("Console", {"color": False, "leaving": "leaves"})),
        (True, {"plain": True}, ("Lines", {"as_json": False, "leaving": "leaves"})),
        (True, {"as_json": True}, ("Lines", {"as_json": True, "leaving": "leaves"})),
        (False, {}, ("Lines", {"as_json": False, "leaving": "leaves"})),
        (
            True,
            {"leaving": "stops"},
            ("Console", {"color": True, "leaving": "stops"}),
        ),
        (
            False,
            {"leaving": "stops"},
            ("Lines", {"as_json": False, "leaving": "stops"}),
        ),
        (False, {"as_json": True}, ("Lines", {"as_json": True, "leaving": "leaves"})),
    ],
)
async def test_a_session_gets_the_front_end_that_fits(
    monkeypatch: pytest.MonkeyPatch,
    made: list[tuple[str, dict[str, Any]]],
    terminal: bool,
    settings: dict[str, Any],
    chosen: tuple[str, dict[str, Any]],
) -> None:
    at_terminal(monkeypatch, terminal)
    Front(session(), **settings)
    assert made == [chosen]


async def test_the_console_is_given_rooms_and_a_place_for_its_files(
    monkeypatch: pytest.MonkeyPatch, made: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    rooms = FakeRooms()
    at_terminal(monkeypatch, True)
    console = Front(session(), rooms=rooms, directory=tmp_path)
    lines = Front(session(), rooms=rooms, directory=tmp_path, plain=True)
    assert [given for _, given in made] == [
        {"color": True, "leaving": "leaves", "rooms": rooms, "directory": tmp_path},
        {"as_json": False, "leaving": "leaves", "rooms": rooms},
    ]
    assert [console.sits_in("tea"), console.sits_in("lobby")] == [True, False]
    assert [lines.sits_in("tea"), lines.sits_in("lobby")] == [False, True]


async def test_no_color_is_heeded(
    monkeypatch: pytest.MonkeyPatch, made: list[tuple[str, dict[str, Any]]]
) -> None:
    at_terminal(monkeypatch, True)
    monkeypatch.setenv("NO_COLOR", "1")
    Front(session())
    assert made == [("Console", {"color": False, "leaving": "leaves"})]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("code", "status"), [(None, 0), (1001, 0), (1006, 3), (1008, 5)])
async def test_it_runs_until_it_leaves_and_tells_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    made: list[tuple[str, dict[str, Any]]],
    terminal: bool,
    code: int | None,
    status: int,
) -> None:
    at_terminal(monkeypatch, terminal)
    front = Front(session(code))
    running = asyncio.create_task(front.run())
    await asyncio.sleep(0)
    front.leave()
    # The console does not know how a session ends; the lines do.
    assert await running == (status if terminal else ExitCode.REFUSED)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("plain", "code"), [(True, CloseCode.OK), (False, CloseCode.SERVICE_RESTART)]
)
async def test_what_ended_the_last_room_is_known(
    monkeypatch: pytest.MonkeyPatch, *, plain: bool, code: CloseCode
) -> None:
    at_terminal(monkeypatch, True)
    assert Front(session(CloseCode.OK), plain=plain).close_code == code


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_notice_is_shown_by_the_one_that_is_there(
    monkeypatch: pytest.MonkeyPatch, made: list[tuple[str, dict[str, Any]]], terminal: bool
) -> None:
    at_terminal(monkeypatch, terminal)
    front = Front(session())
    front.notice("hello")
    assert cast("Any", front._console or front._lines).notices == ["hello"]


@pytest.mark.parametrize("shared", [True, False])
async def test_log_lines_do_not_tear_the_console_and_stay_out_of_it_if_they_go_elsewhere(
    monkeypatch: pytest.MonkeyPatch, made: list[tuple[str, dict[str, Any]]], shared: bool
) -> None:
    at_terminal(monkeypatch, True)
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: shared))
    elsewhere: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: elsewhere.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    front = Front(session())
    console = cast("Any", front._console)
    running = asyncio.create_task(front.run())
    await asyncio.sleep(0)
    logging.getLogger("socketchat").error("a log line")
    await asyncio.sleep(0)
    assert console.notices == (["a log line"] if shared else [])
    assert elsewhere == ([] if shared else ["a log line"])
    front.leave()
    await running
