"""Finds in a history what must never happen.

It knows `history.py` alone, and judges by what clients were told and by what the log holds in the
end; how anything came about it does not ask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Self

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
from tests.simulation.truth import RoomTruth

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


class _Member:
    """What a member was shown and told, in order."""

    def __init__(self, joined: Joined) -> None:
        self.joined = joined
        self.told: list[Shown | ToldGap | ToldRestart] = []
        self.ended = False

    def sees(self, entry: Entry) -> bool:
        return not entry.to or self.joined.lane in (entry.lane, entry.to_id)


class _Place:
    """Where a member is in its room's log.

    Attributes:
        number: The number of the last entry that it was shown, or that it need not be.
        era: Of which log that is.
        begun: Whether it knows that it is there.
    """

    def __init__(self, number: int, era: int, *, begun: bool = False) -> None:
        self.set(number, era, begun=begun)

    @classmethod
    def of(cls, joined: Joined, truth: RoomTruth) -> Self:
        """Return where one is that was let in."""
        # It was let in before it knew that it was: the log may have grown since, but not shrunk.
        head, floor = truth.head_at(joined.when), truth.floor_at(joined.when)
        return cls(max(head - joined.history, floor - 1), truth.era_at(joined.when))

    def set(self, number: int, era: int, *, begun: bool) -> None:
        """Be there."""
        self.number, self.era, self.begun = number, era, begun


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
        self._rooms: defaultdict[str, RoomTruth] = defaultdict(RoomTruth)
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
            case _:
                self._sort_in_log(record)

    def _sort_in_log(self, record: Record) -> None:
        match record:
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

    def _check_member(self, name: str, member: _Member, truth: RoomTruth) -> None:
        place = _Place.of(member.joined, truth)
        for told in member.told:
            match told:
                case Shown():
                    self._check_shown(name, member, told, truth, place)
                case ToldGap():
                    self._check_gap(name, told, truth, place)
                case ToldRestart(when):
                    now = truth.era_at(when)
                    if now == 0 or (place.begun and truth.goes_on(place.era, now, place.number)):
                        self._complain(Kind.FALSE_ALARM, f"{name} was told of a restart")
                    place.set(truth.floor_at(when) - 1, now, begun=False)
        if member.ended:
            return
        last = len(truth.eras) - 1
        if place.begun and not truth.goes_on(place.era, last, place.number):
            self._complain(Kind.NOT_TOLD, f"{name} is behind {place.number} of another log")
        elif place.begun or place.era == last:
            end = max(truth.now, default=0) + 1
            self._check_skipped(name, member, truth.now, place.number + 1, end)

    def _check_shown(
        self, name: str, member: _Member, shown: Shown, truth: RoomTruth, place: _Place
    ) -> None:
        number = shown.number
        era = truth.era_of(number, shown.said, place.era)
        what = f"{name} was shown {_brief(shown.body)} as {number}"
        if era is None:
            self._complain(Kind.NEVER_SENT, f"{what}, which is not in the log")
            return
        self._check_entry_shown(what, member, shown, truth.eras[era][number])
        begun = place.begun
        if begun and not truth.goes_on(place.era, era, place.number):
            self._complain(Kind.NOT_TOLD, f"{what} of another log behind {place.number}")
        elif begun and number <= place.number:
            self._complain(Kind.DOUBLED, f"{name} was shown {number} behind {place.number}")
            return
        elif begun or place.era == era:
            self._check_skipped(name, member, truth.eras[era], place.number + 1, number)
        # Where it began it was not told; from here on it is known.
        place.set(number, era, begun=True)

    def _check_entry_shown(
        self, what: str, member: _Member, shown: Shown, committed: Committed
    ) -> None:
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

    def _check_gap(self, name: str, gap: ToldGap, truth: RoomTruth, place: _Place) -> None:
        what = f"{name} was told that {gap.first} to {gap.last} are gone"
        if gap.last >= truth.floor_at(gap.when):
            self._complain(Kind.FALSE_ALARM, f"{what}, at {gap.when:.6f}")
        if place.begun and gap.first <= place.number:
            self._complain(Kind.FALSE_ALARM, f"{what}, behind {place.number}")
        era = place.era if gap.last in truth.eras[place.era] else truth.era_at(gap.when)
        place.set(max(place.number, gap.last), era, begun=True)

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

    def _check_server(self, name: str, followed: _Server, truth: RoomTruth) -> None:
        place, era, begun = 0, 0, False
        for told in followed.told:
            if isinstance(told, Afresh):
                begun = False
                continue
            found = truth.era_of(told.number, told.said, era)
            committed = truth.eras[found].get(told.number) if found is not None else None
            if found is None or committed is None or committed.entry.lane != told.lane:
                self._complain(Kind.DISAGREES, f"{name} was told of {told.number}, not in the log")
                continue
            if told.when < committed.when:
                self._complain(Kind.SHOWN_EARLY, f"{name} was told early of {told.number}")
            if begun and not truth.goes_on(era, found, place):
                self._complain(Kind.NOT_TOLD, f"{name} was told of {told.number} behind {place}")
            elif begun and told.number != place + 1:
                self._complain(Kind.DISAGREES, f"{name} was told of {told.number} behind {place}")
            place, era, begun = told.number, found, True
        if begun and not followed.ended:
            last = len(truth.eras) - 1
            if not truth.goes_on(era, last, place):
                self._complain(Kind.NOT_TOLD, f"{name} is behind {place} of another log")
            elif place != max(truth.now, default=0):
                self._complain(Kind.DISAGREES, f"{name} was told of nothing behind {place}")


def _tell(post: Accepted) -> str:
    return f"{_name((post.lane, post.number))} of {post.who}, {_brief(post.body)},"


def _name(key: tuple[bytes, int]) -> str:
    return f"{key[0].hex()[:6]}:{key[1]}"


def _brief(body: str | bytes) -> str:
    return repr(body[:20])
