"""What makes an answer worth learning: a program of the user's says so, or nothing but being whole.

The program reads one JSON object per line, `{"messages": [...], "answer": "..."}`, and writes one line for
each: a number, of which the largest is the best answer to a prompt, and 0 or less is none. It is started
once and runs as whoever started `penny`.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING, Protocol

from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.distillation.prompts import Prompt

_TOLD_CHARS = 300  # of what a program that failed says


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
    """`command` as a shell would split it, run without a shell."""

    def __init__(self, command: str) -> None:
        self._command = command

    def scores(self, answers: Sequence[tuple[Prompt, str]]) -> list[float]:
        """ConfigError if the program cannot be started, fails, or does not write a number for each line."""
        if not answers:
            return []
        given = "".join(
            json.dumps({"messages": prompt.messages, "answer": answer}) + "\n" for prompt, answer in answers
        )
        try:
            words = shlex.split(self._command)
            done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
        except (OSError, ValueError) as error:
            raise ConfigError(f"the check {self._command!r} cannot be started: {error}") from error
        if done.returncode:
            told = done.stderr.strip()[-_TOLD_CHARS:]
            raise ConfigError(f"the check {self._command!r} ended with code {done.returncode}: {told}")
        return self._numbers(done.stdout.split(), len(answers))

    def _numbers(self, words: list[str], wanted: int) -> list[float]:
        try:
            numbers = [float(word) for word in words]
        except ValueError as error:
            raise ConfigError(f"the check {self._command!r} must write numbers alone: {error}") from error
        if len(numbers) != wanted:
            message = f"the check {self._command!r} wrote {len(numbers)} numbers for {wanted} answers"
            raise ConfigError(f"{message}; it must write one for each line")
        return numbers
