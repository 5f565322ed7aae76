"""Claims about `socketchat.inbox`: what arrived waits in order, within bounds, unlost."""

from __future__ import annotations

import asyncio
import random

import pytest

from socketchat import ConcurrencyError
from socketchat.inbox import Inbox
from tests.sessions import turns

pytestmark = pytest.mark.virtual_time


def make_inbox(high: int = 8, low: int = 2) -> Inbox[int]:
    """Return an empty inbox that tells nobody of its room."""
    return Inbox(high, low, lambda: None)


async def take_when_there(inbox: Inbox[int]) -> int:
    """Wait for an item as a session does, and take it."""
    await inbox.wait()
    return inbox.take()


async def test_items_are_taken_in_the_order_in_which_they_came() -> None:
    inbox = make_inbox()
    inbox.put([1, 2])
    inbox.put([3])
    assert [inbox.take() for _ in range(3)] == [1, 2, 3]


async def test_waiting_returns_at_once_when_something_is_there() -> None:
    inbox = make_inbox()
    inbox.put([1])
    await inbox.wait()
    assert inbox.take() == 1


async def test_an_item_wakes_the_one_that_waits() -> None:
    inbox = make_inbox()
    waiting = asyncio.create_task(take_when_there(inbox))
    await turns()
    assert inbox.waiting
    assert not waiting.done()
    inbox.put([1])
    assert await waiting == 1
    assert not inbox.waiting


async def test_the_end_wakes_the_one_that_waits() -> None:
    inbox = make_inbox()
    waiting = asyncio.create_task(inbox.wait())
    await turns()
    inbox.end()
    await waiting
    assert inbox.ended
    await inbox.wait()


async def test_what_came_before_the_end_can_still_be_taken() -> None:
    inbox = make_inbox()
    inbox.put([1])
    inbox.end()
    await inbox.wait()
    assert inbox.take() == 1


async def test_a_second_one_to_wait_is_an_error_and_harms_the_first_one_not() -> None:
    inbox = make_inbox()
    waiting = asyncio.create_task(take_when_there(inbox))
    await turns()
    with pytest.raises(ConcurrencyError, match="another task"):
        await inbox.wait()
    inbox.put([1])
    # The first has been woken and has not run yet: the item is still its own.
    with pytest.raises(ConcurrencyError):
        await inbox.wait()
    assert await waiting == 1


async def test_one_that_is_cancelled_while_it_waits_makes_room_for_another() -> None:
    inbox = make_inbox()
    waiting = asyncio.create_task(take_when_there(inbox))
    await turns()
    waiting.cancel()
    await turns()
    assert not inbox.waiting
    inbox.put([1])
    assert await take_when_there(inbox) == 1


async def test_one_that_is_cancelled_after_it_was_woken_leaves_the_item_there() -> None:
    inbox = make_inbox()
    waiting = asyncio.create_task(take_when_there(inbox))
    await turns()
    inbox.put([1])
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await take_when_there(inbox) == 1


async def test_it_is_full_at_its_bound_and_takes_what_comes_all_the_same() -> None:
    inbox = make_inbox(4, 1)
    inbox.put([1, 2, 3])
    assert not inbox.full
    inbox.put([4, 5, 6])
    assert inbox.full
    assert len(inbox.items) == 6


@pytest.mark.parametrize("low", [0, 1, 2, 3])
async def test_it_tells_once_that_there_is_room_when_the_low_bound_is_reached(low: int) -> None:
    told: list[int] = []
    inbox = Inbox[int](4, low, lambda: told.append(len(inbox.items)))
    inbox.put(range(6))
    while inbox.items:
        inbox.take()
    assert told == [low]


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_cancelled_when_each_item_is_taken_once_and_in_order(seed: int) -> None:
    rng = random.Random(seed)
    inbox = make_inbox()
    taken: list[int] = []

    async def take() -> None:
        while True:
            taken.append(await take_when_there(inbox))

    sent = 0
    while sent < 500:
        taking = asyncio.create_task(take())
        for _ in range(rng.randrange(4)):
            if rng.random() < 0.5:
                count = rng.randrange(1, 5)
                inbox.put(range(sent, sent + count))
                sent += count
            await turns(rng.randrange(3))
        taking.cancel()
        await asyncio.wait([taking])
    taken.extend(inbox.items)
    assert taken == list(range(sent))
