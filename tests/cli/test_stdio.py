"""Claims about `socketchat.cli.stdio`: lines in and bytes out, without blocking the event loop."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat import CloseCode
from socketchat.cli import stdio
from socketchat.cli.stdio import MAX_LINE, MAX_WAITING, InputError, LineInput, LineOutput, Unfit
from tests.cli.processes import join_helpers
from tests.sessions import turns, until

pytestmark = pytest.mark.may_block("the test's end of a pipe is read and written here")


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe; ends that the test has closed stay closed."""
    out, into = os.pipe()
    try:
        yield out, into
    finally:
        reading = any(thread.name == "stdin" for thread in threading.enumerate())
        first, last = (into, out) if reading else (out, into)
        close(first)
        join_helpers()
        close(last)


def close(end: int) -> None:
    with suppress(OSError):
        os.close(end)


@contextmanager
def opened(path: str | Path, flags: int) -> Iterator[int]:
    """Open a file."""
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def read(data: bytes, *, piece: int = 2**16) -> list[str | Unfit]:
    """Return the lines of some input."""
    out, into = os.pipe()
    writing = threading.Thread(target=_write_pieces, args=(into, data, piece))
    writing.start()
    try:
        return [line async for line in LineInput(out).lines()]
    finally:
        join_helpers()
        os.close(out)
        writing.join()


def _write_pieces(descriptor: int, data: bytes, piece: int) -> None:
    try:
        for start in range(0, len(data), piece):
            os.write(descriptor, data[start : start + piece])
    except BrokenPipeError:
        pass
    os.close(descriptor)


# In


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\n\n\ntwo\n", ["one", "", "", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"one\rtwo\n", ["one\rtwo"]),
        (b" one \t\n", [" one \t"]),
        ("grün\u2028日本\x85\n".encode(), ["grün\u2028日本\x85"]),
        (b"nul \0\x1b\n", ["nul \0\x1b"]),
    ],
)
@pytest.mark.parametrize("piece", [1, 2**16])
async def test_the_lines_of_an_input(data: bytes, lines: list[str], piece: int) -> None:
    assert await read(data, piece=piece) == lines


@given(lines=st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"))))
async def test_any_lines_come_as_they_are(lines: list[str]) -> None:
    assert await read("".join(f"{line}\n" for line in lines).encode()) == lines


async def test_many_lines_come_in_order() -> None:
    lines = [str(number) for number in range(100_000)]
    assert await read("\n".join(lines).encode()) == lines


async def test_a_file_is_an_input_too(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"one\ntwo")
    with opened(path, os.O_RDONLY) as file:
        assert [line async for line in LineInput(file).lines()] == ["one", "two"]


@pytest.mark.parametrize(
    ("data", "number"), [(b"\xff\n", 1), (b"one\ntw\xc3\n", 2), (b"\n\n\xed\xa0\x80", 3)]
)
async def test_a_line_that_is_not_utf8_is_named(data: bytes, number: int) -> None:
    lines = await read(data)
    assert [at for at, line in enumerate(lines, 1) if isinstance(line, Unfit)] == [number]
    (unfit,) = (line for line in lines if isinstance(line, Unfit))
    assert unfit.code == CloseCode.INVALID_DATA
    assert unfit.reason.startswith("it is not UTF-8")


async def test_lines_around_a_bad_one_come() -> None:
    lines = await read(b"one\ntwo\n\xff\nfour\n")
    assert (*lines[:2], *lines[3:]) == ("one", "two", "four")


async def test_the_longest_line_comes() -> None:
    assert await read(b"x" * MAX_LINE + b"\nnext\n") == ["x" * MAX_LINE, "next"]


@pytest.mark.parametrize("end", [b"\n", b"", b"\nthree"])
@pytest.mark.parametrize("size", [MAX_LINE + 1, 3 * MAX_LINE])
async def test_a_longer_one_is_named_once_and_the_rest_comes(end: bytes, size: int) -> None:
    lines = await read(b"one\n" + b"x" * size + end)
    unfit = Unfit(CloseCode.TOO_BIG, "it is longer than 1048576 bytes")
    assert lines == ["one", unfit, *(["three"] if end == b"\nthree" else [])]


async def test_a_line_without_end_is_named_and_takes_no_memory() -> None:
    with opened("/dev/zero", os.O_RDONLY) as zeros:
        source = LineInput(zeros)
        lines = source.lines()
        assert isinstance(await anext(lines), Unfit)
        assert not source._rest
        await lines.aclose()


async def test_an_input_that_cannot_be_read_says_why() -> None:
    with opened("/dev/null", os.O_WRONLY) as file:
        lines = LineInput(file).lines()
        with pytest.raises(InputError, match="cannot read the input: Bad file descriptor"):
            await anext(lines)


async def test_nothing_is_read_ahead_of_who_takes_the_lines() -> None:
    with pipe() as (out, into):
        lines = LineInput(out).lines()
        os.write(into, b"one\n")
        assert await anext(lines) == "one"
        os.write(into, b"two\n")
        await turns()
        os.set_blocking(out, False)
        assert os.read(out, 100) == b"two\n"
        await lines.aclose()


async def test_an_input_that_never_comes_can_be_given_up() -> None:
    with pipe() as (out, _):
        waiting = asyncio.create_task(_take_one(LineInput(out)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert waiting.cancelled()


async def _take_one(lines: LineInput) -> str | Unfit:
    return await anext(lines.lines())


# Out


async def test_what_is_put_is_written_in_order() -> None:
    with pipe() as (out, into):
        output = LineOutput(into)
        running = asyncio.create_task(output.run())
        for number in range(1000):
            output.put(b"%d\n" % number)
            if number % 100 == 0:
                await asyncio.sleep(0)
        output.finish()
        await running
        assert os.read(out, 2**16) == b"".join(b"%d\n" % number for number in range(1000))


async def test_nothing_put_is_nothing_written() -> None:
    with pipe() as (out, into):
        output = LineOutput(into)
        output.finish()
        await output.run()
        os.close(into)
        assert os.read(out, 1) == b""


async def test_a_reader_that_is_slow_makes_the_others_wait_and_gets_everything() -> None:
    with pipe() as (out, into):
        output = LineOutput(into)
        running = asyncio.create_task(output.run())
        line = b"x" * 999 + b"\n"
        put = 0

        async def put_all() -> None:
            nonlocal put
            for _ in range(5000):
                output.put(line)
                put += 1
                await output.ready()
            output.finish()

        putting = asyncio.create_task(put_all())
        await until(lambda: output._size > MAX_WAITING)
        # In the pipe, with the writer, and waiting.
        assert put * len(line) <= 2**16 + 2 * (MAX_WAITING + len(line))
        got = bytearray()
        while len(got) < 5000 * len(line):
            got += await asyncio.to_thread(os.read, out, 2**20)
        await putting
        await running
        assert got == line * 5000


async def test_once_nobody_reads_it_is_over_and_nobody_waits() -> None:
    with pipe() as (out, into):
        output = LineOutput(into)
        os.close(out)
        output.put(b"x" * (MAX_WAITING + 1))
        await output.run()
        await output.ready()


async def test_a_reader_that_goes_is_noticed_without_a_word() -> None:
    with pipe() as (out, into):
        output = LineOutput(into, watched=True)
        running = asyncio.create_task(output.run())
        output.put(b"one\n")
        await until(lambda: select.select([out], [], [], 0)[0])
        assert not running.done()
        os.close(out)
        async with asyncio.timeout(20):
            await running


async def test_a_reader_that_goes_is_not_noticed_where_nobody_asks() -> None:
    with pipe() as (out, into):
        output = LineOutput(into)
        running = asyncio.create_task(output.run())
        os.close(out)
        await turns()
        assert not running.done()
        output.finish()
        await running


async def test_a_file_has_no_reader_to_be_watched(tmp_path: Path) -> None:
    path = tmp_path / "output"
    with opened(path, os.O_WRONLY | os.O_CREAT) as file:
        output = LineOutput(file, watched=True)
        output.put(b"one\n")
        output.finish()
        await output.run()
    assert path.read_bytes() == b"one\n"


async def test_a_pipe_that_is_open_both_ways_is_no_trouble(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with opened(tmp_path / "fifo", os.O_RDWR) as both:
        output = LineOutput(both, watched=True)
        running = asyncio.create_task(output.run())
        output.put(b"one\n")
        await until(lambda: select.select([both], [], [], 0)[0])
        await turns()
        assert not running.done()
        output.finish()
        await running


async def test_an_output_that_cannot_be_written_says_why() -> None:
    with opened("/dev/full", os.O_WRONLY) as full:
        output = LineOutput(full)
        output.put(b"hello\n")
        with pytest.raises(stdio.OutputError, match="cannot write the output: No space left"):
            await output.run()


def test_an_output_that_is_never_read_holds_nobody_up() -> None:
    with pipe() as (_, into):
        output = LineOutput(into)

        async def main() -> None:
            running = asyncio.create_task(output.run())
            output.put(b"x" * 2**20)
            await until(lambda: not output._size)  # it is being written
            running.cancel()
            await asyncio.wait((running,))

        asyncio.run(main())  # which waits for what it has started in threads of its own
