"""What answers earn: a program of the user's says it, of all answers of a step at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pennyweight.judge_program import JudgeError
from pennyweight.tune.failure import TuningError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.judge_program import JudgeProgram
    from pennyweight.tune.example import RewardedPrompt
    from pennyweight.tune.grpo import Rollout

_REMEDY: Final = (
    "It reads a line of JSON for each answer and writes a finite number for each; correct it, and start again"
)


class Reward:
    """`prompts` are those of the training file; number `n` (from 1) of them is `prompts[n - 1]`."""

    def __init__(self, program: JudgeProgram, prompts: Sequence[RewardedPrompt]) -> None:
        self._program = program
        self._prompts = prompts

    def rewards(
        self, step: int, numbers: Sequence[int], answers: Sequence[Sequence[Rollout]]
    ) -> list[list[float]]:
        """Of every answer to the prompts of these numbers. TuningError names the step and the line."""
        asked = [self._prompts[number - 1] for number in numbers]
        given = [
            (prompt, answer.text) for prompt, group in zip(asked, answers, strict=True) for answer in group
        ]
        try:
            earned = self._program.numbers([{**prompt.told, "answer": text} for prompt, text in given])
        except JudgeError as error:
            line = None if error.line is None or error.line > len(given) else given[error.line - 1][0].line
            where = "" if line is None else f", an answer to line {line} of the prompts"
            message = f"the reward of step {step}{where}: {error.message}. {_REMEDY}."
            raise TuningError(message, code="reward_failed", step=step) from error
        rewards = iter(earned)
        return [[next(rewards) for _ in group] for group in answers]
