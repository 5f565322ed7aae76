"""A chat server in figures, in the text format that Prometheus reads, version 0.0.4.

The format (prometheus.io/docs/instrumenting/exposition_formats) is a few lines for each figure, and
a standard that many programs read; so it is written here, where a client library would be a
dependency for a page of text. Nothing that anybody outside can choose is in it: no name, key,
address or room. Rooms are made by whoever asks for one, so that a figure for each would have no
bound. What is counted lies where it happens (`tally.py`, `Server.refused`); `health.py` says
whether it is well. How the page gets to its readers is not known here.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from socketchat.chat.server import ChatServer
from socketchat.chat.tally import BOUNDS, Tally
from socketchat.refusals import Refusal
from socketchat.server import Server

__all__ = ["CONTENT_TYPE", "Census", "Metrics", "census_of"]

#: What the page is sent as.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Census:
    """How many are there, and how they keep up.

    Attributes:
        rooms: Rooms that are open.
        members: Those who are seated in them.
        behind: Members that have not been given yet all that there is.
        lag: How many entries the last of them still lacks.
    """

    rooms: int = 0
    members: int = 0
    behind: int = 0
    lag: int = 0


def census_of(chat: ChatServer) -> Census:
    """Look at every member's place."""
    members = behind = lag = 0
    for room in chat.rooms:
        members += len(room.members)
        for member in room.members.values():
            if member.place < room.head:
                behind += 1
                lag = max(lag, room.head - member.place)
    return Census(len(chat.rooms), members, behind, lag)


class Metrics:
    """Writes the page.

    Args:
        server: The server.
        chat: Its handler.
    """

    def __init__(self, server: Server, chat: ChatServer) -> None:
        self._server = server
        self._chat = chat
        # Of this moment, which is near enough: the process was started for it.
        self._started = time.time()
        self._build = f'{{version="{version("socketchat")}",python="{platform.python_version()}"}}'

    def page(self, *, healthy: bool) -> str:
        """Return the page of this moment.

        Args:
            healthy: Whether the server does what it should.
        """
        families = (*self._of_the_people(), *self._of_the_log(), *self._of_the_process(healthy))
        return "".join(line + "\n" for family in families for line in family)

    def _of_the_people(self) -> Iterator[Iterable[str]]:
        census = census_of(self._chat)
        tally = self._chat.tally
        yield _gauge(
            "socketchat_sessions", "Sessions that are not closed.", len(self._server.sessions)
        )
        yield _gauge("socketchat_members", "Members seated in rooms.", census.members)
        yield _gauge("socketchat_rooms", "Rooms that are open.", census.rooms)
        yield _gauge(
            "socketchat_members_behind",
            "Members that have not been given yet all that was said.",
            census.behind,
        )
        yield _gauge(
            "socketchat_lag_entries", "Messages that the slowest member still lacks.", census.lag
        )
        yield _counter(
            "socketchat_messages_total",
            "Messages of members of this server that are in the log.",
            tally.messages,
        )
        yield _counter(
            "socketchat_rejections_total", "Messages that were refused for good.", tally.rejected
        )
        yield _counter(
            "socketchat_deliveries_total", "Messages written to members.", tally.deliveries
        )
        refused = self._server.refused
        name = "socketchat_refusals_total"
        yield (
            *_head(name, "counter", "Callers that were turned away, by reason."),
            *(f'{name}{{reason="{kind.name.lower()}"}} {refused.get(kind, 0)}' for kind in Refusal),
        )

    def _of_the_log(self) -> Iterator[Iterable[str]]:
        tally = self._chat.tally
        yield _counter(
            "socketchat_commits_total",
            "Transactions in which the log has committed something.",
            self._chat.log.commits,
        )
        yield _histogram_of_commits(tally)
        yield _counter(
            "socketchat_append_failures_total",
            "Appends that the log has not made; their authors send again.",
            tally.failed,
        )
        yield _gauge(
            "socketchat_appends_under_way",
            "Appends that the log has not answered yet.",
            tally.under_way,
        )

    def _of_the_process(self, healthy: bool) -> Iterator[Iterable[str]]:  # noqa: FBT001
        yield _gauge("socketchat_healthy", "1 if /healthz says ok, else 0.", int(healthy))
        yield _gauge("socketchat_build_info", "What runs.", 1, labels=self._build)
        yield _gauge(
            "process_start_time_seconds", "When it was started, since the epoch.", self._started
        )
        yield _counter(
            "process_cpu_seconds_total", "Processor time that it has used.", time.process_time()
        )


def _histogram_of_commits(tally: Tally) -> Iterator[str]:
    name = "socketchat_commit_seconds"
    yield from _head(name, "histogram", "Time from an append to the knowledge of its commit.")
    total = 0
    for bound, count in zip((*BOUNDS, "+Inf"), tally.committed, strict=True):
        total += count
        yield f'{name}_bucket{{le="{bound}"}} {total}'
    yield f"{name}_sum {tally.commit_seconds}"
    yield f"{name}_count {total}"


def _head(name: str, kind: str, help_: str) -> tuple[str, str]:
    return f"# HELP {name} {help_}", f"# TYPE {name} {kind}"


def _gauge(name: str, help_: str, value: float, *, labels: str = "") -> Iterable[str]:
    return (*_head(name, "gauge", help_), f"{name}{labels} {value}")


def _counter(name: str, help_: str, value: float) -> Iterable[str]:
    return (*_head(name, "counter", help_), f"{name} {value}")
