"""Faults planted where several servers share a Redis; see `planted.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import pytest

from socketchat.chat.log import Draft, Entry
from socketchat.chat.redis_batch import Append, Look, span_of
from socketchat.chat.redis_link import RedisLink
from socketchat.chat.redis_log import RedisLog
from socketchat.chat.redis_reader import Reader
from socketchat.chat.redis_rooms import Followed, Place, Waiting
from socketchat.chat.redis_scripts import APPEND, PAGE, SCRIPTS, SPAN, Script
from socketchat.chat.redis_writer import Writer
from socketchat.chat.watchers import settle
from tests.simulation.checker import Kind
from tests.simulation.engine import EPOCH
from tests.simulation.planted import PLANTED, Planted

__all__ = ["ALL_PLANTED", "REDIS_PLANTED"]


def _script(where: str, script: Script, old: str, new: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what has a module use another script."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        assert script.source.count(old) == 1
        other = Script(script.source.replace(old, new))
        patch.setattr(where, other)
        patch.setattr("socketchat.chat.redis_link.SCRIPTS", (*SCRIPTS, other))

    return plant


def _acknowledge_before_answer(patch: pytest.MonkeyPatch) -> None:
    ask = Writer.ask

    def ask_and_settle(self: Writer, item: Append | Look) -> None:
        ask(self, item)
        if isinstance(item, Append):
            settle(item.done, item.drafts[-1].number)

    patch.setattr(Writer, "ask", ask_and_settle)


def _show_before_answer(patch: pytest.MonkeyPatch) -> None:
    append = RedisLog.append

    def show_and_append(
        self: RedisLog, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        followed = self._rooms.get(room)
        if followed is not None and followed.place is not None:
            number, at = followed.place
            now = max(at, EPOCH + int(asyncio.get_running_loop().time() * 1_000_000))
            entries = [one.entry(number + i, now, lane) for i, one in enumerate(drafts, 1)]
            followed._watchers.show(entries)
        return append(self, room, lane, drafts, after=after)

    patch.setattr(RedisLog, "append", show_and_append)


def _tell_without_looking_before(patch: pytest.MonkeyPatch) -> None:
    committed = Followed.committed

    def tell(
        self: Followed, entries: Sequence[Entry], before: Place, waiting: Sequence[Waiting]
    ) -> None:
        committed(self, entries, self.place or before, waiting)

    patch.setattr(Followed, "committed", tell)


def _skip_after_reconnecting(patch: pytest.MonkeyPatch) -> None:
    follow = Reader._follow
    links: dict[Reader, RedisLink] = {}

    async def skip_or_follow(self: Reader, link: RedisLink, rooms: Iterable[Followed]) -> None:
        if links.setdefault(self, link) is link:
            await follow(self, link, rooms)
            return
        links[self] = link
        for room in rooms:
            (reply,) = await link.ask([SPAN(self._keys.room(room.name)[:2])])
            span, _ = span_of(reply)
            if room.place is not None:
                room.place, room.known = Place(span.head, span.at), span.head

    patch.setattr(Reader, "_follow", skip_or_follow)


REDIS_PLANTED = {
    "script without marks": Planted(
        _script("socketchat.chat.redis_writer.APPEND", APPEND, "if ARGV[j] > mark then", "do"),
        frozenset({Kind.DOUBLED}),
        first=180,
        servers=2,
    ),
    "script ignores after": Planted(
        _script(
            "socketchat.chat.redis_writer.APPEND",
            APPEND,
            "elseif mark < ARGV[drafts - 4] then",
            "elseif false then",
        ),
        frozenset({Kind.LOST}),
        first=13,
        servers=2,
    ),
    "acknowledged before the answer": Planted(
        _acknowledge_before_answer, frozenset({Kind.LOST, Kind.ACKNOWLEDGED_EARLY}), servers=2
    ),
    "shown before the answer": Planted(
        _show_before_answer, frozenset({Kind.SHOWN_EARLY, Kind.NEVER_SENT}), servers=2
    ),
    "told without what was before": Planted(
        _tell_without_looking_before, frozenset({Kind.SKIPPED, Kind.DISAGREES}), servers=2
    ),
    "reader skips after reconnecting": Planted(
        _skip_after_reconnecting, frozenset({Kind.SKIPPED, Kind.DISAGREES}), servers=2
    ),
    "times not compared": Planted(
        _script(
            "socketchat.chat.redis_reader.PAGE",
            PAGE,
            "if theirs ~= expected then goes_on = 0 end",
            "",
        ),
        frozenset({Kind.NOT_TOLD, Kind.SKIPPED}),
        first=233,
        servers=2,
    ),
}
ALL_PLANTED = PLANTED | REDIS_PLANTED
