"""What outboxes in files are called by: whom the lines in them are for, and who says them.

What one had to say must not be said by another, though both use the same directory.
"""

from __future__ import annotations

from socketchat.cli.target import Target, parse_target
from socketchat.trust.known_hosts import host_and_port

__all__ = ["call_words", "label_of"]


def label_of(target: Target, nick: str) -> str:
    """Return the label of the outboxes that lead to a room, under a name."""
    return f"{nick}@{host_and_port(target.host, target.port)}/{target.room}"


def call_words(label: str) -> str:
    """Say what sends the lines in an outbox of this label: `maple/tea is called as ada`."""
    who_and_where, _, room = label.rpartition("/")  # a target's room has no slash in it
    nick, _, where = who_and_where.rpartition("@")
    try:
        target = str(parse_target(f"{where}/{room}"))
    except ValueError:
        target = f"{where}/{room}"
    return f"{target} is called as {nick}" if nick else f"{target} is called without a name"
