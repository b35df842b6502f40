"""What batch work gets while interactive requests would take everything, and what they lose by it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.engine.bench import Bench
from tests.engine.requests import GREEDY, expected_text, request, tokens

if TYPE_CHECKING:
    from pennyweight.core import Priority
    from pennyweight.engine.plan import StepPlan
    from tests.engine.bench import Answers

SHORT = replace(GREEDY, max_tokens=10)


class Crowd:
    """Batch lines, and as long as it is kept up more interactive requests than the engine can take."""

    def __init__(self, bench: Bench, *, num_batch: int) -> None:
        self.bench = bench
        self.tokens: Counter[Priority] = Counter()
        self.batch = [self._submit("batch") for _ in range(num_batch)]
        self.interactive: list[Answers] = []

    def step(self, *, crowd: int) -> StepPlan:
        """One step, with `crowd` interactive requests that have not ended."""
        while sum(not answers.finished for answers in self.interactive[-2 * crowd :]) < crowd:
            self.interactive.append(self._submit("interactive"))
        plan = self.bench.step()
        for row in plan.rows:
            self.tokens[row.sequence.request.priority] += row.num_tokens
        return plan

    @property
    def share(self) -> float:
        """Of all tokens computed, those of the batch."""
        return self.tokens["batch"] / self.tokens.total()

    def _submit(self, priority: Priority) -> Answers:
        salt = len(self.bench.answers)
        return self.bench.submit(request(tokens(20, salt=salt), sampling=SHORT, priority=priority))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25])
def test_a_crowd_delays_batch_work_to_its_share(share: float) -> None:
    crowd = Crowd(Bench(max_running=8, batch_share=share), num_batch=400)
    for _ in range(800):
        crowd.step(crowd=16)
    assert crowd.share == pytest.approx(share, rel=0.25)
    assert sum(bool(answers.finished) for answers in crowd.batch) > 10


def test_without_a_share_batch_work_waits_for_the_crowd_to_go() -> None:
    crowd = Crowd(Bench(max_running=4, batch_share=0.0), num_batch=5)
    for _ in range(500):
        crowd.step(crowd=8)
    assert crowd.tokens["batch"] == 0
    crowd.bench.run()
    assert all(answers.finished for answers in crowd.batch)


def test_one_slot_is_shared_too() -> None:
    crowd = Crowd(Bench(max_running=1, batch_share=0.1), num_batch=50)
    for _ in range(4000):
        crowd.step(crowd=3)
    assert crowd.share == pytest.approx(0.1, rel=0.25)


def test_batch_work_has_the_engine_to_itself_when_nobody_else_wants_it() -> None:
    crowd = Crowd(Bench(max_running=8), num_batch=40)
    crowd.bench.run()
    later = Crowd(crowd.bench, num_batch=200)
    for _ in range(30):
        later.step(crowd=4)
    assert later.tokens["batch"] > 0, "what was computed while nobody waited is no debt"


def test_a_few_people_are_never_behind_batch_work() -> None:
    """Slots to spare: an arrival begins in the next step although lines wait for a slot."""
    bench = Bench(max_running=8, batch_share=0.1)
    crowd = Crowd(bench, num_batch=100)
    for _ in range(20):
        bench.step()
    urgent = bench.submit(request(tokens(20, salt=99), sampling=SHORT))
    plan = bench.step()
    assert urgent.group.sequences[0] in [row.sequence for row in plan.rows]
    bench.run()
    assert all(answers.finished for answers in crowd.batch)


def test_an_engine_with_batch_work_alone_weighs_its_share_beside_others() -> None:
    bench = Bench(max_running=1, batch_share=0.1)
    crowd = Crowd(bench, num_batch=3)
    assert bench.scheduler.weight == pytest.approx(1 / 9)
    bench.step()
    assert bench.scheduler.weight == pytest.approx(1 / 9)
    urgent = bench.submit(request(tokens(20, salt=99), sampling=SHORT))
    assert bench.scheduler.weight == 1
    while not urgent.finished:
        bench.step()
        assert urgent.finished or bench.scheduler.weight == 1
    assert bench.scheduler.weight == pytest.approx(1 / 9)
    bench.run()
    assert all(answers.finished for answers in crowd.batch)


def test_what_was_promoted_keeps_its_pages() -> None:
    """A line computed on credit is not thrown away for the next arrival: little would ever end."""
    bench = Bench(num_pages=6, max_running=4, batch_share=0.1)
    crowd = Crowd(bench, num_batch=20)
    for _ in range(4000):
        crowd.step(crowd=8)
    done = [answers for answers in crowd.batch if answers.finished]
    assert done
    assert all(a.group.sequences[0].num_preemptions <= 1 for a in done)
    for answers in done:
        prompt = answers.group.prompt.tokens
        assert answers.tokens[0] == expected_text(prompt, SHORT)


def test_a_line_that_is_cancelled_while_it_is_owed_its_turn_holds_nobody_up() -> None:
    bench = Bench(max_running=1, batch_share=0.5)
    crowd = Crowd(bench, num_batch=2)
    for _ in range(200):
        crowd.step(crowd=2)
        if bench.scheduler.waiting and bench.scheduler.waiting[0].promoted:
            group = bench.scheduler.waiting[0].group
            bench.cancel(next(answers for answers in crowd.batch if answers.group is group))
            break
    else:
        pytest.fail("nothing was promoted")
    bench.run()


def prompt_tokens_beside(*priorities: Priority) -> int:
    """How many tokens of a batch line's prompt a step computes beside running streams of these priorities."""
    bench = Bench()
    for salt, priority in enumerate(priorities):
        bench.submit(request(tokens(4, salt=salt), sampling=SHORT, priority=priority))
    bench.step()
    bench.submit(request(tokens(600, salt=9), sampling=SHORT, priority="batch"))
    return bench.step().shape.prompt_tokens


def test_lines_make_longer_steps_while_nobody_follows_a_stream() -> None:
    beside_person = prompt_tokens_beside("batch", "interactive")
    assert prompt_tokens_beside("interactive", "interactive") == beside_person
    assert prompt_tokens_beside("batch", "batch") > 1.5 * beside_person
