"""When a guess pays, and how far it should reach."""

from __future__ import annotations

import pytest

from pennyweight.engine.acceptance import LENGTHS, Acceptance, draft_length


def step_s(tokens: int) -> float:
    """A small model on two cores: the first token reads the weights, the others only compute."""
    return 2.5e-3 + 0.5e-3 * tokens


def length(probability: float, *, rows: int = 1, limit: int = 63) -> int:
    return draft_length(probability, limit=limit, rows=rows, step_s=lambda k: step_s(rows + k))


def test_unlikely_guesses_are_not_made() -> None:
    assert length(0.0) == length(0.2) == 0


def test_the_surer_the_longer() -> None:
    chosen = [length(p) for p in (0.5, 0.8, 0.9, 0.95, 0.99, 1.0)]
    assert chosen == sorted(chosen)
    assert chosen[0] > 0
    assert chosen[-1] == LENGTHS[-1]
    assert length(0.99, limit=6) == 5
    assert length(1.0, limit=0) == 0


def test_many_streams_leave_no_room() -> None:
    assert length(0.9, rows=4) > 0
    assert length(0.9, rows=32) == 0


def test_a_length_is_the_best_of_all() -> None:
    for p in (0.6, 0.9, 0.97):
        rates = {k: (1 - p ** (k + 1)) / (1 - p) / step_s(1 + k) for k in LENGTHS}
        assert length(p) == max(rates, key=lambda k: rates[k])


def test_trust_is_earned_and_lost() -> None:
    acceptance = Acceptance(prior=0.3)
    assert acceptance.probability == pytest.approx(0.3)
    for _ in range(8):
        acceptance.add(right=True)
    assert acceptance.probability > 0.7
    acceptance.add(right=False)
    assert acceptance.probability < 0.7
