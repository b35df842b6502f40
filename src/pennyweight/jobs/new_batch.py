"""A batch is made: its input is there and of the right kind, and the project's queue has room for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.errors import InvalidRequestError, NotFoundError, PennyweightError
from pennyweight.store.batches import Batches
from pennyweight.store.files import Files

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.batches import Batch, NewBatch


class BatchQueueError(PennyweightError):
    """The project has as much under way as it may. Nobody knows for how long: trying again is for people."""

    status = 429
    type = "requests"
    code = "batch_queue_full"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Of one project: batches that have not ended, and bytes of their inputs; and of one batch's input."""

    max_batches: int
    max_bytes: int
    max_input_bytes: int


def add_batch(connection: Connection, new: NewBatch, limits: QueueLimits) -> Batch:
    """Read the file and make the batch in one transaction: the file cannot be deleted in between.

    Raises InvalidRequestError for a file that is none, BatchQueueError.
    """
    batches = Batches()
    try:
        file, blob = Files().content(connection, new.project_id, new.input_file_id, now=new.created_at)
    except NotFoundError as error:
        raise InvalidRequestError(error.message, param="input_file_id") from error
    if file.purpose != "batch":
        message = f"The file has the purpose '{file.purpose}'; upload it with the purpose 'batch'."
        raise InvalidRequestError(message, param="input_file_id")
    if file.num_bytes > limits.max_input_bytes:
        message = f"The file has {file.num_bytes} bytes; a batch may have {limits.max_input_bytes}. Split it."
        raise InvalidRequestError(message, param="input_file_id")
    _check_queue(connection, new.project_id, file.num_bytes, limits)
    batches.add(connection, new, blob)
    return batches.get(connection, new.project_id, new.id)


def _check_queue(connection: Connection, project_id: str, num_bytes: int, limits: QueueLimits) -> None:
    queue = Batches().queue(connection, project_id)
    remedy = "Try again when some have completed, or cancel some."
    if queue.num_batches >= limits.max_batches:
        message = (
            f"Batch queue limit reached for {project_id}: {queue.num_batches} batches have not ended, "
            f"limit {limits.max_batches}. {remedy}"
        )
        raise BatchQueueError(message)
    if queue.num_bytes + num_bytes > limits.max_bytes:
        message = (
            f"Batch queue limit reached for {project_id}: {queue.num_bytes} bytes of input are queued, "
            f"requested {num_bytes}, limit {limits.max_bytes}. {remedy}"
        )
        raise BatchQueueError(message)
