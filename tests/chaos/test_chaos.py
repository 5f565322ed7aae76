"""Claims about a chat under fire, with real processes, TLS and SQLite.

A little of what `python -m tests.chaos` does for as long as is wanted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.harness import run
from tests.chaos.plan import Plan
from tests.proxy import Cut, Delay


@pytest.mark.timeout(240)
@pytest.mark.may_block("it reads journals and the log")
async def test_nothing_is_lost_or_doubled_while_servers_and_clients_are_killed(
    tmp_path: Path,
) -> None:
    plan = Plan(server_kills=4, client_kills=4, cuts=20, delays=10, messages=1000, seconds=8.0)
    outcome = await run(plan, tmp_path)
    assert outcome.violations == []
    assert outcome.integrity == "ok"
    # Those that were cut off from their "accepted" by a kill come on top.
    assert outcome.accepted == plan.messages <= outcome.logged
    assert outcome.shown >= outcome.logged * plan.clients // plan.rooms
    assert outcome.server_kills == outcome.client_kills == 4
    assert sum(outcome.faults[cut] for cut in Cut) == plan.cuts
    assert sum(outcome.faults[delay] for delay in Delay) == plan.delays
