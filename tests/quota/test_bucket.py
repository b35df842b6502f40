"""The arithmetic of one limit, with time as the test has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.quota.bucket import Bucket


def test_it_refills_evenly_and_never_above_its_capacity() -> None:
    bucket = Bucket(60, 0.0)
    assert bucket.level(0.0) == 60
    bucket.take(60, 0.0)
    assert [bucket.level(second) for second in (0.0, 1.0, 30.0, 60.0, 999.0)] == [0, 1, 30, 60, 60]


def test_a_debt_is_paid_before_anything_fits() -> None:
    bucket = Bucket(60, 0.0)
    bucket.take(90, 0.0)
    assert bucket.level(0.0) == -30
    assert bucket.wait_s(10, 0.0) == pytest.approx(40)
    assert bucket.level(40.0) == pytest.approx(10)


def test_what_is_given_back_is_there_at_once_up_to_the_capacity() -> None:
    bucket = Bucket(60, 0.0)
    bucket.take(50, 0.0)
    bucket.take(-20, 0.0)
    assert bucket.level(0.0) == 30
    bucket.take(-100, 0.0)
    assert bucket.level(0.0) == 60 or bucket.level(1.0) == 60


def test_more_than_the_capacity_waits_for_a_full_bucket() -> None:
    bucket = Bucket(60, 0.0)
    bucket.take(30, 0.0)
    assert bucket.wait_s(1000, 0.0) == pytest.approx(30)


def test_another_capacity_keeps_what_was_used() -> None:
    bucket = Bucket(60, 0.0)
    bucket.take(50, 0.0)
    bucket.resize(100, 0.0)
    assert bucket.level(0.0) == 50
    bucket.resize(40, 0.0)
    assert bucket.level(0.0) == -10


@given(
    st.integers(1, 10_000),
    st.lists(st.tuples(st.floats(0, 100), st.integers(-500, 500)), max_size=30),
)
def test_what_was_taken_never_exceeds_capacity_and_refill(
    capacity: int, steps: list[tuple[float, int]]
) -> None:
    """Whoever takes only what fits never gets more than the capacity and one capacity a minute."""
    bucket, now_s, taken = Bucket(capacity, 0.0), 0.0, 0
    for pause_s, amount in steps:
        now_s += pause_s
        if amount > 0 and bucket.level(now_s) >= amount:
            bucket.take(amount, now_s)
            taken += amount
    assert taken <= capacity + capacity * now_s / 60 + 1e-6
