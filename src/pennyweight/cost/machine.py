"""What answers cost on this machine: its price by the hour, and its energy by a model of its power.

The model is a line through two points: idle watts whatever happens, up to busy watts in proportion to the
processor time that requests were charged (Fan, Weber, Barroso 2007, "Power Provisioning for a Warehouse-sized
Computer", has the shape). Joules are derived in reports and never kept. Their uncertainty is an estimate of
ours, not a measurement: most of it is how well the two watts were read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decimal import Decimal

    from pennyweight.config import Settings

UNCERTAINTY_PERCENT: Final = 25
METHOD: Final = (
    "joules = idle watts x time + (busy - idle watts) x processor time / cores; "
    f"uncertain by {UNCERTAINTY_PERCENT} %"
)
_HOUR_S: Final = 3600
_JOULES_PER_KWH: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCost:
    """Of some requests over some time. None: the setting it needs is missing.

    `share` of the machine's processor time; `joules` above idle; `dollars` is that share of the hours paid
    for, and the price of those joules.
    """

    share: float
    joules: float | None
    dollars: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is known of it. Dollars and watts."""

    cores: int
    hardware_per_hour: Decimal | None = None
    power_per_kwh: Decimal | None = None
    idle_watts: Decimal | None = None
    busy_watts: Decimal | None = None

    @classmethod
    def of(cls, settings: Settings) -> Machine:
        """This machine, as the settings describe it."""
        return cls(
            cores=os.cpu_count() or 1,
            hardware_per_hour=settings.hardware_per_hour,
            power_per_kwh=settings.power_per_kwh,
            idle_watts=settings.idle_watts,
            busy_watts=settings.busy_watts,
        )

    def cost(self, *, cpu_s: float, span_s: float) -> RealCost:
        """Of requests that took `cpu_s` of processor time in `span_s` seconds."""
        share = cpu_s / (self.cores * span_s) if span_s else 0.0
        joules = None
        if self.idle_watts is not None and self.busy_watts is not None:
            joules = float(self.busy_watts - self.idle_watts) * cpu_s / self.cores
        return RealCost(share=share, joules=joules, dollars=self._dollars(share * span_s, joules))

    def standing(self, span_s: float) -> RealCost:
        """Of `span_s` seconds in which nothing is asked."""
        joules = None if self.idle_watts is None else float(self.idle_watts) * span_s
        return RealCost(share=0.0, joules=joules, dollars=self._dollars(span_s, joules))

    def _dollars(self, seconds: float, joules: float | None) -> float | None:
        parts = []
        if self.hardware_per_hour is not None:
            parts.append(float(self.hardware_per_hour) * seconds / _HOUR_S)
        if self.power_per_kwh is not None and joules is not None:
            parts.append(float(self.power_per_kwh) * joules / _JOULES_PER_KWH)
        return sum(parts) if parts else None
