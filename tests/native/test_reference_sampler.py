"""The sampler's definition: known random numbers, filters by hand, frequencies against the softmax."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pennyweight.native.reference_sampler import (
    Sampler,
    adjust,
    candidates,
    log_probabilities,
    philox,
    sample,
    uniform,
)
from tests.native.agreement import log_softmax

F32 = np.float32
GREEDY = Sampler(seed=0, temperature=0)


def test_philox_known_answers() -> None:
    # From the known-answer file of Random123 1.14.
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    counter = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert philox(counter, (0xA4093822, 0x299F31D0)) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def test_uniform_depends_on_all_it_is_given() -> None:
    draws = {uniform(seed, choice, n) for seed in (0, 1, 1 << 32) for choice in (0, 1) for n in range(50)}
    assert len(draws) == 300
    assert all(0 <= draw < 1 for draw in draws)


def test_greedy_takes_the_lowest_of_equals() -> None:
    assert sample(np.array([1, 3, 3, 2], F32), GREEDY) == 1


def test_penalties_bias_and_masks_in_their_order() -> None:
    sampler = replace(
        GREEDY,
        repetition_penalty=2.0,
        presence_penalty=0.5,
        frequency_penalty=0.25,
        logit_bias={3: 10.0},
        end_tokens=(4,),
        min_tokens=4,
        prompt=(0, 0, 5),
    )
    z = np.array([4, -4, 4, 0, 9, 6], F32)
    a = adjust(z, sampler, [1, 2, 2], np.array([1, 1, 1, 1, 1, 0], bool))
    assert a.tolist() == [2, -8.75, 1, 10, -np.inf, -np.inf]
    assert adjust(z, sampler, [1, 2, 2, 3], None)[4] == 9


def test_filters_by_hand() -> None:
    p = np.array([0.25, 1.0, 0.5, 0.5, 0.125], F32)
    assert candidates(p, Sampler(seed=0, top_k=3)).tolist() == [1, 2, 3]
    assert candidates(p, Sampler(seed=0, top_p=0.6)).tolist() == [1, 2]
    assert candidates(p, Sampler(seed=0, top_p=1e-9)).tolist() == [1]
    assert candidates(p, Sampler(seed=0, min_p=0.25)).tolist() == [1, 2, 3, 0]
    assert candidates(p, Sampler(seed=0, top_k=4, top_p=0.9, min_p=0.5)).tolist() == [1, 2, 3]


def test_log_probabilities() -> None:
    z = np.random.default_rng(0).standard_normal(99).astype(F32) * 5
    np.testing.assert_allclose(log_probabilities(z), log_softmax(z[None])[0], atol=1e-12)


@pytest.mark.parametrize("filters", [{}, {"top_k": 200}, {"top_p": 0.999999}])
def test_frequencies_are_the_softmax(filters: dict[str, float]) -> None:
    z = np.random.default_rng(1).standard_normal(37).astype(F32)
    sampler = Sampler(seed=7, temperature=0.7, **filters)
    draws = 4000
    counts = np.zeros(37)
    for choice in range(draws):
        counts[sample(z, replace(sampler, choice=choice))] += 1
    expected = np.exp(log_softmax(z[None] / 0.7)[0]) * draws
    # 36 degrees of freedom: above 81 is one chance in 25 000, and the seed is fixed.
    assert np.square(counts - expected).dot(1 / expected) < 81


def test_impossible_tokens_are_never_drawn() -> None:
    z = np.zeros(40, F32)
    allowed = np.zeros(40, bool)
    allowed[[17, 33]] = True
    drawn = {sample(z, Sampler(seed=s), allowed=allowed) for s in range(60)}
    assert drawn == {17, 33}
