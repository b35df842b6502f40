"""The engine's processor time, shared out to the requests it was spent on.

Measured while plans run: the clocks of the decoder's threads and of the engine's own, so that nothing other
processes or other threads do is counted, and waits that burn are. A plan's seconds go to its rows by the
tokens they compute: exact in sum, a convention within a step, where one pass over the weights serves all.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pennyweight.engine.plan import StepPlan
    from pennyweight.engine.runner import Runner


class CpuTime:
    """Used by the engine's thread alone."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._charged_s = 0.0

    def begin(self) -> None:
        """From now on seconds count. Called by the thread that will charge them."""
        self._charged_s = self._spent_s()

    def charge(self, plan: StepPlan) -> None:
        """Add what was spent since the last call to the requests whose rows of `plan` still run."""
        spent_s = self._spent_s()
        rows = [row for row in plan.rows if row.sequence.status == "running"]
        total = sum(row.num_tokens + len(row.draft) for row in rows)
        for row in rows:
            share = (row.num_tokens + len(row.draft)) / total
            row.sequence.group.cpu_s += share * (spent_s - self._charged_s)
        if rows:
            self._charged_s = spent_s

    def _spent_s(self) -> float:
        return self._runner.cpu_s + time.thread_time()
