import random

from hypothesis import given
from hypothesis import strategies as st

from mailpact.amqp.backoff import backoff_seconds


@given(st.integers(0, 10**9), st.integers())
def test_a_wait_is_never_shorter_than_the_floor_nor_longer_than_the_ceiling(failures: int, seed: int) -> None:
    waited = backoff_seconds(failures, random.Random(seed).uniform)

    assert 0.1 <= waited <= 15.0


def test_the_longest_wait_doubles_up_to_the_ceiling() -> None:
    longest = [backoff_seconds(failures, lambda _, high: high) for failures in range(10)]

    assert longest == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0, 15.0]


@given(st.integers(0, 100))
def test_the_shortest_wait_is_the_floor(failures: int) -> None:
    assert backoff_seconds(failures, lambda low, _: low, floor=0.5) == 0.5
