"""The scheduler, driven step by step on the toy decoder, whose text shows every wrong page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pennyweight.core import (
    CacheNamespace,
    EmbeddingSpan,
    FinishReason,
    PromptProgress,
    Request,
    SamplingParams,
    TokenEvent,
    TokenLogprob,
    TokenSpan,
)
from pennyweight.engine.prefix_tree import MIN_TAIL_TOKENS
from pennyweight.engine.step_cost import MAX_CHUNK
from tests.engine.bench import Bench
from tests.engine.requests import GREEDY, NAMESPACE, expected_text, request, tokens
from tests.engine.toy_decoder import digest_of, logprob


def preempt_one(bench: Bench) -> None:
    """Preempt the most junior running sequence, as a lack of pages would."""
    bench.scheduler._preempt(max(bench.scheduler.running, key=lambda s: s.seniority))


def test_one_request_is_answered() -> None:
    bench = Bench()
    prompt = tokens(100)
    answers = bench.submit(request(prompt))
    bench.run()
    assert answers.tokens[0] == expected_text(prompt)
    finished = answers.finished[0]
    assert finished.reason is FinishReason.LENGTH
    assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (100, 20)
    assert finished.usage.cached_tokens == 0


def test_a_prompt_of_several_steps_tells_how_far_it_is() -> None:
    bench = Bench(chunk=64)
    prompt = tokens(150)
    long = bench.submit(request(prompt))
    bench.run()
    assert long.progress == [PromptProgress(0, 64, 150), PromptProgress(0, 128, 150)]
    cached, short = bench.submit(request(prompt)), bench.submit(request(tokens(60, salt=1)))
    bench.run()
    assert cached.progress == short.progress == []


def test_issue_144_prefill_follows_from_lengths_after_preemption() -> None:
    """A preempted sequence has output and nothing computed: it prefills, whatever it did before."""
    bench = Bench(chunk=64, max_running=1)
    prompt = tokens(90)
    answers = bench.submit(request(prompt))
    bench.submit(request(tokens(90, salt=1)))  # waits, which keeps plans short
    while len(answers.tokens[0]) < 3:
        bench.step()
    preempt_one(bench)
    bench.scheduler.cache.tree.make_room(64)  # and its pages are gone
    known = 90 + len(answers.tokens[0])
    plan = bench.step()
    assert [row.num_tokens for row in plan.rows] == [64]
    assert not plan.rows[0].samples
    plan = bench.step()
    assert [row.num_tokens for row in plan.rows] == [known - 64]
    bench.run()
    assert answers.tokens[0] == expected_text(prompt)


@pytest.mark.parametrize("length", [1, 9, 63, 64, 65, 128, 200])
def test_issue_144_a_fully_cached_prompt_still_computes_its_last_token(length: int) -> None:
    bench = Bench()
    prompt = tokens(length)
    for _ in range(3):
        answers = bench.submit(request(prompt))
        plan = bench.step()
        assert all(row.num_tokens >= 1 for row in plan.rows)
        bench.run()
        assert answers.tokens[0] == expected_text(prompt)
    whole, tail = divmod(length - 1, 64)
    assert answers.finished[0].usage.cached_tokens == whole * 64 + (tail if tail >= MIN_TAIL_TOKENS else 0)


def test_issue_211_a_resumed_sequence_counts_tokens_after_its_prefix_hit() -> None:
    """The preempted sequence finds its own pages in the tree; only what is missing is computed, and once."""
    bench = Bench(max_running=1)
    prompt = tokens(150)
    answers = bench.submit(request(prompt, sampling=replace(GREEDY, max_tokens=100)))
    bench.submit(request(tokens(30, salt=1), sampling=replace(GREEDY, max_tokens=2)))  # keeps plans short
    for _ in range(3):
        bench.step()
    preempt_one(bench)
    computed = bench.decoder.tokens_computed
    known = 150 + len(answers.tokens[0])
    sequence = answers.group.sequences[0]
    plan = bench.step()
    row = next(row for row in plan.rows if row.sequence is sequence)
    assert row.num_tokens == 1, "all but the last token was in the tree"
    assert bench.decoder.tokens_computed - computed < known
    bench.run()
    assert answers.tokens[0] == expected_text(prompt, replace(GREEDY, max_tokens=100))
    assert answers.finished[0].usage.cached_tokens == 0, "what a preemption finds again was not saved"


def test_a_chat_continues_from_its_own_answer() -> None:
    bench = Bench()
    first = tokens(70)
    answers = bench.submit(request(first))
    bench.run()
    second = [*first, *answers.tokens[0], *tokens(10, salt=3)]
    again = bench.submit(request(second))
    bench.run()
    assert again.tokens[0] == expected_text(second)
    assert again.finished[0].usage.cached_tokens == 70 + 19, "the last token's KV was never computed"


def test_prefixes_are_shared_at_token_granularity() -> None:
    bench = Bench()
    common = tokens(100)
    bench.submit(request([*common, *tokens(40, salt=1)]))
    bench.run()
    prompt = [*common, *tokens(40, salt=2)]
    answers = bench.submit(request(prompt))
    bench.run()
    assert answers.finished[0].usage.cached_tokens == 100
    assert answers.tokens[0] == expected_text(prompt)


@pytest.mark.parametrize(
    "other",
    [
        CacheNamespace(model="another"),
        replace(NAMESPACE, project="theirs"),
        replace(NAMESPACE, kv_format="bf16"),
    ],
)
def test_namespaces_share_nothing(other: CacheNamespace) -> None:
    bench = Bench()
    prompt = tokens(200)
    bench.submit(request(prompt))
    bench.run()
    answers = bench.submit(request(prompt, namespace=other))
    bench.run()
    assert answers.finished[0].usage.cached_tokens == 0
    assert answers.tokens[0] == expected_text(prompt)


@pytest.mark.parametrize("length", [5, 40, 64, 100, 193])
def test_choices_prefill_once_and_differ(length: int) -> None:
    bench = Bench()
    prompt = tokens(length)
    sampling = SamplingParams(max_tokens=10, seed=5, ignore_eos=True)
    answers = bench.submit(request(prompt, sampling=sampling, num_choices=4))
    bench.run()
    for choice in range(4):
        assert answers.tokens[choice] == expected_text(prompt, sampling, choice=choice)
    assert answers.tokens[0] != answers.tokens[1]
    if length > 16:  # shorter ones are not worth a copy
        assert bench.decoder.tokens_computed == length + 3 + 4 * 9


def test_arrivals_with_one_prefix_wait_for_the_first() -> None:
    bench = Bench(chunk=64)
    common = tokens(300)
    prompts = [[*common, *tokens(20, salt=salt)] for salt in range(1, 6)]
    answers = [bench.submit(request(prompt)) for prompt in prompts]
    bench.run()
    assert [a.tokens[0] for a in answers] == [expected_text(prompt) for prompt in prompts]
    assert [a.finished[0].usage.cached_tokens for a in answers] == [0, 300, 300, 300, 300]


def test_a_waiting_arrival_goes_on_alone_when_the_first_is_cancelled() -> None:
    bench = Bench(chunk=64)
    common = tokens(300)
    first = bench.submit(request([*common, 1]))
    second = bench.submit(request([*common, 2]))
    bench.step()
    bench.cancel(first)
    bench.run()
    assert first.finished[0].reason is FinishReason.CANCELLED
    assert first.finished[0].usage.prompt_tokens == 301
    assert second.tokens[0] == expected_text([*common, 2])
    assert second.finished[0].usage.cached_tokens == 64


def test_prompt_logprobs_compute_every_position_even_when_cached() -> None:
    bench = Bench(chunk=50)
    prompt = tokens(130)
    bench.submit(request(prompt))
    bench.run()
    answers = bench.submit(request(prompt, prompt_logprobs=True, num_choices=2))
    bench.run()
    want = [None, *(logprob(digest_of(prompt[:i]), prompt[i]) for i in range(1, 130))]
    for choice in range(2):
        assert list(answers.finished[choice].prompt_logprobs or ()) == want
        assert answers.tokens[choice] == expected_text(prompt)
    assert answers.finished[0].usage.cached_tokens == 0


@pytest.mark.parametrize("cancelled", [0, 1, None])
def test_prompt_logprobs_survive_preemption_and_the_scorers_cancel(cancelled: int | None) -> None:
    bench = Bench(chunk=50)
    prompt = tokens(130)
    sampling = replace(GREEDY, top_logprobs=2)
    answers = bench.submit(request(prompt, sampling=sampling, prompt_logprobs=True, num_choices=2))
    bench.step()
    preempt_one(bench)
    bench.step()
    if cancelled is not None:
        bench.cancel(answers, cancelled)
    bench.run()
    finished = answers.finished[0 if cancelled == 1 else 1]
    scores = finished.prompt_logprobs
    assert scores is not None
    assert list(scores[1:]) == [logprob(digest_of(prompt[:i]), prompt[i]) for i in range(1, 130)]
    assert len(finished.prompt_top) == 130
    assert finished.prompt_top[0] == ()
    for i in range(1, 130):
        expected = tuple(TokenLogprob(other, logprob(digest_of(prompt[:i]), other)) for other in range(2))
        assert finished.prompt_top[i] == expected


@pytest.mark.parametrize("length", [1, 2, 64])
def test_a_prompt_is_scored_without_generating(length: int) -> None:
    bench = Bench()
    answers = bench.submit(
        request(tokens(length), sampling=replace(GREEDY, max_tokens=0), prompt_logprobs=True)
    )
    bench.run()
    finished = answers.finished[0]
    assert finished.reason is FinishReason.LENGTH
    assert finished.usage.completion_tokens == 0
    assert len(finished.prompt_logprobs or ()) == length


def test_generation_ends_at_the_contexts_end() -> None:
    bench = Bench(context_length=100)
    prompt = tokens(90)
    answers = bench.submit(request(prompt, sampling=replace(GREEDY, max_tokens=None)))
    bench.run()
    assert answers.finished[0].reason is FinishReason.LENGTH
    assert answers.tokens[0] == expected_text(prompt, replace(GREEDY, max_tokens=10))


def test_generation_ends_at_the_pools_end() -> None:
    bench = Bench(num_pages=2)
    answers = bench.submit(request(tokens(100), sampling=replace(GREEDY, max_tokens=None)))
    bench.run()
    assert len(answers.tokens[0]) == 28
    assert answers.finished[0].reason is FinishReason.LENGTH


def test_an_end_token_is_counted_but_not_posted() -> None:
    prompt = tokens(20)
    text = expected_text(prompt)
    stop = text[5]
    sampling = replace(GREEDY, stop_token_ids=frozenset({stop}), top_logprobs=0)
    bench = Bench()
    answers = bench.submit(request(prompt, sampling=sampling))
    bench.run()
    said = text[: text.index(stop)]
    assert answers.tokens[0] == said
    assert answers.finished[0].reason is FinishReason.STOP
    assert answers.finished[0].usage.completion_tokens == len(said) + 1
    assert answers.finished[0].end == TokenEvent(0, stop, logprob(digest_of([*prompt, *said]), stop))


def test_many_steps_in_one_plan_when_nothing_waits() -> None:
    bench = Bench()
    bench.submit(request(tokens(10), sampling=replace(GREEDY, max_tokens=33)))
    bench.submit(request(tokens(10, salt=1), sampling=replace(GREEDY, max_tokens=40)))
    bench.run()
    assert [steps for _, steps in bench.decoder.plans] == [1, 32, 7]


def test_growing_takes_pages_from_the_youngest_and_least_urgent() -> None:
    bench = Bench(num_pages=6)
    sampling = replace(GREEDY, max_tokens=150)
    prompts = [tokens(60, salt=salt) for salt in range(3)]
    batch = bench.submit(request(prompts[0], sampling=sampling, priority="batch"))
    old = bench.submit(request(prompts[1], sampling=sampling))
    young = bench.submit(request(prompts[2], sampling=sampling))
    bench.run()
    preemptions = [a.group.sequences[0].num_preemptions for a in (old, young, batch)]
    assert preemptions[0] == 0
    assert preemptions[2] >= 1
    for answers, prompt in zip((batch, old, young), prompts, strict=True):
        assert answers.tokens[0] == expected_text(prompt, sampling)


def test_an_admission_leaves_room_for_the_running_to_grow() -> None:
    bench = Bench(num_pages=4)
    bench.submit(request(tokens(60), sampling=replace(GREEDY, max_tokens=30)))
    bench.step()
    bench.submit(request(tokens(190, salt=1)))
    bench.run()
    assert bench.scheduler.counters.preemptions == 0, "the second would have been computed twice"


def test_pages_reserved_for_steps_that_never_ran_can_be_taken_back() -> None:
    bench = Bench()
    sampling = replace(GREEDY, max_tokens=100)
    answers = bench.submit(request(tokens(63), sampling=sampling))
    bench.step()
    bench.decoder._before_step = bench.decoder.interrupt
    bench.step()
    sequence = answers.group.sequences[0]
    bench.scheduler.cache.grow(sequence, 300)
    assert bench.scheduler._take_back_reserves()
    assert len(sequence.blocks) == 2, "one for the 64 positions computed, one for the next token"
    assert not bench.scheduler._take_back_reserves()
    bench.run()
    assert answers.tokens[0] == expected_text(tokens(63), sampling)


def test_interactive_overtakes_batch_and_takes_its_pages() -> None:
    bench = Bench(num_pages=8)
    long = replace(GREEDY, max_tokens=40)
    batch = [bench.submit(request(tokens(120, salt=s), sampling=long, priority="batch")) for s in range(3)]
    bench.step()
    urgent = bench.submit(request(tokens(300, salt=9)))
    while not urgent.finished:
        bench.step()
    assert not any(answers.finished for answers in batch)
    bench.run()


def test_a_short_prompt_overtakes_a_long_one_but_not_for_ever() -> None:
    bench = Bench(chunk=32)
    long = bench.submit(request(tokens(2000)))
    bench.step()
    short = bench.submit(request(tokens(30, salt=1), sampling=replace(GREEDY, max_tokens=2)))
    while not short.finished:
        bench.step()
    assert long.group.sequences[0].num_computed < 200
    bench.now_s += 10
    late = bench.submit(request(tokens(30, salt=2), sampling=replace(GREEDY, max_tokens=2)))
    while not long.tokens[0]:
        bench.step()
    assert not late.finished
    bench.run()


def test_a_prompt_that_no_step_can_reach_holds_no_pages() -> None:
    bench = Bench(chunk=32)
    long = [bench.submit(request(tokens(MAX_CHUNK - 100, salt=salt))) for salt in range(3)]
    bench.step()
    assert [answers.group.sequences[0].status for answers in long] == ["running", "running", "waiting"]
    short = bench.submit(request(tokens(30, salt=3)))
    bench.step()
    assert short.group.sequences[0].status == "running", "it has its turn before the long ones"
    bench.run()
    for salt, answers in enumerate(long):
        assert answers.tokens[0] == expected_text(tokens(MAX_CHUNK - 100, salt=salt))


def test_deadlines_cancel_waiting_and_running() -> None:
    bench = Bench(max_running=1)
    endless = replace(GREEDY, max_tokens=3000)
    running = bench.submit(request(tokens(20), sampling=endless, deadline_s=1.0))
    waiting = bench.submit(request(tokens(20, salt=1), deadline_s=0.5))
    for _ in range(4):
        bench.step()
    bench.now_s = 0.6
    bench.step()
    assert waiting.finished[0].reason is FinishReason.CANCELLED
    assert not running.finished
    bench.now_s = 1.1
    bench.step()
    assert running.finished[0].reason is FinishReason.CANCELLED
    assert running.finished[0].usage.completion_tokens == len(running.tokens[0])
    bench.run()


def test_images_are_keys_of_the_prefix_tree() -> None:
    def ask(image: bytes) -> Request:
        vectors = b"".join(image * 1 for _ in range(40))
        parts = (
            TokenSpan(tuple(tokens(30))),
            EmbeddingSpan(image, 40, vectors),
            TokenSpan(tuple(tokens(50))),
        )
        return Request(id="r", prompt=parts, sampling=GREEDY, namespace=NAMESPACE)

    bench = Bench(chunk=50)
    answers = []
    for image in (b"cats", b"dogs", b"cats"):
        answers.append(bench.submit(ask(image)))
        bench.run()
    assert [a.finished[0].usage.cached_tokens for a in answers] == [0, 30, 119]
    assert answers[0].tokens[0] == answers[2].tokens[0] != answers[1].tokens[0]


def test_an_image_in_a_scored_prompt_has_no_logprobs() -> None:
    parts = (TokenSpan((1, 2)), EmbeddingSpan(b"h", 2, bytes(8)), TokenSpan((3,)))
    bench = Bench()
    answers = bench.submit(
        Request(id="r", prompt=parts, sampling=GREEDY, namespace=NAMESPACE, prompt_logprobs=True)
    )
    bench.run()
    scores = answers.finished[0].prompt_logprobs or ()
    assert [score is None for score in scores] == [True, False, True, True, False]


def test_logprobs_reach_the_listener() -> None:
    prompt = tokens(12)
    bench = Bench()
    answers = bench.submit(request(prompt, sampling=replace(GREEDY, top_logprobs=2, max_tokens=3)))
    bench.run()
    event = answers.events[0][0]
    digest = digest_of(prompt)
    assert event.logprob == logprob(digest, event.token)
    assert [(t.token, t.logprob) for t in event.top] == [(0, logprob(digest, 0)), (1, logprob(digest, 1))]


def test_the_samplers_history_survives_preemption() -> None:
    sampling = SamplingParams(frequency_penalty=0.5, max_tokens=30, seed=3, ignore_eos=True)
    prompt = tokens(30)
    bench = Bench()
    answers = bench.submit(request(prompt, sampling=sampling))
    other = bench.submit(request(tokens(30, salt=2), sampling=sampling, deadline_s=0.2))
    while bench.scheduler.has_work:
        bench.step()
        bench.submit(
            request(tokens(3), sampling=replace(GREEDY, max_tokens=1))
        ) if not other.finished else None
        if bench.scheduler.running and len(answers.tokens[0]) % 4 == 1:
            preempt_one(bench)
    assert answers.tokens[0] == expected_text(prompt, sampling)


def test_scored_positions_of_a_step_are_bounded() -> None:
    bench = Bench()
    scoring = [bench.submit(request(tokens(150, salt=i), prompt_logprobs=True)) for i in range(2)]
    plain = bench.submit(request(tokens(150, salt=2)))
    plan = bench.step()
    assert [(row.num_tokens, row.scores) for row in plan.rows] == [(64, True), (150, False)]
    bench.run()
    for answers in (*scoring, plain):
        assert answers.finished[0].reason is FinishReason.LENGTH
    assert all(len(answers.finished[0].prompt_logprobs or ()) == 150 for answers in scoring)


def test_a_prompt_computed_one_token_at_a_time_counts_whole() -> None:
    bench = Bench()
    bench.submit(request([5]))
    bench.run()
    assert bench.scheduler.counters.prompt_tokens == 1
    for _ in range(2):
        bench.submit(request(tokens(128)))
        bench.run()
    counters = bench.scheduler.counters
    assert counters.prompt_tokens == 1 + 2 * 128 - counters.cached_tokens
