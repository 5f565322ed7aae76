"""Compares what the clients have written down with what is in the log, and with what servers show.

Pure functions of these. What is promised, and what breaks it:

- *lost*: it was accepted or acknowledged, and is not in the log,
- *doubled*: it is there more than once,
- *reordered*: it stands behind a later message of its client,
- *invented*: it is in the log, and nobody has sent it,
- *unwarranted*: a client was shown what is not in the log, or told a place where it is not,
- *skipped*: a client was not shown an entry between two others,
- *repeated*: a client was shown an entry twice in one life,
- *refused*: a message was given back, or a client was told of a gap or a server without memory,
- *behind*: a client was not shown the end of the log,
- *different*: a server shows another log than there is, or in another order,
- *untold*: a client was shown what is not in the log, and was not told that the log is another one.

What was only tried when its client was killed may be in the log or not. Who was told that the log
is another one begins it anew, and so does its check: that it was told is wrong enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import zip_longest
from typing import NamedTuple

from tests.chaos.journal import History, Incarnation, Shown, Tag

__all__ = ["Kind", "Violation", "check"]


class Kind(Enum):
    """In which way a promise was broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    REORDERED = "out of order"
    INVENTED = "never sent"
    UNWARRANTED = "shown but not in the log"
    SKIPPED = "skipped"
    REPEATED = "shown twice"
    REFUSED = "refused"
    BEHIND = "behind in the end"
    DIFFERENT = "different at a server"
    UNTOLD = "not told that the log is another one"


class Violation(NamedTuple):
    """A promise that was broken, and where."""

    kind: Kind
    what: str


def check(
    histories: Sequence[History],
    logs: Mapping[str, Sequence[Shown]],
    views: Sequence[Mapping[str, Sequence[Shown]]] = (),
) -> list[Violation]:
    """Return every violation.

    Args:
        histories: What the clients wrote down.
        logs: The entries of each room, in the order of their numbers.
        views: What each server shows of each room in the end.
    """
    found = _check_senders(histories, logs)
    for history in histories:
        found += _check_reader(history, logs.get(history.room, ()))
    for server, view in enumerate(views):
        found += _check_view(server, view, logs)
    return found


def _check_view(
    server: int, view: Mapping[str, Sequence[Shown]], logs: Mapping[str, Sequence[Shown]]
) -> list[Violation]:
    """Check that a server shows each room's log as it is."""
    found = []
    for room, entries in logs.items():
        shown = view.get(room, ())
        pairs = zip_longest(shown, entries)
        differs = next((pair for pair in pairs if pair[0] != pair[1]), None)
        if differs is not None:
            what = f"server {server} shows {differs[0]} of {room}, where {differs[1]} is"
            found.append(Violation(Kind.DIFFERENT, what))
    return found


# ---- what was sent ----


def _check_senders(
    histories: Sequence[History], logs: Mapping[str, Sequence[Shown]]
) -> list[Violation]:
    places: dict[Tag, list[tuple[str, int]]] = {}
    found = []
    for room, entries in logs.items():
        last: Counter[int] = Counter()
        for entry in entries:
            tag = entry.tag
            places.setdefault(tag, []).append((room, entry.number))
            if tag.sequence < last[tag.client]:
                found.append(Violation(Kind.REORDERED, f"{tag}, entry {entry.number} of {room}"))
            last[tag.client] = max(last[tag.client], tag.sequence)
    for tag, where in places.items():
        found += [Violation(Kind.DOUBLED, f"{tag} at {where}") for _ in where[1:]]
    tried: set[tuple[Tag, str]] = set()
    for history in histories:
        for life, incarnation in enumerate(history.incarnations, 1):
            tags = {number: Tag(history.client, life, number) for number in incarnation.tried}
            tried.update((tag, history.room) for tag in tags.values())
            found += _check_sent(history.room, incarnation, tags, places)
    for tag, where in places.items():
        strange = [room for room, _ in where if (tag, room) not in tried]
        found += [Violation(Kind.INVENTED, f"{tag} in {room}") for room in strange]
    return found


def _check_sent(
    room: str,
    incarnation: Incarnation,
    tags: Mapping[int, Tag],
    places: Mapping[Tag, list[tuple[str, int]]],
) -> list[Violation]:
    found = []
    for sequence in sorted({*incarnation.accepted, *incarnation.acked}):
        if tags[sequence] not in places:
            acked = "acknowledged" if sequence in incarnation.acked else "accepted"
            found.append(Violation(Kind.LOST, f"{tags[sequence]}, {acked}"))
    for sequence, entry in incarnation.acked.items():
        where = places.get(tags[sequence], [])
        if entry and where and (room, entry) not in where:
            what = f"{tags[sequence]} has the receipt of entry {entry}, and stands at {where}"
            found.append(Violation(Kind.UNWARRANTED, what))
    found += [Violation(Kind.REFUSED, str(tags[sequence])) for sequence in incarnation.refused]
    return found


# ---- what was shown ----


def _check_reader(history: History, entries: Sequence[Shown]) -> list[Violation]:
    found = []
    who = f"client {history.client}"
    by_number = {entry.number: entry for entry in entries}
    reached = 0  # by which number of the log it had all, in this life and those before
    for incarnation in history.incarnations:
        found += [Violation(Kind.REFUSED, f"{who}: {told}") for told in incarnation.untrue]
        before = None
        for index, shown in enumerate(incarnation.shown):
            if index in incarnation.told:
                before, reached = None, 0
            what = f"{who}: {shown} after {before or reached}"
            if by_number.get(shown.number) != shown:
                found.append(Violation(Kind.UNWARRANTED, what))
                # Who was killed meanwhile cannot have been told.
                if (
                    incarnation is history.incarnations[-1]
                    and max(incarnation.told, default=0) <= index
                ):
                    found.append(Violation(Kind.UNTOLD, what))
            if before is not None and shown.number <= before:
                found.append(Violation(Kind.REPEATED, what))
            elif shown.number > (reached if before is None else before) + 1:
                found.append(Violation(Kind.SKIPPED, what))
            before = shown.number
            reached = max(reached, before)
    head = entries[-1].number if entries else 0
    if reached < head:
        found.append(Violation(Kind.BEHIND, f"{who}: at {reached}, and the log at {head}"))
    return found
