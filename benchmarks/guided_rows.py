"""The rows of what guessing ahead is worth: schemas and predictions, against our own plain decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contenders import OurProgram
from benchmarks.goals import value_goal
from benchmarks.guided_speed import GuidedTask
from benchmarks.row import Row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNIT = "x plain decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guided:
    """What the rows are made from. `files`: S.Q4_1."""

    files: Mapping[str, Path]
    threads: int

    def rows(self) -> list[Row]:
        """Every row, in the order of the table."""
        rows = [
            (
                "schema.Q4_1",
                "answers held to a JSON schema, Q4_1",
                GuidedTask(guess="schema"),
                1.05,
            ),
            (
                "schema-streams.Q4_1",
                "answers held to JSON schemas, 32 streams, Q4_1",
                GuidedTask(guess="schema", streams=32),
                0.95,
            ),
            (
                "prediction.Q4_1",
                "an edit with 90 % of its text predicted, one stream, Q4_1",
                GuidedTask(guess="prediction"),
                2.5,
            ),
        ]
        return [
            Row(
                key=key,
                title=title,
                contenders=(
                    OurProgram(
                        program="benchmarks.guided_speed",
                        model=self.files["S.Q4_1"],
                        task=task.to_json(),
                        threads=self.threads,
                    ),
                ),
                goals=(value_goal(goal),),
                unit=UNIT,
            )
            for key, title, task, goal in rows
        ]
