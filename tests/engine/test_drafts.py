"""Tokens guessed ahead: they save steps, change no text and leave prompts their share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pennyweight.core import SamplingParams
from pennyweight.engine.drafter import MAX_BESIDE_PROMPTS
from tests.engine.bench import Bench
from tests.engine.grammars import Verses, verses_text
from tests.engine.requests import GREEDY, expected_text, request, tokens


@pytest.mark.parametrize("cut", [0, 1, 7, 30])
def test_a_draft_saves_steps_and_changes_nothing(cut: int) -> None:
    """The prediction is right but for one token, which stands at `cut`."""
    prompt = tokens(50)
    sampling = replace(GREEDY, max_tokens=60)
    text = expected_text(prompt, sampling)
    draft = [*text]
    draft[cut] = (draft[cut] + 1) % 211
    bench = Bench()
    answers = bench.submit(request(prompt, sampling=sampling, draft=tuple(draft)))
    bench.run()
    assert answers.tokens[0] == text
    assert answers.finished[0].usage.completion_tokens == 60
    assert bench.scheduler.counters.accepted_drafts > 30
    assert bench.decoder.steps_run < 30
    assert bench.scheduler.counters.prompt_tokens == 50, "accepted tokens were computed again"
    furthest = max(row.position + len(row.tokens) for rows, _ in bench.decoder.plans for row in rows)
    assert furthest <= 50 + 60 - 1, "a draft past the last token"


def test_beside_a_prompt_guesses_are_short() -> None:
    prompt, sampling = tokens(50), replace(GREEDY, max_tokens=400)
    text = expected_text(prompt, sampling)
    bench = Bench(chunk=16)
    answers = bench.submit(request(prompt, sampling=sampling, draft=tuple(text)))
    while not answers.tokens[0]:
        bench.step()
    bench.submit(request(tokens(300, salt=1)))
    longest = {True: 0, False: 0}
    while bench.scheduler.has_work:
        rows = bench.step().rows
        beside = any(row.is_prompt for row in rows)
        longest[beside] = max(longest[beside], *(len(row.draft) for row in rows))
    assert answers.tokens[0] == text
    assert longest[True] == MAX_BESIDE_PROMPTS < longest[False]


def test_a_text_that_copies_drafts_what_it_copies() -> None:
    """The grammar has it say the same again and again: soon that is guessed, and the plan ends for it."""
    sampling = SamplingParams(temperature=0.0, seed=0, max_tokens=200)
    bench = Bench()
    answers = bench.submit(request(tokens(50), sampling=sampling, mask_provider=Verses(60, tells=False)))
    bench.run()
    assert answers.tokens[0] == verses_text(tokens(50), sampling, Verses(60))
    assert bench.scheduler.counters.accepted_drafts > 50
    assert bench.decoder.steps_run < 150


def test_a_useless_draft_changes_nothing() -> None:
    prompt = tokens(50)
    bench = Bench(num_pages=2)
    answers = bench.submit(request(prompt, draft=tuple(tokens(200, salt=4))))
    bench.run()
    assert answers.tokens[0] == expected_text(prompt)
