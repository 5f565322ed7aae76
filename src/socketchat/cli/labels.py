"""What outboxes in files are called by: whom the lines in them are for, and who says them.

What one had to say must not be said by another, though both use the same directory.
"""

from __future__ import annotations

from socketchat.cli.target import Target, parse_target

__all__ = ["call_words", "label_of"]


def label_of(target: Target, nick: str) -> str:
    """Return the label of the outboxes that lead to a room, under a name.

    Of several servers it is the same in whichever order they are named: they are one place.
    """
    return f"{nick}@{target.place}/{target.room}"


def call_words(label: str) -> str:
    """Say what sends the lines in an outbox of this label: `maple/tea is called as ada`."""
    who_and_where, _, room = label.rpartition("/")  # a target's room has no slash in it
    nick, _, where = who_and_where.rpartition("@")
    try:
        target = str(parse_target(f"{where}/{room}"))
    except ValueError:
        target = f"{where}/{room}"
    return f"{target} is called as {nick}" if nick else f"{target} is called without a name"
