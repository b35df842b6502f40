"""What answers cost on this machine: its price by the hour, and its energy by a model of its power.

The model is a line through two points: idle watts whatever happens, up to busy watts in proportion to the
processor time that requests were charged (Fan, Weber, Barroso 2007, "Power Provisioning for a Warehouse-sized
Computer", has the shape). The points are measured where the processor has energy counters we may read
(`power_meter`), otherwise the settings tell them; then the uncertainty is an estimate of ours. Joules are
derived in reports and never kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pennyweight.cost.power_line import Power

if TYPE_CHECKING:
    from decimal import Decimal

    from pennyweight.config import Settings

UNCERTAINTY_PERCENT: Final = 25
METHOD: Final = (
    "by the watts in the settings: a request's joules are its processor time / cores x (busy - idle watts); "
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


def told_power(idle_watts: Decimal | None, busy_watts: Decimal | None) -> Power:
    """What the settings say of it."""
    return Power(
        idle_watts=None if idle_watts is None else float(idle_watts),
        busy_watts=None if busy_watts is None else float(busy_watts),
        method=METHOD,
        uncertainty_percent=UNCERTAINTY_PERCENT,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is known of it. Dollars and watts."""

    cores: int
    power: Power = field(default_factory=lambda: told_power(None, None))
    hardware_per_hour: Decimal | None = None
    power_per_kwh: Decimal | None = None

    @classmethod
    def of(cls, settings: Settings, measured: Power | None = None) -> Machine:
        """This machine, as it was measured and as the settings describe it."""
        return cls(
            cores=os.cpu_count() or 1,
            power=measured or told_power(settings.idle_watts, settings.busy_watts),
            hardware_per_hour=settings.hardware_per_hour,
            power_per_kwh=settings.power_per_kwh,
        )

    def cost(self, *, cpu_s: float, span_s: float) -> RealCost:
        """Of requests that took `cpu_s` of processor time in `span_s` seconds."""
        share = cpu_s / (self.cores * span_s) if span_s else 0.0
        joules, power = None, self.power
        if power.idle_watts is not None and power.busy_watts is not None:
            joules = (power.busy_watts - power.idle_watts) * cpu_s / self.cores
        return RealCost(share=share, joules=joules, dollars=self._dollars(share * span_s, joules))

    def standing(self, span_s: float) -> RealCost:
        """Of `span_s` seconds in which nothing is asked."""
        joules = None if self.power.idle_watts is None else self.power.idle_watts * span_s
        return RealCost(share=0.0, joules=joules, dollars=self._dollars(span_s, joules))

    def _dollars(self, seconds: float, joules: float | None) -> float | None:
        parts = []
        if self.hardware_per_hour is not None:
            parts.append(float(self.hardware_per_hour) * seconds / _HOUR_S)
        if self.power_per_kwh is not None and joules is not None:
            parts.append(float(self.power_per_kwh) * joules / _JOULES_PER_KWH)
        return sum(parts) if parts else None
