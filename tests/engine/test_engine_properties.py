"""Random schedules, step by step: whatever happens in whatever order, pages are whole and texts are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pennyweight.core import CacheNamespace, FinishReason, SamplingParams, TokenSpan
from tests.engine.bench import Answers, Bench
from tests.engine.grammars import Verses, verses_text
from tests.engine.requests import expected_text, request, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.core import MaskProvider, Request

SHARED = [tokens(130, salt=salt) for salt in range(2)]
NAMESPACES = [CacheNamespace(model="toy", project=project) for project in ("ours", "theirs")]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Prompts mostly share prefixes, end at page borders often, and repeat whole."""
    length = draw(st.sampled_from([0, 5, 63, 64, 65, 100, 128, 130]))
    start = SHARED[draw(st.integers(0, 1))][:length]
    end = tokens(draw(st.sampled_from([1, 2, 30])), salt=draw(st.integers(5, 7)))
    prompt = [*start, *end] if not start or draw(st.integers(0, 1)) else start
    sampling = SamplingParams(
        temperature=draw(st.sampled_from([0.0, 1.0])),
        frequency_penalty=draw(st.sampled_from([0.0, 0.5])),
        seed=draw(st.integers(0, 3)),
        max_tokens=draw(st.sampled_from([0, 1, 2, 10, 70, 140])),
        ignore_eos=draw(st.booleans()),
        min_tokens=draw(st.sampled_from([0, 20])),
    )
    kind = draw(st.sampled_from(["none", "right", "spoilt"]))
    grammar = Verses(draw(st.sampled_from([1, 6, 60]))) if draw(st.integers(0, 2)) == 0 else None
    prediction = [] if kind == "none" else _text(prompt, sampling, grammar)
    if kind == "spoilt" and prediction:
        prediction[draw(st.integers(0, len(prediction) - 1))] = 3
    return request(
        prompt,
        sampling=sampling,
        namespace=draw(st.sampled_from(NAMESPACES)),
        priority=draw(st.sampled_from(["interactive", "batch"])),
        num_choices=draw(st.sampled_from([1, 1, 2, 4])),
        prompt_logprobs=draw(st.integers(0, 5)) == 0,
        draft=tuple(prediction),
        mask_provider=grammar,
    )


class Schedules(RuleBasedStateMachine):
    """`Bench` checks the integrity of everything before and after every plan."""

    bench: Bench

    @initialize(
        num_pages=st.integers(5, 16), chunk=st.sampled_from([16, 50, 64, 300]), max_running=st.integers(1, 6)
    )
    def start(self, num_pages: int, chunk: int, max_running: int) -> None:
        self.bench = Bench(num_pages=num_pages, chunk=chunk, max_running=max_running)

    @rule(what=requests())
    def submit(self, what: Request) -> None:
        self.bench.submit(what)

    @rule(count=st.integers(1, 5))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.bench.step()

    @rule(data=st.data())
    @precondition(lambda self: self.bench.answers)
    def cancel(self, data: st.DataObject) -> None:
        answers = data.draw(st.sampled_from(self.bench.answers))
        self.bench.cancel(answers, data.draw(st.sampled_from([None, 0, 1])))

    @rule(data=st.data())
    @precondition(lambda self: self.bench.scheduler.running)
    def preempt(self, data: st.DataObject) -> None:
        self.bench.scheduler._preempt(data.draw(st.sampled_from(self.bench.scheduler.running)))
        self.bench.scheduler.check_integrity()

    @rule()
    def evict_everything(self) -> None:
        cache = self.bench.scheduler.cache
        cache.tree.make_room(cache.pool.num_available)
        self.bench.scheduler.check_integrity()

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.run()
        for answers in self.bench.answers:
            _check(answers)


def _text(
    prompt: Sequence[int], sampling: SamplingParams, grammar: MaskProvider | None, choice: int = 0
) -> list[int]:
    if isinstance(grammar, Verses):
        return verses_text(prompt, sampling, Verses(grammar.run), choice)
    return expected_text(prompt, sampling, choice=choice)


def _check(answers: Answers) -> None:
    wanted = answers.group.request
    prompt = [token for span in wanted.prompt if isinstance(span, TokenSpan) for token in span.tokens]
    for choice, finished in answers.finished.items():
        text = answers.tokens[choice]
        expected = _text(prompt, wanted.sampling, wanted.mask_provider, choice)
        stopped = finished.reason is FinishReason.STOP
        assert finished.usage.prompt_tokens == len(prompt)
        assert finished.usage.completion_tokens == len(text) + stopped
        assert finished.usage.cached_tokens < len(prompt)
        if finished.reason is FinishReason.CANCELLED:
            assert text == expected[: len(text)]
        elif stopped or len(text) < answers.group.sequences[0].max_output(10**9):
            # a smaller pool than wanted ends the text early, with LENGTH
            assert text == expected[: len(text)]
            assert finished.reason in (FinishReason.STOP, FinishReason.LENGTH)
        else:
            assert text == expected
            assert finished.reason is FinishReason.LENGTH
        if wanted.prompt_logprobs and finished.reason is not FinishReason.CANCELLED:
            assert finished.prompt_logprobs is not None
            assert len(finished.prompt_logprobs) == len(prompt)


Schedules.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestSchedules = Schedules.TestCase
