"""Claims about a server under attack: it lives, says nothing bad, and serves those who behave.

A little of what `python -m tests.hostile --long` does. How long the good member waited is measured
there, and not here, where others use the machine too.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.hostile.attack import SHORT
from tests.hostile.attacks import ATTACKS
from tests.hostile.harness import good_member, run
from tests.hostile.target import Target, external, serving, target_named

pytestmark = [
    pytest.mark.may_block(reason="it starts processes and reads /proc"),
    pytest.mark.skipif(sys.platform != "linux", reason="calls from all of 127.0.0.0/8"),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "in the clear"])
async def test_a_server_under_attack_lives_and_serves_the_good(tls: bool, tmp_path: Path) -> None:
    attacks = [attack for attack in ATTACKS if attack.tls is tls]
    async with attacked(tmp_path, tls=tls) as target, good_member(target, tmp_path) as good:
        found = {one.name: (await run(one, target, good, SHORT)).violations for one in attacks}
    assert found == {attack.name: [] for attack in attacks}


@asynccontextmanager
async def attacked(data: Path, *, tls: bool) -> AsyncIterator[Target]:
    """Start a server, or find the one that was named."""
    named = target_named()
    if named is None:
        async with serving(data, tls=tls) as target:
            yield target
        return
    target = await external(named)
    if target.tls is not tls:
        pytest.skip("the server that was named is of the other kind")
    yield target
