"""How long and how fast to learn: the plan's numbers, and sensible ones where it says `auto`.

Defaults are for LoRA on small sets, by "LoRA Without Regret" (Thinking Machines 2025: ten times the rate of
full tuning, falling with the model's width, whatever the rank) and this project's own runs (docs/tuning.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pennyweight.tune.plan import TuningPlan

_RATE: Final = 1e-3  # of supervised tuning at width 576, multiplier 1
_WIDTH: Final = 576
_SHARES: Final = MappingProxyType({"supervised": 1.0, "dpo": 0.1, "grpo": 0.3})
"""Of that rate: preferences and rewards move a model that can answer already."""
_BETAS: Final = MappingProxyType({"supervised": 0.1, "dpo": 0.1, "grpo": 0.0})
_PROMPTS: Final = 8  # of a step of grpo: with groups of eight the engine has the most streams it runs at once
_GROUP: Final = 8
_ANSWER_TOKENS: Final = 256
_FEWEST_STEPS: Final = 100
_STEPS_OF_AN_EPOCH: Final = 50  # that a batch should leave, as far as larger ones help
_MOST_EPOCHS: Final = 10
_LARGEST_BATCH: Final = 16
_WARMUP_SHARE: Final = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """All numbers known. `learning_rate` is the highest of the schedule.

    Of grpo an example is a prompt, which gets `group_size` answers of at most `max_answer_tokens`.
    """

    num_examples: int
    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    learning_rate: float
    beta: float
    group_size: int
    max_answer_tokens: int

    @property
    def steps_per_epoch(self) -> int:
        return ceil(self.num_examples / self.batch_size)

    @property
    def num_steps(self) -> int:
        return self.n_epochs * self.steps_per_epoch

    def rate(self, step: int) -> float:
        """The learning rate of step `step` (from 1): up in a straight line, then down to a tenth."""
        warmup = max(1, min(100, round(_WARMUP_SHARE * self.num_steps)))
        if step <= warmup:
            return self.learning_rate * step / warmup
        left = (self.num_steps - step) / max(1, self.num_steps - warmup)
        return self.learning_rate * (0.1 + 0.9 * left)


def resolve(plan: TuningPlan, *, num_examples: int, d_model: int) -> Hyperparameters:
    """The plan's numbers, `auto` replaced."""
    by_itself = _PROMPTS if plan.method == "grpo" else _auto_batch(num_examples)
    batch_size = min(by_itself if plan.batch_size == "auto" else plan.batch_size, num_examples)
    multiplier = 1.0 if plan.learning_rate_multiplier == "auto" else plan.learning_rate_multiplier
    rate = _RATE * (_WIDTH / d_model) ** 0.5 * multiplier
    return Hyperparameters(
        num_examples=num_examples,
        n_epochs=_auto_epochs(plan, ceil(num_examples / batch_size))
        if plan.n_epochs == "auto"
        else plan.n_epochs,
        batch_size=batch_size,
        learning_rate_multiplier=multiplier,
        learning_rate=rate * _SHARES[plan.method],
        beta=_BETAS[plan.method] if plan.beta == "auto" else plan.beta,
        group_size=_GROUP if plan.group_size == "auto" else plan.group_size,
        max_answer_tokens=most_answer_tokens(plan),
    )


def most_answer_tokens(plan: TuningPlan) -> int:
    """How long an answer of grpo may become, whatever the file holds."""
    return _ANSWER_TOKENS if plan.max_answer_tokens == "auto" else plan.max_answer_tokens


def _auto_epochs(plan: TuningPlan, steps: int) -> int:
    """Answers of grpo are new in every epoch: there it is only steps that count."""
    enough = ceil(_FEWEST_STEPS / steps)
    if plan.method == "grpo":
        return min(_MOST_EPOCHS, enough)
    return min(_MOST_EPOCHS, max(3, enough)) if steps < 1000 else 2


def _auto_batch(num_examples: int) -> int:
    """A power of two."""
    wanted = min(_LARGEST_BATCH, num_examples // _STEPS_OF_AN_EPOCH)
    return max(2, 1 << max(0, wanted.bit_length() - 1))
