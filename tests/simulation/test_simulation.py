"""Claims about the whole: on thousands of seeds nothing is lost, doubled, reordered or skipped."""

from __future__ import annotations

import sys

import pytest

from tests.simulation.checker import Kind
from tests.simulation.faults import Fault
from tests.simulation.planted import PLANTED
from tests.simulation.runner import Outcome, run_seed

#: Seeds on each Python, each Python others: the three that CI runs on make more than 3,000.
BLOCKS, BLOCK = 7, 150
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
    assert sum(outcome.messages for outcome in outcomes) >= 50 * BLOCK
    assert sum(sum(outcome.faults.values()) for outcome in outcomes) >= 7 * BLOCK
    for fault in Fault:
        assert sum(outcome.faults[fault] for outcome in outcomes) > 0, fault


def test_a_seed_always_tells_the_same_story() -> None:
    for seed in range(5):
        stories = [list(map(str, run_seed(seed).story)) for _ in range(2)]
        assert stories[0] == stories[1]


def test_other_seeds_tell_other_stories() -> None:
    assert list(map(str, run_seed(1).story)) != list(map(str, run_seed(2).story))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    planted = PLANTED[name]
    kinds: set[Kind] = set()
    for seed in range(planted.first, planted.first + PATIENCE):
        kinds.update(violation.kind for violation in run_seed(seed, planted.plant).violations)
        if kinds & planted.kinds:
            break
    assert kinds & planted.kinds
