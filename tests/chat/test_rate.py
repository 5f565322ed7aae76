"""Claims about `socketchat.chat.rate`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from socketchat.chat.rate import Rate, TokenBucket


def test_a_burst_is_taken_at_once_and_no_more() -> None:
    bucket = TokenBucket(Rate(burst=5, per_second=10), now=100)
    assert [bucket.take(3, 100), bucket.take(3, 100), bucket.take(3, 100)] == [3, 2, 0]


def test_after_a_burst_so_many_a_second_are_taken() -> None:
    bucket = TokenBucket(Rate(burst=5, per_second=8), now=0)
    bucket.take(5, 0)
    assert [bucket.take(5, 0.25), bucket.take(5, 0.375), bucket.take(5, 0.6875)] == [2, 1, 2]


def test_silence_saves_up_a_burst_and_no_more() -> None:
    bucket = TokenBucket(Rate(burst=5, per_second=10), now=0)
    bucket.take(5, 0)
    assert bucket.take(100, 1000) == 5


def test_without_a_rate_everything_is_taken() -> None:
    assert TokenBucket(None, now=0).take(10**9, 0) == 10**9


rates = st.builds(Rate, st.integers(1, 100), st.floats(0.01, 1000))
requests = st.lists(st.tuples(st.integers(0, 200), st.floats(0, 100)), max_size=30)


@given(rates, requests)
def test_never_more_is_taken_than_the_rate_allows(
    rate: Rate, asked: list[tuple[int, float]]
) -> None:
    bucket, now, taken = TokenBucket(rate, now=0), 0.0, 0
    for wanted, pause in asked:
        now += pause
        this_time = bucket.take(wanted, now)
        assert 0 <= this_time <= wanted
        taken += this_time
        assert taken <= rate.burst + now * rate.per_second + 1e-6


@given(rates, requests, st.floats(0, 1e6))
def test_after_the_delay_the_next_one_is_there_and_not_much_before(
    rate: Rate, asked: list[tuple[int, float]], start: float
) -> None:
    bucket, now = TokenBucket(rate, start), start
    for wanted, pause in asked:
        now += pause
        if bucket.take(wanted, now) < wanted:
            delay = bucket.delay()
            assert 0 < delay <= 1 / rate.per_second + 2e-6
            now += delay
            assert bucket.take(1, now) == 1
