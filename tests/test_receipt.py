"""Claims about `socketchat.receipt`: whoever waits for a message's fate learns it."""

from __future__ import annotations

import asyncio

import pytest

from socketchat import MessageRejected, Receipt
from tests.sessions import turns

pytestmark = pytest.mark.virtual_time


async def wait_for(receipt: Receipt) -> None:
    """Await a receipt, in a task."""
    await receipt


async def test_a_receipt_waits_until_the_message_is_acknowledged() -> None:
    receipt = Receipt(7, b"frame")
    assert receipt.number == 7
    waiting = asyncio.create_task(wait_for(receipt))
    await turns()
    assert not receipt.done
    assert not waiting.done()
    receipt.settle()
    await waiting
    assert receipt.done
    assert receipt.error is None


async def test_a_receipt_that_is_done_can_be_awaited_again_and_again() -> None:
    receipt = Receipt(1, b"frame")
    receipt.settle()
    for _ in range(3):
        await receipt


async def test_a_receipt_raises_why_the_message_will_not_arrive() -> None:
    receipt = Receipt(1, b"frame")
    error = MessageRejected(1, 1008, "muted")
    waiting = asyncio.create_task(wait_for(receipt))
    await turns()
    receipt.settle(error)
    with pytest.raises(MessageRejected, match="muted"):
        await waiting
    with pytest.raises(MessageRejected, match="muted"):
        await receipt
    assert receipt.error is error


async def test_settled_waits_for_the_fate_and_raises_none() -> None:
    receipt = Receipt(1, b"frame")
    receipt.settle(MessageRejected(1, 1008, "muted"))
    await receipt.settled()


async def test_any_number_of_tasks_may_wait_and_one_cancelled_harms_no_other() -> None:
    receipt = Receipt(1, b"frame")
    waiting = [asyncio.create_task(wait_for(receipt)) for _ in range(5)]
    await turns()
    waiting[2].cancel()
    await turns()
    receipt.settle()
    done, _ = await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting] == [False, False, True, False, False]
    assert len(done) == 5


async def test_one_cancelled_just_after_it_was_woken_is_cancelled() -> None:
    receipt = Receipt(1, b"frame")
    waiting = asyncio.create_task(wait_for(receipt))
    await turns()
    receipt.settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


async def test_waits_that_were_given_up_leave_nothing_behind() -> None:
    receipt = Receipt(1, b"frame")
    for _ in range(1000):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await receipt
    assert not receipt._waiters


async def test_a_callback_is_called_soon_and_not_at_once() -> None:
    receipt = Receipt(1, b"frame")
    called: list[Receipt] = []
    receipt.add_done_callback(called.append)
    receipt.settle()
    assert called == []
    await turns()
    assert called == [receipt]


async def test_a_callback_added_late_is_called_too() -> None:
    receipt = Receipt(1, b"frame")
    receipt.settle(MessageRejected(1, 1008, ""))
    called: list[Receipt] = []
    receipt.add_done_callback(called.append)
    assert called == []
    await turns()
    assert called == [receipt]


async def test_callbacks_and_waiters_are_all_told() -> None:
    receipt = Receipt(1, b"frame")
    called: list[Receipt] = []
    for _ in range(3):
        receipt.add_done_callback(called.append)
    waiting = asyncio.create_task(wait_for(receipt))
    await turns()
    receipt.settle()
    await waiting
    assert called == [receipt] * 3


async def test_receipts_are_told_apart_though_all_else_is_equal() -> None:
    assert Receipt(1, b"frame") != Receipt(1, b"frame")
