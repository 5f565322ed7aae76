"""Claims about `socketchat.cli.commands`: what is a command, and what is sent."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.cli.asking import Question
from socketchat.cli.commands import COMMANDS, interpret
from socketchat.cli.ignoring import Ignored
from socketchat.cli.rooms import Rooms
from socketchat.events import Message
from socketchat.peers import Peer
from socketchat.session import SessionState
from tests.cli.console_harness import NOON, FakeRooms, FakeSession


class Host:
    """Somebody who carries out commands."""

    def __init__(self, rooms: Rooms | None = None) -> None:
        self.keys = "Enter sends."
        self.notices: list[str] = []
        self.left = 0
        self.parted: list[str] = []
        self.joined: list[str] = []
        self.said: list[tuple[str, str]] = []
        self.earlier: list[Message] = []
        self.questions: list[Question] = []
        self.asked: list[str] = []
        self.known: dict[str, str] = {}
        self.ignored = Ignored()
        self.session = FakeSession()
        self.sessions = [self.session]
        self.rooms = rooms

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def leave(self) -> None:
        self.left += 1

    def ask(self, name: str, question: Question) -> None:
        self.asked.append(name)
        self.questions.append(question)

    async def answer(self) -> str:
        """Let what was asked last be answered."""
        return await self.questions.pop()(self)

    def show_earlier(self, message: Message) -> None:
        """Show what it asks for itself."""
        self.earlier.append(message)

    def say(self, text: str, to: str = "") -> None:
        self.said.append((text, to))

    def join(self, room: str) -> None:
        self.joined.append(room)

    def part(self, room: str = "") -> None:
        self.parted.append(room)

    def people(self) -> dict[str, str]:
        return self.known


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
        done = len(host.notices) + len(host.asked) + len(host.said) + len(host.joined)
        assert host.left + len(host.parted) + host.session.reconnected + done == 1


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("/kick eve enough", ("kick", "eve enough")),
        ("/KICK eve", ("kick", "eve")),
        ("/ban 192.0.2.1", ("ban", "192.0.2.1")),
        ("/bans", ("bans", "")),
        ("/mute eve of all people", ("mute", "eve of all people")),
        ("/topic", ("topic", "")),
        ("/topic tea and cake", ("topic", "tea and cake")),
        ("/invite", ("invite", "86400")),
        ("/invite red room", ("invite", "86400 red room")),
        ("/invite 2024", ("invite", "86400 2024")),
        ("/invite 2h", ("invite", "7200")),
        ("/invite 1h30m red room", ("invite", "5400 red room")),
    ],
)
async def test_what_the_server_does_it_is_asked_for(line: str, asked: tuple[str, str]) -> None:
    host = Host()
    assert interpret(host, line) is None
    assert host.asked == [asked[0]]
    assert await host.answer() == f"done: {asked[0]}"
    assert host.session.commands == [asked]
    assert host.notices == []


# About one command


def test_help_tells_more_about_one() -> None:
    host = Host()
    interpret(host, "/help /JOIN")
    interpret(host, "/help kick")
    interpret(host, "/help frob")
    join, kick, frob = host.notices
    assert join.startswith("/join ROOM: take part in another room as well\nAlt-1 to Alt-9")
    assert kick == "/kick NAME [WHY]: show somebody the door\nOnly operators may do it."
    assert "no command /frob" in frob


# What is said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/me waves", ("/me waves", "")),
        ("/msg bob hello there", ("hello there", "bob")),
        ("/msg BOB  hello", ("hello", "BOB")),
        ("/msg ada lovelace hello", ("hello", "ada lovelace")),
        ("/msg Ada Lovelace: hello", (": hello", "ada lovelace")),
        ("/msg ada hello", ("hello", "ada")),
    ],
)
def test_what_is_said_by_a_command(line: str, said: tuple[str, str]) -> None:
    host = Host()
    host.known = {"ada lovelace": "", "ada": "", "bob": ""}
    if ":" in line:
        interpret(host, line)
        assert host.said == [("Lovelace: hello", "ada")]  # no name ends within a word
        return
    interpret(host, line)
    assert [(text, to.casefold()) for text, to in host.said] == [(said[0], said[1].casefold())]


@pytest.mark.parametrize("line", ["/me", "/msg", "/msg bob", "/msg  ", "/join", "/join  "])
def test_what_lacks_something_says_what(line: str) -> None:
    host = Host()
    interpret(host, line)
    assert len(host.notices) == 1
    assert "/" in host.notices[0]
    assert (host.said, host.joined) == ([], [])


# Whom one does not hear


def test_somebody_is_ignored_by_name_and_key() -> None:
    host = Host()
    host.known = {"Eve": "SHA256:eve"}
    interpret(host, "/ignore eve")
    assert host.ignored.hides("Eve", "SHA256:eve")
    assert host.ignored.hides("mallory", "SHA256:eve")  # another name does not help
    assert not host.ignored.hides("Eve", "SHA256:other")
    interpret(host, "/ignore")
    interpret(host, "/unignore EVE")
    interpret(host, "/unignore eve")
    interpret(host, "/ignore")
    assert not host.ignored.hides("Eve", "SHA256:eve")
    assert host.notices == [
        "what Eve says is not shown; /unignore Eve shows it again",
        "you ignore Eve",
        "what EVE says is shown",
        "you do not ignore 'eve'",
        "you ignore nobody",
    ]


def test_one_does_not_ignore_oneself() -> None:
    host = Host()
    interpret(host, "/ignore ada")
    assert host.notices == ["that is you"]
    assert host.ignored.names == []


def test_one_without_a_key_is_ignored_by_name() -> None:
    host = Host()
    interpret(host, "/ignore bob")
    assert host.ignored.hides("bob", "")
    assert host.ignored.hides("bob", "SHA256:bob")
    assert not host.ignored.hides("bobby", "")


# Rooms and the session


def test_rooms_are_joined_and_left() -> None:
    host = Host()
    interpret(host, "/join  tea ")
    interpret(host, "/part")
    interpret(host, "/part cake")
    assert (host.joined, host.parted) == (["tea"], ["", "cake"])


async def test_a_name_is_changed_and_told_as_it_was_given() -> None:
    host = Host()
    host.session.told["nick"] = "bob~k3x7q"
    interpret(host, "/nick bob")
    assert await host.answer() == "the name bob is taken: you are bob~k3x7q"
    interpret(host, "/nick")
    assert host.notices == ["you are bob~k3x7q; /nick NAME gives you another name"]
    host.session.told["nick"] = "bob"
    interpret(host, "/nick bob")
    assert await host.answer() == "you are bob now"


async def test_a_name_is_changed_in_all_rooms_and_told_if_it_differs() -> None:
    host = Host()
    tea = FakeSession()
    tea.room = "tea"
    host.sessions.append(tea)
    host.session.told["nick"] = tea.told["nick"] = "bob"
    interpret(host, "/nick bob")
    assert await host.answer() == "you are bob now"
    tea.told["nick"] = "bob~k3x7q"
    interpret(host, "/nick bob")
    assert await host.answer() == "in lobby you are bob now\nin tea you are bob~k3x7q now"


async def test_names_are_listed() -> None:
    host = Host()
    host.session.told["names"] = "ada\nbob\x1b\n" + "\n".join(f"guest-{n}" for n in range(20))
    interpret(host, "/names")
    said = await host.answer()
    assert said.startswith("here: ada, bob␛, guest-0")
    assert said.endswith("guest-19")


async def test_what_is_found_is_listed_with_its_time() -> None:
    host = Host()
    host.session.told["search"] = ""
    interpret(host, "/search tea  time")
    assert (await host.answer()).startswith("nothing was found")
    host.session.told["search"] = "1000000\tada\t\tit is tea time\nrubbish\n5\tbob\tada\tno\ttea"
    interpret(host, "/search tea")
    first, second, third = (await host.answer()).splitlines()
    assert first.startswith("1970-01-01")
    assert first.endswith(" ada: it is tea time")
    assert second.startswith("1970-01-01")  # what no server of ours says, harms nobody
    assert third.endswith(" bob → ada: no    tea")
    assert host.session.commands == [("search", "tea  time"), ("search", "tea")]


def test_the_status_tells_of_server_key_and_link() -> None:
    host = Host()
    host.session.latency = 0.0123
    host.session.unacknowledged = 2
    host.session.next_pin = "SHA256:next"
    interpret(host, "/status")
    host.session.peer = Peer(address="192.0.2.1:7625")
    host.session.state = SessionState.LOST
    interpret(host, "/status")
    host.session.peer = Peer()
    interpret(host, "/status")
    assert host.notices[0].splitlines() == [
        "ada in lobby",
        "server maple at 192.0.2.1:7625",
        "its key is SHA256:key",
        "its next key will be SHA256:next",
        "link: open, 12.3 ms",
        "waiting to be sent: 2",
    ]
    assert "without TLS" in host.notices[1]
    assert "link: offline, coming back" in host.notices[1]
    assert "it is the one that runs here" in host.notices[2]


def test_a_new_link_is_asked_for() -> None:
    host = Host()
    interpret(host, "/reconnect")
    assert (host.session.reconnected, host.notices) == (1, [])
    host.session.can_reconnect = False
    interpret(host, "/reconnect")
    assert host.notices == ["there is nothing to reconnect: this session does not come back"]


# What was said before


def said(number: int) -> Message:
    return Message(f"line {number}", "bob", number, NOON, replayed=True)


async def test_what_was_said_before_is_shown() -> None:
    rooms = FakeRooms()
    rooms.earlier = [said(1), said(2)]
    host = Host(rooms)
    interpret(host, "/history")
    assert await host.answer() == "those were the last 2 messages"
    assert host.earlier == [said(1), said(2)]
    assert host.notices == ["this was said before:"]
    interpret(host, "/history 500")
    interpret(host, "/history 2h")
    await host.answer()
    await host.answer()
    (room, nick, few), (_, _, timed), (_, _, many) = rooms.looked
    assert (room, nick, few, many) == ("lobby", "ada", 50, 500)
    assert isinstance(timed, datetime)


async def test_where_nothing_was_said_that_is_told() -> None:
    host = Host(FakeRooms())
    interpret(host, "/history")
    assert await host.answer() == "nothing was said here before"
    interpret(host, "/history 1d")
    assert await host.answer() == "nothing since then"
    interpret(host, "/history soon")
    assert host.notices == ["/history: say how many messages, as 100, or how long ago, as 2h"]
    interpret(Host(), "/history")


async def test_where_nothing_is_kept_that_is_told() -> None:
    host = Host()
    interpret(host, "/history")
    assert host.notices == ["nothing is kept here"]
