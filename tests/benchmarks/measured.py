"""Contenders and rows that replay figures, for the tests of everything around a measurement."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.row import Row
from benchmarks.samples import Sample


@dataclass(kw_only=True)
class Recorded:
    """A contender that replays values, run after run, notes its turns, and fails when they are used up."""

    label: str
    values: list[float]
    turns: list[str] = field(default_factory=list)
    family: str = "Pennyweight"

    def measure(self) -> Sample:
        """The next recorded value."""
        self.turns.append(self.label)
        if not self.values:
            raise RuntimeError("no such model\nand no other")
        return Sample(value=self.values.pop(0), also={"int8_peak_share": 0.5})


def row_of(*contenders: Recorded, **changes: object) -> Row:
    """A row of these contenders."""
    row: dict[str, object] = {"key": "prompt", "title": "prompt of 512", "contenders": contenders}
    return Row(**{**row, **changes})  # type: ignore[arg-type]
