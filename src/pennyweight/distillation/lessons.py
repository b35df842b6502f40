"""The best answer to every prompt becomes a lesson: a line of a training file. What falls is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.distillation.asking import Answers, Sample
    from pennyweight.distillation.checks import Check
    from pennyweight.distillation.prompts import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`best` by the prompts' keys. Of the answers there were, how many fell and why."""

    best: Mapping[str, str]
    num_answers: int
    num_cut: int
    num_repeated: int
    num_wrong: int

    def told(self) -> str:
        """One sentence for people."""
        fallen = f"{self.num_cut} were not whole, {self.num_repeated} repeated, {self.num_wrong} wrong"
        return f"{len(self.best)} lessons from {self.num_answers} answers; {fallen}"


def choose(prompts: Sequence[Prompt], answers: Answers, check: Check) -> Chosen:
    """The answer with the highest score above 0 to each prompt; of equal ones the first."""
    given = [(prompt, sample) for prompt in prompts for sample in _samples(answers, prompt)]
    whole = [(prompt, sample.text) for prompt, sample in given if sample.is_whole]
    different = list({(prompt.key, text): (prompt, text) for prompt, text in whole}.values())
    best: dict[str, tuple[float, str]] = {}
    num_wrong = 0
    for (prompt, text), score in zip(different, check.scores(different), strict=True):
        if score <= 0:
            num_wrong += 1
        elif prompt.key not in best or score > best[prompt.key][0]:
            best[prompt.key] = (score, text)
    return Chosen(
        best={key: text for key, (_, text) in best.items()},
        num_answers=len(given),
        num_cut=len(given) - len(whole),
        num_repeated=len(whole) - len(different),
        num_wrong=num_wrong,
    )


def _samples(answers: Answers, prompt: Prompt) -> tuple[Sample, ...]:
    found = answers.get(prompt.key)
    return () if found is None else found.samples


def lesson(prompt: Prompt, answer: str) -> dict[str, Any]:
    """A line of a training file."""
    return {"messages": [*prompt.messages, {"role": "assistant", "content": answer}]}
