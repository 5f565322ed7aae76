"""Every example works as it says: as a real process, and its parts over links in memory."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from examples import bot, exchange

import socketchat
from socketchat.testing import session_pair
from tests.processes import DEADLINE, ROOT, Program, run, start

EXAMPLES = ROOT / "examples"
LISTENING = r"port (\d+), key (SHA256:\S+)"


@asynccontextmanager
async def serving(*args: str | Path, cwd: Path) -> AsyncIterator[tuple[Program, str, str]]:
    """Start a server, and give its port and its fingerprint; it must end well at Ctrl-C."""
    async with start(*args, "--port", "0", cwd=cwd) as program:
        found = await program.prints(LISTENING)
        yield program, found[1], found[2]
        assert await program.ends_by(signal.SIGINT) == 0
        assert not program.stderr


def test_every_example_is_in_its_list_and_in_a_test() -> None:
    listed = re.findall(
        r"^- \[`(.+?)`\]\((.+?)\): ", (EXAMPLES / "README.md").read_text(), re.MULTILINE
    )
    there = {
        path.name for path in EXAMPLES.iterdir() if path.name not in ("README.md", "__pycache__")
    }
    assert {name for name, _ in listed} == {target for _, target in listed} == there
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in sorted(there) if f'"{name}"' not in tests] == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
async def test_an_example_tells_how_to_use_it(path: Path, tmp_path: Path) -> None:
    status, program = await run(path, "--help", cwd=tmp_path)
    assert status == 0
    assert program.stdout[0].startswith(f"usage: {path.name}")


# echo.py


async def test_an_echo_comes_back_from_the_server_whose_fingerprint_was_given(
    tmp_path: Path,
) -> None:
    echo = EXAMPLES / "echo.py"
    async with serving(echo, "serve", cwd=tmp_path) as (server, port, key):
        call = (echo, "call", "--port", port, "--fingerprint")
        status, caller = await run(*call, key, "hello", "how are you", cwd=tmp_path)
        assert (status, caller.stderr) == (0, [])
        for line, text in zip(caller.stdout, ["hello", "how are you"], strict=True):
            assert re.fullmatch(rf"'{text}' came back; it was held after \d+\.\d ms", line)
        await server.prints(r"ada calls from 127\.0\.0\.1:\d+")
        await server.prints("ada has left")

        status, caller = await run(*call, f"SHA256:{'A' * 43}", "hello", cwd=tmp_path)
        assert status == 1
        assert caller.stderr[0].startswith(f"echo: 127.0.0.1:{port} has the key {key}, not")
        assert not caller.stdout


async def test_an_echo_server_is_the_same_after_a_restart(tmp_path: Path) -> None:
    echo = EXAMPLES / "echo.py"
    async with serving(echo, "serve", cwd=tmp_path) as (_, port, key):
        status, caller = await run(echo, "call", "--port", port, "hello", cwd=tmp_path)
        assert (status, caller.stderr, len(caller.stdout)) == (0, [], 1)
    async with start(echo, "serve", "--port", port, cwd=tmp_path) as server:
        assert (await server.prints(LISTENING))[2] == key
        status, caller = await run(echo, "call", "--port", port, "hello", cwd=tmp_path)
        assert (status, caller.stderr, len(caller.stdout)) == (0, [], 1)


async def test_an_echo_caller_says_that_nobody_is_there(tmp_path: Path) -> None:
    async with serving(EXAMPLES / "echo.py", "serve", cwd=tmp_path) as (_, port, _):
        pass
    status, caller = await run(EXAMPLES / "echo.py", "call", "--port", port, "x", cwd=tmp_path)
    assert status == 1
    assert len(caller.stderr) == 1
    assert caller.stderr[0].startswith("echo: ")


# bot.py


@asynccontextmanager
async def chat_server(port: str, cwd: Path) -> AsyncIterator[tuple[Program, str]]:
    """Start a room for the bot, and give its port."""
    serve = ("-m", "socketchat", "serve", "--headless", "--host", "127.0.0.1")
    async with start(*serve, "--port", port, cwd=cwd) as program:
        yield program, (await program.prints(r"^listening on \S+ port (\d+)"))[1]


async def ask(port: str, question: str, cwd: Path) -> str:
    """Come into the room, say something, and return what the bot says to it."""
    known_hosts = cwd / "asker-known-hosts"
    async with (
        asyncio.timeout(DEADLINE),
        socketchat.connect(
            "127.0.0.1", int(port), nick="ada", trust="accept-new", known_hosts=known_hosts
        ) as session,
    ):
        await session.send(question)
        answer = await session.recv()
        assert answer.sender == "bot"
        return answer.text


async def test_the_bot_answers_comes_back_after_a_restart_and_leaves_at_ctrl_c(
    tmp_path: Path,
) -> None:
    async with (
        chat_server("0", tmp_path) as (server, port),
        start(EXAMPLES / "bot.py", "127.0.0.1", "--port", port, cwd=tmp_path) as robot,
    ):
        await robot.prints("^in the room lobby as bot$")
        assert await ask(port, "!help", tmp_path) == bot.HELP

        assert await server.ends_by(signal.SIGTERM) == 0
        await robot.prints("^LinkLost")
        async with chat_server(port, tmp_path) as (server, _):
            await robot.prints("^LinkRestored")
            assert await ask(port, "!roll 1d1", tmp_path) == "1d1: 1 = 1"
            assert await robot.ends_by(signal.SIGINT) == 0
            await server.prints("bot .*has left")
    # The room is on the disk, and goes on where it was.
    assert [line.partition("(")[0] for line in robot.stderr] == ["LinkLost", "LinkRestored"]


async def test_the_bot_ends_when_the_server_says_goodbye(tmp_path: Path) -> None:
    async with (
        chat_server("0", tmp_path) as (server, port),
        start(EXAMPLES / "bot.py", "127.0.0.1", "--port", port, cwd=tmp_path) as robot,
    ):
        await robot.prints("^in the room")
        assert await server.ends_by(signal.SIGINT) == 0
        assert await robot.ends() == 0
        assert robot.stdout[-1] == "the server has closed: the server is stopping"


@pytest.mark.virtual_time
async def test_the_bot_answers_what_is_meant_for_it_and_nothing_else() -> None:
    async with session_pair() as (session, room):
        attending = asyncio.create_task(bot.attend(session))
        for said in ("hello", b"!help", "!unknown", "!help me", "!time"):
            await room.send(said)
        assert re.fullmatch(r"it is \d\d:\d\d:\d\d UTC", (await room.recv()).text)
        await room.send("!roll 3d6")
        found = re.fullmatch(r"3d6: (\d) \+ (\d) \+ (\d) = (\d+)", (await room.recv()).text)
        assert found
        *rolls, total = map(int, found.groups())
        assert sum(rolls) == total
        assert all(1 <= roll <= 6 for roll in rolls)
        await room.close()
        await attending


@pytest.mark.parametrize("dice", ["", "0d6", "2d0", "100d6", "2d10000", "-1d6", "d", "2d6 3d6"])
def test_the_bot_rolls_only_what_can_be_rolled(dice: str) -> None:
    assert bot.answer(f"!roll {dice}") == bot.answer("!roll")


# exchange.py


@pytest.mark.may_block("it writes the file")
async def test_a_file_and_readings_pass_at_the_same_time(tmp_path: Path) -> None:
    script = EXAMPLES / "exchange.py"
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 40_000)
    size = 256 * 40_000
    async with serving(script, cwd=tmp_path) as (taker, port, key):
        give = (script, file, "--port", port)
        status, giver = await run(*give, "--fingerprint", key, cwd=tmp_path)
        assert (status, giver.stderr) == (0, [])
        assert giver.stdout[0] == f"acknowledged: {size} bytes"
        found = re.fullmatch(r"readings: (\d+), the longest \d+\.\d ms", giver.stdout[1])
        assert found
        assert int(found[1]) > 1
        await taker.prints(f"^taken: {size} bytes from 127.0.0.1:")

        status, giver = await run(*give, cwd=tmp_path)
        assert status == 1
        assert f"its key is {key}" in giver.stderr[0]

        missing = (script, tmp_path / "missing", "--port", port, "--fingerprint", key)
        status, giver = await run(*missing, cwd=tmp_path)
        assert status == 1
        assert "missing" in giver.stderr[0]


@pytest.mark.virtual_time
async def test_a_damaged_file_is_refused() -> None:
    async with session_pair() as (giver, taker):
        taking = asyncio.create_task(exchange.take(taker))
        await giver.send(b"something")
        await giver.send("a digest of something else")
        with pytest.raises(socketchat.SessionClosedError):
            await exchange.take_readings(giver)
        assert (giver.close_code, giver.close_reason) == (4000, "9 bytes came, with another digest")
        with pytest.raises(socketchat.SessionClosed):
            await taking
