"""What is to happen in a run, and what has happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.chaos.checker import Violation
from tests.proxy import Fault

__all__ = ["Outcome", "Plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to happen.

    Attributes:
        servers: How many servers share a Redis; 0 is one server with SQLite.
        server_kills: How often a server is killed.
        client_kills: How often a process with clients is killed.
        cuts: How often a link is broken.
        delays: How often a link is stalled or made slow.
        slow_commits: How often nothing can be committed for a moment; and so it is before each
            other kill of the server.
        clients: How many clients there are,
        per_process: and how many of them live in one process.
        rooms: In how many rooms they are, by turns.
        messages: How many messages all of them have accepted in the end.
        seconds: For how long messages and faults are spread.
        redis_kills: How often Redis is killed, and started again on its data.
        redis_cuts: How often a link between a server and Redis is broken, or stalled.
        outage: Seconds for which Redis is away then, at most.
        failovers: How often Redis is killed and its replica takes its place; every other time the
            replica is cut off a moment before.
        redis_wait: 1 if servers wait for the replica, else 0.
        seed: What decides when and where.
    """

    servers: int = 0
    server_kills: int = 4
    client_kills: int = 4
    cuts: int = 20
    delays: int = 10
    slow_commits: int = 10
    clients: int = 10
    per_process: int = 2
    rooms: int = 2
    messages: int = 1000
    seconds: float = 8.0
    redis_kills: int = 0
    redis_cuts: int = 0
    outage: float = 1.0
    failovers: int = 0
    redis_wait: int = 0
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has happened.

    Attributes:
        violations: Promises that were broken.
        faults: How often each fault has struck a link of a client,
        redis_faults: and one between a server and Redis.
        server_kills: How often a server was killed,
        young_kills: and how often of these before it listened again.
        redis_kills: How often Redis was killed and started again,
        failovers: and how often it was killed and replaced.
        client_kills: How often a process with clients was killed.
        links: How many links the clients have lost and noticed.
        accepted: Messages that sessions have accepted.
        logged: Messages in the log.
        shown: Messages shown, to all clients.
        leftovers: Messages found in the outboxes of killed clients.
        told: How often a client was told that the log is not the one that it was.
        tracebacks: How many the servers have logged.
        seconds: How long all of it took, until rest.
        to_rest: Seconds from the last fault until everything accepted was acknowledged and every
            client was shown the end of its room's log.
        integrity: What the store says of itself.
    """

    violations: list[Violation]
    faults: Counter[Fault]
    redis_faults: Counter[Fault]
    server_kills: int
    young_kills: int
    redis_kills: int
    failovers: int
    client_kills: int
    links: int
    accepted: int
    logged: int
    shown: int
    leftovers: int
    told: int
    tracebacks: int
    seconds: float
    to_rest: float
    integrity: str
