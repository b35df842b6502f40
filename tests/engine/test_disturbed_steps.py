"""Prompts beside running streams on a machine whose speed is known to the test and disturbed by it.

No clock runs: a machine says how long each step takes, and the chunks follow from that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pytest

from pennyweight.engine.limits import Limits
from pennyweight.engine.prompt import FlatPrompt
from pennyweight.engine.prompt_chunks import prompt_rows
from pennyweight.engine.scheduler import Scheduler
from pennyweight.engine.sequence import Sequence, SequenceGroup
from pennyweight.engine.step_cost import GAP_S, MIN_CHUNK, StepCost, StepShape
from tests.engine.requests import request

if TYPE_CHECKING:
    from pennyweight.engine.plan import PlanRow

STREAMS = 4
LIMITS = Limits(vocab_size=10, context_length=100_000, num_pages=10_000)
LONGEST_S = 1.2 * GAP_S  # what an undisturbed step may take: 54 ms


def long_prompts(count: int) -> list[Sequence]:
    """Sequences of 30,000 tokens, started, nothing computed."""
    scheduler = Scheduler(LIMITS, end_tokens=frozenset(), cost=StepCost())
    for number in range(count):
        wanted = request([1] * 30_000)
        prompt = FlatPrompt.of(wanted.prompt)
        group = SequenceGroup(wanted, prompt, lambda _: None, number=number, seed=0, submitted_s=0.0)
        scheduler.add(group)
    return list(scheduler.waiting)


@dataclass(kw_only=True)
class Machine:
    """Four streams, and prompts beside them. `steps` are (prompt tokens, seconds if undisturbed)."""

    decode_s: float = 0.02
    token_s: float = 5e-4
    attend_s: float = 1e-7
    cost: StepCost = field(default_factory=StepCost)
    prompts: list[Sequence] = field(default_factory=lambda: long_prompts(1))
    steps: list[tuple[int, float]] = field(default_factory=list)

    def decode(self, count: int, *, slowness: float = 1.0) -> None:
        for _ in range(count):
            self.cost.observe(StepShape(STREAMS), self.decode_s * slowness)

    def mix(self, count: int = 1, *, slowness: float = 1.0) -> None:
        for _ in range(count):
            rows = prompt_rows(self.prompts, self.cost, LIMITS, decode_tokens=STREAMS)
            self._run(rows, slowness)

    def _run(self, rows: list[PlanRow], slowness: float) -> None:
        tokens, attended = sum(r.num_tokens for r in rows), sum(r.attended for r in rows)
        seconds = self.decode_s + tokens * self.token_s + attended * self.attend_s
        self.cost.observe(StepShape(STREAMS, tokens, attended), seconds * slowness)
        for row in rows:
            row.sequence.num_computed += row.num_tokens
        self.steps.append((tokens, seconds))

    @property
    def chunks(self) -> list[int]:
        return [tokens for tokens, _ in self.steps]

    @property
    def longest_s(self) -> float:
        return max(seconds for _, seconds in self.steps)


@pytest.mark.parametrize("decoded", [0, 1, 20])
@pytest.mark.parametrize("num_prompts", [1, 3])
def test_the_first_mixed_step_is_small(decoded: int, num_prompts: int) -> None:
    machine = Machine(prompts=long_prompts(num_prompts))
    machine.decode(decoded)
    machine.mix()
    assert machine.chunks == [MIN_CHUNK]


@pytest.mark.parametrize("decoded", [0, 5])
@pytest.mark.parametrize("token_s", [2e-4, 5e-4, 1e-3, 2e-3])
@pytest.mark.parametrize("num_prompts", [1, 3])
def test_no_step_is_long_on_a_quiet_machine(decoded: int, token_s: float, num_prompts: int) -> None:
    machine = Machine(token_s=token_s, prompts=long_prompts(num_prompts))
    machine.decode(decoded)
    machine.mix(60)
    assert machine.longest_s <= LONGEST_S
    assert machine.steps[10][1] >= 0.7 * GAP_S, "the gap is made use of"


def test_one_slow_mixed_step_is_soon_forgotten() -> None:
    quiet, disturbed = Machine(), Machine()
    for machine in (quiet, disturbed):
        machine.decode(5)
        machine.mix(10)
    disturbed.mix(slowness=4)
    quiet.mix()
    for machine in (quiet, disturbed):
        machine.mix(8)
    shares = [late / early for late, early in zip(disturbed.chunks[11:], quiet.chunks[11:], strict=True)]
    assert min(shares) >= 0.7, "prompts starve"
    assert shares[-1] >= 0.9
    assert disturbed.longest_s <= LONGEST_S


def test_a_slow_first_mixed_step_is_soon_forgotten() -> None:
    machine = Machine()
    machine.decode(5)
    machine.mix(slowness=4)
    machine.mix(4)
    assert machine.steps[-1][1] >= 0.8 * GAP_S
    assert machine.longest_s <= LONGEST_S


@pytest.mark.parametrize("decode_s", [0.01, 0.02, 0.03])
@pytest.mark.parametrize(("measured", "longest_s"), [(0, 1.4 * GAP_S), (20, LONGEST_S)])
def test_a_slow_decode_step_before_prompts_come_does_not_make_them_free(
    decode_s: float, measured: int, longest_s: float
) -> None:
    """While prompts wait, every step is mixed: the decode average must not be stuck."""
    machine = Machine(decode_s=decode_s)
    machine.decode(5)
    machine.mix(measured)
    machine.decode(1, slowness=4)
    before = len(machine.steps)
    machine.mix(40)
    assert machine.longest_s <= longest_s
    assert machine.steps[before + 4][1] >= 0.7 * GAP_S, "prompts starve"


def test_a_machine_that_recovers_is_believed() -> None:
    """Ten seconds of a busy neighbour are no outlier, and neither is the quiet afterwards."""
    machine = Machine()
    machine.decode(20)
    machine.mix(20)
    machine.decode(20, slowness=3)
    machine.mix(20, slowness=3)
    before = len(machine.steps)
    machine.mix(20)
    assert machine.longest_s <= LONGEST_S
    assert machine.steps[before + 12][1] >= 0.8 * GAP_S


@pytest.mark.parametrize("seed", range(5))
def test_stalls_at_random_shorten_chunks_and_never_lengthen_them(seed: int) -> None:
    random = Random(seed)
    machine = Machine()
    machine.decode(5)
    for _ in range(200):
        slowness = 4.0 if random.random() < 0.1 else random.uniform(1.0, 1.3)
        if random.random() < 0.2:
            machine.decode(1, slowness=slowness)
        else:
            machine.mix(slowness=slowness)
    assert machine.longest_s <= LONGEST_S
    used = [seconds for _, seconds in machine.steps[10:]]
    assert sum(used) / len(used) >= 0.6 * GAP_S


def test_chunks_shrink_with_the_position() -> None:
    machine = Machine(attend_s=2e-7)
    machine.decode(5)
    machine.mix(250)
    thirds = [machine.chunks[i] for i in (20, 80, 160, 249)]
    assert thirds == sorted(thirds, reverse=True)
    assert thirds[-1] < 0.7 * thirds[0]
    cost = machine.cost
    near, far = (cost.chunk_tokens(0.045, start=start) for start in (0, machine.prompts[0].num_computed))
    assert near > far
    assert machine.longest_s <= LONGEST_S
