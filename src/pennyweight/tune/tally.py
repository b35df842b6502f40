"""Sums over the examples of a step or a file, and the means they become."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Phase = Literal["train", "valid", "full_valid"]


@dataclass(slots=True)
class Tally:
    """`loss` is summed over `weight` (learnt tokens, or pairs); `margin` and `wins` are of pairs alone."""

    loss: float = 0.0
    weight: float = 0.0
    right: float = 0.0
    learnt: float = 0.0
    margin: float = 0.0
    wins: float = 0.0
    pairs: float = 0.0

    def add(self, other: Tally) -> None:
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))

    @property
    def mean_loss(self) -> float:
        return self.loss / self.weight

    def means(self, phase: Phase) -> dict[str, float]:
        """By OpenAI's names; of pairs also how far and how often the preferred answer is ahead."""
        told = {
            f"{phase}_loss": self.mean_loss,
            f"{phase}_mean_token_accuracy": self.right / self.learnt if self.learnt else 0.0,
        }
        if self.pairs and phase == "train":
            told |= {"reward_margin": self.margin / self.pairs, "reward_accuracy": self.wins / self.pairs}
        return told
