"""Claims about `socketchat.cli.main`: what can be asked, and what a wrong question gets."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from socketchat.cli.calling import HISTORY
from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.main import _DEFAULT_HISTORY, _DEFAULT_PORT, cli, trust
from socketchat.cli.running import CleanFormatter
from socketchat.cli.target import Target
from socketchat.options import DEFAULT_PORT
from socketchat.trust.identity import Identity
from socketchat.trust.invites import Invite, make_token
from tests.cli.processes import Piped, Stage, stage, status

HEAVY = {"prompt_toolkit", "uvloop", "redis", "zeroconf"}
COMMANDS = ["serve", "connect", "send", "tail", "history", "identity", "invite", "discover"]
#: Every command by what is typed for it, the ones of groups too.
ALL: dict[str, click.Command] = {
    **cli.commands,
    **{f"trust {name}": command for name, command in trust.commands.items()},
}


def imported(process: Piped) -> set[str]:
    """Return the packages that a process has loaded; it must have been started by `watched`."""
    lines = [line for line in process.err.splitlines() if line.startswith("import time:")]
    return {line.split("|")[-1].strip().partition(".")[0] for line in lines}


WATCHED = {"PYTHONPROFILEIMPORTTIME": "1"}


def ended(process: Piped) -> Piped:
    process.end_input()
    process.wait()
    return process


# Help


def test_help_names_the_commands(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        help_ = ended(it.start("--help"))
        assert help_.popen.returncode == 0
        assert help_.err == ""
        for name in cli.commands:
            assert f"\n  {name} " in help_.out


def test_the_help_tells_what_each_command_does_in_one_whole_line() -> None:
    result = CliRunner().invoke(cli, ["--help"], prog_name="socketchat")
    assert "..." not in result.output.partition("Commands:")[2]


@pytest.mark.parametrize("name", list(ALL))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_of_a_command_names_and_explains_every_option(name: str, flag: str) -> None:
    result = CliRunner().invoke(cli, [*name.split(), flag], prog_name="socketchat")
    assert result.exit_code == 0
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert all(option in result.output for option in parameter.opts)
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_the_commands_have_the_options_that_are_promised() -> None:
    caller = "--nick --trust --fingerprint --ca --no-reconnect --no-tls --json --data --verbose"
    promised = {
        "serve": "--host --port --room --nick --name --data --headless --no-tls --retain --rate "
        "--cert --key --private --operator --address --max-callers --max-per-address --no-lan "
        "--redis --redis-wait",
        "connect": f"{caller} --history --plain --no-color --no-lan",
        "send": f"{caller} --to",
        "tail": f"{caller} --history --since --no-follow",
        "history": "--room --search --since --limit --json --data",
        "identity": "--next --rotate --cert --key --json --data",
        "discover": "--timeout --json",
        "trust list": "--json --data",
        "trust forget": "--data",
        "invite": "--room --expires --host --port --cert --key --json --data",
    }
    for name, options in promised.items():
        names = {option for parameter in ALL[name].params for option in parameter.opts}
        assert set(options.split()) <= names


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        asked = [[], *([name] for name in COMMANDS)]
        for help_ in [it.start(*arguments, "--help", env=WATCHED) for arguments in asked]:
            ended(help_)
            assert "click" in imported(help_)
            assert not imported(help_) & (HEAVY | {"sqlite3"})


def test_a_client_at_a_pipe_loads_no_console(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve(env=WATCHED)
        client = it.join(server.address, "ada", env=WATCHED)
        client.write("hello\n")
        assert ended(client).popen.returncode == 0
        assert "socketchat" in imported(client)
        assert not imported(client) & HEAVY
        assert not imported(server) & (HEAVY - {"uvloop"})


def test_no_command_gets_the_help_and_an_error(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        for arguments, words in (([], "connect"), (["trust"], "forget")):
            asked = ended(it.start(*arguments))
            assert asked.popen.returncode == ExitCode.USAGE
            assert asked.out == ""
            assert words in asked.err


def test_the_version_is_told() -> None:
    try:
        version = importlib.metadata.version("socketchat")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    result = CliRunner().invoke(cli, ["--version"], prog_name="socketchat")
    assert version in result.output


def test_the_defaults_are_those_of_the_library_which_help_does_not_load() -> None:
    assert (_DEFAULT_PORT, _DEFAULT_HISTORY) == (DEFAULT_PORT, HISTORY)


# Wrong questions


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frob"], "No such command 'frob'"),
        (["--frob"], "--frob"),
        (["serve", "--frob"], "--frob"),
        (["serve", "--port", "http"], "'http'"),
        (["serve", "--port", "65536"], "65536"),
        (["serve", "--port", "-1"], "-1"),
        (["serve", "--host"], "--host"),
        (["serve", "extra"], "extra"),
        (["connect", "localhost", "extra"], "extra"),
        (["connect", "--trust", "blindly", "localhost"], "blindly"),
        (["connect", "--data", __file__, "localhost"], "--data"),
        (["connect", "--fingerprint", "SHA256:short", "localhost"], "--fingerprint"),
        (["connect", "local host"], "HOST:PORT"),
        (["connect", "localhost:0"], "port"),
        (["connect", "--history", "-1", "localhost"], "-1"),
        (["connect", "--history", "1" + "0" * 21, "localhost"], "--history"),
        (["tail", "--history", str(2**63), "localhost"], "--history"),
        (["send"], "TARGET"),
        (["send", "local host", "hi"], "HOST:PORT"),
        (["send", "--to", "x" * 65, "localhost", "hi"], "--to"),
        (["send", "localhost", "\udcff"], "UTF-8"),
        (["send", "--no-tls", "example.org", "hi"], "--no-tls"),
        (["tail"], "TARGET"),
        (["tail", "--since", "yesterday", "localhost"], "2026-01-31T18:30"),
        (["tail", "--fingerprint", "x", "localhost"], "--fingerprint"),
        (["history", "extra"], "extra"),
        (["history", "--data", "/nowhere/at/all"], "no server has kept a log there"),
        (["history", "--limit", str(2**63)], "--limit"),
        (["serve", "--retain", "soon"], "length of time"),
        (["invite", "extra"], "extra"),
        (["discover", "extra"], "extra"),
        (["discover", "--timeout", "0s"], "length of time"),
        (["invite", "--expires", "soon"], "length of time"),
        (["invite", "--expires", "59s"], "1m to 365d"),
        (["invite", "--expires", "365d1s"], "1m to 365d"),
        (["invite", "--data", "/nowhere/at/all"], "socketchat serve"),
        (["serve", "--retain", "0s"], "length of time"),
        (["serve", "--room", "bad room"], "blanks"),
        (["serve", "--room", "a/b"], "slashes"),
        (["serve", "--rate", "-1"], "-1"),
        (["connect", "::1"], "brackets"),
        (["trust", "frob"], "No such command 'frob'"),
        (["trust", "forget"], "HOST"),
        (["trust", "forget", "::1"], "brackets"),
        (["trust", "forget", "maple/tea"], "leave out /tea"),
        (["identity", "extra"], "extra"),
        (["identity", "--next", "--rotate"], "exclude each other"),
        (["connect", "--no-tls", "example.org"], "--no-tls"),
        (["serve", "--no-tls", "--host", "0.0.0.0"], "--no-tls"),
        (["serve", "--no-tls", "--private", "--host", "::1"], "--private and --no-tls exclude"),
        (["serve", "--cert", "x"], "--cert needs --key too"),
        (["serve", "--key", "x"], "--key needs --cert too"),
        (["serve", "--no-tls", "--host", "::1", "--cert", "x", "--key", "y"], "exclude each"),
        (["connect", "localhost", "--ca", "--fingerprint", "SHA256:" + "A" * 43], "exclude each"),
        (["send", "localhost", "--ca", "--no-tls", "hi"], "without TLS no key is shown"),
        (["serve", "--room", "r" * 65], "room's name"),
        (["serve", "--no-tls", "--host", "127.0.0.1", "--host", "::"], "--no-tls"),
        (["serve", "--host"], "see socketchat serve --help"),
        (["trust", "list", "--data"], "see socketchat trust list --help"),
    ],
)
def test_a_wrong_question_gets_one_line_and_2(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    assert status(monkeypatch, *arguments) == ExitCode.USAGE
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("socketchat: ")
    assert words in line


@pytest.mark.parametrize("name", list(ALL))
@pytest.mark.parametrize("value", ["", " "])
def test_no_option_is_given_by_an_empty_value_but_a_nick(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option) and not parameter.is_flag and not parameter.count:
            long = max(parameter.opts, key=len)
            if long != "--nick":
                assert status(monkeypatch, *name.split(), long, value) == ExitCode.USAGE
                assert f"'{long}': it must not be empty" in capfd.readouterr().err


def test_what_is_for_nobody_is_not_sent_to_everybody(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        sent = ended(it.start("send", server.address, "--to", "", "only for you"))
        assert sent.popen.returncode == ExitCode.USAGE
        bob = it.join(server.address, "bob")
        assert ended(bob).out == ""


def test_a_real_process_answers_a_wrong_question_the_same_way(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        processes = [
            it.start("connect", "--frob"),
            it.start("connect", "local\x1bhost"),
            it.start("connect", b"local\xffhost"),
            it.start("connect"),
        ]
        for process in processes:
            assert ended(process).popen.returncode == ExitCode.USAGE
            assert process.out == ""
            assert process.err.startswith("socketchat: ")
            assert process.err.count("\n") == 1
            assert "\x1b" not in process.err


# What goes wrong


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(**_: object) -> int:
        raise error

    monkeypatch.setattr("socketchat.cli.connect.run_connect", run)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Failure(ExitCode.REFUSED, "no\nroom \x1b"), 5, "socketchat: no room ␛\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            ZeroDivisionError("a\nb"),
            1,
            "socketchat: internal error: ZeroDivisionError: a b (-vv shows more)\n",
        ),
    ],
)
def test_whatever_goes_wrong_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    fail_with(monkeypatch, error)
    assert status(monkeypatch, "connect", "localhost") == code
    assert capfd.readouterr() == ("", line)


@pytest.mark.parametrize(("flag", "shown"), [("-v", False), ("-vv", True)])
def test_a_traceback_is_shown_to_who_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], flag: str, shown: bool
) -> None:
    fail_with(monkeypatch, ZeroDivisionError())
    assert status(monkeypatch, "connect", "localhost", flag) == ExitCode.INTERNAL_ERROR
    assert ("Traceback" in capfd.readouterr().err) is shown


# The environment


@pytest.mark.parametrize("name", list(ALL))
def test_every_option_has_its_variable_but_those_that_do_something_once(name: str) -> None:
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option) and parameter.name in ("make_next", "rotate"):
            assert parameter.envvar is None
        elif isinstance(parameter, click.Option) and parameter.name != "help":
            (long,) = (option for option in parameter.opts if option.startswith("--"))
            assert parameter.envvar == "SOCKETCHAT_" + long[2:].replace("-", "_").upper()


def test_variables_are_taken_and_options_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, Any] = {}

    def run(**settings: Any) -> int:
        taken.update(settings)
        return 0

    monkeypatch.setattr("socketchat.cli.serve.run_serve", run)
    variables = {
        "HOST": "127.0.0.1 ::1",
        "PORT": "4000",
        "ROOM": "tea",
        "NICK": "ada",
        "NAME": "babbage",
        "HEADLESS": "1",
        "RETAIN": "90d",
        "REDIS": "redis://:secret@localhost",
        "REDIS_WAIT": "2",
        "RATE": "2.5",
        "PRIVATE": "1",
        "OPERATOR": "SHA256:one SHA256:two",
        "ADDRESS": "maple.example:80",
        "MAX_CALLERS": "20",
        "MAX_PER_ADDRESS": "3",
        "NO_TLS": "true",
        "NO_LAN": "1",
        "CERT": "/cert.pem",
        "KEY": "/key.pem",
        "DATA": "/somewhere",
        "PLAIN": "0",
        "NO_COLOR": "yes",
        "METRICS": ":9100",
        "LOG_JSON": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv("SOCKETCHAT_" + name, value)
    assert status(monkeypatch, "serve", "--port", "5000") == 0
    assert taken == {
        "hosts": ("127.0.0.1", "::1"),
        "port": 5000,
        "room": "tea",
        "nick": "ada",
        "name": "babbage",
        "headless": True,
        "retain": 90 * 86_400,
        "redis": "redis://:secret@localhost",
        "redis_wait": 2,
        "rate": 2.5,
        "private": True,
        "operators": ("SHA256:one", "SHA256:two"),
        "address": Target("maple.example", 80),
        "max_callers": 20,
        "max_per_address": 3,
        "metrics": ("127.0.0.1", 9100),
        "no_tls": True,
        "no_lan": True,
        "cert": Path("/cert.pem"),
        "key": Path("/key.pem"),
        "data": Path("/somewhere"),
        "plain": False,
        "no_color": True,
    }


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, Any]] = []

    def run(**settings: Any) -> int:
        taken.append(settings)
        return 0

    monkeypatch.setattr("socketchat.cli.serve.run_serve", run)
    status(monkeypatch, "serve")
    for name in ("HOST", "ROOM", "NAME", "DATA", "PORT", "CERT", "OPERATOR"):
        monkeypatch.setenv(f"SOCKETCHAT_{name}", "")
    status(monkeypatch, "serve")
    assert taken[0] == taken[1]


def test_the_name_of_the_login_is_the_first_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(
        "socketchat.cli.connect.run_connect", lambda **settings: taken.append(settings["nick"])
    )
    monkeypatch.setenv("LOGNAME", "ada")
    status(monkeypatch, "connect", "localhost")
    status(monkeypatch, "connect", "localhost", "--nick", "")

    def nobody() -> str:
        raise OSError("no user name")

    monkeypatch.setattr("getpass.getuser", nobody)
    status(monkeypatch, "connect", "localhost")
    assert taken == ["ada", "", ""]


# Log lines


def test_log_lines_are_harmless(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(**_: object) -> int:
        logging.getLogger("socketchat").info("the peer said %s", "\x1b[2J")
        return 0

    monkeypatch.setattr("socketchat.cli.connect.run_connect", run)
    status(monkeypatch, "connect", "localhost", "-v")
    assert "the peer said ␛[2J" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("flags", "shown"), [([], []), (["-v"], ["info"]), (["-vv"], ["info", "debug"])]
)
def test_more_is_said_to_who_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    flags: list[str],
    shown: list[str],
) -> None:
    def run(**_: object) -> int:
        log = logging.getLogger("socketchat")
        log.info("info")
        log.debug("debug")
        return 0

    monkeypatch.setattr("socketchat.cli.connect.run_connect", run)
    status(monkeypatch, "connect", "localhost", *flags)
    err = capfd.readouterr().err
    assert [line.split()[-1] for line in err.splitlines()] == shown


# Standard streams


@pytest.mark.skipif(os.name == "nt", reason="a shell closes them")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_may_be_closed(tmp_path: Path, closed: str) -> None:
    it = Stage(tmp_path)
    command = f'exec "$0" -m socketchat connect --no-tls 127.0.0.1:1 {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable],
        input=b"",
        capture_output=True,
        env=it.environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == ExitCode.CANNOT_REACH
    assert done.stdout == b""
    assert (done.stderr.count(b"\n") == 2) is ("2" not in closed)


# The log


def test_a_log_line_stays_one_line_whatever_it_quotes() -> None:
    said = "bye\n2026-01-01 00:00:00,000 socketchat.chat: eve (192.0.2.1:1) is online\x1b[2J"
    record = logging.LogRecord("socketchat", logging.INFO, "", 1, "closed: %s", (said,), None)
    line = CleanFormatter("%(name)s: %(message)s").format(record)
    assert line.startswith("socketchat: closed: bye 2026")
    assert line.isprintable()


# Invites


IDENTITY = Identity.generate()
TOKEN = make_token(IDENTITY.key, room="tea", expires=2_000_000_000, token_id=bytes(range(16)))
INVITE = Invite("maple", 7625, "tea", IDENTITY.fingerprint, TOKEN).url


@pytest.mark.parametrize(
    "arguments",
    [
        [INVITE],
        ["--trust", INVITE, "maple"],
        ["connect", "maple", INVITE],
        ["connect", "--fingerprint", INVITE, "maple"],
        ["connect", "--history", TOKEN, "maple"],
        ["connect", INVITE.replace("/tea", "/tea/cups")],
        ["connect", INVITE.replace("socketchat", "http")],
        ["connect", INVITE.replace("//", "/")],
        ["connect", INVITE.replace("#", " #")],
        ["connect", "#" + INVITE],
        ["connect", TOKEN],
        ["connect", "x" + TOKEN],
        ["serve", "--port", INVITE],
        ["history", "--data", f"/nowhere/{TOKEN}"],
    ],
)
def test_no_wrong_question_is_answered_with_the_token_in_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert status(monkeypatch, *arguments) in (ExitCode.USAGE, ExitCode.CANNOT_REACH)
    out, err = capfd.readouterr()
    assert TOKEN[:100] not in out + err
    assert TOKEN[-100:] not in out + err


@pytest.mark.parametrize("flag", ["-v", "-vv"])
def test_no_error_or_log_line_has_a_token_in_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], flag: str
) -> None:
    def run(**_: object) -> int:
        log = logging.getLogger("socketchat")
        log.info("called by %s", INVITE)
        error = ZeroDivisionError(INVITE)
        log.error("bad token %s", TOKEN, exc_info=error)
        raise error

    monkeypatch.setattr("socketchat.cli.connect.run_connect", run)
    assert status(monkeypatch, "connect", "localhost", flag) == ExitCode.INTERNAL_ERROR
    out, err = capfd.readouterr()
    assert out == ""
    assert TOKEN[-100:] not in err
    assert err.count("ZeroDivisionError: socketchat://maple:7625/tea#") == (
        2 if flag == "-v" else 3
    )
    assert "called by socketchat://maple:7625/tea#" in err
