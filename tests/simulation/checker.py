"""Finds in a history what must never happen.

It knows `history.py` alone, and judges by what clients were told and by what the log holds in the
end; how anything came about it does not ask.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from socketchat.chat.log import Entry
from tests.simulation.history import (
    Accepted,
    Afresh,
    Committed,
    Died,
    Ended,
    Fate,
    Followed,
    Heard,
    Joined,
    Record,
    Rewound,
    Settled,
    Shown,
    ToldGap,
    ToldRestart,
    Trimmed,
    Unfollowed,
)

__all__ = ["Kind", "Violation", "check"]


class Kind(Enum):
    """What can be wrong with a history."""

    #: A message was acknowledged, or is still owed, and the log does not have it.
    LOST = "lost"
    #: A message is twice in the log, or was shown twice to a member.
    DOUBLED = "doubled"
    #: A sender's messages are in the log in another order than its own.
    REORDERED = "reordered"
    SHOWN_EARLY = "shown before commit"
    ACKNOWLEDGED_EARLY = "acknowledged before commit"
    #: A member was not shown an entry, nor told that it would not be.
    SKIPPED = "skipped"
    #: A message was shown, or is in the log, that nobody sent.
    NEVER_SENT = "never sent"
    #: A member was shown something else than the log holds at that place.
    DIFFERENT = "different"
    #: A message of which its sender was told that it was refused is in the log.
    REFUSED_YET_SAID = "refused, yet said"
    #: A member was shown what was for others.
    OVERHEARD = "overheard"
    #: A member was told of a gap or a restart that was none.
    FALSE_ALARM = "false alarm"
    #: A log has lost its end, and a member that had been shown it was not told so.
    NOT_TOLD = "not told that the log is another one"
    #: A server was told of something else, or in another order, than is in the log.
    DISAGREES = "told to a server in another order"
    #: The run found something by itself: an error in the code, a session that ended unasked, a
    #: world that does not come to rest.
    BROKEN = "broken"


class Violation(NamedTuple):
    """Something that must never happen, and did."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}"


def check(records: Sequence[Record]) -> list[Violation]:
    """Return what is wrong with a history that ends at rest: nothing is on its way any more."""
    checker = _Checker(records)
    checker.check_log()
    checker.check_fates()
    checker.check_members()
    checker.check_servers()
    return checker.found


class _RoomTruth:
    """What is true of a room's log, and since when.

    A log that loses its end and goes on is another one from there: an era begins. What is in the
    log of an era is what was in the one before, up to where that was cut off, and what was
    committed since.

    Attributes:
        committed: Everything that ever was, in its order.
        eras: By number, the log of each.
        lost: What was committed, and is in the log no more.
    """

    def __init__(self) -> None:
        self.committed: list[Committed] = []
        self.eras: list[dict[int, Committed]] = [{}]
        self.lost: set[tuple[bytes, int]] = set()
        self._begun = [0.0]
        self._trims: list[tuple[float, int]] = [(0.0, 1)]

    @property
    def now(self) -> dict[int, Committed]:
        """The log as it is in the end."""
        return self.eras[-1]

    def add(self, committed: Committed) -> None:
        self.committed.append(committed)
        self.now[committed.entry.number] = committed
        self.lost.discard((committed.entry.lane, committed.entry.lane_number))

    def trim(self, when: float, floor: int) -> None:
        self._trims.append((when, floor))

    def rewind(self, when: float, head: int, floor: int) -> None:
        gone = [one.entry for number, one in self.now.items() if number > head]
        self.lost.update((entry.lane, entry.lane_number) for entry in gone)
        self.eras.append({number: one for number, one in self.now.items() if number <= head})
        self._begun.append(when)
        self._trims.append((when, floor))  # perhaps what had been let go of is there again

    def era_at(self, when: float) -> int:
        return bisect_right(self._begun, when) - 1

    def head_at(self, when: float) -> int:
        era = self.eras[self.era_at(when)]
        return max((number for number, one in era.items() if one.when <= when), default=0)

    def floor_at(self, when: float) -> int:
        return self._trims[bisect_right(self._trims, when, key=lambda trim: trim[0]) - 1][1]


class _Member:
    """What a member was shown and told, in order."""

    def __init__(self, joined: Joined) -> None:
        self.joined = joined
        self.told: list[Shown | ToldGap | ToldRestart] = []
        self.ended = False

    def sees(self, entry: Entry) -> bool:
        return not entry.to or self.joined.lane in (entry.lane, entry.to_id)


class _Server:
    """What a server was told by its log of a room, in order."""

    def __init__(self) -> None:
        self.told: list[Heard | Afresh] = []
        self.ended = False


class _Checker:
    def __init__(self, records: Iterable[Record]) -> None:
        self.found: list[Violation] = []
        self._posts: dict[tuple[bytes, int], Accepted] = {}
        self._fates: dict[tuple[bytes, int], Settled] = {}
        self._dead: set[bytes] = set()
        self._rooms: defaultdict[str, _RoomTruth] = defaultdict(_RoomTruth)
        self._members: dict[str, _Member] = {}
        self._said: dict[tuple[bytes, int], Committed] = {}
        self._servers: dict[tuple[str, str], _Server] = {}
        for record in records:
            self._sort_in(record)

    def _sort_in(self, record: Record) -> None:
        match record:
            case Accepted():
                self._posts[record.lane, record.number] = record
            case Settled():
                known = self._fates.get((record.lane, record.number))
                if known is None or known.fate is Fate.UNKNOWN:
                    self._fates[record.lane, record.number] = record
            case Died(_, lane):
                self._dead.add(lane)
            case Joined(_, member):
                self._members[member] = _Member(record)
            case Shown(_, member) | ToldGap(_, member) | ToldRestart(_, member):
                self._members[member].told.append(record)
            case Ended(_, member):
                self._members[member].ended = True
            case Committed(_, room):
                self._rooms[room].add(record)
            case Trimmed(when, room, floor):
                self._rooms[room].trim(when, floor)
            case Rewound(when, room, head, floor):
                self._rooms[room].rewind(when, head, floor)
            case Followed(_, server, room):
                self._servers[server, room] = _Server()
            case Heard(_, server, room) | Afresh(_, server, room):
                self._servers[server, room].told.append(record)
            case Unfollowed(_, server):
                for (name, _), followed in self._servers.items():
                    followed.ended |= name == server

    def _complain(self, kind: Kind, text: str) -> None:
        self.found.append(Violation(kind, text))

    # ---- the log ----

    def check_log(self) -> None:
        """Hold what is in the log to what was sent."""
        for room, truth in self._rooms.items():
            last: dict[bytes, int] = {}
            for committed in truth.now.values():
                entry = committed.entry
                self._check_entry(room, committed, last.get(entry.lane, 0))
                last[entry.lane] = max(entry.lane_number, last.get(entry.lane, 0))

    def _check_entry(self, room: str, committed: Committed, before: int) -> None:
        entry = committed.entry
        key = entry.lane, entry.lane_number
        place = f"entry {entry.number} of {room!r}"
        post = self._posts.get(key)
        if post is None or post.body != entry.body:
            self._complain(Kind.NEVER_SENT, f"{place} is {_name(key)}, {_brief(entry.body)}")
        elif key in self._said:
            first = self._said[key].entry.number
            self._complain(Kind.DOUBLED, f"{_tell(post)} is entry {first}, and {place}")
        elif entry.lane_number <= before:
            self._complain(Kind.REORDERED, f"{_tell(post)} is {place}, behind number {before}")
        self._said.setdefault(key, committed)
        for number in range(before + 1, entry.lane_number):
            missing = self._posts.get((entry.lane, number))
            if missing is not None and not self._may_be_missing(missing):
                self._complain(Kind.LOST, f"{_tell(missing)} is not in the log before {place}")

    def _is_gone(self, key: tuple[bytes, int]) -> bool:
        """Tell whether it was committed, and the log has lost its end since."""
        return any(key in truth.lost for truth in self._rooms.values())

    def _may_be_missing(self, post: Accepted) -> bool:
        told = self._fates.get((post.lane, post.number))
        if told is not None and told.fate is Fate.ACKNOWLEDGED:
            return self._is_gone((post.lane, post.number))
        if told is None or told.fate is Fate.UNKNOWN:
            return post.refusable
        return told.fate is Fate.REJECTED

    # ---- the senders ----

    def check_fates(self) -> None:
        """Hold what senders were told, and what they are owed, to the log."""
        for key, post in self._posts.items():
            said = self._said.get(key)
            told = self._fates.get(key)
            match told.fate if told is not None else None:
                case Fate.REJECTED if said is not None:
                    place = said.entry.number
                    self._complain(Kind.REFUSED_YET_SAID, f"{_tell(post)} is entry {place}")
                case Fate.ACKNOWLEDGED:
                    assert told is not None
                    self._check_acknowledged(post, told, said)
                case None | Fate.UNKNOWN if said is None and self._is_owed(post, told):
                    self._complain(Kind.LOST, f"{_tell(post)} was accepted, and is not in the log")
                case None if said is not None and post.lane not in self._dead and not post.kept:
                    self._complain(Kind.LOST, f"{_tell(post)} was never acknowledged")

    def _is_owed(self, post: Accepted, told: Settled | None) -> bool:
        return post.kept or (told is None and post.lane not in self._dead)

    def _check_acknowledged(self, post: Accepted, told: Settled, said: Committed | None) -> None:
        key = post.lane, post.number
        if said is None:
            if not self._is_gone(key):
                self._complain(Kind.LOST, f"{_tell(post)} was acknowledged, and is not in the log")
            return
        times = [
            one
            for truth in self._rooms.values()
            for one in truth.committed
            if (one.entry.lane, one.entry.lane_number) == key
        ]
        said = next((one for one in times if told.entry in (0, one.entry.number)), said)
        if told.when < said.when:
            text = f"{_tell(post)} at {told.when:.6f}, committed at {said.when:.6f}"
            self._complain(Kind.ACKNOWLEDGED_EARLY, text)
        elif told.entry not in (0, said.entry.number):
            text = f"{_tell(post)} was told to be entry {told.entry}, is {said.entry.number}"
            self._complain(Kind.DIFFERENT, text)

    # ---- the members ----

    def check_members(self) -> None:
        """Hold what each member was shown to the log."""
        for name, member in self._members.items():
            self._check_member(name, member, self._rooms[member.joined.room])

    def _check_member(self, name: str, member: _Member, truth: _RoomTruth) -> None:
        joined = member.joined
        era = truth.era_at(joined.when)
        # It was let in before it knew that it was: the log may have grown since, but not shrunk.
        head, floor = truth.head_at(joined.when), truth.floor_at(joined.when)
        place = max(head - joined.history, floor - 1)
        begun = False
        for told in member.told:
            match told:
                case Shown(when, _, number):
                    found = self._check_shown(name, member, told, truth, era)
                    if found is None:
                        continue
                    if begun and not _goes_on(truth, era, found, place):
                        text = f"{name} was shown {number} of another log behind {place}"
                        self._complain(Kind.NOT_TOLD, text)
                        begun = False
                    same, era = begun or found == era, found
                    if begun and number <= place:
                        self._complain(Kind.DOUBLED, f"{name} was shown {number} behind {place}")
                        continue
                    if same:
                        self._check_skipped(name, member, truth.eras[era], place + 1, number)
                    # Where it began it was not told; from here on it is known.
                    place, begun = number, True
                case ToldGap(when, _, first, last):
                    if last >= truth.floor_at(when):
                        text = f"{name} was told that {first} to {last} are gone, at {when:.6f}"
                        self._complain(Kind.FALSE_ALARM, text)
                    if begun and first <= place:
                        text = f"{name} was told that {first} to {last} are gone, behind {place}"
                        self._complain(Kind.FALSE_ALARM, text)
                    place, begun = max(place, last), True
                    if last not in truth.eras[era]:
                        era = truth.era_at(when)
                case ToldRestart(when):
                    now = truth.era_at(when)
                    if now == 0 or (begun and _goes_on(truth, era, now, place)):
                        self._complain(Kind.FALSE_ALARM, f"{name} was told of a restart")
                    place, begun, era = truth.floor_at(when) - 1, False, now
        if not member.ended:
            self._check_end(name, member, truth, (era, place, begun))

    def _check_end(
        self, name: str, member: _Member, truth: _RoomTruth, at: tuple[int, int, bool]
    ) -> None:
        """Hold what a member that is still there was shown to the log as it is in the end."""
        era, place, begun = at
        if begun and not _goes_on(truth, era, len(truth.eras) - 1, place):
            self._complain(Kind.NOT_TOLD, f"{name} is behind {place} of another log")
        elif begun or era == len(truth.eras) - 1:
            self._check_skipped(name, member, truth.now, place + 1, max(truth.now, default=0) + 1)

    def _check_shown(
        self, name: str, member: _Member, shown: Shown, truth: _RoomTruth, era: int
    ) -> int | None:
        """Hold what a member was shown to the log; return of which era it is, if of any."""
        what = f"{name} was shown {_brief(shown.body)} as {shown.number}"
        found = _era_of(truth, shown.number, shown.said, era)
        if found is None:
            self._complain(Kind.NEVER_SENT, f"{what}, which is not in the log")
            return None
        committed = truth.eras[found][shown.number]
        entry = committed.entry
        if (entry.at, entry.body) != (shown.said, shown.body):
            self._complain(Kind.DIFFERENT, f"{what}, which is {_brief(entry.body)}")
        elif shown.own is not (entry.lane == member.joined.lane):
            self._complain(Kind.DIFFERENT, f"{what}, own={shown.own}")
        if not member.sees(entry):
            self._complain(Kind.OVERHEARD, f"{what}, which is for {entry.to!r}")
        if shown.when < committed.when:
            text = f"{what} at {shown.when:.6f}, committed at {committed.when:.6f}"
            self._complain(Kind.SHOWN_EARLY, text)
        return found

    def _check_skipped(
        self, name: str, member: _Member, log: Mapping[int, Committed], first: int, end: int
    ) -> None:
        for number in range(first, end):
            committed = log.get(number)
            if committed is not None and member.sees(committed.entry):
                self._complain(Kind.SKIPPED, f"{name} was not shown {number}, but up to {end - 1}")

    # ---- the servers ----

    def check_servers(self) -> None:
        """Hold what each server was told by its log to what the log holds: it is one order."""
        for (server, room), followed in self._servers.items():
            self._check_server(f"{server} in {room!r}", followed, self._rooms[room])

    def _check_server(self, name: str, followed: _Server, truth: _RoomTruth) -> None:
        place, era, begun = 0, 0, False
        for told in followed.told:
            if isinstance(told, Afresh):
                begun = False
                continue
            found = _era_of(truth, told.number, told.said, era)
            committed = truth.eras[found].get(told.number) if found is not None else None
            if found is None or committed is None or committed.entry.lane != told.lane:
                self._complain(Kind.DISAGREES, f"{name} was told of {told.number}, not in the log")
                continue
            if told.when < committed.when:
                self._complain(Kind.SHOWN_EARLY, f"{name} was told early of {told.number}")
            if begun and not _goes_on(truth, era, found, place):
                self._complain(Kind.NOT_TOLD, f"{name} was told of {told.number} behind {place}")
            elif begun and told.number != place + 1:
                self._complain(Kind.DISAGREES, f"{name} was told of {told.number} behind {place}")
            place, era, begun = told.number, found, True
        if begun and not followed.ended:
            last = len(truth.eras) - 1
            if not _goes_on(truth, era, last, place):
                self._complain(Kind.NOT_TOLD, f"{name} is behind {place} of another log")
            elif place != max(truth.now, default=0):
                self._complain(Kind.DISAGREES, f"{name} was told of nothing behind {place}")


def _era_of(truth: _RoomTruth, number: int, at: int, era: int) -> int | None:
    """Return the era in which an entry bears a time: one that was already there, if it can be.

    A server may not have noticed yet that the log is another one: it shows what was in the one
    before, even to one who was told so by now, and tells it again.
    """
    known = [index for index, log in enumerate(truth.eras) if number in log]
    same = [index for index in known if truth.eras[index][number].entry.at == at]
    if era in same:
        return era
    return max(same or known, default=None)


def _goes_on(truth: _RoomTruth, era: int, other: int, place: int) -> bool:
    """Tell whether a place means the same in two eras; that of no entry always does."""
    return place <= 0 or truth.eras[era].get(place) is truth.eras[other].get(place)


def _tell(post: Accepted) -> str:
    return f"{_name((post.lane, post.number))} of {post.who}, {_brief(post.body)},"


def _name(key: tuple[bytes, int]) -> str:
    return f"{key[0].hex()[:6]}:{key[1]}"


def _brief(body: str | bytes) -> str:
    return repr(body[:20])
