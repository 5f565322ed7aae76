"""Claims about `socketchat.cli.terminal`: what a terminal is good for, and how the end is asked."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import sys

import pytest

from socketchat.cli.terminal import (
    is_interactive,
    logs_shown_by,
    on_signals,
    say,
    wants_color,
)


class Stream(io.StringIO):
    """A stream that is a terminal, or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def at_terminal(monkeypatch: pytest.MonkeyPatch, **others: object) -> None:
    """Let this process have a terminal, but for what is named."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, others.get(name, Stream(terminal=True)))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_terminal_is_interactive(monkeypatch: pytest.MonkeyPatch) -> None:
    at_terminal(monkeypatch)
    assert is_interactive(plain=False)
    assert wants_color(no_color=False)


def test_plain_lines_are_plain_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    at_terminal(monkeypatch)
    assert not is_interactive(plain=True)


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_a_pipe_on_one_side_is_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    at_terminal(monkeypatch, **{name: Stream(terminal=False)})
    assert not is_interactive(plain=False)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no TERM")
@pytest.mark.parametrize("term", ["dumb", "", None])
def test_a_terminal_that_cannot_move_its_cursor_is_not(
    monkeypatch: pytest.MonkeyPatch, term: str | None
) -> None:
    at_terminal(monkeypatch)
    if term is None:
        monkeypatch.delenv("TERM")
    else:
        monkeypatch.setenv("TERM", term)
    assert not is_interactive(plain=False)


@pytest.mark.parametrize(("value", "wanted"), [("1", False), ("0", False), ("", True)])
def test_no_color_counts_if_it_is_not_empty(
    monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    assert wants_color(no_color=False) is wanted
    assert not wants_color(no_color=True)


def test_status_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_status_that_nobody_can_read_is_dropped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    say("hello")
    monkeypatch.undo()
    assert capsys.readouterr() == ("", "")


# Signals


async def test_a_signal_calls_in_the_loop() -> None:
    got: asyncio.Queue[signal.Signals] = asyncio.Queue()
    with on_signals(got.put_nowait, "SIGTERM", "SIGINT"):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
            assert await got.get() is number


async def test_signals_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), on_signals(print, "SIGTERM", "SIGINT"):
        raise ZeroDivisionError
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_a_signal_that_this_system_lacks_is_passed_over() -> None:
    with on_signals(print, "SIGFROB"):
        pass


# Log lines


async def test_log_lines_are_shown_by_a_function_while_it_is_there() -> None:
    shown: list[str] = []
    root = logging.getLogger()
    before = root.handlers[:]
    with logs_shown_by(shown.append):
        logging.getLogger("socketchat.chat").error("one %s", "line")
        await asyncio.sleep(0)
        assert len(shown) == 1
        assert "one line" in shown[0]
    assert root.handlers == before


async def test_log_lines_of_other_threads_are_shown_in_the_loops_own() -> None:
    shown: list[str] = []
    with logs_shown_by(shown.append):
        await asyncio.to_thread(logging.getLogger("socketchat.chat").error, "from there")
        assert shown == [] or "from there" in shown[0]
        await asyncio.sleep(0)
    assert "from there" in shown[0]
