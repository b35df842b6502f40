"""While a server runs: power against work, sampled from the energy counters and kept beside the database.

What is kept are six sums, so that a report can tell joules of any time, also of requests before this start.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pennyweight.cost.power_line import PowerLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.cost.power_line import Power
    from pennyweight.cost.rapl import Rapl

_log = logging.getLogger(__name__)
FILE_NAME: Final = "power.json"
STAT: Final = Path("/proc/stat")
_INTERVAL_S: Final = 10.0
_WRITTEN_EVERY: Final = 60  # samples


class PowerMeter:
    """Samples on a thread of its own until it is closed."""

    def __init__(
        self, folder: Path, rapl: Rapl, *, stat: Path = STAT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = folder / FILE_NAME
        self._line = _read(self._path) or PowerLine()
        self._rapl = rapl
        self._stat = stat
        self._clock = clock
        self._before = self._seen()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pennyweight-power", daemon=True)

    def start(self) -> Self:
        """Begin to sample."""
        self._thread.start()
        return self

    def sample(self) -> None:
        """One sample, of the time since the one before. Raises OSError."""
        before, now = self._before, self._seen()
        self._before = now
        seconds, joules, busy, total = (new - old for new, old in zip(now, before, strict=True))
        if seconds > 0 and total > 0:
            self._line.add(share=busy / total, watts=joules / seconds)

    def write(self) -> None:
        """Keep what was learned; after a power cut the file may be an older one. Raises OSError."""
        work = self._path.with_suffix(".incoming")
        work.write_text(json.dumps(asdict(self._line)))
        work.replace(self._path)

    def close(self) -> None:
        """End the thread; what it learned is kept."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        num_samples = 0
        try:
            while not self._closed.wait(_INTERVAL_S):
                self.sample()
                num_samples += 1
                if num_samples % _WRITTEN_EVERY == 0:
                    self.write()
            self.write()
        except OSError as error:  # the counters are gone, or the disk is full: reports say what they know
            _log.warning("the power of this machine is no longer measured: %s", error)

    def _seen(self) -> tuple[float, float, int, int]:
        """Seconds, joules, and ticks of the cores: at work, and all of them."""
        ticks = [int(word) for word in self._stat.read_text().splitlines()[0].split()[1:9]]
        return self._clock(), self._rapl.joules(), sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def measured_power(folder: Path) -> Power | None:
    """What a server on this data folder has learned; None: nothing, or not enough."""
    line = _read(folder / FILE_NAME)
    return None if line is None else line.power()


def _read(path: Path) -> PowerLine | None:
    try:
        return PowerLine(**{name: float(value) for name, value in json.loads(path.read_text()).items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
