"""Measurements of a machine at rest: what was taken beside other work is thrown away and taken again.

Threads of an engine wait for each other, so one that loses its core for a moment holds up all of them.
"""

from __future__ import annotations

import sys
from time import sleep
from typing import TYPE_CHECKING, TypeVar

from benchmarks.process_time import Readings

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
TOLERANCE = 0.1  # share of the cores that others may take during a measurement
_ATTEMPTS = 3
_GLANCE_S, _GLANCES = 0.1, 100


class MachineBusyError(Exception):
    """Other work went on during every attempt at a sample."""


def undisturbed(measure: Callable[[], Result], *, label: str, tolerance: float = TOLERANCE) -> Result:
    """What `measure` returns when nothing disturbed it. MachineBusyError if there is no rest."""
    for _ in range(_ATTEMPTS):
        _await_rest(tolerance)
        before = Readings.now()
        result = measure()
        share = Readings.now().foreign_share(before)
        if share <= tolerance:
            return result
        print(f"{label}: others took {share:.0%} of the cores; again", file=sys.stderr)
    raise MachineBusyError("the machine is busy with other work; nothing can be measured")


def _await_rest(tolerance: float) -> None:
    """Wait until others leave the cores alone: a sample under load can take minutes and is lost."""
    for _ in range(_GLANCES):
        before = Readings.now()
        sleep(_GLANCE_S)
        if Readings.now().foreign_share(before) <= tolerance:
            return
    raise MachineBusyError("the machine does not come to rest; nothing can be measured")
