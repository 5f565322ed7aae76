"""Claims about `socketchat.cli.trust_question`: what one is asked about a server nobody has met."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from socketchat import Identity, UntrustedBecause, UntrustedPeer
from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.trust_question import _why_not, introduce
from socketchat.trust.known_hosts import KnownHosts
from tests.cli.processes import Server, Stage, Terminal, last_line, stage
from tests.cli.test_leftovers import killed_with

KEY, OTHER = (Identity.generate().fingerprint for _ in range(2))
ASK = {"SOCKETCHAT_TRUST": "ask"}
QUESTION = "Is that the right one?"

# Answers


async def said(*lines: str) -> AsyncIterator[str]:
    for line in lines:
        yield line


@pytest.mark.parametrize(
    "answers",
    [
        ["yes"],
        [" YES "],
        ["", "y", "maybe", "yes"],
        [KEY],
        [KEY.removeprefix("SHA256:")],
        [f"  {KEY} "],
        [f"key {KEY}"],
    ],
)
async def test_yes_or_the_key_itself_is_a_yes(answers: list[str]) -> None:
    assert await _why_not(said(*answers, "no"), "maple", KEY) == ""


@pytest.mark.parametrize("answers", [["no"], ["No "], [], ["", "y"], ["no", "yes"]], ids=str)
async def test_no_or_no_answer_is_a_no(answers: list[str]) -> None:
    assert await _why_not(said(*answers), "maple", KEY) == "maple is not trusted"


@pytest.mark.parametrize(
    "pasted",
    [
        OTHER,
        OTHER.removeprefix("SHA256:"),
        KEY[:-1],
        KEY + "=",
        KEY.lower(),
        KEY.swapcase(),
        "SHA256:",
        "x" * 20,
        KEY[7:30],
    ],
)
async def test_another_key_is_a_no_that_says_that_they_differ(pasted: str) -> None:
    why_not = await _why_not(said(pasted, "yes"), "maple", KEY)
    assert f"maple has the key {KEY}, which differs from SHA256:" in why_not
    assert pasted.removeprefix("SHA256:") in why_not


async def test_where_nobody_can_be_asked_the_key_and_the_ways_out_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    known = KnownHosts(tmp_path / "known_hosts")
    stranger = UntrustedPeer("", fingerprint=KEY, reason=UntrustedBecause.UNKNOWN)
    for ask, is_there in ((True, False), (False, True)):
        monkeypatch.setattr(
            "socketchat.cli.trust_question.can_be_asked", lambda answer=is_there: answer
        )
        with pytest.raises(Failure) as caught:
            await introduce(stranger, known, "maple:80", ask=ask)
        assert caught.value.code == ExitCode.NOT_TRUSTED
        for words in ("maple:80 is not known", f"--fingerprint {KEY}", "accept-new", "terminal"):
            assert words in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not await asyncio.to_thread(known.path.exists)


# At a terminal


def call(it: Stage, server: Server, *options: str, command: str = "connect") -> Terminal:
    data = str(it.folder / "client")
    arguments = (command, server.address, "--data", data, "--nick", "ada", *options)
    return it.open_terminal(*arguments, columns=120, env=ASK)


def known(it: Stage) -> str:
    path = it.folder / "client" / "known_hosts"
    return path.read_text() if path.exists() else ""


def test_yes_lets_the_call_go_on_and_is_remembered(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = call(it, server)
        client.shows(f"{server.address} is not known here", server.key, QUESTION)
        assert "ada" not in server.err
        assert known(it) == ""
        client.write("yes\r")
        client.shows("connected to", ">>")
        client.write("hello\r")
        client.shows("✓ sent")
        client.write("\x04")
        assert client.wait() == 0
        assert known(it) == f"{server.address} {server.key}\n"
        assert stat.S_IMODE((tmp_path / "client").stat().st_mode) == 0o700
        again = call(it, server)
        again.shows("connected to")
        assert QUESTION not in "\n".join(again.everything)


def test_what_was_typed_before_the_question_is_no_answer_to_it(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = call(it, server)
        client.write("yes\r")
        client.shows(QUESTION)
        client.write("no\r")
        assert client.wait() == ExitCode.NOT_TRUSTED
        assert known(it) == ""


@pytest.mark.parametrize("kind", ["whole", "bare", "as the server shows it"])
def test_a_key_that_is_pasted_and_right_lets_the_call_go_on(tmp_path: Path, kind: str) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = call(it, server, "hello", command="send")
        client.shows(QUESTION)
        bare = server.key.removeprefix("SHA256:")
        client.write({"whole": server.key, "bare": bare}.get(kind, f"key {server.key}") + "\r")
        assert client.wait() == 0
        assert known(it) == f"{server.address} {server.key}\n"


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ("no\r", 4, "is not trusted; nothing was sent to it"),
        ("\x04", 4, "is not trusted; nothing was sent to it"),
        (OTHER + "\r", 4, "which differs from"),
        ("\x03", 130, QUESTION),
    ],
    ids=["no", "ctrl-d", "another key", "ctrl-c"],
)
def test_anything_else_ends_it_and_nothing_is_remembered_or_sent(
    tmp_path: Path, answer: str, code: int, words: str
) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = call(it, server)
        client.shows(QUESTION)
        client.write(answer)
        assert client.wait() == code
        assert words in client.text
        assert known(it) == ""
        assert "ada" not in server.err


def test_a_key_that_is_known_of_another_host_is_said_to_be(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        KnownHosts(tmp_path / "client" / "known_hosts").add("maple:7625", server.key)
        client = call(it, server)
        client.shows("known here already, as that of maple.", QUESTION)


def test_a_server_that_takes_anothers_place_while_one_thinks_is_not_trusted(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = call(it, server)
        client.shows(QUESTION)
        server.signal(signal.SIGTERM)
        server.wait()
        impostor = it.serve(data="other", port=server.port)
        client.write("yes\r")
        assert client.wait() == 4
        assert impostor.key in client.text
        assert "has changed" in client.text
        assert "ada" not in impostor.err


def test_the_one_who_is_asked_may_have_something_to_say_from_last_time(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        data = str(tmp_path / "client")
        killed_with(it, server, "kept")
        (tmp_path / "client" / "known_hosts").unlink()
        it.serve(port=server.port)
        client = it.open_terminal(
            *("connect", server.address, "--data", data, "--nick", "ada"), columns=120, env=ASK
        )
        client.shows(QUESTION)
        client.write("yes\r")
        client.shows("1 line from last time was sent", ">>")
        assert "\n".join(client.everything).count(QUESTION) == 1


# Where there is no terminal on both sides


def test_at_a_pipe_nobody_is_asked(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = it.call(server.address, "--nick", "ada", env=ASK)
        client.write("yes\n")
        assert client.wait() == 4
        line = last_line(client)
        assert f"Its key is {server.key}" in line
        assert "--trust accept-new" in line
        assert known(it) == ""
        assert "ada" not in server.err


def test_with_json_nobody_is_asked(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        client = call(it, server, "--json")
        assert client.wait() == 4
        text = " ".join(client.everything)
        assert QUESTION not in text
        assert "nobody can be asked" in text


def test_a_terminal_that_is_not_at_stdin_is_left_alone(tmp_path: Path) -> None:
    """As ssh does not: the answer would come from another place than the rest of the input."""
    with stage(tmp_path) as it:
        server = it.serve()
        master, slave = pty.openpty()
        try:
            client = it.start(
                *("connect", server.address, "--data", str(tmp_path / "client")),
                stdin=subprocess.PIPE,
                stdout=slave,
                env=ASK,
                start_new_session=True,
            )
            client.end_input()
            assert client.wait() == 4
            assert "nobody can be asked" in last_line(client)
            os.set_blocking(master, False)
            with pytest.raises(BlockingIOError):
                os.read(master, 1)
        finally:
            os.close(master)
            os.close(slave)


def test_ask_is_what_is_done_if_nothing_is_said(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        environment = {k: v for k, v in it.environment.items() if k != "SOCKETCHAT_TRUST"}
        done = subprocess.run(
            [sys.executable, "-m", "socketchat", "tail", server.address, "--no-follow"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            check=False,
            timeout=60,
        )
        assert done.returncode == 4
        assert b"nobody can be asked" in done.stderr


# Several servers


def test_of_several_servers_each_that_is_new_is_asked_about_before_one_is_called(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        first, second = it.serve(), it.serve(data="second")
        known = tmp_path / "client" / "known_hosts"
        target = f"{first.address},{second.address}"
        asked = ("connect", target, "--data", str(known.parent), "--nick", "ada")
        client = it.open_terminal(*asked, env=ASK, columns=120)
        for server in (first, second):
            client.shows(f"{server.address} is not known here", server.key)
            assert not client.everything[-1].startswith(">>")
            client.write("yes\r")
        client.shows(f"at {first.address}", ">>")
        assert known.read_text().splitlines() == [
            f"{server.address} {server.key}" for server in (first, second)
        ]
        first.signal(signal.SIGKILL)
        client.shows(f"the link is back, at {second.address}")


def test_one_that_is_not_the_right_one_stops_the_call_of_all(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        first, second = it.serve(), it.serve(data="second")
        data = str(tmp_path / "client")
        client = it.open_terminal(
            *("connect", f"{first.address},{second.address}", "--data", data), env=ASK, columns=120
        )
        client.shows(f"{first.address} is not known here")
        client.write("yes\r")
        client.shows(f"{second.address} is not known here")
        client.write("no\r")
        client.until(lambda: client.popen.poll() == ExitCode.NOT_TRUSTED)
        client.shows(f"{second.address} is not trusted")
        assert "connected" not in client.said


def test_if_nobody_can_be_asked_the_servers_that_are_not_known_are_passed_over(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as it:
        first, second = it.serve(), it.serve(data="second")
        target = f"{first.address},{second.address}"
        client = it.call(target, stdin=subprocess.DEVNULL, env=ASK)
        assert client.wait() == 4
        assert f"{first.address} is not known here. Its key is {first.key}" in client.err
        assert f"{second.address} is passed over" in client.err
        KnownHosts(tmp_path / "client" / "known_hosts").add(second.address, second.key)
        client = it.call(target, stdin=subprocess.DEVNULL, env=ASK)
        assert client.wait() == 0
        assert f"{first.address} is passed over" in client.err
        assert f"at {second.address} (" in client.err
