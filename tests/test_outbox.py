"""What an outbox promises, in memory or in a file: bounds, order, what becomes of refused posts.

What a file adds is in `test_file_outbox.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat.file_outbox import FileOutbox
from socketchat.outbox import MemoryOutbox
from tests.core import outgoing

Make: TypeAlias = Callable[[int, int], MemoryOutbox]


@pytest.fixture(params=["memory", "file"], scope="module")
def make(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Make]:
    """Return what makes an outbox of a kind, with its bounds."""
    with ExitStack() as stack:
        directory = tmp_path_factory.mktemp("outboxes")

        def make_file(max_messages: int, max_size: int) -> FileOutbox:
            outbox = FileOutbox.create(directory, "a place", max_messages, max_size)
            stack.callback(outbox.close)
            return outbox

        yield MemoryOutbox if request.param == "memory" else make_file


def filled(
    make: Make, *numbers: int, max_messages: int = 100, max_size: int = 1000
) -> MemoryOutbox:
    """Return an outbox with posts of ten bytes each."""
    outbox = make(max_messages, max_size)
    for number in numbers:
        outbox.append(outgoing(number))
    return outbox


def numbers_in(outbox: MemoryOutbox) -> list[int]:
    return [post.number for post in outbox]


def test_a_new_outbox_is_empty(make: Make) -> None:
    outbox = make(1, 1)
    assert (len(outbox), outbox.size, outbox.full, list(outbox)) == (0, 0, False, [])
    assert outbox.acknowledge(5) == []
    assert outbox.clear() == []


def test_posts_are_kept_in_order_until_they_are_acknowledged(make: Make) -> None:
    outbox = filled(make, 1, 2, 5, 9)
    assert numbers_in(outbox) == [1, 2, 5, 9]
    assert (len(outbox), outbox.size) == (4, 40)


def test_an_acknowledgement_lets_go_of_every_post_up_to_its_number(make: Make) -> None:
    outbox = filled(make, 1, 2, 5, 9)
    assert [post.number for post in outbox.acknowledge(5)] == [1, 2, 5]
    assert (numbers_in(outbox), outbox.size) == ([9], 10)


def test_an_acknowledgement_of_a_number_in_a_gap_lets_go_of_what_is_below_it(make: Make) -> None:
    outbox = filled(make, 1, 2, 5, 9)
    assert [post.number for post in outbox.acknowledge(8)] == [1, 2, 5]


def test_an_old_acknowledgement_lets_go_of_nothing(make: Make) -> None:
    outbox = filled(make, 4, 5)
    assert outbox.acknowledge(3) == []
    assert numbers_in(outbox) == [4, 5]


def test_it_is_full_at_so_many_messages(make: Make) -> None:
    outbox = filled(make, 1, 2, max_messages=3)
    assert not outbox.full
    outbox.append(outgoing(3))
    assert outbox.full
    outbox.acknowledge(1)
    assert not outbox.full


def test_it_is_full_at_so_many_bytes(make: Make) -> None:
    outbox = filled(make, 1, max_size=25)
    assert not outbox.full
    outbox.append(outgoing(2, size=15))
    assert outbox.full
    outbox.acknowledge(1)
    assert not outbox.full


def test_the_post_that_crosses_a_bound_is_still_taken(make: Make) -> None:
    outbox = make(10, 5)
    outbox.append(outgoing(1, size=500))
    assert (outbox.full, numbers_in(outbox)) == (True, [1])


def test_a_refused_post_leaves_its_bytes_at_once(make: Make) -> None:
    outbox = filled(make, 1, 2, 3, max_size=30)
    refused = outbox.reject(2)
    assert refused is not None
    assert (refused.number, refused.frame) == (2, b"")
    assert (outbox.size, outbox.full) == (20, False)


def test_a_refused_post_keeps_its_place_until_those_before_it_are_gone(make: Make) -> None:
    outbox = filled(make, 1, 2, 3)
    outbox.reject(2)
    assert numbers_in(outbox) == [1, 2, 3]
    outbox.acknowledge(1)
    assert numbers_in(outbox) == [3]


def test_a_refused_post_at_the_front_leaves_with_all_that_were_refused_behind_it(
    make: Make,
) -> None:
    outbox = filled(make, 1, 2, 3, 4)
    outbox.reject(2)
    outbox.reject(3)
    outbox.reject(1)
    assert numbers_in(outbox) == [4]


def test_a_refused_post_is_not_said_to_be_held_when_a_later_one_is(make: Make) -> None:
    outbox = filled(make, 1, 2, 3)
    outbox.reject(2)
    assert [post.number for post in outbox.acknowledge(3)] == [1, 3]
    assert (len(outbox), outbox.size) == (0, 0)


def test_a_post_is_refused_once(make: Make) -> None:
    outbox = filled(make, 1, 2)
    assert outbox.reject(2) is not None
    assert outbox.reject(2) is None


@pytest.mark.parametrize("number", [0, 1, 4, 9])
def test_what_is_not_there_cannot_be_refused(make: Make, number: int) -> None:
    outbox = filled(make, 2, 3, 8)
    assert outbox.reject(number) is None
    assert outbox.size == 30


def test_an_outbox_that_is_full_of_refused_posts_has_room_again(make: Make) -> None:
    outbox = filled(make, 1, 2, max_messages=2)
    outbox.reject(2)
    assert outbox.full  # it waits for its place
    outbox.reject(1)
    assert (outbox.full, len(outbox)) == (False, 0)


def test_clearing_gives_back_everything_in_order(make: Make) -> None:
    outbox = filled(make, 1, 2, 3, max_messages=3)
    assert [post.number for post in outbox.clear()] == [1, 2, 3]
    assert (len(outbox), outbox.size, outbox.full) == (0, 0, False)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 30)),
        st.tuples(st.just("acknowledge"), st.integers(0, 40)),
        st.tuples(st.just("reject"), st.integers(0, 40)),
    )
)


@given(_STEPS)
def test_it_is_what_a_plain_list_would_be(make: Make, steps: list[tuple[str, int]]) -> None:
    outbox = make(5, 60)
    sizes: dict[int, int] = {}  # what is there and was not refused
    settled: set[int] = set()
    last = 0
    for step, argument in steps:
        match step:
            case "append":
                last += 1 + argument % 3
                outbox.append(outgoing(last, argument))
                sizes[last] = argument
            case "acknowledge":
                expected = [number for number in sizes if number <= argument]
                done = [post.number for post in outbox.acknowledge(argument)]
                assert done == expected
                assert settled.isdisjoint(done)
                settled.update(done)
                for number in done:
                    del sizes[number]
            case "reject":
                refused = outbox.reject(argument)
                assert (refused is not None) == (argument in sizes)
                if refused is not None:
                    settled.add(argument)
                    del sizes[argument]
        assert [post.number for post in outbox if post.frame] == list(sizes)
        assert outbox.size == sum(sizes.values())
        assert outbox.full == (outbox.size >= 60 or len(outbox) >= 5)
        assert len(outbox) == 0 or next(iter(outbox)).frame  # no blanks in front
