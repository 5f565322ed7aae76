"""What the console does to a terminal: one in memory, and real ones with a process of their own."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from tests.cli.console_harness import terminal

pytestmark = pytest.mark.may_block("a pipe stands for the keyboard")


async def test_the_cursor_is_never_asked_for_and_each_write_is_a_frame() -> None:
    async with terminal() as it:
        it.type("hello\r")
        it.session.say("hi")
        await it.until("hi")
        await it.until("✓ sent")
        assert "\x1b[6n" not in it.screen.raw
        for write in it.screen.writes:
            assert write.startswith("\x1b[?2026h")
            assert write.endswith("\x1b[?2026l")


async def test_names_have_colours_unless_not_wanted() -> None:
    async with terminal() as it:
        it.session.say("hello")
        await it.until("hello")
        assert "\x1b[0;38;5;" in it.screen.raw
    async with terminal(color=False) as it:
        it.session.say("hello")
        await it.until("hello")
        assert "38;5" not in it.screen.raw


@pytest.mark.parametrize(("columns", "rows"), [(30, 15), (20, 4), (12, 2), (8, 1)])
async def test_small_terminals(columns: int, rows: int) -> None:
    async with terminal(columns, rows, start=False) as it:
        task = asyncio.create_task(it.console.run())
        await it.until(">")
        it.session.confirm = False
        it.session.say("hello there " * 5 + "日本")
        it.type("".join(f"line {number}\r" for number in range(6)) + "abc\x04\x03")
        await it.session.accepted(6)
        for receipt in it.session.receipts:
            receipt.settle()
        it.type("\x04")
        async with asyncio.timeout(20):
            await task
        assert ">>" not in it.screen.text


async def test_a_new_size_is_taken_up() -> None:
    async with terminal() as it:
        it.screen.resize(40, 10)
        it.session.say("one two three four five six seven eight nine ten")
        await it.until("12:01 bob: one two three four five six\n          seven eight nine ten\n>>")


async def test_ctrl_l_clears_the_screen_and_loses_nothing() -> None:
    async with terminal() as it:
        it.session.say("hello")
        await it.until("hello")
        it.type("typed\x0c")
        await it.until(lambda text: "hello" not in text)
        assert it.screen.rows[:3] == ["", ">> typed", "lobby · online"]
        assert "12:01 bob: hello" in it.screen.scrolled
        assert "\x1b[3J" not in it.screen.raw
        assert "\x1b[2J" not in it.screen.raw


# A real terminal

PROGRAM = """
import asyncio, signal
from socketchat.cli.console import Console
from tests.cli.console_harness import FakeSession

async def main():
    session = FakeSession()
    console = Console(session)
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, console.exit)
    send = session.send
    async def send_and_answer(text, *, to=""):
        receipt = await send(text, to=to)
        if text == "flood":
            for number in range(3000):
                session.say(f"line {number}")
        return receipt
    session.send = send_and_answer
    await console.run()
    print("returned")

asyncio.run(main())
"""


class Process:
    """A console in a process of its own, on a pseudo-terminal."""

    def __init__(self, master: int, slave: int) -> None:
        self.master = master
        self.slave = slave
        self.screen = pyte.HistoryScreen(80, 24, history=10_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self.flags: set[tuple[bool, bool]] = set()
        root = Path(__file__).parents[2]
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=root,
            env=os.environ
            | {
                "TERM": "xterm-256color",
                "PYTHONPATH": f"{root / 'src'}:{root}",
                "LC_ALL": "C.UTF-8",
            },
        )

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.screen.display)

    def shows(self, what: str) -> bool:
        return what in self.text

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def cooked(self) -> tuple[bool, bool]:
        """Tell whether the terminal echoes, and whether it collects lines."""
        flags = termios.tcgetattr(self.slave)[3]
        return bool(flags & termios.ECHO), bool(flags & termios.ICANON)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.popen.pid, signal.SIGWINCH)

    def until(self, holds: Callable[[], bool]) -> None:
        """Show what the process writes until a claim holds; note the terminal's flags meanwhile."""
        deadline = time.monotonic() + 30
        while not holds():
            left = deadline - time.monotonic()
            assert left > 0, f"never came:\n{self.text}"
            if select.select([self.master], [], [], min(left, 0.05))[0]:
                self._stream.feed(os.read(self.master, 65536))
                self.flags.add(self.cooked())


@contextmanager
def process() -> Iterator[Process]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    it = Process(master, slave)
    try:
        yield it
    finally:
        it.popen.kill()
        it.popen.wait()
        os.close(slave)
        os.close(master)


def test_the_terminal_stays_raw_while_lines_are_printed() -> None:
    with process() as it:
        assert it.cooked() == (True, True)
        it.until(lambda: "lobby · online" in it.text)
        it.flags.clear()
        it.type("flood\r")
        for word in ("keys", "typed", "meanwhile"):
            it.type(f"{word}-")
            it.until(functools.partial(it.shows, f"{word}-"))
        it.until(lambda: "line 2999\n>> keys-typed-meanwhile-" in it.text)
        assert it.flags == {(False, False)}
        it.type("\x15/quit\r")
        it.until(lambda: "returned" in it.text)
        assert it.popen.wait() == 0
        assert it.cooked() == (True, True)


def test_a_signal_restores_the_terminal() -> None:
    with process() as it:
        it.until(lambda: "lobby · online" in it.text)
        it.popen.send_signal(signal.SIGTERM)
        it.until(lambda: "returned" in it.text)
        assert it.popen.wait() == 0
        assert it.cooked() == (True, True)
        assert ">>" not in it.text


def test_sigint_is_taken_as_ctrl_c() -> None:
    with process() as it:
        it.until(lambda: "lobby · online" in it.text)
        it.type("half a line")
        it.until(lambda: ">> half a line" in it.text)
        it.popen.send_signal(signal.SIGINT)
        it.until(lambda: "half a line" not in it.text)
        it.popen.send_signal(signal.SIGINT)
        it.until(lambda: "returned" in it.text)
        assert it.popen.wait() == 0


def test_a_resized_terminal_is_drawn_anew() -> None:
    with process() as it:
        it.until(lambda: "lobby · online" in it.text)
        it.resize(40, 10)
        it.type("one two three four five six seven eight nine ten\r")
        it.until(
            lambda: (
                "ada: one two three four five six\n          seven eight nine ten ✓ sent" in it.text
            )
        )
