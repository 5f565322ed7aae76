"""Claims about rooms whose log lets go of what members have said, while they are there.

On both engines, in real time: the embedded one has threads of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socketchat import LinkLost, SessionState
from socketchat.chat import ChatServer, MemoryLog
from socketchat.chat.log import Log, lane_name
from socketchat.chat.sqlite_log import SQLiteLog
from tests.chat.chatting import FREE, say, unread
from tests.chat.log_conformance import Clock
from tests.sessions import MemoryNetwork

YEAR = 366 * 86_400 * 1_000_000


async def let_go(log: Log, clock: Clock) -> None:
    """Have a log let go of all that is older than what comes now."""
    clock.now += YEAR
    if isinstance(log, SQLiteLog):
        await log.prune()


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_who_is_silent_while_its_words_and_its_mark_are_let_go_says_more_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    clock = Clock()
    log: MemoryLog | SQLiteLog
    if engine == "memory":
        log = MemoryLog(max_entries=3, max_lanes=1, clock=clock)
    else:
        log = SQLiteLog(tmp_path, retain=10, clock=clock)
    network = MemoryNetwork(monkeypatch)
    async with (
        network.serve(ChatServer(log, rules=FREE)),
        network.connect(nick="bob") as bob,
        network.connect(nick="ada") as ada,
    ):
        await say(ada, "one")
        await let_go(log, clock)
        await say(bob, "of bob's", "of bob's too", "and one more of bob's")
        assert await log.mark("lobby", lane_name(ada._lanes.lane)) == 0
        await say(ada, "two", "three")
        assert ada.state is SessionState.OPEN
        assert not [event for event in unread(ada) if isinstance(event, LinkLost)]
        # Nor is anybody else kept out.
        async with network.connect(nick="cleo", reconnect=False) as cleo:
            await say(cleo, "I am in")
