"""Sums over the examples of a step or a file, and the means they become."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Phase = Literal["train", "valid", "full_valid"]


@dataclass(slots=True)
class Tally:
    """`loss` is summed over `weight` (learnt tokens, or pairs); `margin` and `wins` are of pairs alone.

    Those from `rewards` on are of answers that were sampled: `spread` of `prompts` had answers of different
    reward; `divergence` from the base model and `gap` to what sampled are sums over learnt tokens.
    """

    loss: float = 0.0
    weight: float = 0.0
    right: float = 0.0
    learnt: float = 0.0
    margin: float = 0.0
    wins: float = 0.0
    pairs: float = 0.0
    rewards: float = 0.0
    answers: float = 0.0
    answer_tokens: float = 0.0
    prompts: float = 0.0
    spread: float = 0.0
    divergence: float = 0.0
    gap: float = 0.0

    def add(self, other: Tally) -> None:
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))

    @property
    def mean_loss(self) -> float:
        """0 where there was nothing to learn from."""
        return self.loss / self.weight if self.weight else 0.0

    def means(self, phase: Phase) -> dict[str, float]:
        """By OpenAI's names; of pairs also how far and how often the preferred answer is ahead.

        Of sampled answers, whose loss says nothing, what they earned; log-probabilities are natural.
        """
        if self.answers:
            return self._of_answers()
        told = {
            f"{phase}_loss": self.mean_loss,
            f"{phase}_mean_token_accuracy": self.right / self.learnt if self.learnt else 0.0,
        }
        if self.pairs and phase == "train":
            told |= {"reward_margin": self.margin / self.pairs, "reward_accuracy": self.wins / self.pairs}
        return told

    def _of_answers(self) -> dict[str, float]:
        told = {
            "mean_reward": self.rewards / self.answers,
            "spread_share": self.spread / self.prompts,
            "mean_answer_tokens": self.answer_tokens / self.answers,
        }
        if self.weight:
            told |= {"kl": self.divergence / self.weight, "logprob_gap": self.gap / self.weight}
        return told
