"""Claims about `socketchat.cli.asking`: commands on their way, and what is shown of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from socketchat import Close, CommandFailed, HandshakeRefused, Message, SessionClosedOK
from socketchat.cli.asking import MAX_WAITING, Asking
from socketchat.cli.failures import ExitCode, Failure
from tests.sessions import turns

pytestmark = pytest.mark.virtual_time


class Server:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: asyncio.Queue[str | Exception] = asyncio.Queue()

    async def command(self, name: str, argument: str = "") -> str:
        self.asked.append((name, argument))
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Shown:
    """Where answers are shown."""

    def __init__(self, notices: list[str]) -> None:
        self.notices = notices

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def show_earlier(self, message: Message) -> None:
        self.notices.append(message.text)


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Asking, Server, list[str]]]:
    """Ask a server, and note what is shown."""
    server, shown = Server(), list[str]()
    it = Asking(Shown(shown))
    task = asyncio.create_task(it.run())
    yield it, server, shown
    task.cancel()
    await asyncio.wait([task])


def ask(it: Asking, server: Server, name: str, argument: str = "") -> None:
    it.add(name, lambda _: server.command(name, argument))


async def test_answers_are_shown_in_the_order_of_the_commands() -> None:
    async with asking() as (it, server, shown):
        ask(it, server, "kick", "eve")
        ask(it, server, "bans")
        await turns()
        assert server.asked == [("kick", "eve")]
        server.answers.put_nowait("eve was shown the door")
        server.answers.put_nowait("nobody is banned")
        await turns()
        assert server.asked == [("kick", "eve"), ("bans", "")]
        assert shown == ["eve was shown the door", "nobody is banned"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CommandFailed(1008, "only operators may do that"), "/kick: only operators may do that"),
        (ValueError("too long"), "/kick: too long"),
        (OSError("no more sockets"), "/kick: no more sockets"),
        (HandshakeRefused(1008, "full"), "/kick: "),
        (Failure(ExitCode.REFUSED, "no"), "/kick: no"),
        (SessionClosedOK(Close(1000, "")), "/kick was not sent"),
    ],
)
async def test_what_fails_is_shown_and_the_next_one_is_asked_for(
    error: Exception, words: str
) -> None:
    async with asking() as (it, server, shown):
        server.answers.put_nowait(error)
        server.answers.put_nowait("fine")
        ask(it, server, "kick", "eve")
        ask(it, server, "bans")
        await turns()
        assert shown[0].startswith(words)
        assert shown[1:] == ["fine"]


async def test_no_more_wait_than_a_few() -> None:
    async with asking() as (it, server, shown):
        ask(it, server, "kick", "eve")
        await turns()
        for _ in range(MAX_WAITING + 1):
            ask(it, server, "bans")
        assert shown == ["/bans was not sent: those before it are not answered yet"]
        assert server.asked == [("kick", "eve")]
