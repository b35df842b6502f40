"""Scheduler, runner and toy decoder without the thread: every step under the test's control and checked."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pennyweight.core import FinishedEvent, PromptProgress, TokenEvent
from pennyweight.engine.limits import Limits
from pennyweight.engine.prompt import FlatPrompt
from pennyweight.engine.runner import Runner
from pennyweight.engine.scheduler import Scheduler
from pennyweight.engine.sequence import SequenceGroup
from pennyweight.engine.step_cost import GAP_S, StepCost
from tests.engine import toy_decoder

if TYPE_CHECKING:
    from pennyweight.core import Event, Request
    from pennyweight.engine.plan import StepPlan

TOKEN_S = 1e-3  # so cheap that guessing pays


class Answers:
    """What one request's listener has heard, by choice."""

    def __init__(self, group: SequenceGroup) -> None:
        self.group = group
        self.tokens: dict[int, list[int]] = defaultdict(list)
        self.events: dict[int, list[TokenEvent]] = defaultdict(list)
        self.progress: list[PromptProgress] = []
        self.finished: dict[int, FinishedEvent] = {}

    def hear(self, event: Event) -> None:
        assert event.choice not in self.finished, "an event after the last one"
        if isinstance(event, TokenEvent):
            self.tokens[event.choice].append(event.token)
            self.events[event.choice].append(event)
        elif isinstance(event, PromptProgress):
            assert not self.tokens[event.choice], "the prompt is read before the first token"
            self.progress.append(event)
        else:
            self.finished[event.choice] = event


class Bench:
    """The engine, one step at a time. `chunk` fixes the prompt tokens of a step."""

    def __init__(self, *, num_pages: int = 64, chunk: int | None = None, **limits: Any) -> None:
        fields = {"vocab_size": toy_decoder.VOCAB_SIZE, "context_length": 4096} | limits
        self.limits = Limits(num_pages=num_pages, **fields)
        self.decoder = toy_decoder.Decoder(num_pages=num_pages)
        cost = StepCost(token_s=TOKEN_S) if chunk is None else FixedChunk(chunk)
        self.scheduler = Scheduler(self.limits, end_tokens=toy_decoder.END_TOKENS, cost=cost)
        self.runner = Runner(self.decoder, toy_decoder, vocab_size=toy_decoder.VOCAB_SIZE)
        self.answers: list[Answers] = []
        self.now_s = 0.0

    def submit(self, request: Request) -> Answers:
        prompt = FlatPrompt.of(request.prompt)
        self.limits.check(request, prompt)
        seed = 0 if request.sampling.seed is None else request.sampling.seed
        group = SequenceGroup(
            request,
            prompt,
            lambda event: answers.hear(event),
            number=len(self.answers),
            seed=seed,
            submitted_s=self.now_s,
        )
        answers = Answers(group)
        self.answers.append(answers)
        self.scheduler.add(group)
        return answers

    def cancel(self, answers: Answers, choice: int | None = None) -> None:
        for sequence in answers.group.sequences:
            if choice in (None, sequence.choice):
                self.scheduler.cancel(sequence, self.now_s)
        self._settle()

    def step(self) -> StepPlan:
        """One whole plan, checked before and after."""
        self.now_s += 0.01
        plan = self.scheduler.schedule(self.now_s)
        self.scheduler.check_integrity()
        if plan.rows:
            self.runner.begin(plan)
            done = False
            while not done:
                steps, done = self.runner.finish()
                for index, message in self.runner.take_failures().items():
                    self.scheduler.fail(plan.rows[index].sequence, message, self.now_s)
                for step in steps:
                    for output in step:
                        self.scheduler.advance(plan.rows[output.row], output, self.now_s)
                if self.scheduler.prefers_drafts(plan):
                    self.runner.interrupt()
            self.scheduler.complete(plan)
        self._settle()
        return plan

    def run(self) -> None:
        """To the end of everything; then nothing may be left behind."""
        for _ in range(100_000):
            if not self.scheduler.has_work:
                break
            plan = self.step()
            assert plan.rows or not self.scheduler.has_work, "work, but nothing to do"
        assert not self.scheduler.has_work
        assert self.scheduler.cache.pool.num_available == self.limits.num_pages, "pages leaked"
        assert not self.decoder.samplers, "sampler slots leaked"
        assert all(len(a.finished) == a.group.request.num_choices for a in self.answers)

    def _settle(self) -> None:
        for group, event in self.scheduler.take_events():
            group.listener(event)
        for sequence in self.scheduler.take_retired():
            self.runner.retire(sequence)
        self.scheduler.check_integrity()


class FixedChunk(StepCost):
    """A cost model that always allows the same number of prompt tokens."""

    def __init__(self, chunk: int) -> None:
        super().__init__(token_s=TOKEN_S)
        self._chunk = chunk

    def prompt_budget_s(self, *, decode_tokens: int, gap_s: float = GAP_S) -> float:  # noqa: ARG002
        return float(self._chunk)

    def prompt_s(self, *, start: int, tokens: int) -> float:  # noqa: ARG002
        return float(tokens)

    def chunk_tokens(self, left_s: float, *, start: int) -> int:  # noqa: ARG002
        return int(left_s)
