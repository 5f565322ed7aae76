"""Examples of programs that sit in rooms: a bridge, and alerts from a pipe; as real processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from examples import alerts

import socketchat
from socketchat.chat import ChatServer
from socketchat.testing import session_pair
from tests.processes import DEADLINE, ROOT, Program, start

EXAMPLES = ROOT / "examples"


@asynccontextmanager
async def serving(data: str, cwd: Path) -> AsyncIterator[tuple[Program, str]]:
    """Start a server of rooms that keeps what it has in a directory, and give its address."""
    serve = ("-m", "socketchat", "serve", "--headless", "--host", "127.0.0.1", "--port", "0")
    async with start(*serve, "--rate", "0", "--data", data, cwd=cwd) as server:
        port = (await server.prints(r"^listening on \S+ port (\d+)"))[1]
        yield server, f"127.0.0.1:{port}"


@asynccontextmanager
async def sitting(
    address: str, room: str, nick: str, cwd: Path
) -> AsyncIterator[socketchat.Session]:
    """Sit in a room for a test that takes no longer than it may."""
    async with (
        asyncio.timeout(DEADLINE),
        socketchat.connect(
            [address], room=room, nick=nick, trust="accept-new", known_hosts=cwd / nick
        ) as session,
    ):
        yield session


# bridge.py


async def say(session: socketchat.Session, first: int, last: int) -> None:
    """Say some numbers."""
    for number in range(first, last):
        await session.send(f"{session.nick} says {number}")


async def hear(session: socketchat.Session, nick: str, first: int, last: int) -> None:
    """Hear those numbers through the bridge: each of them once, in order, and nothing else."""
    for number in range(first, last):
        text = (await session.recv()).text
        assert re.fullmatch(rf"{nick}@127\.0\.0\.1:\d+/\w+#\d+: {nick} says {number}", text)


async def test_a_bridge_that_is_killed_while_both_rooms_talk_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    async with (
        serving("a", tmp_path) as (_, here),
        serving("b", tmp_path) as (there_server, there),
        sitting(here, "lobby", "ada", tmp_path) as ada,
        sitting(there, "tea", "grace", tmp_path) as grace,
    ):
        await say(ada, -3, 0)
        await ada.flush()  # before there is a bridge
        args = (EXAMPLES / "bridge.py", f"{here}/lobby", f"{there}/tea")
        async with start(*args, cwd=tmp_path) as killed:
            await killed.prints("^from .*/lobby to .*/tea, behind message 3$")
            await killed.prints("^from .*/tea to .*/lobby, behind message")
            await asyncio.gather(say(ada, 0, 300), say(grace, 0, 300))
            await asyncio.gather(hear(grace, "ada", 0, 50), hear(ada, "grace", 0, 50))
        # It was killed at the end of the block, with much on its way.
        async with start(*args, cwd=tmp_path) as again:
            await asyncio.gather(say(ada, 300, 400), say(grace, 300, 400))
            await asyncio.gather(hear(grace, "ada", 50, 400), hear(ada, "grace", 50, 400))
            await ada.send("psst", to="bridge")  # is for the bridge alone
            await asyncio.gather(say(ada, 400, 401), hear(grace, "ada", 400, 401))
            assert await there_server.ends_by(signal.SIGINT) == 0
            assert await again.ends() == 1
            assert again.stderr == [f"bridge: {there}/tea has said goodbye: the server is stopping"]


async def test_a_ring_of_bridges_says_everything_once_in_each_room(tmp_path: Path) -> None:
    rooms = ("one", "two", "three")
    pairs = (("one", "two"), ("two", "three"), ("three", "one"))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(socketchat.serve(ChatServer(), "127.0.0.1", 0))
        at = f"127.0.0.1:{server.port}"
        people = [
            await stack.enter_async_context(sitting(at, room, "ada", tmp_path)) for room in rooms
        ]
        bridges = []
        for pair in pairs:
            names = [f"{at}/{room}" for room in pair]
            start_one = start(EXAMPLES / "bridge.py", *names, "--key", "-".join(pair), cwd=tmp_path)
            bridges.append(await stack.enter_async_context(start_one))
        for program, pair in zip(bridges, pairs, strict=True):
            for to in pair:
                await program.prints(f"^from .* to .*/{to}, ")
        for turn in range(5):
            for room, person in zip(rooms, people, strict=True):
                await person.send(f"{turn} in {room}")
            for room, person in zip(rooms, people, strict=True):
                heard = {(await person.recv()).text.partition(": ")[2] for _ in range(2)}
                assert heard == {f"{turn} in {other}" for other in rooms if other != room}
        for program in bridges:
            assert await program.ends_by(signal.SIGTERM) == 0
            assert not program.stderr


# alerts.py, alerts.sh


async def test_alerts_of_a_flood_are_one_message_and_those_of_the_last_moment_are_sent(
    tmp_path: Path,
) -> None:
    async with (
        serving("a", tmp_path) as (_, address),
        sitting(address, "alerts", "ada", tmp_path) as ada,
    ):
        host, _, port = address.partition(":")
        args = (EXAMPLES / "alerts.py", host, "--port", port, "--match", "ERROR")
        gathered = ("--seconds", "3600")
        async with start(*args, *gathered, cwd=tmp_path, stdin=PIPE) as program:
            assert program.process.stdin is not None
            for number in range(5_000):
                program.process.stdin.write(b"INFO fine\nERROR number %d\n" % number)
            program.process.stdin.close()
            lines = (await ada.recv()).text.splitlines()
            assert lines == [*(f"ERROR number {number}" for number in range(20)), "and 4980 more"]
            assert await program.ends() == 0
        async with start(*args, *gathered, cwd=tmp_path, stdin=PIPE) as program:
            assert program.process.stdin is not None
            program.process.stdin.write(b"ERROR the last one\n")
            await program.prints("^gathering$")
            assert await program.ends_by(signal.SIGTERM) == 0
            assert (await ada.recv()).text == "ERROR the last one"
            assert not program.stderr


@pytest.mark.virtual_time
async def test_alerts_of_one_time_are_one_message_and_what_is_too_long_is_cut_or_let_go() -> None:
    async with session_pair() as (session, room):
        lines = asyncio.StreamReader()
        alerting = asyncio.create_task(alerts.alert(lines, session, re.compile("a"), 1.0))
        loop = asyncio.get_running_loop()
        for text, said in (
            (b"a\nb\n\xff a\r\n", "a\n\ufffd a"),
            (b"a" * 300 + b"\n", "a" * alerts.LONGEST),
            (b"a" * 2**17 + b"\nba\n", "ba"),
        ):
            before = loop.time()
            lines.feed_data(text)
            assert (await room.recv()).text == said
            assert loop.time() == before + 1
        lines.feed_data(b"the last")
        lines.feed_eof()
        await alerting
        assert (await room.recv()).text == "the last"


@pytest.mark.skipif(sys.platform != "linux", reason="tail --pid is GNU's")
@pytest.mark.may_block("it writes a log")
async def test_new_lines_of_a_log_go_to_the_room_until_the_shell_is_ended(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    async with (
        serving("a", tmp_path) as (_, address),
        sitting(address, "alerts", "ada", tmp_path) as ada,
    ):
        args = (EXAMPLES / "alerts.sh", "app.log", "^ERR", f"{address}/alerts")
        with (tmp_path / "app.log").open("w", buffering=1) as log:
            async with start(*args, cwd=tmp_path, python=("sh",), PATH=path) as shell:
                # What is written before tail is there is not new to it.
                hearing = asyncio.create_task(ada.recv())
                written = 0
                while not hearing.done():
                    log.write(f"fine\nERR {written}\n")
                    written += 1
                    await asyncio.wait([hearing], timeout=0.1)
                log.writelines(f"fine\nERR {number}\n" for number in range(written, written + 500))
                first = int((await hearing).text.removeprefix("ERR "))
                for number in range(first + 1, written + 500):
                    assert (await ada.recv()).text == f"ERR {number}"
                shell.process.send_signal(signal.SIGTERM)
                await shell.ends()  # all of them: none holds the pipes any more
                assert shell.stdout == []
