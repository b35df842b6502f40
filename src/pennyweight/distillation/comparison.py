"""Before and after: how often a model is right on prompts nobody learnt from, and what it writes for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.distillation.lessons import choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.distillation.asking import Answers
    from pennyweight.distillation.checks import Check
    from pennyweight.distillation.prompts import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`right` is a share; `tokens_each` are written for one prompt, all samples together."""

    name: str
    model: str
    right: float
    tokens_each: float

    def told(self) -> dict[str, Any]:
        """As an object of JSON."""
        return {
            "name": self.name,
            "model": self.model,
            "right": round(self.right, 4),
            "tokens_each": round(self.tokens_each, 1),
        }


class SameAs:
    """Without a check of the user's own: right is what the teacher said, blanks aside."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        """The teacher's answers by the prompts' keys."""
        self._answers = {key: answer.split() for key, answer in answers.items()}

    def scores(self, answers: Sequence[tuple[Prompt, str]]) -> list[float]:
        return [float(self._answers.get(prompt.key) == text.split()) for prompt, text in answers]


def row(name: str, model: str, prompts: Sequence[Prompt], answers: Answers, check: Check) -> Row:
    """A model's row of the table; prompts it did not answer count as wrong."""
    tokens = sum(answers[prompt.key].tokens for prompt in prompts if prompt.key in answers)
    right = len(choose(prompts, answers, check).best)
    return Row(
        name=name,
        model=model,
        right=right / len(prompts),
        tokens_each=tokens / len(prompts),
    )
