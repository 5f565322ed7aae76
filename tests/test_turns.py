"""Claims about `socketchat.turns`: a flood delays the floods, and nobody else."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from socketchat.turns import PIECE, PIECES_PER_TURN, Backlog


class Taker:
    """Who has a backlog.

    Attributes:
        taken: The pieces so far.
        emptied: How often there was nothing left.
    """

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.emptied = 0
        self.backlog = Backlog(self.taken.append, self._count)

    def _count(self) -> None:
        assert not self.backlog
        self.emptied += 1

    async def until_empty(self) -> int:
        """Wait, and return how many turns of the loop that took."""
        turns = 0
        while self.backlog:
            await asyncio.sleep(0)
            turns += 1
        return turns


async def test_what_waits_is_taken_in_pieces_one_turn_after_the_other() -> None:
    taker = Taker()
    taker.backlog.put(bytes(6 * PIECE))
    assert (taker.taken, len(taker.backlog)) == ([], 6 * PIECE)
    await asyncio.sleep(0)
    assert len(taker.taken) == PIECES_PER_TURN
    assert await taker.until_empty() == 6 // PIECES_PER_TURN - 1
    assert [len(piece) for piece in taker.taken] == [PIECE] * 6
    assert taker.emptied == 1


async def test_all_who_wait_share_one_turn() -> None:
    takers = [Taker() for _ in range(10)]
    for taker in takers:
        taker.backlog.put(bytes(2 * PIECE))
    for turn in range(1, 11):
        await asyncio.sleep(0)
        pieces = [len(taker.taken) for taker in takers]
        assert sum(pieces) == turn * PIECES_PER_TURN
        assert max(pieces) - min(pieces) <= 1
    assert all(taker.emptied for taker in takers)


@given(st.lists(st.binary(max_size=200), max_size=20), st.data())
async def test_nothing_is_lost_or_out_of_order(chunks: list[bytes], data: st.DataObject) -> None:
    taker = Taker()
    for chunk in chunks:
        if chunk:
            taker.backlog.put(chunk)
        for _ in range(data.draw(st.integers(0, 2))):
            await asyncio.sleep(0)
    await taker.until_empty()
    assert b"".join(taker.taken) == b"".join(chunks)


async def test_what_is_cleared_is_not_taken_and_the_next_is() -> None:
    taker, other = Taker(), Taker()
    taker.backlog.put(bytes(4 * PIECE))
    other.backlog.put(b"x")
    taker.backlog.clear()
    taker.backlog.put(b"next")
    await taker.until_empty()
    await other.until_empty()
    assert (taker.taken, other.taken) == ([b"next"], [b"x"])
