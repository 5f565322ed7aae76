"""Claims about `socketchat.cli.commands`: what is a command, and what is sent."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.cli.commands import COMMANDS, interpret


class Host:
    """Somebody who carries out commands."""

    keys: ClassVar[str] = "Enter sends."

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.left = 0
        self.asked: list[tuple[str, str]] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def leave(self) -> None:
        self.left += 1

    def ask(self, name: str, argument: str) -> None:
        self.asked.append((name, argument))


@pytest.mark.parametrize("line", ["hello", " /quit", "a/b", "", " ", "\\/quit", "\uff0f/"])
def test_what_does_not_start_with_a_slash_is_sent_as_it_is(line: str) -> None:
    host = Host()
    assert interpret(host, line) == line
    assert (host.notices, host.left) == ([], 0)


@pytest.mark.parametrize(
    ("line", "sent"), [("//", "/"), ("//quit", "/quit"), ("///", "//"), ("// x", "/ x")]
)
def test_two_slashes_send_one(line: str, sent: str) -> None:
    host = Host()
    assert interpret(host, line) == sent
    assert (host.notices, host.left) == ([], 0)


@pytest.mark.parametrize("line", ["/quit", "/QUIT", "/quit now", "/ quit", "/quit\nnow"])
def test_quit_leaves(line: str) -> None:
    host = Host()
    assert interpret(host, line) is None
    assert host.left == 1


def test_help_names_every_command_and_how_to_send_a_slash() -> None:
    host = Host()
    assert interpret(host, "/help") is None
    (text,) = host.notices
    for name, command in COMMANDS.items():
        assert f"/{name} " in text
        assert command.summary in text
    assert "//text" in text
    assert text.endswith("\nEnter sends.")


@pytest.mark.parametrize("line", ["/frob", "/", "/ ", "/help!", "/quitt", "/q"])
def test_an_unknown_command_is_told_of_and_never_sent(line: str) -> None:
    host = Host()
    assert interpret(host, line) is None
    (text,) = host.notices
    assert "no command" in text
    assert "/help" in text
    assert not host.left


def test_what_stands_behind_an_unknown_command_is_not_repeated() -> None:
    host = Host()
    interpret(host, "/login hunter2")
    assert "hunter2" not in host.notices[0]


@given(st.text())
def test_a_line_is_sent_or_carried_out(line: str) -> None:
    host = Host()
    sent = interpret(host, "/" + line)
    if line.startswith("/"):
        assert sent == line
    else:
        assert sent is None
        assert host.left + len(host.notices) + len(host.asked) == 1


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("/kick eve enough", ("kick", "eve enough")),
        ("/KICK eve", ("kick", "eve")),
        ("/ban 192.0.2.1", ("ban", "192.0.2.1")),
        ("/bans", ("bans", "")),
        ("/mute eve of all people", ("mute", "eve of all people")),
        ("/invite", ("invite", "86400")),
        ("/invite red room", ("invite", "86400 red room")),
        ("/invite 2024", ("invite", "86400 2024")),
        ("/invite 2h", ("invite", "7200")),
        ("/invite 1h30m red room", ("invite", "5400 red room")),
    ],
)
def test_what_the_server_does_it_is_asked_for(line: str, asked: tuple[str, str]) -> None:
    host = Host()
    assert interpret(host, line) is None
    assert host.asked == [asked]
    assert host.notices == []
