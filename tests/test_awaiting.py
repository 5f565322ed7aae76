"""Claims about `socketchat.awaiting`: one call that may be awaited, or entered."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import pytest

from socketchat.awaiting import Opening

pytestmark = pytest.mark.virtual_time


class Thing:
    """What is opened; it notes what becomes of it."""

    def __init__(self) -> None:
        self.notes: list[object] = ["made"]

    async def __aenter__(self) -> Self:
        self.notes.append("entered")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.notes.append(exc_type)


async def test_nothing_happens_before_it_is_awaited_or_entered() -> None:
    opened: list[Thing] = []

    async def open_() -> Thing:
        opened.append(Thing())
        return opened[-1]

    opening = Opening(open_)
    assert opened == []
    assert await opening is opened[0]
    assert opened[0].notes == ["made"]


async def test_it_is_entered_and_left_like_what_it_opens() -> None:
    thing = Thing()

    async def open_() -> Thing:
        return thing

    async with Opening(open_) as entered:
        assert entered is thing
        assert thing.notes == ["made", "entered"]
    assert thing.notes == ["made", "entered", None]


async def test_what_the_block_raises_is_told_and_raised_again() -> None:
    thing = Thing()

    async def open_() -> Thing:
        return thing

    with pytest.raises(LookupError):
        async with Opening(open_):
            raise LookupError
    assert thing.notes == ["made", "entered", LookupError]


async def test_what_goes_wrong_while_it_opens_is_raised_either_way() -> None:
    async def open_() -> Thing:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        await Opening(open_)
    with pytest.raises(ConnectionRefusedError):
        async with Opening(open_):
            pytest.fail("it was entered")
