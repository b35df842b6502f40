"""The compiled sampler against its definition, on logits of the compiled decoder."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest

from pennyweight.native.reference_sampler import Sampler, log_probabilities, sample
from tests.native import tiny_decoders
from tests.native.agreement import log_softmax
from tests.native.native_decoders import TARGETS, Driver, all_logits, sampled
from tests.native.tiny_decoders import random_tokens

# A vocabulary that is no multiple of 16, and logits with ties between tokens of equal embeddings.
TINY = tiny_decoders.llama(("Q8_0",), vocab_size=331)
PROMPT = random_tokens(TINY.spec, 30)


def arguments(sampler: Sampler) -> dict[str, Any]:
    """For `open_sampler`."""
    named = {field.name: getattr(sampler, field.name) for field in fields(sampler)}
    return named | {"logit_bias": list(sampler.logit_bias.items())}


@dataclass(slots=True)
class Case:
    sampler: Sampler
    output: list[int]
    slot: int
    pages: list[int]


CASES = {
    "plain": {},
    "cool": {"temperature": 0.3},
    "hot": {"temperature": 2.5},
    "icy": {"temperature": 1e-3},
    "frozen": {"temperature": 1e-39},
    "frozen and filtered": {"temperature": 1e-39, "top_p": 0.9, "top_k": 3},
    "greedy": {"temperature": 0.0},
    "top_k": {"top_k": 5},
    "top_k of one": {"top_k": 1},
    "top_k of all": {"top_k": 331},
    "top_k of more": {"top_k": 5000},
    "top_p": {"top_p": 0.7},
    "top_p tiny": {"top_p": 1e-6},
    "top_p nearly one": {"top_p": 0.9999},
    "min_p": {"min_p": 0.1},
    "min_p of one": {"min_p": 1.0},
    "all filters": {"top_k": 40, "top_p": 0.9, "min_p": 0.02, "temperature": 1.4},
    "what min_p drops counts for top_p": {"top_k": 60, "top_p": 0.6, "min_p": 0.3},
    "cold and filtered": {"temperature": 0.05, "top_k": 50, "top_p": 0.99},
    "hot and filtered": {"temperature": 50.0, "top_p": 0.97},
    "repetition": {"repetition_penalty": 1.7},
    "repetition rewarded": {"repetition_penalty": 0.8, "temperature": 0.0},
    "presence": {"presence_penalty": 1.5},
    "frequency": {"frequency_penalty": 0.9},
    "negative penalties": {"presence_penalty": -0.5, "frequency_penalty": -0.3, "top_p": 0.8},
    "bias": {"logit_bias": {3: 4.0, 77: 4.5, 330: -100.0, 0: 3.25}},
    "bias beyond the mask": {"logit_bias": {5: 100.0}, "end_tokens": (5,), "min_tokens": 4},
    "everything": {
        "temperature": 0.8,
        "top_k": 100,
        "top_p": 0.95,
        "min_p": 0.01,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.1,
        "logit_bias": {9: 2.0},
        "end_tokens": (9, 10),
        "min_tokens": 3,
    },
}


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("target", TARGETS, indirect=True)
@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_tokens_are_those_of_the_reference(changes: dict[str, Any]) -> None:
    """Six seeds side by side, ten tokens each."""
    driver = Driver(TINY)
    cases = []
    for seed in (0, 1, 2**31, 2**32 + 5, 2**63, 12345):
        sampler = Sampler(seed=seed, choice=seed % 7, prompt=PROMPT, **changes)
        slot = driver.decoder.open_sampler(**arguments(sampler))
        cases.append(Case(sampler, [], slot, driver.pages(64)))
    for _ in range(10):
        if not cases:  # all have met an end token
            break
        rows = []
        for case in cases:
            tokens, position = (PROMPT, 0) if not case.output else (case.output[-1:], 29 + len(case.output))
            rows.append(all_logits(tokens, position, case.pages, sampler=case.slot))
        (results,) = driver.run(*rows)
        for result, case in zip(results, cases, strict=True):
            z = driver.logits(result.row)[-1]
            assert result.tokens == [sample(z, case.sampler, output=case.output)]
            case.output += result.tokens
        cases = [case for result, case in zip(results, cases, strict=True) if not result.stopped]


def draw(driver: Driver, count: int, **sampler: Any) -> tuple[np.ndarray, np.ndarray]:
    """One token each of `count` choices after the same prompt, and the logits."""
    pages = driver.pages(64)
    z = driver.score(PROMPT, pages=pages)[-1]
    tokens = []
    for choice in range(count):
        slot = driver.decoder.open_sampler(choice=choice, **sampler)
        # The last prompt token again writes what is already there.
        row = sampled(PROMPT[-1:], 29, pages, slot)
        ((result,),) = driver.run(row)
        tokens += result.tokens
        driver.decoder.close_sampler(slot)
    return np.array(tokens), z


@pytest.mark.parametrize("filters", [{}, {"top_k": 20}], ids=str)
def test_frequencies_are_the_softmax(filters: dict[str, int]) -> None:
    tokens, z = draw(Driver(TINY), 3000, seed=11, temperature=0.8, **filters)
    p = np.exp(log_softmax(z[None] / 0.8)[0])
    if filters:
        p[np.argsort(-p, kind="stable")[20:]] = 0
        p /= p.sum()
    assert set(tokens.tolist()) <= set(np.flatnonzero(p).tolist())
    expected = p * len(tokens)
    likely = expected >= 5  # the rest form one class
    counts = np.bincount(tokens, minlength=len(p))
    observed = np.append(counts[likely], counts[~likely].sum())
    hoped = np.append(expected[likely], max(expected[~likely].sum(), 1e-9))
    chi_square = (np.square(observed - hoped) / hoped).sum()
    freedom = len(hoped) - 1
    assert chi_square < freedom + 4.5 * np.sqrt(2 * freedom)


def test_seed_and_choice_decide_whatever_else_runs() -> None:
    driver = Driver(TINY)
    pages = driver.pages(64)
    driver.score(PROMPT, pages=pages)

    def first(*choices: int) -> dict[int, int]:
        slots = [driver.decoder.open_sampler(seed=4, choice=choice, temperature=2.0) for choice in choices]
        rows = [
            sampled(PROMPT[-1:], 29, own, slot) for slot, own in zip(slots, copies(len(choices)), strict=True)
        ]
        (results,) = driver.run(*rows)
        for slot in slots:
            driver.decoder.close_sampler(slot)
        return {choice: result.tokens[0] for choice, result in zip(choices, results, strict=True)}

    spare = [driver.pages(1) for _ in range(5)]

    def copies(count: int) -> list[list[int]]:
        """The prompt's page, once for each row: rows of one step may not write to one page."""
        for own in spare[:count]:
            driver.decoder.copy_page(pages[0], own[0])
        return spare[:count]

    alone = {choice: first(choice)[choice] for choice in range(5)}
    assert first(4, 2, 0, 1, 3) == alone
    assert first(1, 3) == {1: alone[1], 3: alone[3]}
    assert len(set(alone.values())) > 1


def test_log_probabilities_come_from_raw_logits() -> None:
    driver = Driver(TINY)
    sampler = {"seed": 1, "temperature": 0.2, "logit_bias": [(7, 50.0)], "repetition_penalty": 1.5}
    slot = driver.decoder.open_sampler(top_logprobs=20, prompt=PROMPT, **sampler)
    row = all_logits(PROMPT, 0, driver.pages(64), sampler=slot)
    ((result,),) = driver.run(row)
    log_p = log_probabilities(driver.logits()[-1])
    assert result.tokens == [7]
    np.testing.assert_allclose(result.logprobs, [log_p[7]], rtol=0, atol=1e-5)
    best = np.argsort(-log_p, kind="stable")[:20]
    assert [token for token, _ in result.top[0]] == best.tolist()
    np.testing.assert_allclose([value for _, value in result.top[0]], log_p[best], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("asked", "logprobs", "alternatives"), [(None, 0, []), (0, 1, [[]])])
def test_log_probabilities_only_when_asked(
    asked: int | None, logprobs: int, alternatives: list[list[Any]]
) -> None:
    driver = Driver(TINY)
    slot = driver.decoder.open_sampler(seed=1, top_logprobs=asked)
    row = sampled(PROMPT, 0, driver.pages(64), slot)
    ((result,),) = driver.run(row)
    assert len(result.logprobs) == logprobs
    assert result.top == alternatives


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("filters", [{}, {"top_p": 0.9}], ids=str)
def test_masks_are_those_of_the_reference(temperature: float, filters: dict[str, float]) -> None:
    driver = Driver(TINY)
    for seed in range(8):
        allowed = np.zeros(352, bool)
        allowed[np.random.default_rng(seed).integers(0, 331, 40)] = True
        sampler = Sampler(seed=seed, temperature=temperature, **filters)
        slot = driver.decoder.open_sampler(**arguments(sampler))
        row = all_logits(PROMPT, 0, driver.pages(64), sampler=slot, masked=True)
        words = np.packbits(allowed, bitorder="little").tobytes()
        ((result,),) = driver.run(row, masks=[(0, words)])
        assert result.tokens == [sample(driver.logits()[-1], sampler, allowed=allowed[:331])]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": -1.0},
        {"presence_penalty": float("inf")},
        {"logit_bias": [(331, 1.0)]},
        {"logit_bias": [(-1, 1.0)]},
        {"logit_bias": [(0, float("nan"))]},
        {"end_tokens": [331]},
        {"min_tokens": -1},
        {"top_logprobs": -1},
    ],
    ids=str,
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    driver = Driver(TINY)
    with pytest.raises(ValueError, match=r"\w"):
        driver.decoder.open_sampler(**{"seed": 0} | wrong)


def test_slots_are_closed_once() -> None:
    decoder = Driver(TINY).decoder
    slot = decoder.open_sampler(seed=0)
    decoder.close_sampler(slot)
    for gone in (slot, slot + 1000, -1):
        with pytest.raises(ValueError, match=r"\w"):
            decoder.close_sampler(gone)


def test_choices_differ() -> None:
    base = Sampler(seed=1, temperature=5.0)
    z = np.zeros(331, np.float32)
    assert len({sample(z, replace(base, choice=choice)) for choice in range(30)}) > 20
