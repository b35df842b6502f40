"""A row of the comparison: what is measured, on whom, in which unit, and what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.goals import Better, Goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`key` names it on the command line and in the results; `headline` rows stand in the README."""

    key: str
    title: str
    contenders: tuple[Contender, ...]
    goals: tuple[Goal, ...] = ()
    unit: str = "tokens/s"
    better: Better = "higher"
    headline: bool = False
    timed: bool = True  # other work on the machine would spoil its samples
