"""The repository of batches, as the people who made them see them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, insert, select, update

from pennyweight.core import Usage
from pennyweight.errors import InvalidRequestError, NotFoundError
from pennyweight.store.blob import BlobUses
from pennyweight.store.pages import page_of
from pennyweight.store.tables.batches import batches as table
from pennyweight.store.tables.blobs import blob_uses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, RowMapping

    from pennyweight.store.blob import Blob
    from pennyweight.store.pages import Cursor, Page


class BatchState(StrEnum):
    """OpenAI's eight; the last four are ends."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    FAILED = "failed"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


UNDER_WAY: Final = (
    BatchState.VALIDATING,
    BatchState.IN_PROGRESS,
    BatchState.FINALIZING,
    BatchState.CANCELLING,
)
"""States that are no ends."""
STAMPED: Final = tuple(state for state in BatchState if state is not BatchState.VALIDATING)
"""States whose beginning is written down, as `<state>_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """`entered` maps states to the second they began; `model` is known once the input was checked."""

    id: str
    project_id: str
    key_id: str | None
    endpoint: str
    input_file_id: str
    state: BatchState
    created_at: int
    expires_at: int
    model: str | None
    metadata: Mapping[str, str] | None
    output_expires_after: int | None
    output_file_id: str | None
    error_file_id: str | None
    errors: tuple[Mapping[str, Any], ...]
    entered: Mapping[BatchState, int]
    num_lines: int
    num_completed: int
    num_failed: int
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """What a batch is made of."""

    id: str
    project_id: str
    key_id: str | None
    endpoint: str
    input_file_id: str
    created_at: int
    expires_at: int
    metadata: Mapping[str, str] | None = None
    output_expires_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchQueue:
    """What a project has under way: batches that have not ended, and the bytes of their inputs."""

    num_batches: int
    num_bytes: int


class Batches:
    """Everything but the work itself, which is `BatchWork`'s."""

    def __init__(self) -> None:
        self._uses = BlobUses()

    def add(self, connection: Connection, new: NewBatch, input_blob: Blob) -> None:
        """In the transaction that has read the input file, whose bytes the batch has from now on."""
        counts = ("num_lines", "num_completed", "num_failed", "num_failures", "fence")
        tokens = ("prompt_tokens", "cached_tokens", "completion_tokens")
        values = {
            "id": new.id,
            "project_id": new.project_id,
            "key_id": new.key_id,
            "endpoint": new.endpoint,
            "input_file_id": new.input_file_id,
            "created_at": new.created_at,
            "expires_at": new.expires_at,
            "metadata": None if new.metadata is None else json.dumps(dict(new.metadata)),
            "output_expires_after": new.output_expires_after,
            "state": BatchState.VALIDATING,
            **dict.fromkeys((*counts, *tokens), 0),
        }
        connection.execute(insert(table).values(**values))
        self._uses.add(connection, input_blob, owner_id=new.id, now=new.created_at)

    def queue(self, connection: Connection, project_id: str) -> BatchQueue:
        """What the project has under way."""
        row = connection.execute(
            select(func.count(), func.coalesce(func.sum(blob_uses.c.num_bytes), 0))
            .select_from(table)
            .join(blob_uses, blob_uses.c.owner_id == table.c.id)
            .where(
                blob_uses.c.project_id == project_id,
                table.c.project_id == project_id,
                table.c.state.in_(UNDER_WAY),
            )
        ).one()
        return BatchQueue(num_batches=int(row[0]), num_bytes=int(row[1]))

    def get(self, connection: Connection, project_id: str, batch_id: str) -> Batch:
        """Raises NotFoundError; another project's batch is not there."""
        condition = (table.c.project_id == project_id) & (table.c.id == batch_id)
        row = connection.execute(select(table).where(condition)).one_or_none()
        if row is None:
            raise NotFoundError(f"No batch found with id '{batch_id:.80}'.", param="id")
        return batch_of(row._mapping)

    def page(self, connection: Connection, project_id: str, cursor: Cursor) -> Page[Batch]:
        """One page of the project's."""
        wanted = select(table).where(table.c.project_id == project_id)
        return page_of(connection, wanted, table, cursor, lambda row: batch_of(row._mapping))

    def cancel(self, connection: Connection, project_id: str, batch_id: str, *, now: int) -> Batch:
        """What is done stays; a second time changes nothing. Raises NotFoundError, InvalidRequestError."""
        batch = self.get(connection, project_id, batch_id)
        if batch.state in (BatchState.CANCELLING, BatchState.CANCELLED):
            return batch
        if batch.state not in (BatchState.VALIDATING, BatchState.IN_PROGRESS):
            raise InvalidRequestError(f"Cannot cancel a batch with status '{batch.state}'.", param="status")
        values = {"state": BatchState.CANCELLING, "cancelling_at": now}
        connection.execute(update(table).where(table.c.id == batch_id).values(**values))
        return self.get(connection, project_id, batch_id)


def batch_of(row: RowMapping) -> Batch:
    """A row as an object."""
    same = ("id", "project_id", "key_id", "endpoint", "input_file_id", "created_at", "expires_at", "model")
    files = ("output_expires_after", "output_file_id", "error_file_id")
    counts = ("num_lines", "num_completed", "num_failed")
    stamps = {state: row[f"{state}_at"] for state in STAMPED}
    return Batch(
        **{name: row[name] for name in (*same, *files, *counts)},
        state=BatchState(row["state"]),
        metadata=None if row["metadata"] is None else json.loads(row["metadata"]),
        errors=() if row["errors"] is None else tuple(json.loads(row["errors"])),
        entered={state: at for state, at in stamps.items() if at is not None},
        usage=Usage(
            prompt_tokens=row["prompt_tokens"],
            cached_tokens=row["cached_tokens"],
            completion_tokens=row["completion_tokens"],
        ),
    )
