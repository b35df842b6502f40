"""Grammars in the engine: forced tokens are leapt over, drafts are checked under masks, the text stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pennyweight.core import FinishReason, SamplingParams
from pennyweight.engine.grammar import MAX_LEAP, Grammar
from tests.engine.bench import Answers, Bench
from tests.engine.grammars import Verses, verses_text
from tests.engine.requests import request, tokens

PROMPT = tokens(70)
SAMPLINGS = {
    "greedy": SamplingParams(temperature=0.0, seed=0, max_tokens=90),
    "sampled": SamplingParams(temperature=1.0, seed=5, max_tokens=90),
    "penalised": SamplingParams(temperature=1.0, seed=6, max_tokens=90, frequency_penalty=0.5),
}


def answer(bench: Bench, sampling: SamplingParams, grammar: Verses, **others: object) -> Answers:
    answers = bench.submit(request(PROMPT, sampling=sampling, mask_provider=grammar, **others))
    bench.run()
    return answers


@pytest.mark.parametrize("run", [1, 4, 30, MAX_LEAP + 20])
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_leaps_save_steps_and_change_nothing(run: int, sampling: SamplingParams) -> None:
    expected = verses_text(PROMPT, sampling, Verses(run))
    slow, fast = Bench(), Bench()
    assert answer(slow, sampling, Verses(run, tells=False)).tokens[0] == expected
    answers = answer(fast, sampling, Verses(run))
    assert answers.tokens[0] == expected
    assert answers.finished[0].usage.completion_tokens == len(answers.events[0]) == 90
    free = sum(index % (run + 2) < 2 for index in range(90))
    assert fast.decoder.steps_run <= free + 90 // MAX_LEAP + 1
    assert fast.decoder.steps_run < slow.decoder.steps_run


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 8])
def test_a_leap_ends_at_the_limit(max_tokens: int) -> None:
    sampling = replace(SAMPLINGS["greedy"], max_tokens=max_tokens)
    answers = answer(Bench(), sampling, Verses(20))
    assert answers.tokens[0] == verses_text(PROMPT, sampling, Verses(20))
    assert answers.finished[0].reason is FinishReason.LENGTH


def test_a_stop_token_inside_forced_ones_stops() -> None:
    whole = verses_text(PROMPT, SAMPLINGS["greedy"], Verses(20))
    sampling = replace(SAMPLINGS["greedy"], stop_token_ids=frozenset({whole[9]}))
    answers = answer(Bench(), sampling, Verses(20))
    assert answers.tokens[0] == whole[: whole.index(whole[9])]
    assert answers.finished[0].reason is FinishReason.STOP


def test_log_probabilities_are_given_for_forced_tokens_too() -> None:
    plain = replace(SAMPLINGS["sampled"], top_logprobs=2)
    slow = answer(Bench(), plain, Verses(10, tells=False))
    bench = Bench()
    fast = answer(bench, plain, Verses(10))
    assert fast.events[0] == slow.events[0]
    assert all(event.logprob is not None and len(event.top) == 2 for event in fast.events[0])
    assert bench.decoder.steps_run < 30


@pytest.mark.parametrize("spoilt", [None, 2, 40])
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
@pytest.mark.parametrize("tells", [True, False])
def test_a_prediction_beside_a_grammar(spoilt: int | None, sampling: SamplingParams, tells: bool) -> None:
    expected = verses_text(PROMPT, sampling, Verses(3))
    draft = [*expected]
    if spoilt is not None:
        draft[spoilt] = 3  # which no mask allows at a free position
    bench = Bench()
    answers = answer(bench, sampling, Verses(3, tells=tells), draft=tuple(draft))
    assert answers.tokens[0] == expected
    assert bench.decoder.steps_run < 45


def test_forced_tokens_survive_preemption() -> None:
    sampling = SAMPLINGS["penalised"]
    bench = Bench(num_pages=8)
    answers = bench.submit(request(PROMPT, sampling=sampling, mask_provider=Verses(5)))
    while len(answers.tokens[0]) < 80:
        bench.step()
        for sequence in list(bench.scheduler.running):
            bench.scheduler._preempt(sequence)
        if len(answers.tokens[0]) % 3 == 0:
            bench.scheduler.cache.tree.make_room(8)
    bench.run()
    assert answers.tokens[0] == verses_text(PROMPT, sampling, Verses(5))


def test_streams_with_and_without_grammar_share_steps() -> None:
    bench = Bench()
    asked = [
        bench.submit(
            request(
                tokens(20 + n, salt=n),
                sampling=replace(SAMPLINGS["sampled"], seed=n),
                mask_provider=Verses(n) if n % 2 else None,
            )
        )
        for n in range(6)
    ]
    bench.run()
    for n, answers in enumerate(asked):
        sampling = replace(SAMPLINGS["sampled"], seed=n)
        if n % 2:
            assert answers.tokens[0] == verses_text(tokens(20 + n, salt=n), sampling, Verses(n))


class Broken(Verses):
    """Fails where the engine asks what is forced."""

    def forced(self) -> list[int]:
        raise RuntimeError("no idea")


def test_a_grammar_that_fails_while_forcing_fails_its_own_request_only() -> None:
    bench = Bench()
    broken = bench.submit(request(PROMPT, sampling=SAMPLINGS["greedy"], mask_provider=Broken(5)))
    other = bench.submit(request(PROMPT, sampling=SAMPLINGS["greedy"], mask_provider=Verses(5)))
    bench.run()
    error = broken.finished[0].error
    assert error is not None
    assert "no idea" in error
    assert other.tokens[0] == verses_text(PROMPT, SAMPLINGS["greedy"], Verses(5))


def test_a_mask_of_the_wrong_size_is_named() -> None:
    grammar = Grammar(Verses(1), end_tokens=frozenset(), leaps=True)
    with pytest.raises(ValueError, match="28 bytes, the vocabulary needs 32"):
        grammar.masks((), 32)
