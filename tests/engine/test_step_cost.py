"""The cost model: what it learns and the chunks it allows."""

from __future__ import annotations

import pytest

from pennyweight.engine.step_cost import (
    DECODE_GUESS_S,
    GAP_S,
    IDLE_STEP_S,
    MAX_CHUNK,
    StepCost,
    StepShape,
)


def learn(
    cost: StepCost, *, token_s: float, decode_s: float, rows: int, attend_s: float = 0.0, context: int = 0
) -> None:
    """Fifty rounds of decoding and of mixed steps whose prompts reach up to `context`."""
    for i in range(50):
        cost.observe(StepShape(rows), decode_s)
        seen = context * i // 50 + 64
        mixed = StepShape(rows, 128, 128 * seen)
        cost.observe(mixed, decode_s + 128 * (token_s + attend_s * seen))


def chunk(cost: StepCost, *, decode_tokens: int, start: int = 0) -> int:
    return cost.chunk_tokens(cost.prompt_budget_s(decode_tokens=decode_tokens), start=start)


@pytest.mark.parametrize("token_s", [1e-4, 5e-4, 2e-3])
@pytest.mark.parametrize("decode_s", [0.002, 0.03])
def test_a_mixed_step_stays_within_the_gap(token_s: float, decode_s: float) -> None:
    cost = StepCost()
    learn(cost, token_s=token_s, decode_s=decode_s, rows=4)
    tokens = chunk(cost, decode_tokens=4)
    assert tokens > 0
    assert decode_s + tokens * token_s <= GAP_S * 1.01
    assert decode_s + (tokens + 1) * token_s >= GAP_S * 0.99


def test_time_that_others_had_the_cores_counts_in_the_gap() -> None:
    cost = StepCost()
    learn(cost, token_s=5e-4, decode_s=0.01, rows=2)
    whole = cost.prompt_budget_s(decode_tokens=2)
    cost.spent_s = 0.02
    assert cost.prompt_budget_s(decode_tokens=2) == pytest.approx(whole - 0.02)


@pytest.mark.parametrize("start", [0, 1000, 4000, 30_000])
def test_a_far_chunk_is_smaller(start: int) -> None:
    """Attention grows with the position: what was learnt up to 4000 holds elsewhere."""
    cost = StepCost()
    learn(cost, token_s=5e-4, decode_s=0.01, rows=2, attend_s=1e-7, context=4000)
    tokens = chunk(cost, decode_tokens=2, start=start)
    seconds = tokens * (5e-4 + 1e-7 * (start + tokens / 2))
    assert seconds == pytest.approx(GAP_S - 0.01, rel=0.08)
    assert cost.prompt_s(start=start, tokens=tokens) == pytest.approx(seconds, rel=0.05)


def test_one_position_teaches_no_slope() -> None:
    cost = StepCost()
    for noise in (1.0, 1.2, 0.9, 1.1) * 10:
        cost.observe(StepShape(0, 64, 64 * (32 + int(noise * 10))), 64 * 1e-3 * noise)
    assert cost.prompt_s(start=8000, tokens=1) == pytest.approx(1e-3, rel=0.2)


def test_noise_makes_no_chunk_seem_free() -> None:
    """Measured per token while a neighbour came and went: the slope fits it, the intercept would be 0."""
    cost = StepCost()
    for start in range(0, 4000, 128):
        cost.observe(StepShape(0, 128, 128 * (start + 64)), 128 * 2e-6 * (start + 64))
    assert cost.prompt_s(start=0, tokens=1) >= 0.4 * cost.prompt_s(start=3800, tokens=1)


def test_an_idle_machine_computes_larger_chunks() -> None:
    cost = StepCost()
    learn(cost, token_s=1e-3, decode_s=0.01, rows=1)
    assert chunk(cost, decode_tokens=0) == pytest.approx(IDLE_STEP_S / 1e-3, abs=2)
    learn(cost, token_s=1e-6, decode_s=0.01, rows=1)
    assert chunk(cost, decode_tokens=0) == MAX_CHUNK


def test_no_time_left_is_no_chunk() -> None:
    cost = StepCost()
    learn(cost, token_s=0.01, decode_s=0.5, rows=32)
    assert chunk(cost, decode_tokens=32) == 0


def test_it_forgets_how_things_were() -> None:
    cost = StepCost()
    learn(cost, token_s=1e-3, decode_s=0.01, rows=1)
    learn(cost, token_s=4e-3, decode_s=0.02, rows=1)
    assert cost.decode_s(1) == pytest.approx(0.02, rel=0.01)
    assert chunk(cost, decode_tokens=1) == pytest.approx((GAP_S - 0.02) / 4e-3, abs=2)


def test_unmeasured_sizes_lie_between_the_measured_ones() -> None:
    cost = StepCost()
    assert cost.decode_s(1) == DECODE_GUESS_S
    learn(cost, token_s=1e-3, decode_s=0.01, rows=2)
    learn(cost, token_s=1e-3, decode_s=0.04, rows=32)
    assert cost.decode_s(0) == 0.0
    assert cost.decode_s(1) == pytest.approx(0.01)
    assert cost.decode_s(17) == pytest.approx(0.025, rel=0.01)
    assert cost.decode_s(40) > cost.decode_s(32)


def test_a_lone_outlier_is_not_believed() -> None:
    cost = StepCost()
    learn(cost, token_s=1e-3, decode_s=0.01, rows=2)
    cost.observe(StepShape(5), 0.5)
    assert cost.decode_s(5) < 0.05


def test_a_size_that_ran_when_the_machine_was_slow_is_not_shunned() -> None:
    cost = StepCost()
    for tokens in (1, 16, 8, 32):
        cost.observe(StepShape(tokens), 0.002 + 0.0005 * tokens)
    cost.observe(StepShape(12), 0.016)
    assert cost.decode_s(12) == pytest.approx(0.008, rel=0.05)
    assert cost.decode_s(8) == pytest.approx(0.006, rel=0.05)


def test_a_tiny_chunk_does_not_distort_the_rate() -> None:
    cost = StepCost()
    learn(cost, token_s=1e-3, decode_s=0.01, rows=1)
    before = chunk(cost, decode_tokens=0)
    cost.observe(StepShape(0, 2, 2), 0.01)
    assert chunk(cost, decode_tokens=0) == before


def test_a_mixed_step_faster_than_the_decode_average_makes_no_prompt_free() -> None:
    cost = StepCost()
    cost.observe(StepShape(4), 0.1)
    before = chunk(cost, decode_tokens=0)
    cost.observe(StepShape(2, 128, 128 * 64), 0.05)
    assert cost.decode_s(2) < 0.05, "the decode rows were believed too slow"
    assert before <= chunk(cost, decode_tokens=0) <= 2 * before
