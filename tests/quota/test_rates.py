"""Requests and tokens per minute: charged first, settled later; the tightest limit decides."""

from __future__ import annotations

import pytest

from pennyweight.answers.principal import LOCAL, Principal
from pennyweight.core import Allowance
from pennyweight.errors import RateLimitError
from pennyweight.quota.rates import Rates, duration


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def who(*allowances: Allowance) -> Principal:
    return Principal(project="proj_a", key="key_a", allowances=allowances)


KEY = Allowance(subject="key_a", requests_per_minute=2, tokens_per_minute=1000)


def test_requests_up_to_the_limit() -> None:
    clock = Clock()
    rates = Rates(clock)
    for _ in range(2):
        rates.take(who(KEY), "requests", 1)
    with pytest.raises(RateLimitError) as caught:
        rates.take(who(KEY), "requests", 1)
    error = caught.value
    assert (error.status, error.code, error.type) == (429, "rate_limit_exceeded", "requests")
    assert error.retry_after_s == pytest.approx(30)
    assert "limit 2" in error.message
    assert "try again in 30s" in error.message
    clock.now_s = 30
    rates.take(who(KEY), "requests", 1)


def test_without_a_limit_nothing_is_counted() -> None:
    rates = Rates(Clock())
    for _ in range(1000):
        rates.take(LOCAL, "requests", 1)
    assert rates.state(LOCAL, "requests") is None
    assert rates.state(who(Allowance(subject="k", tokens_per_minute=5)), "requests") is None


def test_tokens_set_aside_come_back_when_the_answer_was_short() -> None:
    rates = Rates(Clock())
    assert rates.take(who(KEY), "tokens", 900) == 900
    with pytest.raises(RateLimitError):
        rates.take(who(KEY), "tokens", 200)
    rates.give_back(who(KEY), "tokens", 800)
    rates.take(who(KEY), "tokens", 200)


def test_an_answer_longer_than_thought_leaves_a_debt() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.take(who(KEY), "tokens", 100)
    rates.give_back(who(KEY), "tokens", -1900)
    state = rates.state(who(KEY), "tokens")
    assert state is not None
    assert (state.limit, state.remaining) == (1000, 0)
    assert state.reset_s == pytest.approx(120)
    clock.now_s = 60
    with pytest.raises(RateLimitError):
        rates.take(who(KEY), "tokens", 1)
    clock.now_s = 61
    rates.take(who(KEY), "tokens", 1)


def test_what_can_never_fit_says_so() -> None:
    with pytest.raises(RateLimitError, match="larger than the limit") as caught:
        Rates(Clock()).take(who(KEY), "tokens", 1001)
    assert caught.value.retry_after_s is None


def test_what_is_only_assumed_does_not_keep_anybody_out() -> None:
    """An answer without a limit of tokens fits a small allowance, and takes all of it."""
    rates = Rates(Clock())
    assert rates.take(who(KEY), "tokens", 1256, least=1000) == 1000
    with pytest.raises(RateLimitError):
        rates.take(who(KEY), "tokens", 1256, least=1000)


def test_a_key_and_its_project_both_count_and_a_refusal_charges_neither() -> None:
    project = Allowance(subject="proj_a", requests_per_minute=3)
    rates = Rates(Clock())
    other = Principal(project="proj_a", key="key_b", allowances=(project,))
    rates.take(who(KEY, project), "requests", 1)
    rates.take(other, "requests", 1)
    rates.take(other, "requests", 1)
    with pytest.raises(RateLimitError, match="proj_a"):
        rates.take(who(KEY, project), "requests", 1)
    state = rates.state(who(KEY), "requests")
    assert state is not None
    assert state.remaining == 1, "the key's own bucket was left alone"
    both = rates.state(who(KEY, project), "requests")
    assert both is not None
    assert (both.limit, both.remaining) == (3, 0), "the tightest is told"


def test_a_limit_that_was_changed_holds_at_once() -> None:
    rates = Rates(Clock())
    for _ in range(2):
        rates.take(who(KEY), "requests", 1)
    wider = Allowance(subject="key_a", requests_per_minute=5)
    for _ in range(3):
        rates.take(who(wider), "requests", 1)
    with pytest.raises(RateLimitError):
        rates.take(who(wider), "requests", 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0117, "12ms"), (1.2, "1.2s"), (59.9, "59.9s"), (60, "1m0s"), (366.5, "6m6.5s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
