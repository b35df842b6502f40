"""The energy counters of the processor and its memory (RAPL), as Linux shows them, for Intel and AMD alike.

https://docs.kernel.org/power/powercap/powercap.html. Packages and memory are summed; what is within a
package, or around it (`psys`), would be counted twice. Only root may read them unless it lets others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

FOLDER: Final = Path("/sys/class/powercap")


class Rapl:
    """Read it more often than a counter goes round: that takes minutes at full power."""

    def __init__(self, zones: list[Path]) -> None:
        self._zones = {zone: _number(zone / "energy_uj") for zone in zones}
        self._joules = 0.0

    @classmethod
    def find(cls, folder: Path = FOLDER) -> Self | None:
        """None where there are no counters, or none that we may read."""
        try:
            zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if _is_whole(zone)]
            return cls(zones) if zones else None
        except OSError:
            return None

    def joules(self) -> float:
        """Used since this object was made. Raises OSError."""
        for zone, before in self._zones.items():
            now = _number(zone / "energy_uj")
            used = now - before
            if used < 0:
                used += _number(zone / "max_energy_range_uj")
            self._joules += used / 1e6
            self._zones[zone] = now
        return self._joules


def _is_whole(zone: Path) -> bool:
    name = (zone / "name").read_text().strip()
    return name.startswith("package-") or name == "dram"


def _number(path: Path) -> int:
    return int(path.read_text())
