"""Group relative policy optimisation: answers that earn more than others to the same prompt become likelier.

Shao et al. 2024 (https://arxiv.org/abs/2402.03300), in the plain form that later work left of it:

- An advantage is a reward less the mean of its group, not divided by the deviation: that would give prompts
  which are nearly always or nearly never answered rightly the greatest weight (Liu et al. 2025, "Dr. GRPO",
  https://arxiv.org/abs/2503.20783). A group of equal rewards says nothing, and is left out.
- Each token of a step counts the same, in a long answer as in a short one: a mean over answers would favour
  short right ones and long wrong ones (the same; Yu et al. 2025, "DAPO", https://arxiv.org/abs/2503.14476).
- One update for each sampling, so that there is no older policy to be kept close to, and nothing to clip.
- The distance from the base model is always measured; it costs something only if `beta` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from pennyweight.tune.group import Group
from pennyweight.tune.tally import Tally
from pennyweight.tune.tokens import TokenSequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pennyweight.tune.adapted import AdaptedModel
    from pennyweight.tune.packing import Pack


@dataclass(frozen=True, slots=True)
class Rollout:
    """An answer as it was sampled. `logprobs` are those of its tokens (the one that ends it included)."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str


class Sampler(Protocol):
    """What the model answers now. Raises StoppedError."""

    def answers(self, step: int, prompts: Sequence[Group]) -> list[list[Rollout]]: ...


class Judge(Protocol):
    """What answers earn, by prompts' numbers. Raises TuningError."""

    def rewards(
        self, step: int, numbers: Sequence[int], answers: Sequence[Sequence[Rollout]]
    ) -> list[list[float]]: ...


@dataclass(frozen=True, slots=True)
class _Judged:
    advantage: float
    logprobs: tuple[float, ...]


class GroupRelative:
    """An objective whose examples are prompts. A step remembers its answers, by their places among them."""

    def __init__(self, *, sampler: Sampler, judge: Judge, beta: float) -> None:
        self._sampler = sampler
        self._judge = judge
        self._beta = beta
        self._judged: list[_Judged] = []

    def lessons(self, step: int, examples: list[Group]) -> tuple[list[Group], Tally]:
        """The answers to `examples`, a group of one sequence each, as far as they say something."""
        answers = self._sampler.answers(step, examples)
        rewards = self._judge.rewards(step, [example.number for example in examples], answers)
        tally, groups = Tally(), list[Group]()
        self._judged = []
        for example, given, earned in zip(examples, answers, rewards, strict=True):
            has_spread = min(earned) < max(earned)
            tally.prompts += 1
            tally.spread += has_spread
            tally.answers += len(given)
            tally.rewards += sum(earned)
            tally.answer_tokens += sum(len(rollout.tokens) for rollout in given)
            if has_spread or self._beta:
                groups += self._learnt(example, given, earned)
        return groups, tally

    def _learnt(self, example: Group, given: Sequence[Rollout], earned: Sequence[float]) -> Iterable[Group]:
        mean = sum(earned) / len(earned)
        prompt = example.sequences[0].tokens
        for rollout, reward in zip(given, earned, strict=True):
            tokens = (*prompt, *rollout.tokens)
            yield Group(len(self._judged), (TokenSequence(tokens, ((len(prompt), len(tokens)),)),))
            self._judged.append(_Judged(reward - mean, rollout.logprobs))

    def weight(self, groups: Iterable[Group]) -> int:
        return sum(group.num_learnt for group in groups)

    def loss(self, model: AdaptedModel, pack: Pack) -> tuple[Any, Tally]:
        with torch.no_grad(), model.without_adapter():
            base, _ = model.logprobs(pack)
        values, _ = model.logprobs(pack)
        judged = [self._judged[number] for number in pack.numbers]
        advantages = torch.tensor([one.advantage for one in judged])
        advantages = advantages.repeat_interleave(torch.tensor(pack.learnt))
        sampled = torch.tensor([logprob for one in judged for logprob in one.logprobs])
        ahead = base - values
        divergence = (ahead.exp() - ahead - 1).sum()  # Schulman's estimator: never negative, right on average
        loss = self._beta * divergence - (advantages * values).sum()
        tally = Tally(loss=loss.item(), weight=len(pack.labels), divergence=divergence.item())
        tally.gap = float((values.detach() - sampled).abs().sum())
        return loss, tally
