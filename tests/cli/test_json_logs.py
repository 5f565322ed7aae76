"""Claims about `socketchat.cli.json_logs`: what goes to stderr, as objects."""

from __future__ import annotations

import io
import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.cli.json_logs import JSONFormatter, told_as_objects
from socketchat.cli.outcome import ExitCode, Failure
from socketchat.cli.running import run_command
from socketchat.cli.terminal import notice, say
from socketchat.session_logger import SessionLogger
from socketchat.trust.identity import Identity
from socketchat.trust.invites import make_token


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    it = logging.LogRecord("socketchat.chat", logging.INFO, "", 0, message, args, None)
    it.__dict__.update(more)
    return it


def told(it: logging.LogRecord) -> dict[str, Any]:
    line = JSONFormatter().format(it)
    assert "\n" not in line
    assert line.isascii()
    value = json.loads(line)
    assert type(value) is dict
    return value


def test_a_line_is_an_object_with_time_level_logger_and_message() -> None:
    value = told(record("%s is online", "ada"))
    at = datetime.fromisoformat(value.pop("ts"))
    assert at.tzinfo is UTC or at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    assert value == {"level": "info", "logger": "socketchat.chat", "message": "ada is online"}


def test_the_time_is_rfc_3339_to_the_microsecond() -> None:
    assert told(record("", created=0.25))["ts"] == "1970-01-01T00:00:00.250000Z"
    assert told(record("", created=0.0))["ts"] == "1970-01-01T00:00:00.000000Z"


def test_which_session_it_is_about_is_a_field() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    logger = logging.Logger("socketchat")  # noqa: LOG001 - one of its own
    logger.addHandler(handler)
    adapter = SessionLogger(logger)
    adapter.info("the link is %s", "lost")
    adapter.info("again", extra={"other": 1})
    logger.info("[7] is no session's line")
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert (first["message"], second["message"]) == ("the link is lost", "again")
    assert first["session"] == second["session"] > 0
    assert third["message"] == "[7] is no session's line"
    assert "session" not in third


def crash(error: Exception = ZeroDivisionError("a b")) -> int:  # noqa: B008 - one is as good
    raise error


def failed(text: str) -> Any:
    """Return what `sys.exc_info` says of an error."""
    try:
        crash(ValueError(text))
    except ValueError:
        return sys.exc_info()


def test_a_traceback_is_a_field() -> None:
    value = told(record("it failed", exc_info=failed("a\nb \x1b[2J\u202e")))
    assert value["message"] == "it failed"
    assert value["exception"].startswith("Traceback (most recent call last):\n")
    assert "ValueError: a\nb " in value["exception"]
    assert "exception" not in told(record("fine", exc_info=(None, None, None)))


def test_a_token_is_masked_wherever_it_stands() -> None:
    key = Identity.generate().key
    token = make_token(key, room="", expires=2**32, token_id=bytes(16))
    line = JSONFormatter().format(record("%s", token, exc_info=failed(token)))
    assert token not in line


@given(st.text())
def test_a_message_is_as_harmless_as_on_a_terminal(text: str) -> None:
    message = told(record("%s", text))["message"]
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in message)
    assert "\u202e" not in message


@given(st.text())
def test_a_traceback_never_leaves_its_line(text: str) -> None:
    told(record("x", exc_text=text or "x"))
    assert "\x7f" not in JSONFormatter().format(record("x", exc_text=text + "\x7f"))


def test_what_people_are_told_is_told_as_objects() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    with told_as_objects(handler):
        say("starting on maple")
        notice("no terminal")
        say("socketchat: it is\nnot so")
    values = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(value["level"], value["logger"], value["message"]) for value in values] == [
        ("info", "socketchat", "starting on maple"),
        ("info", "socketchat", "no terminal"),
        ("error", "socketchat", "it is not so"),
    ]


def fail() -> int:
    raise Failure(ExitCode.CANNOT_REACH, "cannot reach it")


def set_up_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command set up logging as in a process of its own."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)


def test_an_error_that_ends_the_command_is_an_object(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    set_up_afresh(monkeypatch)
    assert run_command(fail, {"log_json": True}) == 3
    (value,) = map(json.loads, capfd.readouterr().err.splitlines())
    assert (value["level"], value["message"]) == ("error", "cannot reach it")
    say("after that, text again")
    assert capfd.readouterr().err == "after that, text again\n"


def test_a_bug_is_an_object_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    set_up_afresh(monkeypatch)
    assert run_command(crash, {"log_json": True, "verbose": 2}) == 1
    first, second = map(json.loads, capfd.readouterr().err.splitlines())
    assert "ZeroDivisionError: a b" in first["exception"]
    assert second["message"].startswith("internal error: ZeroDivisionError")
