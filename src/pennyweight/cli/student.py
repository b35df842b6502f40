"""A student learns lessons: a job of fine-tuning as `penny tune` makes and follows it.

The work folder remembers the job, so that the same command goes on with it, and does not learn twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pennyweight.cli.tuning_desk import tuning_desk
from pennyweight.cli.tuning_follow import follow
from pennyweight.errors import ConfigError, NotFoundError
from pennyweight.jobs.trainer_process import Trainer
from pennyweight.store.tuning_job import UNDER_WAY, TuningState

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.cli.tuning_desk import TuningDesk
    from pennyweight.cli.tuning_wish import TuningWish
    from pennyweight.config import Settings
    from pennyweight.store.tuning_job import TuningJob


def learn(settings: Settings, lessons: Path, wish: TuningWish) -> str:
    """The name of what `wish.model` became.

    Raises ConfigError if it failed, TrainerMissingError, and what opening the data folder does.
    """
    Trainer.here().check()
    memory = lessons.with_suffix(".job")
    with tuning_desk(settings, works=True) as desk:
        job = _known(desk, memory)
        if job is None:
            new = wish.job(lessons, None)
            job = desk.add_job(replace(new, training_file_id=desk.add_file(lessons)))
            memory.write_text(job.id, encoding="utf-8")
        elif job.paused_at is not None:
            desk.resume(job.id)
        ended = follow(desk, settings, job.id)
    if ended.state is not TuningState.SUCCEEDED or ended.fine_tuned_model is None:
        told = (ended.error or {}).get("message", "no reason was given")
        raise ConfigError(f"the student has not learnt, its job {ended.id} is {ended.state}: {told}")
    return ended.fine_tuned_model


def _known(desk: TuningDesk, memory: Path) -> TuningJob | None:
    """The job of an earlier run, unless it failed or is gone."""
    if not memory.exists():
        return None
    try:
        job = desk.job(memory.read_text(encoding="utf-8"))
    except NotFoundError:
        return None
    return job if job.state in (*UNDER_WAY, TuningState.SUCCEEDED) else None
