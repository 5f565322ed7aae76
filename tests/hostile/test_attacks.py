"""Claims about a server under attack: it lives, says nothing bad, and serves those who behave.

A little of what `python -m tests.hostile --long` does. How long the good member waited is measured
there, and not here, where others use the machine too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.hostile.attack import SHORT, Attack
from tests.hostile.attacks import ATTACKS
from tests.hostile.harness import good_member, run
from tests.hostile.target import external, serving, target_named

pytestmark = [
    pytest.mark.may_block(reason="it starts processes and reads /proc"),
    pytest.mark.skipif(sys.platform != "linux", reason="calls from all of 127.0.0.0/8"),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
async def test_a_server_under_attack_lives_and_serves_the_good(
    attack: Attack, tmp_path: Path
) -> None:
    named = target_named()
    if named is not None:
        target = await external(named)
        if target.tls is not attack.tls:
            return  # made for the other kind of server
        async with good_member(target, tmp_path) as good:
            assert (await run(attack, target, good, SHORT)).violations == []
        return
    async with serving(tmp_path, tls=attack.tls) as target, good_member(target, tmp_path) as good:
        assert (await run(attack, target, good, SHORT)).violations == []
