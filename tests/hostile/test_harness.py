"""Claims about the harness itself: it finds what it is to find."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.hostile import harness
from tests.hostile.__main__ import percentile, violations
from tests.hostile.attack import SHORT, Attack, Size
from tests.hostile.harness import good_member, run, uncoordinated
from tests.hostile.target import Target, serving

pytestmark = [
    pytest.mark.may_block(reason="it starts processes and reads /proc"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


async def nothing(target: Target, size: Size) -> str:
    """Do no harm."""
    return "nothing"


async def kill(target: Target, size: Size) -> str:
    """Kill the server."""
    assert target.program is not None
    target.program.process.kill()
    await target.program.process.wait()
    return "killed"


async def fail(target: Target, size: Size) -> str:
    """Be answered in a way that no attack expects."""
    raise AssertionError("not as expected")


async def test_a_server_that_was_not_attacked_is_as_it_should_be(tmp_path: Path) -> None:
    async with serving(tmp_path) as target, good_member(target, tmp_path) as good:
        outcome = await run(Attack("none", nothing), target, good, SHORT)
        assert outcome.violations == []
        assert len(outcome.pings) >= 10
        assert 0 < outcome.rss <= outcome.peak


async def test_a_server_that_has_ended_is_found(tmp_path: Path) -> None:
    found: list[str] = []

    async def attack() -> None:
        async with serving(tmp_path) as target, good_member(target, tmp_path) as good:
            found.extend((await run(Attack("kill", kill), target, good, SHORT)).violations)

    with pytest.raises(AssertionError, match="the server ended with status -9"):
        await attack()
    assert any("good member is not served" in each for each in found)
    assert "the server has ended" in found


async def test_an_attack_that_went_otherwise_and_too_much_memory_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "RSS_CAP", 2**20)
    async with serving(tmp_path) as target, good_member(target, tmp_path) as good:
        found = (await run(Attack("fail", fail), target, good, SHORT)).violations
        assert any("not as expected" in each for each in found)
        assert any("MiB" in each for each in found)


def target_that_said(*lines: str) -> Target:
    """Return a server that has said this."""
    program = cast("Any", SimpleNamespace(stderr=list(lines)))
    return Target(("127.0.0.1", 1), tls=True, trust="", program=program)


@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        "2026-01-01 asyncio: Task exception was never retrieved",
        "2026-01-01 socketchat: session failed",
        "socketchat: internal error: KeyError: 7",
        "2026-01-01 asyncio: Task was destroyed but it is pending!",
        "2026-01-01 asyncio: Fatal error: protocol.data_received() call failed.",
    ],
)
def test_bad_news_is_found(line: str) -> None:
    target = target_that_said("key SHA256:x", line)
    assert target.news()[0] == [line]
    assert target.news()[0] == []


def test_those_who_were_turned_away_are_counted() -> None:
    target = target_that_said(
        "now socketchat.refusals: turned away a caller from 127.0.1.2: too slow (the words)",
        "now socketchat.refusals: turned away 511 callers in 10 s: too slow (last from 127.0.1.9)",
        "now socketchat.refusals: turned away a caller from 127.0.1.2: too many in the greeting",
    )
    bad, turned_away = target.news()
    assert bad == []
    assert turned_away == {"too slow": 512, "too many in the greeting": 1}


def test_a_long_wait_counts_as_all_the_pings_that_it_held_up() -> None:
    waits = [0.01, 0.1, 0.01]
    assert uncoordinated(waits) == pytest.approx([0.01, 0.1, 0.08, 0.06, 0.04, 0.02, 0.01])


def test_the_99th_percentile_is_judged() -> None:
    assert percentile([0.0] * 98 + [1.0] * 2, 99) == 1.0
    assert percentile([0.0] * 99 + [1.0], 98) == 0.0
    outcome = cast("Any", SimpleNamespace(violations=[], pings=[0.0] * 98 + [0.3] * 2, sent=[]))
    assert violations(outcome) == ["the good member's p99 was 300 ms"]
