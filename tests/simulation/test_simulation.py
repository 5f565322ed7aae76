"""Claims about the whole: on thousands of seeds nothing is lost, doubled, reordered or skipped."""

from __future__ import annotations

import sys

import pytest

from tests.simulation.checker import Kind
from tests.simulation.faults import DiskFaults, Faults
from tests.simulation.redis_faults import RedisFaults
from tests.simulation.redis_planted import ALL_PLANTED
from tests.simulation.runner import Outcome, run_seed

#: Seeds on each Python, each Python others: the three that CI runs on make more than 2,000.
BLOCKS, BLOCK = 5, 135
#: Where servers share a Redis a seed takes ten times as long.
SHARED_BLOCK = 12
FIRST = sys.version_info.minor * 10_000
#: How many seeds it may take to find a planted fault.
PATIENCE = 1_000


def describe(outcomes: list[Outcome]) -> str:
    return "\n".join(
        f"--seed {outcome.seed}: {violation}"
        for outcome in outcomes
        for violation in outcome.violations
    )


@pytest.mark.parametrize("block", range(BLOCKS))
def test_nothing_is_lost_or_doubled_whatever_goes_wrong(block: int) -> None:
    first = FIRST + block * BLOCK
    outcomes = [run_seed(seed) for seed in range(first, first + BLOCK)]
    assert not describe(outcomes)
    assert_much_went_wrong(outcomes, DiskFaults)


@pytest.mark.parametrize("servers", [1, 2, 3])
def test_nothing_is_lost_or_doubled_where_servers_share_a_redis(servers: int) -> None:
    first = FIRST + servers * BLOCK
    outcomes = [run_seed(seed, servers=servers) for seed in range(first, first + SHARED_BLOCK)]
    assert not describe(outcomes)
    assert_much_went_wrong(outcomes)


def assert_much_went_wrong(outcomes: list[Outcome], faults: type[Faults] | None = None) -> None:
    assert sum(outcome.messages for outcome in outcomes) >= 50 * len(outcomes)
    assert sum(sum(outcome.faults.values()) for outcome in outcomes) >= 7 * len(outcomes)
    for fault in faults.weights if faults is not None else ():
        assert sum(outcome.faults[fault] for outcome in outcomes) > 0, fault


def test_every_fault_happens_where_servers_share_a_redis() -> None:
    missing = set(RedisFaults.weights)
    for seed in range(60):
        counts = run_seed(seed, servers=1).faults
        missing -= {fault for fault, count in counts.items() if count}
        if not missing:
            break
    assert not missing


@pytest.mark.parametrize("servers", [0, 2])
def test_a_seed_always_tells_the_same_story(servers: int) -> None:
    for seed in range(3):
        stories = [list(map(str, run_seed(seed, servers=servers).story)) for _ in range(2)]
        assert stories[0] == stories[1]


def test_other_seeds_tell_other_stories() -> None:
    assert list(map(str, run_seed(1).story)) != list(map(str, run_seed(2).story))


@pytest.mark.parametrize("name", ALL_PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    planted = ALL_PLANTED[name]
    kinds: set[Kind] = set()
    for seed in range(planted.first, planted.first + PATIENCE):
        outcome = run_seed(seed, planted.plant, servers=planted.servers)
        kinds.update(violation.kind for violation in outcome.violations)
        if kinds & planted.kinds:
            break
    assert kinds & planted.kinds
