"""One measured value, and what several of them say together."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A value in its row's unit; `also` are further figures of the same run (a share of a bound, a rate)."""

    value: float
    also: Mapping[str, float] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        """Plain data, rounded to what is meaningful."""
        return {"value": _rounded(self.value), "also": {k: _rounded(v) for k, v in self.also.items()}}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Sample:
        """What `to_data` wrote."""
        return cls(value=data["value"], also=dict(data["also"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Several samples of one thing: the median, the lowest, the highest, and how many they were."""

    median: float
    low: float
    high: float
    count: int


def figure_of(values: Sequence[float]) -> Figure:
    """The `Figure` of at least one value."""
    return Figure(median=median(values), low=min(values), high=max(values), count=len(values))


def summarise(samples: Sequence[Sample]) -> tuple[Figure, dict[str, Figure]]:
    """The figure of the values, and one for each further figure."""
    names = [name for name in samples[0].also if all(name in sample.also for sample in samples)]
    also = {name: figure_of([sample.also[name] for sample in samples]) for name in names}
    return figure_of([sample.value for sample in samples]), also


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-int(share * 1000) * len(ordered) // 1000))
    return ordered[min(rank, len(ordered)) - 1]


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
