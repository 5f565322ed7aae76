"""A second peer, written from `docs/protocol.md` alone in another language, talks to this one.

Nothing of it is shared with the library. What it must answer to bytes is in `docs/vectors`.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import socketchat
from tests.interop.conformance import DOCS
from tests.interop.peer import HERE, needs_node, node, reports, start_node
from tests.interop.servers import Address, room
from tests.processes import DEADLINE

pytestmark = [pytest.mark.may_block("log lines are written"), needs_node]


async def test_the_peer_reads_and_writes_what_the_vectors_say() -> None:
    seen, wrong = reports(await node(HERE / "vectors.mjs", DOCS / "vectors"))
    assert wrong == []
    wanted = ["messages", "accepted", "malformed", "streams", "pins", "proofs", "invites"]
    assert seen >= {
        (f"{name}.json", vector["name"])
        for name in wanted
        for vector in json.loads((DOCS / "vectors" / f"{name}.json").read_text("utf-8"))["vectors"]
    }
    conversations = ["conversation", "resume", "restart", "room"]
    assert seen >= {(f"{name}.json", "the client") for name in conversations}


class Chat:
    """The peer's chat client as a process, and what has happened to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.news: list[dict[str, Any]] = []

    def say(self, *lines: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    def posts(self, sender: str) -> list[str]:
        return [one["body"] for one in self._all("post") if one["sender"] == sender]

    def _all(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.news if one["type"] == kind]

    def count(self, kind: str) -> int:
        return len(self._all(kind))

    async def until_posts(self, sender: str, number: int) -> None:
        """Wait until it was told so many posts of somebody."""
        while len(self.posts(sender)) < number:
            assert await self._read(), "it has ended"

    async def until_told(self, body: str) -> None:
        """Wait until it was told of a post."""
        while not any(one.get("body") == body for one in self.news):
            assert await self._read(), "it has ended"

    async def _read(self) -> bool:
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await self._process.stdout.readline()
        if line:
            self.news.append(json.loads(line))
        return bool(line)

    async def leave(self) -> int:
        """Let it say goodbye, and return its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        while await self._read():
            pass
        return await self._process.wait()


@asynccontextmanager
async def chatting(server: Address, nick: str, *, cuts: int = 0) -> AsyncIterator[Chat]:
    """Have the peer's chat client in a room."""
    program = HERE / "chat.mjs"
    async with start_node(program, str(server), "lobby", nick, str(cuts), stdin=PIPE) as process:
        yield Chat(process)


async def test_a_chat_between_both_loses_and_doubles_nothing_though_links_are_cut(
    tmp_path: Path,
) -> None:
    said = {who: [f"{who} {number}" for number in range(100)] for who in ("ada", "peer")}
    async with (
        room(tmp_path, "--rate", "0") as server,
        socketchat.connect(
            server.host, server.port, trust=server.pin, room="lobby", nick="ada"
        ) as ada,
        chatting(server, "peer", cuts=25) as peer,
    ):
        peer.say("hello")
        await peer.until_posts("peer", 1)
        assert (await ada.recv()).body == "hello"
        for mine, theirs in zip(said["ada"], said["peer"], strict=True):
            peer.say(theirs)
            await ada.send(mine)
        heard = []
        for _ in said["peer"]:
            message = await ada.recv()
            assert message.sender == "peer"
            heard.append(message.body)
        await peer.until_posts("ada", len(said["ada"]))
        await peer.until_posts("peer", 1 + len(said["peer"]))
        assert await peer.leave() == 0
        await ada.flush()
    assert heard == said["peer"]
    assert peer.posts("ada") == said["ada"]
    assert peer.posts("peer") == ["hello", *said["peer"]]
    assert peer.count("acknowledged") == 1 + len(said["peer"])
    assert peer.count("cut") > 0


async def test_two_of_the_peer_talk_to_each_other_and_to_no_other_server(tmp_path: Path) -> None:
    async with (
        room(tmp_path) as server,
        chatting(server, "bob") as bob,
        chatting(server, "cyd") as cyd,
    ):
        # Each is in the room once its own words have come back.
        for one, nick in ((bob, "bob"), (cyd, "cyd")):
            one.say("here")
            await one.until_posts(nick, 1)
        bob.say("hé 你好 🦉")
        await cyd.until_told("hé 你好 🦉")
        cyd.say("good morning")
        await bob.until_told("good morning")
        assert await bob.leave() == 0
        assert await cyd.leave() == 0

        other = Address(server.port, "SHA256:" + "A" * 43)
        async with start_node(HERE / "chat.mjs", str(other), "lobby", "bob") as process:
            out, complaints = await process.communicate()
        assert process.returncode != 0
        assert out == b""
        assert b"WrongKey" in complaints
