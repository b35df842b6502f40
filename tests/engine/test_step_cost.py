"""The cost model: what it learns and the chunks it allows."""

from __future__ import annotations

import pytest

from pennyweight.engine.step_cost import GAP_S, IDLE_STEP_S, MAX_CHUNK, MIN_CHUNK, StepCost


def learn(cost: StepCost, *, token_s: float, decode_s: float, rows: int) -> None:
    for _ in range(50):
        cost.observe(prefill_tokens=0, decode_rows=rows, seconds=decode_s)
        cost.observe(prefill_tokens=128, decode_rows=rows, seconds=decode_s + 128 * token_s)


@pytest.mark.parametrize("token_s", [1e-4, 5e-4, 2e-3])
@pytest.mark.parametrize("decode_s", [0.002, 0.03])
def test_a_mixed_step_stays_within_the_gap(token_s: float, decode_s: float) -> None:
    cost = StepCost()
    learn(cost, token_s=token_s, decode_s=decode_s, rows=4)
    chunk = cost.chunk_tokens(decode_rows=4)
    assert chunk > MIN_CHUNK
    assert decode_s + chunk * token_s <= GAP_S * 1.01
    assert decode_s + (chunk + 1) * token_s >= GAP_S * 0.99


def test_an_idle_machine_computes_larger_chunks() -> None:
    cost = StepCost()
    learn(cost, token_s=1e-3, decode_s=0.01, rows=1)
    assert cost.chunk_tokens(decode_rows=0) == pytest.approx(IDLE_STEP_S / 1e-3, abs=2)
    learn(cost, token_s=1e-6, decode_s=0.01, rows=1)
    assert cost.chunk_tokens(decode_rows=0) == MAX_CHUNK


def test_a_prompt_always_advances() -> None:
    cost = StepCost()
    learn(cost, token_s=0.01, decode_s=0.5, rows=32)
    assert cost.chunk_tokens(decode_rows=32) == MIN_CHUNK


def test_it_forgets_how_things_were() -> None:
    cost = StepCost()
    learn(cost, token_s=1e-3, decode_s=0.01, rows=1)
    learn(cost, token_s=4e-3, decode_s=0.02, rows=1)
    assert cost.decode_s(1) == pytest.approx(0.02, rel=0.01)
    assert cost.chunk_tokens(decode_rows=1) == pytest.approx(0.05 / 4e-3, abs=4)


def test_unmeasured_numbers_of_rows_take_the_nearest() -> None:
    cost = StepCost()
    assert cost.decode_s(8) == 0.0
    learn(cost, token_s=1e-3, decode_s=0.01, rows=1)
    learn(cost, token_s=1e-3, decode_s=0.04, rows=32)
    assert cost.decode_s(2) == pytest.approx(0.01)
    assert cost.decode_s(20) == pytest.approx(0.04)


def test_a_tiny_chunk_does_not_distort_the_rate() -> None:
    cost = StepCost()
    learn(cost, token_s=1e-3, decode_s=0.01, rows=1)
    before = cost.chunk_tokens(decode_rows=0)
    cost.observe(prefill_tokens=2, decode_rows=0, seconds=0.01)
    assert cost.chunk_tokens(decode_rows=0) == before


def test_a_mixed_step_faster_than_the_decode_average_is_no_division_by_zero() -> None:
    cost = StepCost()
    cost.observe(prefill_tokens=0, decode_rows=4, seconds=0.1)
    cost.observe(prefill_tokens=128, decode_rows=2, seconds=0.05)
    assert cost.chunk_tokens(decode_rows=4) == MIN_CHUNK
    assert cost.chunk_tokens(decode_rows=0) == MAX_CHUNK
