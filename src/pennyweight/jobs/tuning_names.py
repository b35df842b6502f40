"""What models made by fine-tuning are called: `ft:<model asked for>:<organization>:<suffix>:<id>`.

(https://platform.openai.com/docs/guides/fine-tuning.) The id is the end of the job's, so that a job that is
done again after a crash makes the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pennyweight.store.tuning_job import TuningJob

PREFIX: Final = "ft:"
ORGANIZATION: Final = "pennyweight"
_ID_CHARS: Final = 8


def tuned_name(job: TuningJob, *, step: int | None = None) -> str:
    """The name of what a job makes; with a `step`, of its checkpoint there."""
    name = f"{PREFIX}{job.model_asked}:{ORGANIZATION}:{job.suffix or ''}:{job.id[-_ID_CHARS:]}"
    return name if step is None else f"{name}:ckpt-step-{step}"
