"""The rows of what adapters cost, against our own speed without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.adapter_speed import AdapterTask
from benchmarks.contenders import OurProgram
from benchmarks.goals import value_goal
from benchmarks.row import Row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNIT = "x without adapters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """What the rows are made from. `files`: S.Q4_0."""

    files: Mapping[str, Path]
    threads: int

    def rows(self) -> list[Row]:
        """Every row, in the order of the table."""
        rows = [
            ("adapters.Q4_0", "8 adapters over 32 streams, Q4_0", AdapterTask(adapters=8, streams=32), 0.75),
            ("one-adapter.Q4_0", "one adapter, 32 streams, Q4_0", AdapterTask(adapters=1, streams=32), None),
            ("adapter-stream.Q4_0", "one adapter, one stream, Q4_0", AdapterTask(adapters=1), None),
            (
                "adapter-prompt.Q4_0",
                "one adapter, a prompt of 512, Q4_0",
                AdapterTask(adapters=1, context=512, tokens=0),
                None,
            ),
        ]
        return [
            Row(
                key=key,
                title=title,
                contenders=(
                    OurProgram(
                        program="benchmarks.adapter_speed",
                        model=self.files["S.Q4_0"],
                        task=task.to_json(),
                        threads=self.threads,
                    ),
                ),
                goals=() if goal is None else (value_goal(goal),),
                unit=UNIT,
            )
            for key, title, task, goal in rows
        ]
