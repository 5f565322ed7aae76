"""Claims about `socketchat.chat.redis_rooms`: who is told of what, and what cannot be true."""

from __future__ import annotations

import asyncio

import pytest

from socketchat import LogUnavailable
from socketchat.chat.log import Entry
from socketchat.chat.redis_rooms import MAX_AHEAD, Followed, Place, Waiting
from tests.chat.log_conformance import ADA, BOB


class Watched(Followed):
    """A room at the place (1, 10), and what one who watches it was told."""

    def __init__(self) -> None:
        super().__init__("lobby")
        self.told: list[int] = []
        self.diverged: list[int] = []
        self.watch(lambda new: self.told.extend(entry.number for entry in new), self._again)
        self.start(Place(1, 10))

    def _again(self, head: int) -> None:
        self.diverged.append(head)


def entries(*places: tuple[int, int], lane: bytes = ADA) -> list[Entry]:
    return [Entry(number, at, lane, number, "") for number, at in places]


def waiting(last: int, lane: bytes = ADA) -> Waiting:
    loop = asyncio.get_running_loop()
    return Waiting(last, lane, last, loop.create_future(), loop.time() + 60)


async def test_what_a_caller_knows_is_told_like_anything_else() -> None:
    room = Watched()
    for place in (Place(2, 20), Place(3, 30), Place(2, 20)):
        room.learn(place)
    assert room.furthest == (3, 30)
    assert room.found(entries((2, 20)))
    assert room.furthest == (3, 30)
    assert room.found(entries((3, 30)))
    assert room.furthest is None
    room.learn(Place(3, 30))
    assert room.found(entries((4, 40)))
    assert room.told == [2, 3, 4]


@pytest.mark.parametrize("known", [Place(2, 21), Place(3, 31), Place(1, 11)])
async def test_what_contradicts_what_a_caller_knows_is_not_told(known: Place) -> None:
    room = Watched()
    room.learn(known)
    assert not room.found(entries((2, 20), (3, 30), (4, 40)))
    assert room.told == []
    room.restart(Place(4, 40))
    assert room.found(entries((5, 50)))
    assert (room.told, room.diverged) == ([5], [4])


async def test_a_later_place_does_not_hide_an_earlier_one_that_was_lost() -> None:
    room = Watched()
    room.learn(Place(3, 31))  # of the log before
    room.learn(Place(5, 50))
    assert not room.found(entries((2, 20), (3, 30), (4, 40), (5, 50)))


async def test_two_times_of_one_entry_contradict_each_other() -> None:
    room = Watched()
    room.learn(Place(3, 30))
    room.learn(Place(3, 31))
    assert room.is_torn
    assert not room.found([])
    room.committed(entries((2, 20)), Place(1, 10), [])
    assert room.told == []


async def test_what_may_be_known_ahead_is_bounded() -> None:
    room = Watched()
    for number in range(2, MAX_AHEAD + 2):
        room.learn(Place(number, number * 10))
    assert not room.is_torn
    room.learn(Place(MAX_AHEAD + 2, 0))
    assert room.is_torn  # nothing that was told to callers is forgotten: it begins afresh


@pytest.mark.parametrize("theirs", [entries((2, 20), (3, 31)), entries((2, 20), (3, 30), lane=BOB)])
async def test_an_author_is_told_only_behind_the_entry_that_is_its_own(theirs: list[Entry]) -> None:
    room = Watched()
    own = waiting(3)
    room.committed(entries((3, 30)), Place(2, 20), [own])
    assert not room.found(theirs)
    room.restart(Place(3, 31))
    with pytest.raises(LogUnavailable):
        await own.done


async def test_an_author_of_a_repeat_is_told_only_behind_an_entry_of_its_own() -> None:
    room = Watched()
    own = waiting(3)
    room.committed([], Place(-1, 0), [own])
    assert not room.found(entries((2, 20), (3, 30), lane=BOB))
    assert room.found(entries((2, 20), (3, 30)))
    assert await own.done == 3


async def test_an_append_that_took_the_place_of_a_lost_entry_is_not_told() -> None:
    room = Watched()
    own = [waiting(2), waiting(2, BOB)]
    room.committed(entries((2, 20)), Place(1, 11), own[:1])  # behind an entry of another time
    room.committed(entries((2, 21), lane=BOB), Place(1, 10), own[1:])
    assert room.told == []
    assert not room.found([])
    room.restart(Place(2, 21))
    for one in own:
        with pytest.raises(LogUnavailable):
            await one.done


async def test_an_append_behind_which_the_log_was_longer_is_not_told() -> None:
    room = Watched()
    room.committed(entries((5, 50)), Place(4, 40), [waiting(5)])
    assert room.furthest == (5, 50)
    room.committed(entries((3, 60)), Place(2, 20), [waiting(3)])
    assert not room.found(entries((2, 20), (3, 60)))
