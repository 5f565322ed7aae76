"""Claims about `socketchat.refusals`: each is counted, and the log is not flooded."""

from __future__ import annotations

import asyncio
import logging
import ssl
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat import HandshakeError, HandshakeRefused, Refusal
from socketchat.refusals import INTERVAL, RefusalLog, Refusals, TooManySessions, kind_of

MANY = Refusal.TOO_MANY_PENDING
SLOW = Refusal.TOO_SLOW


def test_the_first_of_a_kind_is_told_at_once() -> None:
    refusals = Refusals()
    assert refusals.add(MANY, "192.0.2.1", 5.0) == (
        "turned away a caller from 192.0.2.1: too many in the greeting"
    )
    assert refusals.add(SLOW, "192.0.2.2", 5.0, "TLS took too long") == (
        "turned away a caller from 192.0.2.2: too slow (TLS took too long)"
    )
    assert refusals.next_deadline() is None


def test_those_that_follow_are_told_in_one_line_a_kind() -> None:
    refusals = Refusals()
    for number in range(513):
        refusals.add(MANY, f"192.0.2.{number % 200}", 100 + number / 100)
    assert refusals.next_deadline() == 100 + INTERVAL
    assert refusals.due(109.9) == []
    assert refusals.due(110.0) == [
        "turned away 512 callers in 10 s: too many in the greeting (last from 192.0.2.112)"
    ]
    assert refusals.next_deadline() is None
    assert refusals.counts == {MANY: 513}


def test_who_comes_soon_after_a_line_waits_for_the_next_one() -> None:
    refusals = Refusals()
    refusals.add(MANY, "192.0.2.1", 0)
    refusals.add(MANY, "192.0.2.2", 1)
    assert len(refusals.due(12)) == 1
    assert refusals.add(MANY, "192.0.2.3", 13) is None
    assert refusals.next_deadline() == 22
    assert refusals.due(22) == [
        "turned away 1 caller in 10 s: too many in the greeting (last from 192.0.2.3)"
    ]


def test_after_a_quiet_time_the_next_is_a_first_one_again() -> None:
    refusals = Refusals()
    refusals.add(MANY, "192.0.2.1", 0)
    assert refusals.add(MANY, "192.0.2.2", 10) is not None


def test_at_the_end_the_rest_is_told() -> None:
    refusals = Refusals()
    for now in range(3):
        refusals.add(MANY, "192.0.2.1", now)
    assert refusals.rest(4) == [
        "turned away 2 callers in 4 s: too many in the greeting (last from 192.0.2.1)"
    ]
    assert refusals.rest(5) == []


def test_a_kind_that_did_not_happen_counts_as_none() -> None:
    refusals = Refusals()
    assert refusals.counts[MANY] == 0
    with pytest.raises(TypeError):
        refusals.counts[MANY] = 1  # type: ignore[index]


@given(st.lists(st.tuples(st.sampled_from(Refusal), st.floats(0, 5)), max_size=200))
def test_nobody_is_left_out_and_no_kind_has_more_than_a_line_in_ten_seconds(
    callers: list[tuple[Refusal, float]],
) -> None:
    refusals = Refusals()
    now = 0.0
    lines: list[tuple[float, str]] = []
    for kind, later in callers:
        now += later
        lines += [(now, line) for line in refusals.due(now)]
        if (line := refusals.add(kind, "192.0.2.1", now)) is not None:
            lines.append((now, line))
    told = sum(1 if "a caller" in line else int(line.split()[2]) for _, line in lines)
    rest = refusals.rest(now)
    assert told + sum(int(line.split()[2]) for line in rest) == len(callers)
    for kind in Refusal:
        times = [time for time, line in lines if f": {kind}" in line]
        assert all(b - a >= INTERVAL - 1e-6 for a, b in pairwise(times))


@pytest.mark.parametrize(
    ("exc", "wrong", "kind"),
    [
        (TimeoutError(), False, Refusal.TOO_SLOW),
        (ssl.SSLError(1, "wrong version number"), False, Refusal.BAD_TLS),
        (TooManySessions(), False, Refusal.TOO_MANY_SESSIONS),
        (HandshakeRefused(1008, "not you"), False, Refusal.NOT_ADMITTED),
        (HandshakeError("what?"), True, Refusal.BAD_GREETING),
        (HandshakeError("the caller hung up"), False, None),
        (ConnectionResetError(), False, None),
    ],
)
def test_each_failure_is_of_a_kind_or_nobodys_doing(
    exc: Exception, wrong: bool, kind: Refusal | None
) -> None:
    assert kind_of(exc, wrong=wrong) is kind


@pytest.mark.virtual_time
async def test_lines_are_written_when_they_are_due(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog()
    for _ in range(3):
        log.add(MANY, "192.0.2.1")
    assert len(caplog.records) == 1
    await asyncio.sleep(INTERVAL + 1)
    assert len(caplog.records) == 2
    log.add(MANY, "192.0.2.1")
    log.close()
    log.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert log.counts[MANY] == 4
