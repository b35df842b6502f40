"""A job of fine-tuning is made: its files are there and of the right kind, and the project may train more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pennyweight.errors import InvalidRequestError, NotFoundError, PennyweightError
from pennyweight.quota.training import training_left
from pennyweight.store.files import Files
from pennyweight.store.tuning_jobs import TuningJobs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from pennyweight.core import Allowance
    from pennyweight.store.blob import Blob
    from pennyweight.store.tuning_job import NewTuningJob, TuningJob

MAX_UNDER_WAY: Final = 100
"""Jobs of one project that have not ended."""


class TuningQueueError(PennyweightError):
    """The project has as many jobs under way as it may. Trying again is for people."""

    status = 429
    type = "requests"
    code = "fine_tuning_queue_full"


def add_tuning_job(connection: Connection, new: NewTuningJob, allowances: Iterable[Allowance]) -> TuningJob:
    """Read the files and make the job in one transaction: they cannot be deleted in between.

    Raises InvalidRequestError for a file that is none, TuningQueueError, InsufficientQuotaError.
    """
    jobs = TuningJobs()
    training = _content(connection, new, "training_file", new.training_file_id)
    validation = None
    if new.validation_file_id is not None:
        validation = _content(connection, new, "validation_file", new.validation_file_id)
    num_jobs = jobs.num_under_way(connection, new.project_id)
    if num_jobs >= MAX_UNDER_WAY:
        message = f"{num_jobs} jobs of {new.project_id} have not ended, limit {MAX_UNDER_WAY}; cancel some."
        raise TuningQueueError(message)
    training_left(connection, allowances, now=new.created_at)
    jobs.add(connection, new, training, validation)
    return jobs.get(connection, new.project_id, new.id)


def _content(connection: Connection, new: NewTuningJob, param: str, file_id: str) -> Blob:
    try:
        file, blob = Files().content(connection, new.project_id, file_id, now=new.created_at)
    except NotFoundError as error:
        raise InvalidRequestError(error.message, param=param) from error
    if file.purpose != "fine-tune":
        message = f"The file has the purpose '{file.purpose}'; upload it with the purpose 'fine-tune'."
        raise InvalidRequestError(message, param=param)
    return blob
