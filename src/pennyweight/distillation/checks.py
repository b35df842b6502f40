"""What makes an answer worth learning: a program of the user's says so, or nothing but being whole.

Of a program's numbers the largest is the best answer to a prompt, and 0 or less is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pennyweight.judge_program import JudgeProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.distillation.prompts import Prompt


class Check(Protocol):
    """A judge of answers."""

    def scores(self, answers: Sequence[tuple[Prompt, str]]) -> list[float]:
        """A number for each answer to its prompt; above 0: it is right, and more is better."""
        ...


class AnyAnswer:
    """All answers are as good."""

    def scores(self, answers: Sequence[tuple[Prompt, str]]) -> list[float]:
        return [1.0] * len(answers)


class Program:
    """`command` is a program that judges (see `judge_program`)."""

    def __init__(self, command: str) -> None:
        self._program = JudgeProgram(command=command)

    def scores(self, answers: Sequence[tuple[Prompt, str]]) -> list[float]:
        """ConfigError if the program cannot be started, fails, or does not write a number for each line."""
        return self._program.numbers(
            [{"messages": prompt.messages, "answer": answer} for prompt, answer in answers]
        )
