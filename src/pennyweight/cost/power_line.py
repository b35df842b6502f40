"""How power goes with work, fitted to what was measured: watts = idle + (busy - idle) x share of cores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

RAPL_PERCENT: Final = 5
"""How far the counters themselves may be off (Khan et al. 2018, "RAPL in Action")."""
_FEWEST: Final = 30
_LEAST_SPREAD: Final = 0.05  # of the shares: idle alone says nothing about work
_MOST: Final = 100_000  # samples that count fully: about eleven days


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Of a machine at rest and with all cores at work, in watts; how this is known, for people to read."""

    idle_watts: float | None
    busy_watts: float | None
    method: str
    uncertainty_percent: int


@dataclass(slots=True, kw_only=True)
class PowerLine:
    """Least squares, by their sums: `share` of all cores at work, and watts."""

    num: float = 0.0
    share: float = 0.0
    watts: float = 0.0
    share_share: float = 0.0
    share_watts: float = 0.0
    watts_watts: float = 0.0

    def add(self, *, share: float, watts: float) -> None:
        """One sample; old ones fade."""
        if self.num >= _MOST:
            for name in self.__slots__:
                setattr(self, name, getattr(self, name) / 2)
        for name, value in zip(
            self.__slots__,
            (1.0, share, watts, share * share, share * watts, watts * watts),
            strict=True,
        ):
            setattr(self, name, getattr(self, name) + value)

    def power(self) -> Power | None:
        """None until work and rest have been seen."""
        if self.num < _FEWEST:
            return None
        spread = self.share_share - self.share * self.share / self.num
        if spread < self.num * _LEAST_SPREAD**2:
            return None
        slope = (self.share_watts - self.share * self.watts / self.num) / spread
        idle = (self.watts - slope * self.share) / self.num
        if slope <= 0 or idle < 0:
            return None
        scatter = max(0.0, self.watts_watts - self.watts**2 / self.num - slope**2 * spread)
        error = math.sqrt(scatter / (self.num - 2) / spread)
        percent = RAPL_PERCENT + math.ceil(200 * error / slope)
        method = (
            f"processor and memory alone, by their energy counters (RAPL), {idle:.1f} W at rest and "
            f"{idle + slope:.1f} W with all cores at work; a request's joules are its processor time / cores "
            f"x the difference; uncertain by {percent} %"
        )
        return Power(idle_watts=idle, busy_watts=idle + slope, method=method, uncertainty_percent=percent)
