"""Claims about those who pretend to be somebody: none is let in, and the owner is not disturbed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.hostile.attack import SHORT, Attack
from tests.hostile.harness import good_member, run
from tests.hostile.identity import ATTACKS
from tests.hostile.target import serving

pytestmark = [
    pytest.mark.may_block(reason="it starts processes and reads /proc"),
    pytest.mark.skipif(sys.platform != "linux", reason="calls from all of 127.0.0.0/8"),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
async def test_nobody_passes_for_another(attack: Attack, tmp_path: Path) -> None:
    async with serving(tmp_path, tls=attack.tls) as target, good_member(target, tmp_path) as good:
        assert (await run(attack, target, good, SHORT)).violations == []
