"""A program of the user's that judges answers: which are worth learning, and what each of them earns.

It reads one JSON object per line, `{"messages": [...], "answer": "...", ...}`, and writes a number for each,
in their order. It is started for every batch of answers and ends with its input, so that it remembers
nothing: the same answers get the same numbers, whatever was judged before. It runs as whoever started
`penny`.
"""

from __future__ import annotations

import json
import math
import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_TOLD_CHARS: Final = 300  # of what a program that failed says


class JudgeError(ConfigError):
    """The program did not judge. `line` (from 1) is that of its input which it got wrong, if it is known."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeProgram:
    """`command` as a shell would split it, run without a shell, in `folder` (None: this process's own).

    It is ended after `limit_s` seconds for one batch of answers; None: it takes as long as it takes.
    """

    command: str
    folder: Path | None = None
    limit_s: float | None = None

    def numbers(self, answers: Sequence[Mapping[str, Any]]) -> list[float]:
        """A finite number for each of `answers`.

        JudgeError if the program cannot be started, fails, or does not write a number for each line.
        """
        if not answers:
            return []
        given = "".join(json.dumps(answer) + "\n" for answer in answers)
        try:
            done = subprocess.run(
                shlex.split(self.command),
                input=given,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                cwd=self.folder,
                timeout=self.limit_s,
            )
        except subprocess.TimeoutExpired as error:
            message = f"the program {self.command!r} did not end within {self.limit_s:g} s"
            raise JudgeError(f"{message}; its input had ended") from error
        except (OSError, ValueError) as error:
            raise JudgeError(f"the program {self.command!r} cannot be started: {error}") from error
        if done.returncode:
            told = done.stderr.strip()[-_TOLD_CHARS:]
            raise JudgeError(f"the program {self.command!r} ended with code {done.returncode}: {told}")
        words = done.stdout.split()
        numbers = [self._number(word, line) for line, word in enumerate(words, start=1)]
        if len(numbers) != len(answers):
            message = f"the program {self.command!r} wrote {len(numbers)} numbers for {len(answers)} answers"
            raise JudgeError(f"{message}; it must write one for each line")
        return numbers

    def _number(self, word: str, line: int) -> float:
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            message = f"the program {self.command!r} must write numbers alone, and finite ones"
            raise JudgeError(f"{message}: for line {line} of its input it wrote {word!r:.80}", line=line)
        return number
