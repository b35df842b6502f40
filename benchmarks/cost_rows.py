"""The rows of what running costs beside speed: how long a start takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import start_up
from benchmarks.contenders import OURS, Contender
from benchmarks.goals import value_goal
from benchmarks.row import Row
from benchmarks.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.llamacpp import LlamaCpp


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The start of one engine in seconds, see `start_up`; without `build` it is ours."""

    family: str
    model: Path
    build: LlamaCpp | None
    threads: int

    @property
    def label(self) -> str:
        return self.family

    def measure(self) -> Sample:
        """One start, after one that filled the system's cache."""
        figures = start_up.measure(self.model, build=self.build, rounds=1, threads=self.threads)
        own = figures["pennyweight" if self.build is None else "llama.cpp"]
        return Sample(value=own["median"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the rows are made from."""

    files: Mapping[str, Path]
    builds: Mapping[str, LlamaCpp]
    threads: int

    def rows(self) -> list[Row]:
        """Every row, in the order of the table."""
        ours, theirs = self._start(OURS, None), self._start("llama.cpp", self.builds["native"])
        return [
            Row(
                key="start.Q4_1",
                title="process start to first token of `penny run`, Q4_1 (llama-bench: load and one token)",
                contenders=(ours, theirs),
                goals=(value_goal(0.5),),
                unit="s",
                better="lower",
                headline=True,
            )
        ]

    def _start(self, family: str, build: LlamaCpp | None) -> Contender:
        return Start(family=family, model=self.files["S.Q4_1"], build=build, threads=self.threads)
