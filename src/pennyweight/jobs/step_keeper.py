"""Steps of training on their way to the database, many in one transaction, and how far training is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pennyweight.errors import StorageFullError
from pennyweight.jobs.tuning_events import step_event
from pennyweight.store.tuning_work import Progress, TuningWork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.store.database import Database
    from pennyweight.store.tuning_claims import TuningLease
    from pennyweight.store.tuning_job import NewEvent, TuningJob


class StepKeeper:
    """Of one run of the trainer. What was not written when the process ends is told again by the next."""

    def __init__(self, database: Database, job: TuningJob, lease: TuningLease) -> None:
        self._database = database
        self._lease = lease
        self._work = TuningWork()
        self._waiting: list[NewEvent] = []
        self._estimated_finish: int | None = None
        self._cpu_before_us = job.cpu_us
        self.tokens = job.trained_tokens

    def add(self, told: Mapping[str, Any], num_steps: int | None) -> None:
        """A step was done."""
        self.tokens = int(told["tokens"])
        seconds = told.get("seconds_left")
        self._estimated_finish = None if seconds is None else int(time.time() + seconds)
        self._waiting.append(step_event(told, num_steps))

    def progress(self, cpu_us: int) -> Progress:
        """`cpu_us` of this run alone."""
        return Progress(
            trained_tokens=self.tokens,
            cpu_us=self._cpu_before_us + cpu_us,
            estimated_finish=self._estimated_finish,
        )

    async def write(self, cpu_us: int) -> None:
        """Raises LeaseLostError; StorageFullError, and then the steps wait."""
        steps, self._waiting = self._waiting, []
        if not steps:
            return
        progress, now = self.progress(cpu_us), int(time.time())
        try:
            await self._database.write(
                lambda c: self._work.tell(c, self._lease, steps, progress, now=now), at="tuning_job.stepped"
            )
        except StorageFullError:
            self._waiting = steps + self._waiting
            raise
