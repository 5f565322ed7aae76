"""Claims about `socketchat.cli.lines`: a session at pipes, one line at a time."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import select
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from socketchat import CloseCode, Joined, Left, Session, SessionClosedError, Typing
from socketchat.cli import delivery
from socketchat.cli import lines as lines_module
from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.lines import Lines
from tests.cli.processes import join_helpers
from tests.sessions import receive, session_pair, until

pytestmark = pytest.mark.may_block("the test's end of a pipe is read and written here")


class Pipe(io.StringIO):
    """A standard stream at a pipe, which may look like a terminal."""

    def __init__(self, *, typed: bool = False) -> None:
        super().__init__()
        self._typed = typed
        self.out, self.into = os.pipe()
        self.open = {self.out, self.into}
        self.end = self.out

    def isatty(self) -> bool:
        return self._typed

    def fileno(self) -> int:
        return self.end

    def close_end(self, end: int) -> None:
        if end in self.open:
            self.open.remove(end)
            os.close(end)


class Stage:
    """Lines at work between two pipes, and the other side of their session."""

    def __init__(self, session: Session, far: Session, stdin: Pipe, stdout: Pipe) -> None:
        self.session = session
        self.far = far
        self.stdin = stdin
        self.stdout = stdout
        self.lines: Lines
        self.running: asyncio.Task[ExitCode]
        self._out = bytearray()

    def type(self, text: str | bytes) -> None:
        os.write(self.stdin.into, text.encode() if isinstance(text, str) else text)

    def end_input(self) -> None:
        self.stdin.close_end(self.stdin.into)

    async def ended(self) -> ExitCode:
        async with asyncio.timeout(20):
            return await self.running

    @property
    def out(self) -> str:
        """What was written so far."""
        os.set_blocking(self.stdout.out, False)
        try:
            while data := os.read(self.stdout.out, 2**16):
                self._out += data
        except BlockingIOError:
            pass
        return self._out.decode()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    async def says(self, text: str) -> None:
        await until(lambda: text in self.out)


@asynccontextmanager
async def at_pipes(
    monkeypatch: pytest.MonkeyPatch, *, as_json: bool = False, typed: bool = False, **options: Any
) -> AsyncIterator[Stage]:
    stdin, stdout = Pipe(typed=typed), Pipe()
    stdout.end = stdout.into
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", stdout)
    try:
        async with session_pair(**options) as (near, far, link):
            it = Stage(near, far, stdin, stdout)
            it.lines = Lines(near, as_json=as_json)
            it.running = asyncio.create_task(it.lines.run())
            try:
                yield it
            finally:
                it.running.cancel()
                await asyncio.wait((it.running,))
                link.resume()
    finally:
        monkeypatch.undo()
        stdin.close_end(stdin.into)
        stdout.close_end(stdout.out)
        join_helpers()
        stdin.close_end(stdin.out)
        stdout.close_end(stdout.into)


# In


async def test_each_line_is_sent_and_at_the_end_all_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with at_pipes(monkeypatch) as it:
        it.type("one\n\n  two \r\n/quit\n//x\nlast")
        it.end_input()
        assert await receive(it.far, 6) == ["one", "", "  two ", "/quit", "//x", "last"]
        assert await it.ended() is ExitCode.DONE
        assert it.session.unacknowledged == 0
        assert it.out == ""


async def test_an_empty_input_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_pipes(monkeypatch) as it:
        it.end_input()
        assert await it.ended() is ExitCode.DONE


async def test_a_line_that_is_not_utf8_is_told_of_and_the_rest_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with at_pipes(monkeypatch, as_json=True) as it:
        it.type(b"one\n\xff\nthree\n")
        it.end_input()
        assert await receive(it.far, 2) == ["one", "three"]
        assert await it.ended() is ExitCode.REFUSED
        (rejected,) = [value for value in it.objects if value["type"] == "rejected"]
        assert (rejected["line"], rejected["number"], rejected["code"]) == (2, None, 1007)
        assert "-- line 2 was not sent: it is not UTF-8" in capsys.readouterr().err


async def test_who_types_what_is_not_utf8_is_told_and_may_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with at_pipes(monkeypatch, typed=True) as it:
        it.type(b"\xff\n")
        await until(lambda: "-- not sent: it is not UTF-8" in capsys.readouterr().err)
        it.type("two\n/quit\n")
        assert await receive(it.far, 1) == ["two"]
        assert await it.ended() is ExitCode.REFUSED


async def test_a_line_that_the_other_side_does_not_take_is_told_of_and_the_rest_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with at_pipes(monkeypatch, as_json=True, server={"max_size": 4096}) as it:
        it.type("one\n" + "x" * 5000 + "\nthree\n")
        it.end_input()
        assert await receive(it.far, 2) == ["one", "three"]
        assert await it.ended() is ExitCode.REFUSED
        (rejected,) = [value for value in it.objects if value["type"] == "rejected"]
        assert (rejected["line"], rejected["number"], rejected["code"]) == (2, None, 1009)
        assert "at most 4096" in rejected["reason"]
        assert "at most 4096" in capsys.readouterr().err


async def test_what_is_not_acknowledged_in_time_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE", 0.05)
    async with at_pipes(monkeypatch) as it:
        transport_of(it).pause_reading()
        it.type("one\ntwo\n")
        it.end_input()
        with pytest.raises(
            Failure, match=r"2 lines were not ack.*: no sign of it in 0\.05 s"
        ) as caught:
            await it.ended()
        assert caught.value.code is ExitCode.NOT_ACKNOWLEDGED


def transport_of(it: Stage) -> Any:
    """Return the transport under our end of the session."""
    assert it.session._link is not None
    return it.session._link._transport


def fail_to_send(it: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk full on which the session's outbox is."""

    async def send(body: str, **_: object) -> object:
        raise OSError(
            errno.ENOSPC, "the outbox /o cannot be written: database or disk is full", "/o"
        )

    monkeypatch.setattr(it.session, "send", send)


async def test_an_outbox_that_takes_no_more_ends_it_behind_what_it_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with at_pipes(monkeypatch) as it:
        it.type("one\n")
        assert await receive(it.far, 1) == ["one"]
        fail_to_send(it, monkeypatch)
        it.type("two\nthree\n")
        with pytest.raises(
            Failure, match=r"the outbox /o cannot be written: .*; see --dat"
        ) as caught:
            await it.ended()
        assert caught.value.code is ExitCode.USAGE
        assert str(caught.value).count("/o") == 1


async def test_who_types_is_told_of_an_outbox_that_takes_no_more_and_may_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with at_pipes(monkeypatch, typed=True) as it:
        with monkeypatch.context() as full:
            fail_to_send(it, full)
            it.type("one\n")
            await until(lambda: "-- not sent: the outbox /o cannot" in capsys.readouterr().err)
        it.type("two\n/quit\n")
        assert await receive(it.far, 1) == ["two"]
        assert await it.ended() is ExitCode.DONE


# Out


async def test_each_message_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_pipes(monkeypatch) as it:
        for body in ("hello", "two\nlines", "\x1b[2J", b"data", ""):
            await it.far.send(body, sender="bob")
        await it.says("bob: \n")
        assert it.out == (
            "bob: hello\nbob: two\n    lines\nbob: ␛[2J\nbob: [4 bytes of data]\nbob: \n"
        )


async def test_what_else_happens_goes_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with at_pipes(monkeypatch) as it:
        it.far.tell(Joined("bob", "192.0.2.7:1"))
        it.far.tell(Typing("bob"))
        it.far.tell(Left("bob"))
        await it.far.send("hello")
        await it.says("hello")
        assert capsys.readouterr().err == "-- bob (192.0.2.7:1) is online\n-- bob left\n"


async def test_a_reader_that_is_slow_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_pipes(monkeypatch) as it:
        text = "x" * 1000
        sending = asyncio.create_task(send_many(it.far, text, 3000))
        await until(lambda: not transport_of(it).is_reading())
        assert it.far.unacknowledged
        await until(lambda: it.out.count("\n") == 3000)
        await sending
        assert it.out == f"server: {text}\n" * 3000


async def send_many(session: Session, text: str, count: int) -> None:
    for _ in range(count):
        await session.send(text)


async def test_a_reader_that_has_enough_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_pipes(monkeypatch) as it:
        await it.far.send("one")
        await it.says("one")
        it.stdout.close_end(it.stdout.out)
        await it.far.send("two")
        assert await it.ended() is ExitCode.DONE


async def test_an_output_that_cannot_be_written_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_pipes(monkeypatch) as it:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, it.stdout.into)
        os.close(full)
        await it.far.send("one")
        with pytest.raises(Failure, match="cannot write the output: No space left") as caught:
            await it.ended()
        assert caught.value.code is ExitCode.INTERNAL_ERROR


# JSON


async def test_json_tells_everything_an_object_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with at_pipes(monkeypatch, as_json=True) as it:
        it.far.tell(Joined("bob"))
        await it.far.send("two\nlines\x1b", sender="bob")
        it.type("mine\n")
        await it.says("delivered")
        await it.says("message")
        await it.far.close(CloseCode.GOING_AWAY, "enough")
        with pytest.raises(Failure, match="enough"):
            await it.ended()
        kinds = [value["type"] for value in it.objects]
        assert kinds[0] == "connected"
        assert kinds[-1] == "disconnected"
        assert set(kinds[1:-1]) == {"joined", "message", "delivered"}
        (message,) = [value for value in it.objects if value["type"] == "message"]
        assert (message["from"], message["text"]) == ("bob", "two\nlines\x1b")
        assert it.objects[-1]["code"] == 1001
        assert it.objects[-1]["reason"] == "enough"
        assert capsys.readouterr().err == ""


# Somebody types


async def test_who_types_has_commands_and_sees_that_a_line_was_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with at_pipes(monkeypatch, typed=True) as it:
        it.type("one\n\n  \n/frob secret\n//slash\n/help\n")
        assert await receive(it.far, 2) == ["one", "/slash"]
        it.type("/quit\n")
        assert await it.ended() is ExitCode.DONE
        err = capsys.readouterr().err
        assert err.count("-- sent\n") == 2
        assert "there is no command /frob" in err
        assert "secret" not in err
        assert "leave" in err


# The end


async def test_who_leaves_waits_for_what_was_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with at_pipes(monkeypatch) as it:
        transport = transport_of(it)
        transport.pause_reading()
        it.type("one\n")
        assert await receive(it.far, 1) == ["one"]
        it.lines.leave()
        await until(lambda: "1 line was not acknowledged yet" in capsys.readouterr().err)
        assert not it.running.done()
        transport.resume_reading()
        assert await it.ended() is ExitCode.DONE


async def test_who_leaves_does_not_wait_for_a_reader_that_reads_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines_module, "LEAVE_TIMEOUT", 0.01)
    async with at_pipes(monkeypatch) as it:
        await it.far.send("x" * 500_000)
        await until(lambda: select.select([it.stdout.out], [], [], 0)[0])  # and it is not read
        it.lines.leave()
        assert await it.ended() is ExitCode.DONE


@pytest.mark.parametrize("code", [CloseCode.OK, CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART])
async def test_an_orderly_end_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: CloseCode
) -> None:
    async with at_pipes(monkeypatch, typed=True) as it:
        await it.far.send("last words")
        await it.far.close(code, "good night")
        assert await it.ended() is ExitCode.DONE
        assert it.out == "server: last words\n"
        assert capsys.readouterr().err.count("the session is over: good night") == 1


@pytest.mark.parametrize("code", [CloseCode.OK, CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART])
@pytest.mark.parametrize("as_json", [False, True])
async def test_an_orderly_end_before_that_of_the_input_is_no_success(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: CloseCode,
    as_json: bool,
) -> None:
    async with at_pipes(monkeypatch, as_json=as_json) as it:
        it.type("one\n")
        assert await receive(it.far, 1) == ["one"]
        await it.far.close(code, "good night")
        with pytest.raises(
            Failure, match=r"over: good night.*; the rest of the input was not sent"
        ) as caught:
            await it.ended()
        assert caught.value.code is ExitCode.NOT_ACKNOWLEDGED
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("code", [CloseCode.POLICY_VIOLATION, CloseCode.TRY_AGAIN_LATER, 4000])
async def test_any_other_is_left_to_the_command_to_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    async with at_pipes(monkeypatch) as it:
        await it.far.send("last words")
        await it.far.close(code, "go away")
        with pytest.raises(SessionClosedError) as caught:
            await it.ended()
        assert caught.value.code == code
        assert it.out == "server: last words\n"
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("as_json", [False, True])
async def test_lines_that_the_end_overtook_are_counted_whatever_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    async with at_pipes(monkeypatch, as_json=as_json, max_unacked=(3, 2**20)) as it:
        transport = transport_of(it)
        transport.pause_reading()
        it.type("1\n2\n3\n4\n5\n")
        assert await receive(it.far, 3) == ["1", "2", "3"]
        it.far.abort()
        transport.resume_reading()
        with pytest.raises(Failure, match=r"the session is over.*; 4 lines were not ack") as caught:
            await it.ended()
        assert caught.value.code is ExitCode.NOT_ACKNOWLEDGED
        assert capsys.readouterr().err == ""


async def test_a_goodbye_while_we_send_loses_nothing_that_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with at_pipes(monkeypatch) as it:
        typing = asyncio.create_task(asyncio.to_thread(os.write, it.stdin.into, b"x\n" * 20_000))
        await receive(it.far, 10)
        for number in range(2000):
            await it.far.send(str(number))
        closing = asyncio.create_task(it.far.close(CloseCode.GOING_AWAY))
        async for _ in it.far:
            pass
        await closing
        await asyncio.wait((it.running,))
        assert it.out == "".join(f"server: {number}\n" for number in range(2000))
        it.stdin.close_end(it.stdin.out)
        await asyncio.wait((typing,))
        assert isinstance(typing.exception(), (BrokenPipeError, type(None)))
